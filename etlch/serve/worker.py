"""One thread that has the models: it takes waiting texts out of a bounded queue, those of a kind together, and answers them.

A text whose client has gone (its future is cancelled) is dropped before it costs anything; one that is being answered is
answered to the end.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from fastapi import HTTPException

from etlch.errors import EtlchError
from etlch.extract.extractor import Extractor

GATHER = 0.005  # seconds that the first of a batch waits for company

Kind = tuple[str, str, tuple[str, ...]]
"""System, task and keys: what texts must share to be answered in one batch."""
ExtractorOf = Callable[[str, str, tuple[str, ...]], Extractor]


@dataclass(slots=True, eq=False)
class _Waiting:
    kind: Kind
    text: str
    future: Future = field(default_factory=Future)


class Worker:
    """`load` makes the extractors, with their models loaded. `ready` once that is done; `failure` is why it could not be."""

    def __init__(self, load: Callable[[], ExtractorOf], room: int, batch: int) -> None:
        self._load, self._room, self._batch = load, room, batch
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._seconds_a_text = 1.0
        self.ready = False
        self.failure: Exception | None = None

    def start(self, failed: Callable[[], None]) -> None:
        """Load the models and answer from then on; `failed` is called, in the worker's thread, when loading fails."""
        threading.Thread(target=self._run, args=(failed,), name="etlch-model", daemon=True).start()

    def demand_ready(self) -> None:
        """Raises HTTPException while the models load."""
        if not self.ready:
            raise HTTPException(503, "the model still loads", {"Retry-After": "5"})

    @property
    def waiting(self) -> int:
        """Texts in the queue."""
        with self._changed:
            self._queue = deque(item for item in self._queue if not item.future.cancelled())
            return len(self._queue)

    def submit(self, kind: Kind, texts: Sequence[str]) -> list[Future]:
        """Queue texts, all or none; each future gives an Extraction. Raises HTTPException when there is no room."""
        self.demand_ready()
        with self._changed:
            if (waiting := self.waiting) + len(texts) > self._room:
                seconds = max(1, round(waiting * self._seconds_a_text))
                raise HTTPException(503, f"the queue is full (try again in {seconds} s)", {"Retry-After": str(seconds)})
            added = [_Waiting(kind, text) for text in texts]
            self._queue.extend(added)
            self._changed.notify_all()
        return [item.future for item in added]

    def _run(self, failed: Callable[[], None]) -> None:
        try:
            self._extractor = self._load()
        except Exception as error:  # loading raises whatever the libraries raise; it is raised again in the main thread
            self.failure = error
            failed()
            return
        self.ready = True
        while True:
            if batch := self._take():
                began = time.monotonic()
                self._answer(batch)
                self._seconds_a_text += 0.2 * ((time.monotonic() - began) / len(batch) - self._seconds_a_text)

    def _take(self) -> list[_Waiting]:
        """The oldest waiting text and those of its kind, started; those whose client has gone are left out."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue)
            self._changed.wait_for(lambda: len(self._queue) >= self._batch, timeout=GATHER)
            chosen = [item for item in self._queue if item.kind == self._queue[0].kind][: self._batch]
            for item in chosen:
                self._queue.remove(item)
        return [item for item in chosen if item.future.set_running_or_notify_cancel()]

    def _answer(self, batch: list[_Waiting]) -> None:
        """Answer texts of a kind; when one of them stops the others, each is asked alone, so that only that one fails."""
        try:
            made = list(self._extractor(*batch[0].kind).extract_many([item.text for item in batch]))
        except Exception as error:  # the service goes on, whatever a text does to the model
            if len(batch) > 1:
                for item in batch:
                    self._answer([item])
                return
            if not isinstance(error, EtlchError):
                traceback.print_exc()
            batch[0].future.set_exception(error)
            return
        for item, extraction in zip(batch, made, strict=True):
            item.future.set_result(extraction)

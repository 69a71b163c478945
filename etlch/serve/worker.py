"""One thread that owns the models: it takes waiting texts out of a bounded queue, those of a kind together, and answers them.

A text whose client has gone (its future is cancelled) is dropped before it costs anything; one that is being answered is
answered to the end.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from etlch.errors import EtlchError
from etlch.extract.values import Extraction
from etlch.serve.systems import System

GATHER = 0.005  # seconds that the first of a batch waits for company


class Extractor(Protocol):
    """What the worker needs: extractions in the texts' order."""

    def extract_many(self, texts: Iterable[str], keys: Sequence[str] | None = None) -> Iterator[Extraction]: ...


Factory = Callable[[System, str], Extractor]
"""(system, task) -> its extractor, with the model loaded. Raises EtlchError."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What texts must share to be answered in one batch."""

    system: str
    task: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Waiting:
    kind: Kind
    text: str
    future: Future = field(default_factory=Future)


class QueueFull(Exception):
    """No room for more texts; `retry_after` is when there may be, in whole seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full (try again in {retry_after} s)")
        self.retry_after = retry_after


class Worker:
    """Starts with `start`; `ready` once every model is loaded. `failure` says why that did not work out."""

    def __init__(
        self, factory: Factory, systems: Sequence[System], tasks: Sequence[str], room: int, batch: int
    ) -> None:
        self._factory, self._systems, self._tasks = factory, list(systems), list(tasks)
        self._room, self._batch = room, batch
        self._extractors: dict[tuple[str, str], Extractor] = {}
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._seconds_a_text = 1.0
        self._thread = threading.Thread(target=self._run, name="etlch-model", daemon=True)
        self.ready = False
        self.failure: EtlchError | None = None

    def start(self, failed: Callable[[], None] = lambda: None) -> None:
        """Load the models and answer from then on; `failed` is called, in the worker's thread, when loading fails."""
        self._failed = failed
        self._thread.start()

    def stop(self, wait: float = 5.0) -> None:
        """Answer what waits, then end; returns after `wait` seconds at the latest."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(wait)

    @property
    def waiting(self) -> int:
        """Texts in the queue."""
        with self._changed:
            self._forget_cancelled()
            return len(self._queue)

    def submit(self, kind: Kind, texts: Sequence[str]) -> list[Future]:
        """Queue texts, all or none; each future gives an Extraction. Raises QueueFull."""
        with self._changed:
            self._forget_cancelled()
            if len(self._queue) + len(texts) > self._room:
                raise QueueFull(max(1, round(len(self._queue) * self._seconds_a_text)))
            added = [_Waiting(kind, text) for text in texts]
            self._queue.extend(added)
            self._changed.notify_all()
        return [item.future for item in added]

    def _forget_cancelled(self) -> None:
        self._queue = deque(item for item in self._queue if not item.future.cancelled())

    def _run(self) -> None:
        try:
            for system in self._systems:
                for task in self._tasks:
                    self._extractors[system.name, task] = self._factory(system, task)
        except EtlchError as error:
            self.failure = error
            self._failed()
            return
        except Exception as error:  # loading raises whatever the libraries raise
            self.failure = EtlchError(f"the model cannot be loaded ({type(error).__name__}: {str(error)[:300]})")
            self._failed()
            return
        self.ready = True
        while batch := self._take():
            self._answer(batch)

    def _take(self) -> list[_Waiting]:
        """The oldest waiting text and those of its kind, started; nothing when there is no more and the worker stops."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._stopping)
                if not self._queue:
                    return []
                if len(self._queue) < self._batch and not self._stopping:
                    self._changed.wait_for(lambda: len(self._queue) >= self._batch, timeout=GATHER)
                kind = self._queue[0].kind
                chosen = [item for item in self._queue if item.kind == kind][: self._batch]
                taken = {id(item) for item in chosen}
                self._queue = deque(item for item in self._queue if id(item) not in taken)
            started = [item for item in chosen if item.future.set_running_or_notify_cancel()]
            if started:
                return started

    def _answer(self, batch: list[_Waiting]) -> None:
        began = time.monotonic()
        left = self._give(batch)
        if len(batch) > 1:
            for item in left:  # one of them has stopped the others: each alone, so that only that one fails
                self._give([item])
        passed = (time.monotonic() - began) / len(batch)
        self._seconds_a_text += 0.2 * (passed - self._seconds_a_text)

    def _give(self, batch: list[_Waiting]) -> list[_Waiting]:
        """Answer a batch in order; returns what an error left unanswered (nothing for a batch of one: it gets the error)."""
        given = 0
        try:
            kind = batch[0].kind
            extractor = self._extractors[kind.system, kind.task]
            made = extractor.extract_many([item.text for item in batch], keys=list(kind.keys) or None)
            for item, extraction in zip(batch, made, strict=True):
                item.future.set_result(extraction)
                given += 1
        except Exception as error:  # the service goes on, whatever a text does to the model
            if not isinstance(error, EtlchError):
                traceback.print_exc(file=sys.stderr)
            if len(batch) == 1 and not given:
                batch[0].future.set_exception(error)
                return []
        return batch[given:]

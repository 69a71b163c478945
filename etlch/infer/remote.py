"""The `endpoint` engine: an OpenAI-compatible server that has the model loaded answers, many prompts at once.

The prompt is sent raw, as token ids or as text, so that the server's own chat template plays no part; `chat` is for servers
that know nothing else (LlamaFactory's api, most hosted ones), which then apply their own.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlch.endpoint.budget import Budget, Prices
from etlch.endpoint.client import Endpoint, UnansweredError, Where
from etlch.endpoint.halt import Halt, StopError
from etlch.endpoint.journal import Entry, Journal, Request
from etlch.endpoint.sender import Patience, Sender
from etlch.errors import EtlchError
from etlch.infer.journal import Made
from etlch.infer.loading import Prompt

SEND = ("tokens", "text", "chat")
FINISHED = ("stop", "eos", "")


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the model is served, under which name, how prompts are sent, and how much a run may take.

    sampling: parameters of every request's body. paid: the file that records each answer that was paid for.
    """

    where: Where
    model: str
    send: str
    sampling: dict[str, Any]
    patience: Patience
    prices: Prices
    most_tokens: int | None
    most_cost: float | None
    paid: Path


class RemoteEngine:
    """Answers from a server. Raises EtlchError when it cannot be reached, refuses, or the budget is spent.

    questions: what the user says in each prompt, for a server that applies its own template.
    """

    name = "endpoint"

    def __init__(self, remote: Remote, questions: Sequence[str] = ()) -> None:
        self.remote, self.questions = remote, questions

    def answers(self, todo: Sequence[tuple[int, Prompt]]) -> Iterator[Made]:
        """Answers in the order in which they arrive."""
        arrived: queue.Queue[Made | Exception | None] = queue.Queue()
        halts: list[Halt] = []

        def work() -> None:
            try:
                asyncio.run(self._ask_all(todo, arrived.put, halts))
                arrived.put(None)
            except Exception as error:  # handed on to the thread that reads
                arrived.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while (made := arrived.get()) is not None:
                if isinstance(made, Exception):
                    raise made
                yield made
        finally:
            for halt in halts:
                halt.stop("interrupted")
            thread.join(timeout=1)

    async def _ask_all(self, todo: Sequence[tuple[int, Prompt]], arrived, halts: list[Halt]) -> None:
        remote, halt = self.remote, Halt()
        halts.append(halt)
        budget = Budget(remote.prices, remote.most_tokens, remote.most_cost, halt)
        waiting, refused = iter(todo), []
        with Journal(remote.paid, remote.patience.concurrency * 65_536) as book:
            for entry in book.entries:
                budget.charge(entry.model, entry.usage)
            async with Endpoint(remote.where, halt) as endpoint:
                sender = Sender(endpoint, book, budget, halt, remote.patience)

                async def work() -> None:
                    for row, prompt in waiting:
                        try:
                            arrived(_made(row, await sender.answer(self._request(row, prompt))))
                        except UnansweredError as error:
                            refused.append(f"prompt {row + 1}: {error}")
                        except StopError:
                            return

                await asyncio.gather(*(work() for _ in range(remote.patience.concurrency)))
        if halt.reason or refused:
            raise EtlchError(
                halt.reason or f"{len(refused)} of {len(todo)} prompts have no answer; the first: {refused[0]}"
            )

    def _request(self, row: int, prompt: Prompt) -> Request:
        remote = self.remote
        if remote.send == "chat":
            messages = ({"role": "user", "content": self.questions[row]},)
            return Request("answer", "", remote.model, messages, remote.sampling)
        raw = prompt.ids if remote.send == "tokens" else prompt.text
        return Request("answer", "", remote.model, (), remote.sampling, prompt=raw)


def _made(row: int, entry: Entry) -> Made:
    return Made(row, entry.answer, entry.completion_tokens, entry.finish in FINISHED)

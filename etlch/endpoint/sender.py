"""Sending requests: from the journal if the answer is there, else over the network, tried again, within the budget."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from etlch.endpoint.budget import Budget, Usage
from etlch.endpoint.client import Endpoint, PassingError, UnansweredError, backoff, most_usage
from etlch.endpoint.halt import Halt
from etlch.endpoint.journal import Entry, Journal, Request
from etlch.errors import EtlchError

DEAD_AFTER = 3  # requests given up one after the other, none answered between them: the endpoint went away


@dataclass(frozen=True, slots=True)
class Patience:
    """How many requests at once, how often one is tried again, and how long to wait between."""

    concurrency: int
    retries: int
    backoff: float
    seed: int


@dataclass(slots=True)
class Tally:
    """What happened in this run, for the table at its end."""

    replayed: int = 0
    answered: int = 0
    reasked: int = 0
    retried: int = 0


class Sender:
    """All requests of a run go through here."""

    def __init__(self, endpoint: Endpoint, journal: Journal, budget: Budget, halt: Halt, patience: Patience) -> None:
        self.tally = Tally()
        self._endpoint = endpoint
        self._journal = journal
        self._budget = budget
        self._halt = halt
        self._patience = patience
        self._slots = asyncio.Semaphore(patience.concurrency)
        self._given_up = 0

    async def answer(self, request: Request) -> Entry:
        """The answer to one request. Raises UnansweredError for this one, StopError when the run is ending."""
        saved = self._journal.answers.get(request.key)
        if saved is not None:
            self.tally.replayed += 1
            return saved
        async with self._slots:
            for number in range(self._patience.retries + 1):
                self._halt.check()
                try:
                    return await self._paid(request)
                except PassingError as error:
                    trouble = error
                if number < self._patience.retries:
                    self.tally.retried += 1
                    seed = f"{self._patience.seed}/{request.key}"
                    await self._halt.sleep(backoff(seed, number, self._patience.backoff, trouble.after))
            raise self._give_up(trouble.reason)

    async def _paid(self, request: Request) -> Entry:
        """One try, within the budget, and into the journal."""
        most = most_usage(request)
        await self._budget.hold(request.model, most)
        used = Usage()
        try:
            entry = await self._endpoint.send(request)
            used = entry.usage
            self._save(entry)
        except PassingError as error:
            if error.lost:
                used = most
                self._save(_lost(request, most, error.reason))
            raise
        except UnansweredError as error:
            if not self._journal.entries:
                raise self._halt.stop(str(error)) from None
            raise
        finally:
            await self._budget.settle(request.model, most, used)
        self._given_up = 0
        self.tally.answered += 1
        return entry

    def _save(self, entry: Entry) -> None:
        try:
            self._journal.append(entry)
        except EtlchError as error:
            raise self._halt.stop(str(error)) from None
        if self._journal.full:
            self._halt.stop(f"{self._journal.path}: {self._journal.full} (free some space)")

    def _give_up(self, reason: str) -> Exception:
        self._given_up += 1
        tries = self._patience.retries + 1
        if self._given_up >= DEAD_AFTER:
            last = f"{tries} tries each; the last: {reason}"
            return self._halt.stop(f"{self._given_up} requests failed one after the other, {last}")
        return UnansweredError(f"{reason} ({tries} tries)")


def _lost(request: Request, most: Usage, reason: str) -> Entry:
    return Entry(
        key=request.key,
        stage=request.stage,
        article=request.article,
        model=request.model,
        prompt_tokens=most.prompt,
        completion_tokens=most.completion,
        lost=reason,
    )

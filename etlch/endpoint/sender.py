"""Sending requests: from the journal if the answer is there, else over the network, tried again, within the budget."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from etlch.endpoint.budget import Budget, Usage
from etlch.endpoint.client import Client, Entry, PassingError, Request, UnansweredError, backoff
from etlch.endpoint.halt import Halt
from etlch.endpoint.settings import Endpoint
from etlch.errors import EtlchError
from etlch.journal import Journal

DEAD_AFTER = 3  # requests given up one after the other, none answered between them: the endpoint went away


@dataclass(slots=True)
class Spent:
    """What happened in this run, for the table at its end."""

    replayed: int = 0
    answered: int = 0
    reasked: int = 0
    retried: int = 0


class Sender:
    """All requests of a run go through here: `async with Sender(endpoint, journal) as sender`. `halt.reason` says why it had to stop."""

    def __init__(self, endpoint: Endpoint, journal: Journal[Entry]) -> None:
        self.tally, self.halt = Spent(), Halt()
        self.budget = Budget(endpoint.prices, endpoint.budget_tokens, endpoint.budget_cost, self.halt)
        for entry in journal.entries:
            self.budget.charge(entry.model, entry.usage)
        self._answers = {entry.key: entry for entry in journal.entries if not entry.lost}
        self._endpoint, self._journal = endpoint, journal
        self._client = Client(endpoint, self.halt)
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._given_up = 0

    async def __aenter__(self) -> Sender:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.close()

    async def answer(self, request: Request) -> Entry:
        """The answer to one request. Raises UnansweredError for this one, StopError when the run is ending."""
        if saved := self._answers.get(request.key):
            self.tally.replayed += 1
            return saved
        retries = self._endpoint.retries
        async with self._slots:
            for number in range(retries + 1):
                self.halt.check()
                try:
                    return await self._paid(request)
                except PassingError as error:
                    trouble = error
                if number < retries:
                    self.tally.retried += 1
                    seed = f"{self._endpoint.seed}/{request.key}"
                    await self.halt.sleep(backoff(seed, number, self._endpoint.backoff, trouble.after))
            self._given_up += 1
            if self._given_up < DEAD_AFTER:
                raise UnansweredError(f"{trouble.reason} ({retries + 1} tries)")
            last = f"{retries + 1} tries each; the last: {trouble.reason}"
            raise self.halt.stop(f"{self._given_up} requests failed one after the other, {last}")

    async def _paid(self, request: Request) -> Entry:
        """One try, within the budget, and into the journal."""
        most, used = request.most, Usage()
        await self.budget.hold(request.model, most)
        try:
            entry = await self._client.send(request)
            used = entry.usage
            self._save(entry)
        except PassingError as error:
            if error.lost:
                used = most
                self._save(request.entry(most, lost=error.reason))
            raise
        except UnansweredError as error:
            if not self._journal.entries:
                raise self.halt.stop(str(error)) from None
            raise
        finally:
            await self.budget.settle(request.model, most, used)
        self._answers[request.key] = entry
        self._given_up = 0
        self.tally.answered += 1
        return entry

    def _save(self, entry: Entry) -> None:
        try:
            self._journal.append(entry)
        except EtlchError as error:
            raise self.halt.stop(str(error)) from None
        if self._journal.full:
            self.halt.stop(f"{self._journal.path}: {self._journal.full} (free some space)")

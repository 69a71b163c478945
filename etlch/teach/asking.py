"""Asking a teacher: from the journal if it is there, else over the network; again with the reason when it is no good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from etlch.errors import EtlchError
from etlch.teach import checks
from etlch.teach.budget import Budget, Usage
from etlch.teach.endpoint import Endpoint, PassingError, UnansweredError, backoff, most_usage
from etlch.teach.halt import Halt
from etlch.teach.journal import Entry, Journal, Request
from etlch.teach.templates import Templates

REASKS = 2
DEAD_AFTER = 3  # requests given up one after the other, none answered between them: the endpoint went away
UNANSWERED = "unanswered"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about one article, in one stage."""

    stage: str
    article: str
    prompt: str
    sampling: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A question set aside: its kind, the reason, and the last answer (none when unanswered)."""

    stage: str
    article: str
    model: str
    kind: str
    reason: str
    answer: str = ""


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


class Asker:
    """All questions of a run go through here."""

    def __init__(
        self, endpoint: Endpoint, journal: Journal, budget: Budget, halt: Halt, templates: Templates, patience: Patience
    ) -> None:
        self.tally = Tally()
        self._endpoint = endpoint
        self._journal = journal
        self._budget = budget
        self._halt = halt
        self._templates = templates
        self._patience = patience
        self._slots = asyncio.Semaphore(patience.concurrency)
        self._given_up = 0

    async def ask(self, question: Question, model: str, check: Callable[[str], Value]) -> Value | Rejection:
        """The checked answer, asked for again with the reason at most twice. Raises StopError when the run is ending."""
        messages = [{"role": "user", "content": question.prompt}]
        for attempt in range(REASKS + 1):
            request = Request(question.stage, question.article, model, tuple(messages), question.sampling, attempt)
            try:
                entry = await self._answer(request)
                return check(checks.said(entry.answer, entry.finish))
            except UnansweredError as error:
                return Rejection(question.stage, question.article, model, UNANSWERED, str(error))
            except checks.AnswerError as error:
                rejected = error
            self.tally.reasked += attempt < REASKS
            again = self._templates.fill("retry", reason=rejected.reason)
            messages += [{"role": "assistant", "content": entry.answer}, {"role": "user", "content": again}]
        return Rejection(question.stage, question.article, model, rejected.kind, rejected.reason, entry.answer)

    async def _answer(self, request: Request) -> Entry:
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

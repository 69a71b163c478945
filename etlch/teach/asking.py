"""Asking a teacher: from the journal if it is there, else over the network; again with the reason when it is no good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from etlch.endpoint.client import UnansweredError
from etlch.endpoint.journal import Request
from etlch.endpoint.sender import Sender
from etlch.teach import checks
from etlch.teach.templates import Templates

REASKS = 2
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


class Asker:
    """All questions of a run go through here."""

    def __init__(self, sender: Sender, templates: Templates) -> None:
        self.tally = sender.tally
        self._sender = sender
        self._templates = templates

    async def ask(self, question: Question, model: str, check: Callable[[str], Value]) -> Value | Rejection:
        """The checked answer, asked for again with the reason at most twice. Raises StopError when the run is ending."""
        messages = [{"role": "user", "content": question.prompt}]
        for attempt in range(REASKS + 1):
            request = Request(question.stage, question.article, model, tuple(messages), question.sampling, attempt)
            try:
                entry = await self._sender.answer(request)
                return check(checks.said(entry.answer, entry.finish))
            except UnansweredError as error:
                return Rejection(question.stage, question.article, model, UNANSWERED, str(error))
            except checks.AnswerError as error:
                rejected = error
            self.tally.reasked += attempt < REASKS
            again = self._templates.fill("retry", reason=rejected.reason)
            messages += [{"role": "assistant", "content": entry.answer}, {"role": "user", "content": again}]
        return Rejection(question.stage, question.article, model, rejected.kind, rejected.reason, entry.answer)

"""The stages: topic -> article -> instruction -> gold JSON, triples, entities (the paper's sections 3.2 and 4)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from etlch.endpoint.client import Request, UnansweredError
from etlch.endpoint.halt import StopError
from etlch.endpoint.sender import Sender
from etlch.records import Entity, Record, Triple
from etlch.tasks import Card
from etlch.teach import checks
from etlch.teach.assemble import assemble, majority
from etlch.teach.duplicates import NearDuplicates
from etlch.teach.templates import Templates

STAGES = ("article", "instruction", "gold", "kge", "ner")
UNANSWERED, NO_MAJORITY, NEAR_DUPLICATE = "unanswered", "no majority", "near-duplicate"
REASKS = 2

Value = TypeVar("Value")
Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Piece:
    """One article to be written: the `number`-th (from 1) on its topic."""

    topic: str
    number: int

    @property
    def id(self) -> str:
        return f"teach-{self.topic}-{self.number}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked: of whom, with which words, and which sampling parameters (writing, annotating)."""

    pieces: tuple[Piece, ...]
    models: tuple[str, ...]
    templates: Templates
    kge: Card
    ner: Card
    length: int
    writing: dict[str, Any]
    annotating: dict[str, Any]


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
class Tie:
    """An annotation that exactly half of the teachers gave; it was left out."""

    article: str
    stage: str
    item: tuple[str, ...]


@dataclass(slots=True)
class Outcome:
    """What became of one article: a record, or none and the reason. A record may lack a teacher that was rejected."""

    record: Record | None = None
    rejections: list[Rejection] = field(default_factory=list)
    ties: list[Tie] = field(default_factory=list)

    @property
    def unanswered(self) -> bool:
        """Whether a later run may still make a record of it."""
        return any(rejection.kind == UNANSWERED for rejection in self.rejections)


class Pipeline:
    """Works through the articles of a plan in order, several at once."""

    def __init__(self, plan: Plan, sender: Sender, done: Callable[[], None]) -> None:
        self._plan, self._sender, self._done = plan, sender, done
        self._written = NearDuplicates()
        self._decided = [asyncio.Event() for _ in plan.pieces]

    async def run(self, workers: int) -> list[Outcome]:
        """The outcome of each article that was finished, in the order of the plan, whatever came back first."""
        outcomes: dict[int, Outcome] = {}
        waiting = iter(range(len(self._plan.pieces)))

        async def work() -> None:
            for index in waiting:
                try:
                    outcomes[index] = await self._make(index)
                except StopError:
                    continue  # what the journal holds of later articles still becomes records
                self._done()

        await asyncio.gather(*(work() for _ in range(workers)))
        return [outcomes[index] for index in sorted(outcomes)]

    async def _make(self, index: int) -> Outcome:
        plan, piece, outcome = self._plan, self._plan.pieces[index], Outcome()
        prompt = plan.templates.fill("article", topic=piece.topic, number=piece.number, length=plan.length)
        check = partial(checks.article_text, wanted=plan.length)
        try:
            text = await self._ask("article", piece.id, prompt, check, plan.models[0])
            if index:  # duplicates are decided in the order of the plan, so that arrival plays no part
                await self._decided[index - 1].wait()
            if isinstance(text, str) and (near := self._written.add(piece.id, text)):
                text = Rejection("article", piece.id, plan.models[0], NEAR_DUPLICATE, f"of {near}", text)
        finally:
            self._decided[index].set()
        if isinstance(text, Rejection):
            outcome.rejections.append(text)
        else:
            await self._annotate(piece, text, outcome)
        return outcome

    async def _annotate(self, piece: Piece, text: str, outcome: Outcome) -> None:
        """Stage after stage, so that nothing is paid for an article that failed in an earlier one."""
        plan, fill = self._plan, self._plan.templates.fill
        source = f"teach/{plan.models[0]}/{piece.topic}"
        draft = Record(id=piece.id, text=text, lang=plan.ner.language, source=source)
        prompt = fill("instruction", article=text)
        wanted = await self._ask("instruction", piece.id, prompt, checks.instruction_and_keys, plan.models[0])
        if isinstance(wanted, Rejection):
            outcome.rejections.append(wanted)
            return
        instruction, keys = wanted
        prompt = fill("gold", instruction=instruction, keys=json.dumps(keys, ensure_ascii=False), article=text)
        check = partial(checks.gold_pairs, keys=keys, source=text)
        found: list[list] = [await self._vote("gold", draft, prompt, check, outcome)]
        for stage, card, check in (("kge", plan.kge, checks.triples), ("ner", plan.ner, checks.entities)):
            if not found[-1]:
                return
            prompt = fill(stage, instruction=card.question(draft), article=text)
            found.append(await self._vote(stage, draft, prompt, partial(check, card=card, record=draft), outcome))
        if found[-1] and not outcome.unanswered:
            outcome.record = assemble(draft, keys, *found)

    async def _vote(
        self, stage: str, draft: Record, prompt: str, check: Callable[[str], list[Item]], outcome: Outcome
    ) -> list[Item]:
        """What the majority of the teachers with a valid answer says; empty when there is none."""
        asked = (self._ask(stage, draft.id, prompt, check, model) for model in self._plan.models)
        # what one of them raises is raised when all have come to an end, so that no answer is abandoned
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        outcome.rejections += [answer for answer in answers if isinstance(answer, Rejection)]
        ballots = [answer for answer in answers if not isinstance(answer, Rejection)]
        kept, tied = majority(ballots)
        outcome.ties += [Tie(draft.id, stage, _words(item)) for item in tied]
        if ballots and not kept:
            reason = f"{len(ballots)} teachers agree on nothing"
            outcome.rejections.append(Rejection(stage, draft.id, "", NO_MAJORITY, reason))
        return kept

    async def _ask(
        self, stage: str, article: str, prompt: str, check: Callable[[str], Value], model: str
    ) -> Value | Rejection:
        """The checked answer, asked for again with the reason at most twice. Raises StopError when the run is ending."""
        messages = [{"role": "user", "content": prompt}]
        sampling = self._plan.writing if stage in STAGES[:2] else self._plan.annotating
        for attempt in range(REASKS + 1):
            try:
                request = Request(stage, article, model, tuple(messages), sampling, attempt)
                entry = await self._sender.answer(request)
                return check(checks.answer_text(entry.answer, entry.finish))
            except UnansweredError as error:
                return Rejection(stage, article, model, UNANSWERED, str(error))
            except checks.AnswerError as error:
                rejected = error
            self._sender.tally.reasked += attempt < REASKS
            again = self._plan.templates.fill("retry", reason=rejected.reason)
            messages += [{"role": "assistant", "content": entry.answer}, {"role": "user", "content": again}]
        return Rejection(stage, article, model, rejected.kind, rejected.reason, entry.answer)


def _words(item: tuple[str, str] | Triple | Entity) -> tuple[str, ...]:
    """An annotation as plain strings."""
    if isinstance(item, Triple):
        return item.head, item.relation, item.tail
    return (item.type, item.text) if isinstance(item, Entity) else item

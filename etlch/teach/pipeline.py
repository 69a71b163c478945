"""The stages: topic -> article -> instruction -> gold JSON, triples, entities (the paper's sections 3.2 and 4)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from etlch.endpoint.halt import StopError
from etlch.records import Entity, Record, Triple
from etlch.tasks import Card
from etlch.teach import checks
from etlch.teach.asking import UNANSWERED, Asker, Question, Rejection
from etlch.teach.assemble import assemble
from etlch.teach.duplicates import NearDuplicates
from etlch.teach.templates import Templates
from etlch.teach.vote import majority

STAGES = ("article", "instruction", "gold", "kge", "ner")
NO_MAJORITY, NEAR_DUPLICATE = "no majority", "near-duplicate"

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

    def __init__(self, plan: Plan, asker: Asker, done: Callable[[], None]) -> None:
        self._plan = plan
        self._asker = asker
        self._done = done
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
        piece = self._plan.pieces[index]
        outcome = Outcome()
        try:
            text = await self._write(piece)
            if index:  # duplicates are decided in the order of the plan, so that arrival plays no part
                await self._decided[index - 1].wait()
            text = self._unless_repeated(piece, text)
        finally:
            self._decided[index].set()
        if isinstance(text, Rejection):
            outcome.rejections.append(text)
        else:
            await self._annotate(piece, text, outcome)
        return outcome

    async def _write(self, piece: Piece) -> str | Rejection:
        plan = self._plan
        prompt = plan.templates.fill("article", topic=piece.topic, number=piece.number, length=plan.length)
        question = Question("article", piece.id, prompt, plan.writing)
        return await self._asker.ask(question, plan.models[0], partial(checks.article, wanted=plan.length))

    def _unless_repeated(self, piece: Piece, text: str | Rejection) -> str | Rejection:
        near = "" if isinstance(text, Rejection) else self._written.add(piece.id, text)
        return (
            Rejection("article", piece.id, self._plan.models[0], NEAR_DUPLICATE, f"of {near}", text) if near else text
        )

    async def _annotate(self, piece: Piece, text: str, outcome: Outcome) -> None:
        """Stage after stage, so that nothing is paid for an article that failed in an earlier one."""
        plan = self._plan
        source = f"teach/{plan.models[0]}/{piece.topic}"
        draft = Record(id=piece.id, text=text, lang=plan.ner.language, source=source)
        prompt = plan.templates.fill("instruction", article=text)
        question = Question("instruction", piece.id, prompt, plan.writing)
        wanted = await self._asker.ask(question, plan.models[0], checks.instruction)
        if isinstance(wanted, Rejection):
            outcome.rejections.append(wanted)
            return
        prompt = plan.templates.fill("gold", instruction=wanted.text, keys=wanted.keys_json, article=text)
        pairs = await self._vote("gold", draft, prompt, partial(checks.gold, keys=wanted.keys, source=text), outcome)
        triples = pairs and await self._of_card("kge", plan.kge, draft, checks.triples, outcome)
        entities = triples and await self._of_card("ner", plan.ner, draft, checks.entities, outcome)
        if entities and not outcome.unanswered:
            outcome.record = assemble(draft, wanted.keys, pairs, triples, entities)

    async def _of_card(
        self, stage: str, card: Card, draft: Record, check: Callable[..., list[Item]], outcome: Outcome
    ) -> list[Item]:
        prompt = self._plan.templates.fill(stage, instruction=card.question(draft), article=draft.text)
        return await self._vote(stage, draft, prompt, partial(check, card=card, record=draft), outcome)

    async def _vote(
        self, stage: str, draft: Record, prompt: str, check: Callable[[str], list[Item]], outcome: Outcome
    ) -> list[Item]:
        """What the majority of the teachers with a valid answer says; empty when there is none."""
        question = Question(stage, draft.id, prompt, self._plan.annotating)
        answers = await _all(self._asker.ask(question, model, check) for model in self._plan.models)
        outcome.rejections += [answer for answer in answers if isinstance(answer, Rejection)]
        ballots = [answer for answer in answers if not isinstance(answer, Rejection)]
        kept, tied = majority(ballots)
        outcome.ties += [Tie(draft.id, stage, _words(item)) for item in tied]
        if ballots and not kept:
            reason = f"{len(ballots)} teachers agree on nothing"
            outcome.rejections.append(Rejection(stage, draft.id, "", NO_MAJORITY, reason))
        return kept


async def _all(waiting: Iterable[Awaitable[Item]]) -> list[Item]:
    """Every result; what one of them raises is raised when all have come to an end, so that no answer is abandoned."""
    results = await asyncio.gather(*waiting, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def _words(item: tuple[str, str] | Triple | Entity) -> tuple[str, ...]:
    """An annotation as plain strings."""
    if isinstance(item, Triple):
        return item.head, item.relation, item.tail
    return (item.type, item.text) if isinstance(item, Entity) else item

"""`--dry-run`: what a run would ask for, before anything is paid."""

from __future__ import annotations

from dataclasses import dataclass, field

from etlch.endpoint.budget import Prices, Usage, likely_tokens
from etlch.records import Record
from etlch.teach.asking import REASKS
from etlch.teach.pipeline import STAGES, Plan

_ANSWER = {"article": 1.0, "instruction": 0.2, "gold": 0.3, "kge": 0.5, "ner": 0.4}
"""Tokens of an answer as a share of the article's length in characters: a rough guess, for the estimate alone."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Likely and largest numbers of requests, tokens and money, of answers not yet paid for by anybody."""

    requests: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0
    most_requests: int = 0
    most_usage: Usage = field(default_factory=Usage)
    most_cost: float = 0.0


def estimate(plan: Plan, prices: Prices, most_completion: int) -> Estimate:
    """Every stage of every article answered well at once, and every one asked for three times at full length."""
    total = Estimate()
    for number, model in enumerate(plan.models):
        for stage in STAGES if number == 0 else STAGES[2:]:  # the first teacher writes, all annotate
            one = Usage(likely_tokens(_sample_prompt(plan, stage)), _answer_tokens(plan, stage))
            total = _plus(total, len(plan.pieces), one, most_completion, model, prices)
    return total


def _plus(total: Estimate, count: int, one: Usage, most: int, model: str, prices: Prices) -> Estimate:
    tries = REASKS + 1
    repeated = sum(range(tries)) * most  # each later try carries the rejected answers before it
    likely = Usage(count * one.prompt, count * one.completion)
    largest = Usage(count * (tries * one.prompt + repeated), count * tries * most)
    return Estimate(
        total.requests + count,
        total.usage + likely,
        total.cost + prices.cost(model, likely),
        total.most_requests + count * tries,
        total.most_usage + largest,
        total.most_cost + prices.cost(model, largest),
    )


def _answer_tokens(plan: Plan, stage: str) -> int:
    return int(plan.length * _ANSWER[stage])


def _sample_prompt(plan: Plan, stage: str) -> str:
    """The prompt of a stage with an article of the wanted length and the longest topic."""
    text = "字" * plan.length
    card = {"kge": plan.kge, "ner": plan.ner}.get(stage)
    question = card.question(Record(id="sample", text=text)) if card else "字" * _answer_tokens(plan, "instruction")
    topic = max((piece.topic for piece in plan.pieces), key=len)
    return plan.templates.fill(
        stage, topic=topic, number=1, length=plan.length, keys="", article=text, instruction=question
    )

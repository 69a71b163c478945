"""What is printed: the table at the end of a run, and what a dry run expects before anything is paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from etlch.endpoint.budget import Prices, Usage, likely_tokens
from etlch.endpoint.client import Entry
from etlch.endpoint.sender import Spent
from etlch.records import Record
from etlch.teach.pipeline import REASKS, STAGES, Outcome, Plan

_NO_PRICES = "unknown (give --price-in and --price-out)"
_ANSWER = {"article": 1.0, "instruction": 0.2, "gold": 0.3, "kge": 0.5, "ner": 0.4}
"""Tokens of an answer as a share of the article's length in characters: a rough guess, for the estimate alone."""

Rows = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Bill:
    """Requests, their tokens and what they cost."""

    requests: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float = 0.0

    def __add__(self, other: Bill) -> Bill:
        return Bill(self.requests + other.requests, self.usage + other.usage, self.cost + other.cost)


def summary(wanted: int, teachers: int, outcomes: Sequence[Outcome], tally: Spent) -> Rows:
    """What became of the articles, and why some were set aside."""
    without = [outcome for outcome in outcomes if not outcome.record]
    unanswered = sum(outcome.unanswered for outcome in without)
    counts: list[tuple[str, int]] = [
        ("articles wanted", wanted),
        ("records", len(outcomes) - len(without)),
        ("set aside", len(without) - unanswered),
        ("unanswered, asked again by the next run", unanswered),
        ("not begun or not finished", wanted - len(outcomes)),
    ]
    reasons = Counter((r.stage, r.kind) for o in outcomes for r in o.rejections)
    counts += [(f"  {stage}: {kind}", count) for (stage, kind), count in sorted(reasons.items())]
    if teachers > 1:
        ties = Counter(tie.stage for o in outcomes for tie in o.ties)
        counts += [(f"  {stage}: ties left out", ties[stage]) for stage in STAGES[2:]]
    counts += [
        ("answers from the journal", tally.replayed),
        ("answers paid in this run", tally.answered),
        ("asked again with the reason", tally.reasked),
        ("tried again after a failure", tally.retried),
    ]
    return [(name, f"{count:,}") for name, count in counts]


def spending(prices: Prices, entries: Sequence[Entry]) -> Rows:
    """Tokens and money of a whole journal, with the part that may have been paid for nothing."""
    usage = sum((entry.usage for entry in entries), Usage())
    lost = sum(entry.usage.total for entry in entries if entry.lost)
    cost = sum(prices.cost(entry.model, entry.usage) for entry in entries)
    rows = [("tokens in, all runs", f"{usage.prompt:,}"), ("tokens out, all runs", f"{usage.completion:,}")]
    if lost:
        rows.append(("  of these at most, for answers that never came", f"{lost:,}"))
    return [*rows, ("cost, all runs", f"{cost:.4f}" if prices.by_model else _NO_PRICES)]


def forecast(plan: Plan, prices: Prices, most_completion: int, entries: Sequence[Entry]) -> Rows:
    """An estimate of the whole run, and what of it the journal holds already."""
    likely, most = estimate(plan, prices, most_completion)
    cost = f"about {likely.cost:.4f} (at most about {most.cost:.4f})"
    rows = [
        ("articles wanted", f"{len(plan.pieces):,}"),
        ("requests", f"{likely.requests:,} (at most {most.requests:,}, each asked three times)"),
        ("tokens in", f"about {likely.usage.prompt:,} (at most about {most.usage.prompt:,})"),
        ("tokens out", f"about {likely.usage.completion:,} (at most {most.usage.completion:,})"),
        ("cost", cost if prices.by_model else _NO_PRICES),
    ]
    if not entries:
        return rows
    return [*rows, ("answered in earlier runs", f"{sum(not e.lost for e in entries):,}"), *spending(prices, entries)]


def estimate(plan: Plan, prices: Prices, most_completion: int) -> tuple[Bill, Bill]:
    """Every stage of every article answered well at once, and every one asked for three times at full length; of answers not
    yet paid for by anybody."""
    likely, most, count, tries = Bill(), Bill(), len(plan.pieces), REASKS + 1
    repeated = sum(range(tries)) * most_completion  # each later try carries the rejected answers before it
    for number, model in enumerate(plan.models):
        for stage in STAGES if number == 0 else STAGES[2:]:  # the first teacher writes, all annotate
            prompt, answer = likely_tokens(_sample_prompt(plan, stage)), int(plan.length * _ANSWER[stage])
            once = Usage(count * prompt, count * answer)
            longest = Usage(count * (tries * prompt + repeated), count * tries * most_completion)
            likely += Bill(count, once, prices.cost(model, once))
            most += Bill(count * tries, longest, prices.cost(model, longest))
    return likely, most


def _sample_prompt(plan: Plan, stage: str) -> str:
    """The prompt of a stage with an article of the wanted length and the longest topic."""
    text, card = "字" * plan.length, {"kge": plan.kge, "ner": plan.ner}.get(stage)
    asked = card.question(Record(id="sample", text=text)) if card else "字" * int(plan.length * _ANSWER["instruction"])
    topic = max((piece.topic for piece in plan.pieces), key=len)
    return plan.templates.fill(
        stage, topic=topic, number=1, length=plan.length, keys="", article=text, instruction=asked
    )


def aligned(rows: Rows) -> str:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

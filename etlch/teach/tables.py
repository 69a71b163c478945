"""What is printed: the table at the end of a run, and the estimate of a dry run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from etlch.endpoint.budget import Prices, Usage
from etlch.endpoint.journal import Entry
from etlch.endpoint.sender import Tally
from etlch.teach.estimate import Estimate
from etlch.teach.pipeline import Outcome

_NO_PRICES = "unknown (give --price-in and --price-out)"

Rows = list[tuple[str, str]]


def summary(wanted: int, teachers: int, outcomes: Sequence[Outcome], tally: Tally) -> Rows:
    """What became of the articles, and why some were set aside."""
    without = [outcome for outcome in outcomes if not outcome.record]
    rows = [
        ("articles wanted", f"{wanted:,}"),
        ("records", f"{sum(o.record is not None for o in outcomes):,}"),
        ("set aside", f"{sum(not outcome.unanswered for outcome in without):,}"),
        ("unanswered, asked again by the next run", f"{sum(outcome.unanswered for outcome in without):,}"),
        ("not begun or not finished", f"{wanted - len(outcomes):,}"),
    ]
    reasons = Counter((r.stage, r.kind) for o in outcomes for r in o.rejections)
    rows += [(f"  {stage}: {kind}", f"{count:,}") for (stage, kind), count in sorted(reasons.items())]
    if teachers > 1:
        ties = Counter(tie.stage for o in outcomes for tie in o.ties)
        rows += [(f"  {stage}: ties left out", f"{ties[stage]:,}") for stage in ("gold", "kge", "ner")]
    return [
        *rows,
        ("answers from the journal", f"{tally.replayed:,}"),
        ("answers paid in this run", f"{tally.answered:,}"),
        ("asked again with the reason", f"{tally.reasked:,}"),
        ("tried again after a failure", f"{tally.retried:,}"),
    ]


def spending(prices: Prices, entries: Sequence[Entry]) -> Rows:
    """Tokens and money of a whole journal, with the part that may have been paid for nothing."""
    usage = sum((entry.usage for entry in entries), Usage())
    lost = sum((entry.usage for entry in entries if entry.lost), Usage())
    cost = sum(prices.cost(entry.model, entry.usage) for entry in entries)
    rows = [("tokens in, all runs", f"{usage.prompt:,}"), ("tokens out, all runs", f"{usage.completion:,}")]
    if lost.total:
        rows.append(("  of these at most, for answers that never came", f"{lost.total:,}"))
    return [*rows, ("cost, all runs", f"{cost:.4f}" if prices.by_model else _NO_PRICES)]


def forecast(wanted: int, guess: Estimate, prices: Prices, entries: Sequence[Entry]) -> Rows:
    """An estimate of the whole run, and what of it the journal holds already."""
    cost = f"about {guess.cost:.4f} (at most about {guess.most_cost:.4f})"
    rows = [
        ("articles wanted", f"{wanted:,}"),
        ("requests", f"{guess.requests:,} (at most {guess.most_requests:,}, each asked three times)"),
        ("tokens in", f"about {guess.usage.prompt:,} (at most about {guess.most_usage.prompt:,})"),
        ("tokens out", f"about {guess.usage.completion:,} (at most {guess.most_usage.completion:,})"),
        ("cost", cost if prices.by_model else _NO_PRICES),
    ]
    if not entries:
        return rows
    return [*rows, ("answered in earlier runs", f"{sum(not e.lost for e in entries):,}"), *spending(prices, entries)]


def aligned(rows: Rows) -> str:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

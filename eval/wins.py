"""Win rates: as the ETLCH paper's section 7 defines them, and the stricter ones that count significant wins only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pandas as pd

from etlch.tasks import Card
from eval.names import is_floor, systems_of, tasks_of, tuned_of

_COLUMNS = [
    *("task", "baseline", "system", "base_model", "scale", "n", "wins", "of", "rate", "significant_wins"),
    *("strict_rate", "won", "significantly_won", "primary", "primary_difference", "note"),
]


def win_rates(tidy: pd.DataFrame, compared: pd.DataFrame, cards: Sequence[Card] | None = None) -> pd.DataFrame:
    """One row a (task, baseline, tuned system).

    A win is a metric of the card's `wins` (without a card: ROUGE-L and cosine similarity) on which the tuned system's score
    is higher than the baseline's on their common samples; rate = wins / number of those metrics (ETLCH, section 7, 1.1 and
    1.2). strict_rate counts a win only when it is significant after Holm's correction in `compared`, the table of
    eval.stats.comparisons over all pairs. Tuned systems are the models of scale above 0, baselines those of scale 0 and
    the floors. A metric that was not computed for one of the two cannot be won or lost: it leaves the denominator `of`, and
    the note says so. primary_difference: tuned minus baseline on the card's primary metric.
    """
    systems = systems_of(tidy)
    tuned = tuned_of(systems)
    baselines = [
        name for name, scale in zip(systems["system"], systems["scale"], strict=True) if not scale or is_floor(name)
    ]
    metrics = dict.fromkeys(tasks_of(tidy), ("rougeL", "cosine"))
    metrics |= {card.name: card.wins for card in cards or () if card.name in metrics}
    primary = {card.name: card.primary for card in cards or ()}
    # a pair is stored once, the later system of the order first: tuned before untuned, and these before floors
    pairs = {(row.task, row.metric, row.a, row.b): row for row in compared.itertuples()}
    rows = []
    for (task, names), baseline, system in product(metrics.items(), baselines, tuned.itertuples()):
        about = {"task": task, "baseline": baseline, "system": system.system, "base_model": system.base_model}
        found = {metric: pairs.get((task, metric, system.system, baseline)) for metric in names}
        first = pairs.get((task, primary.get(task), system.system, baseline))
        about |= {"primary": primary.get(task, ""), "primary_difference": first.difference if first else float("nan")}
        rows.append(about | {"scale": system.scale} | _wins(found))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _wins(found: dict[str, tuple | None]) -> dict[str, object]:
    """What a system wins, from its comparisons with a baseline; metric -> row, None where there is none."""
    measured = {metric: row for metric, row in found.items() if row is not None and row.n > 0}
    won = [metric for metric, row in measured.items() if row.difference > 0]
    certain = [metric for metric in won if measured[metric].verdict == "a"]
    notes = [f"{metric}: not computed" for metric in found if metric not in measured]
    notes += sorted({row.note for row in measured.values() if "common samples" in row.note})
    if not measured:
        notes = sorted({row.note for row in found.values() if row is not None and row.note}) or notes
    count = len(measured)
    return {
        "n": min((row.n for row in measured.values()), default=0),
        "wins": len(won),
        "of": count,
        "rate": len(won) / count if count else float("nan"),
        "significant_wins": len(certain),
        "strict_rate": len(certain) / count if count else float("nan"),
        "won": ", ".join(won),
        "significantly_won": ", ".join(certain),
        "note": "; ".join(notes),
    }

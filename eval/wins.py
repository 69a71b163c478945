"""Win rates: as the ETLCH paper's section 7 defines them, and the stricter ones that count significant wins only."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from etlch.tasks import Card
from eval.names import systems_of, tasks_of
from eval.stats import comparisons

PAPER_WINS = {
    "json": ("rougeL", "cosine", "json_parse_ok"),
    "kge": ("rougeL", "cosine"),
    "ner": ("rougeL", "cosine"),
}
"""The paper's metrics a task, for scores without task cards."""

_COLUMNS = [
    "task",
    "baseline",
    "system",
    "base_model",
    "scale",
    "n",
    "wins",
    "of",
    "rate",
    "significant_wins",
    "strict_rate",
    "won",
    "significantly_won",
    "note",
]


def win_metrics(cards: Sequence[Card] | None, tasks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Task -> the metrics that count: the card's `wins`, else the paper's, else ROUGE-L and cosine similarity."""
    of_cards = {card.name: card.wins for card in cards or ()}
    return {task: of_cards.get(task, PAPER_WINS.get(task, ("rougeL", "cosine"))) for task in tasks}


def win_rates(
    tidy: pd.DataFrame, cards: Sequence[Card] | None = None, compared: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row a (task, baseline, tuned system).

    A win is a metric of the task's `wins` on which the tuned system's score is higher than the baseline's on their
    common samples; rate = wins / number of those metrics (ETLCH, section 7, 1.1 and 1.2). strict_rate counts a win only
    when it is significant after Holm's correction (see eval.stats.comparisons, whose table can be handed over as
    `compared`). Tuned systems are those of scale above 0, baselines those of scale 0. A metric that was not computed for
    one of the two cannot be won or lost: it leaves the denominator `of`, and the note says so.
    """
    systems = systems_of(tidy)
    tuned = systems[systems["scale"] > 0]
    baselines = systems.loc[systems["scale"] == 0, "system"].tolist()
    tasks = tasks_of(tidy)
    metrics = win_metrics(cards, tasks)
    if compared is None:
        wanted = {name for names in metrics.values() for name in names}
        compared = comparisons(tidy, metrics=wanted)
    by_pair = {}
    for row in compared.itertuples():
        by_pair[row.task, row.metric, row.a, row.b] = (row, 1)
        by_pair[row.task, row.metric, row.b, row.a] = (row, -1)
    rows = []
    for task in tasks:
        for baseline in baselines:
            for system in tuned.itertuples():
                found = {
                    metric: by_pair.get((task, metric, system.system, baseline), (None, 1)) for metric in metrics[task]
                }
                rows.append(_row(task, baseline, system, found))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _row(task: str, baseline: str, system: tuple, found: dict[str, tuple]) -> dict[str, object]:
    measured = {metric: pair for metric, pair in found.items() if pair[0] is not None and pair[0].n > 0}
    won = [metric for metric, (row, sign) in measured.items() if row.difference * sign > 0]
    certain = [metric for metric in won if measured[metric][0].verdict in ("a", "b")]
    notes = [f"{metric}: not computed" for metric in found if metric not in measured]
    notes += sorted({row.note for row, _ in measured.values() if "common samples" in row.note})
    if not measured:
        absent = sorted({row.note for row, _ in found.values() if row is not None and row.note})
        notes = absent or notes
    count = len(measured)
    return {
        "task": task,
        "baseline": baseline,
        "system": system.system,
        "base_model": system.base_model,
        "scale": system.scale,
        "n": min((row.n for row, _ in measured.values()), default=0),
        "wins": len(won),
        "of": count,
        "rate": len(won) / count if count else float("nan"),
        "significant_wins": len(certain),
        "strict_rate": len(certain) / count if count else float("nan"),
        "won": ", ".join(won),
        "significantly_won": ", ".join(certain),
        "note": "; ".join(notes),
    }

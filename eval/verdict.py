"""What the numbers say, in plain words: who wins where, how sure, how much data is enough."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from etlch.errors import EtlchError
from etlch.tasks import Card
from eval.names import PARTS, heading_of, is_floor, order_metrics, order_tasks, systems_of, task_title, tasks_of, title
from eval.published import beside_measured
from eval.scores import summarise
from eval.stats import comparisons, enough_data, holm, intervals
from eval.tables import p_text, percent, to_text
from eval.wins import win_rates

MARGIN = 0.02
_VALIDITY = ("json_parse_ok", "json_fence_ok", "json_repair_ok", "schema_ok")
_HEADLINE = ("json_parse_ok", *(f"{part}_f1" for part in PARTS), "faithfulness", "rougeL", "cosine")


@dataclass(frozen=True)
class Findings:
    """Every table of a report, computed once."""

    systems: pd.DataFrame
    tasks: list[str]
    titles: dict[str, str]
    summary: pd.DataFrame
    scores: pd.DataFrame
    compared: pd.DataFrame
    wins: pd.DataFrame
    enough: pd.DataFrame
    published: pd.DataFrame

    def metrics(self, task: str) -> list[str]:
        """The metrics for which at least one system has a score on a task."""
        rows = self.scores[(self.scores["task"] == task) & self.scores["score"].notna()]
        return order_metrics(rows["metric"])

    def headline(self, task: str) -> list[str]:
        """The few metrics of the main table: validity, F1, faithfulness, ROUGE-L, cosine similarity."""
        there = self.metrics(task)
        return [metric for metric in _HEADLINE if metric in there]

    def primary(self, task: str) -> str:
        """The metric on which systems are ranked: the task's F1, else ROUGE-L, else the first there is."""
        there = self.metrics(task)
        wanted = [*(f"{part}_f1" for part in PARTS), "rougeL"]
        return next((metric for metric in wanted if metric in there), there[0] if there else "")

    def score(self, task: str, metric: str, system: str) -> Any:
        """The row of `scores`, or None."""
        return self._scores.get((task, metric, system))

    def pair(self, task: str, metric: str, a: str, b: str) -> tuple[Any, int]:
        """The row of `compared` for two systems, and -1 where it is stored the other way round."""
        for one, other, sign in ((a, b, 1), (b, a, -1)):
            if row := self._pairs.get((task, metric, one, other)):
                return row, sign
        return None, 1

    @cached_property
    def _scores(self) -> dict[tuple[str, str, str], Any]:
        return {(row.task, row.metric, row.system): row for row in self.scores.itertuples()}

    @cached_property
    def _pairs(self) -> dict[tuple[str, str, str, str], Any]:
        return {(row.task, row.metric, row.a, row.b): row for row in self.compared.itertuples()}


def find(tidy: pd.DataFrame, summary: pd.DataFrame | None = None, cards: Sequence[Card] | None = None) -> Findings:
    """Compute every table. Raises EtlchError for scores without a row or with two values for one cell."""
    if not len(tidy):
        raise EtlchError("no scores (expected at least one row in the tidy table)")
    systems = systems_of(tidy)
    tasks = tasks_of(tidy)
    of_cards = {card.name: card for card in cards or ()}
    titles = {task: heading_of(task, of_cards.get(task)) for task in tasks}
    scores = intervals(tidy)
    compared = comparisons(tidy)
    return Findings(
        systems=systems,
        tasks=tasks,
        titles=titles,
        summary=summarise(tidy) if summary is None else summary,
        scores=scores,
        compared=compared,
        wins=win_rates(tidy, cards, compared),
        enough=enough_data(tidy, margin=MARGIN),
        published=beside_measured(scores),
    )


# -- words --------------------------------------------------------------------------------------------------------


def verdict(found: Findings) -> list[tuple[str, list[str]]]:
    """(heading, sentences) for the whole and for each task."""
    parts = [("In short", _overall(found))]
    parts += [(found.titles[task], _task(found, task)) for task in found.tasks]
    return parts


def _best(found: Findings, task: str, names: Iterable[str]) -> str:
    """The system with the highest primary score; the first of equals."""
    metric = found.primary(task)
    scored = [
        (row.score, name) for name in names if (row := found.score(task, metric, name)) and row.score == row.score
    ]
    return max(scored, key=lambda pair: pair[0])[1] if scored else ""


def _overall(found: Findings) -> list[str]:
    systems = found.systems
    models = [name for name in systems["system"] if not is_floor(name)]
    lines = []
    best = {task: _best(found, task, models) for task in found.tasks}
    for task, name in best.items():
        if name and not found.score(task, found.primary(task), name).score:
            best[task] = ""
            lines.append(
                f"No model gets anything right on {found.titles[task]}: {title(found.primary(task))} is 0 for all."
            )
    named = [name for name in dict.fromkeys(best.values()) if name]
    for name in named:
        where = [found.titles[task] for task in found.tasks if best[task] == name]
        lines.append(
            f"{name} has the best {_several([title(found.primary(t)) for t in found.tasks if best[t] == name])} on {_several(where)}."
        )
    lines += _tuned_against_rest(found)
    lines += _enough_in_short(found)
    unequal = sorted({row.note for row in found.compared.itertuples() if "different test sets" in row.note})
    if unequal:
        lines.append(
            f"Not all systems answered the same samples; they are compared on those they share ({unequal[0]})."
        )
    missing = [
        f"{system} has no answers for {found.titles[task]}"
        for task in found.tasks
        for system in systems["system"]
        if found.scores[(found.scores["task"] == task) & (found.scores["system"] == system)]["n"].max() == 0
    ]
    if missing:
        lines.append(f"Missing: {'; '.join(missing)}.")
    return lines or ["There is nothing to compare."]


def _tuned_against_rest(found: Findings) -> list[str]:
    """Win totals of each base model's largest tuned system over the systems that are not tuned, floors apart."""
    lines = []
    tuned = found.systems[found.systems["scale"] > 0]
    for _, ladder in tuned.groupby("base_model", sort=False):
        system = ladder.sort_values("scale").iloc[-1]["system"]
        rows = found.wins[(found.wins["system"] == system) & (found.wins["of"] > 0)]
        rivals = rows[~rows["baseline"].map(is_floor)]
        if len(rivals):
            lines.append(
                f"{system} wins {rivals['wins'].sum()} of {rivals['of'].sum()} metrics against untuned systems "
                f"({', '.join(dict.fromkeys(rivals['baseline']))}), {rivals['significant_wins'].sum()} of them significantly."
            )
    return lines


def _enough_in_short(found: Findings) -> list[str]:
    lines = []
    enough = found.enough[found.enough["enough"].astype(bool)]
    for base, part in enough.groupby("base_model", sort=False):
        scales = {
            task: int(rows["scale"].iloc[0])
            for task in found.tasks
            if len(rows := part[(part["task"] == task) & (part["metric"] == found.primary(task))])
        }
        if not scales:
            continue
        largest = int(part["largest"].iloc[0])
        told = ", ".join(f"{found.titles[task]} {scale:,}" for task, scale in scales.items())
        hint = (
            " Where that is the largest scale itself, more data may still help." if largest in scales.values() else ""
        )
        lines.append(
            f"Enough training samples for {base} (within {percent(MARGIN)} points of the F1 at {largest:,} a task, 95% sure): {told}."
            f"{hint}"
        )
    return lines


def _several(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _task(found: Findings, task: str) -> list[str]:
    metric = found.primary(task)
    if not metric:
        return ["No scores."]
    models = [name for name in found.systems["system"] if not is_floor(name)]
    floors = [name for name in found.systems["system"] if is_floor(name)]
    best = _best(found, task, models) or _best(found, task, floors)
    if not best:
        return ["No system has a score on this task."]
    row = found.score(task, metric, best)
    if not row.score:
        return [_nothing_right(found, task, metric, floors)]
    lines = [f"Best: {best}, {title(metric)} {percent(row.score)}%{_span(row)} on {row.n:,} samples."]
    rest = [name for name in models if name != best]
    second = _best(found, task, rest)
    if second:
        lines.append(_against(found, task, metric, best, second, "next best"))
    base = found.systems.set_index("system")["base_model"][best]
    for other in found.systems[found.systems["scale"] == 0].itertuples():
        if other.system in (best, second) or is_floor(other.system):
            continue
        word = "before tuning" if other.base_model == base and base else "untuned"
        lines.append(_against(found, task, metric, best, other.system, word))
    floor = _best(found, task, floors)
    if floor and floor != best:
        lines.append(_against(found, task, metric, best, floor, "best floor, needs no model"))
    lines += _health(found, task, best)
    lines += _enough(found, task)
    return [line for line in lines if line]


def _nothing_right(found: Findings, task: str, metric: str, floors: list[str]) -> str:
    floor = _best(found, task, floors)
    reached = found.score(task, metric, floor).score if floor else 0
    if reached > 0:
        return (
            f"No model gets anything right: {title(metric)} is 0 for all of them; {floor}, which needs no model, "
            f"reaches {percent(reached)}%."
        )
    return f"No system gets anything right: {title(metric)} is 0 for all."


def _span(row: Any) -> str:
    return f" ({percent(row.low)} to {percent(row.high)})" if row.low == row.low else ""


def _against(found: Findings, task: str, metric: str, a: str, b: str, word: str) -> str:
    row, sign = found.pair(task, metric, a, b)
    if row is None or row.n == 0:
        return f"Not comparable with {b} ({word}){f': {row.note}' if row is not None else ''}."
    low, high = sorted((sign * row.low, sign * row.high))
    span = f" ({percent(low, signed=True)} to {percent(high, signed=True)})" if row.low == row.low else ""
    gap = f"{percent(sign * row.difference, signed=True)} points{span}"
    if row.verdict == "untested":
        return f"{gap} against {b} ({word}), not tested: {row.note}."
    if row.verdict == "undecided":
        needed = row.samples_needed
        more = f"; about {_round_up(needed):,} samples would settle it" if needed == needed else ""
        return f"Not decided against {b} ({word}): {gap}, p {_p(row.p_holm)}{more}."
    ahead = "Ahead of" if (row.verdict == "a") == (sign == 1) else "Behind"
    return f"{ahead} {b} ({word}): {gap}, p {_p(row.p_holm)}."


def _p(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"


def _round_up(number: float) -> int:
    """Two significant digits are more than a power estimate deserves."""
    whole = int(number)
    step = 10 ** max(len(str(whole)) - 2, 0)
    return -(-whole // step) * step


def _health(found: Findings, task: str, system: str) -> list[str]:
    """How usable the best system's answers are: unanswered, unreadable, valid JSON, invented values."""
    rows = found.summary[(found.summary["task"] == task) & (found.summary["system"] == system)]
    lines = []
    if len(rows):
        row = rows.iloc[0]
        lines.append(
            f"Of its {int(row['samples']):,} answers {_count(row['invalid'])} are unreadable, {_count(row['unanswered'])} of them empty."
        )
    valid = found.score(task, "json_parse_ok", system)
    if valid is not None and valid.score == valid.score:
        lines.append(f"{percent(valid.score)}%{_span(valid)} are valid JSON as they stand.")
    faithful = found.score(task, "faithfulness", system)
    if faithful is not None and faithful.score == faithful.score:
        lines.append(f"{percent(faithful.score)}%{_span(faithful)} of the values it answers occur in the source text.")
    return [" ".join(lines)] if lines else []


def _count(value: float) -> str:
    return "an unknown number" if value != value else f"{int(value):,}"


def _enough(found: Findings, task: str) -> list[str]:
    lines = []
    rows = found.enough[found.enough["task"] == task]
    for base, part in rows.groupby("base_model", sort=False):
        largest = int(part["largest"].iloc[0])
        by_scale: dict[int, list[str]] = {}
        for metric in found.headline(task):
            chosen = part[(part["metric"] == metric) & part["enough"].astype(bool)]
            if len(chosen):
                by_scale.setdefault(int(chosen["scale"].iloc[0]), []).append(title(metric))
        told = [
            f"{scale:,}{' (the largest: more may still help)' if scale == largest else ''} for {_several(by_scale[scale])}"
            for scale in sorted(by_scale)
        ]
        if told:
            lines.append(f"Enough training samples for {base}: {'; '.join(told)}.")
    return lines


# -- two systems in the terminal ----------------------------------------------------------------------------------


def compare(tidy: pd.DataFrame, a: str, b: str) -> str:
    """The verdict on two systems: a table a task and one sentence each; Holm over all the tests shown.

    Raises EtlchError for a system that has no scores, or for a system against itself.
    """
    names = systems_of(tidy)["system"].tolist() if len(tidy) else []
    for name in (a, b):
        if name not in names:
            raise EtlchError(
                f"no system {name!r} in the scores (expected one of {', '.join(names) or 'none: no scores'})"
            )
    if a == b:
        raise EtlchError(f"{a!r} against itself (expected two different systems)")
    pair = tidy[tidy["system"].isin([a, b])]
    table = comparisons(pair, pairs=[(a, b)])
    table = table[table["metric"].isin([*_HEADLINE, *_VALIDITY, "readable"])].reset_index(drop=True)
    table["p_holm"] = holm(table["p"])
    parts = [
        f"{a} against {b}: difference = {a} - {b} in points, 95% paired bootstrap; p after Holm over {table['p_holm'].notna().sum()} tests"
    ]
    for task in order_tasks(table["task"]):
        rows = table[table["task"] == task]
        head = [task_title(task), a, b, "difference", "95% interval", "p", "n", "verdict"]
        parts.append(to_text(head, [_compared_row(row, a, b) for row in rows.itertuples()]))
        notes = sorted(
            {row.note for row in rows.itertuples() if "common samples" in row.note or "no answers" in row.note}
        )
        parts.append("\n".join([*notes, _sentence(rows, a, b, task)]))
    return "\n\n".join(parts)


def _compared_row(row: Any, a: str, b: str) -> list[str]:
    if row.n == 0:
        return [title(row.metric), "-", "-", "-", "-", "-", "0", row.note]
    span = f"{percent(row.low, True)} to {percent(row.high, True)}" if row.low == row.low else "-"
    p = p_text(row.p_holm) if row.p_holm == row.p_holm else "-"
    return [
        title(row.metric),
        percent(row.score_a),
        percent(row.score_b),
        percent(row.difference, True),
        span,
        p,
        f"{row.n:,}",
        _won(row, a, b),
    ]


def _won(row: Any, a: str, b: str) -> str:
    if row.p_holm != row.p_holm:
        return "not tested"
    if row.p_holm >= 0.05 or not row.difference:
        return "not decided"
    return a if row.difference > 0 else b


def _sentence(rows: pd.DataFrame, a: str, b: str, task: str) -> str:
    outcome = [_won(row, a, b) for row in rows.itertuples() if row.n]
    won, lost, open_ = outcome.count(a), outcome.count(b), len(outcome) - outcome.count(a) - outcome.count(b)
    if not outcome:
        return f"{task_title(task)}: nothing to compare."
    if won and not lost:
        word = f"{a} is better"
    elif lost and not won:
        word = f"{b} is better"
    elif won and lost:
        word = "mixed"
    else:
        word = "no difference shown"
    return (
        f"{task_title(task)}: {word}; {a} ahead on {won} of {len(outcome)} metrics, {b} on {lost}, {open_} not decided."
    )

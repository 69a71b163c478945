"""What the numbers say, in plain words: who wins where, how sure, how much data is enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from etlch.errors import EtlchError
from etlch.tasks import Card
from eval.names import PARTS, heading_of, is_floor, ladders, order_metrics, systems_of, task_title, tasks_of, title
from eval.published import beside_measured
from eval.scores import summarise
from eval.stats import FEW, comparisons, decision, enough_data, holm, intervals
from eval.tables import Column, Table, p_text, percent, to_text
from eval.wins import win_rates

MARGIN = 0.02
_VALIDITY = ("json_parse_ok", "json_fence_ok", "json_repair_ok", "schema_ok", "readable")
_TYPED = ("entity_f1", "triple_f1", "field_f1")
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
    asked: dict[str, str]
    """task -> its card's primary metric"""

    def metrics(self, task: str) -> list[str]:
        """The metrics for which at least one system has a score on a task."""
        rows = self.scores[(self.scores["task"] == task) & self.scores["score"].notna()]
        return order_metrics(rows["metric"])

    def rows(self, task: str, metric: str) -> pd.DataFrame:
        """The scores of one task and metric that exist, in the order of systems."""
        rows = self.scores[(self.scores["task"] == task) & (self.scores["metric"] == metric)]
        return rows[rows["score"].notna()]

    def headline(self, task: str) -> list[str]:
        """The few metrics of the main table: validity, F1 (the primary one and, beside it, the one of items with their
        labels), faithfulness, ROUGE-L, cosine similarity."""
        there, shown = self.metrics(task), (*_TYPED, self.primary(task))
        return [m for m in _HEADLINE if m in there and (m in shown or not m.endswith("_f1"))]

    def primary(self, task: str) -> str:
        """The metric on which systems are ranked: the card's, else F1 with labels, ROUGE-L, or the first there is."""
        there = self.metrics(task)
        wanted = [self.asked.get(task), *_TYPED, "rougeL"]
        return next((metric for metric in wanted if metric in there), there[0] if there else "")

    def score(self, task: str, metric: str, system: str) -> Any:
        """The row of `scores`, or None."""
        return self._scores.get((task, metric, system))

    def best(self, task: str, names: Iterable[str]) -> str:
        """The system with the highest primary score, the first of equals; "" where none has one."""
        rows = self.rows(task, self.primary(task))
        rows = rows[rows["system"].isin(list(names))]
        return rows["system"].iloc[rows["score"].argmax()] if len(rows) else ""

    def pair(self, task: str, metric: str, a: str, b: str) -> tuple[Any, int]:
        """The row of `compared` for two systems, and -1 where it is stored the other way round."""
        row = self._pairs.get((task, metric, a, b))
        return (row, 1) if row else (self._pairs.get((task, metric, b, a)), -1)

    @cached_property
    def models(self) -> list[str]:
        """The systems but for the floors."""
        return [name for name in self.systems["system"] if not is_floor(name)]

    @cached_property
    def untuned(self) -> list[str]:
        """The models of scale 0."""
        return [name for name in self.systems.loc[self.systems["scale"] == 0, "system"] if not is_floor(name)]

    @cached_property
    def floors(self) -> list[str]:
        return [name for name in self.systems["system"] if is_floor(name)]

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
    tasks = tasks_of(tidy)
    of_cards = {card.name: card for card in cards or ()}
    scores, compared = intervals(tidy), comparisons(tidy)
    found = Findings(
        systems=systems_of(tidy),
        tasks=tasks,
        titles={task: heading_of(task, of_cards.get(task)) for task in tasks},
        summary=summarise(tidy) if summary is None else summary,
        scores=scores,
        compared=compared,
        wins=win_rates(tidy, compared, cards),
        enough=enough_data(tidy, margin=MARGIN),
        published=beside_measured(scores),
        asked={task: of_cards[task].primary for task in tasks if task in of_cards},
    )
    return replace(found, enough=_worth(found))


# -- what "enough" is worth -----------------------------------------------------------------------------------------


def _worth(found: Findings) -> pd.DataFrame:
    """`enough` where no scale of a ladder is, unless the largest beats the best floor and the untuned model on the primary
    metric by more than the margin: less data than for nothing says nothing. The note says what is missing."""
    enough = found.enough.copy()
    for (largest, task), part in enough.groupby(["largest_system", "task"]):
        if lacks := _lacks(found, task, largest):
            enough.loc[part.index, "enough"], enough.loc[part.index, "note"] = False, f"{largest} {'; '.join(lacks)}"
    return enough


def _rivals(found: Findings, task: str, system: str) -> list[str]:
    """What a system has to beat before anything is said about its data: the best floor, the best untuned model of its base."""
    own = found.systems.set_index("system")["base_model"]
    base = own[own.eq(own[system]) & (own != "")].index.intersection(found.untuned)
    rivals = [found.best(task, found.floors), found.best(task, [name for name in base if name != system])]
    return [name for name in rivals if name]


def _lead(found: Findings, task: str, system: str, rival: str) -> tuple[Any, float, float, bool]:
    """(comparison on the primary metric, lead, its lower end, is it above the margin, by Holm's p and by that end?)"""
    row, sign = found.pair(task, found.primary(task), system, rival)
    worst = row.low if sign == 1 else -row.high
    return row, sign * row.difference, worst, row.verdict == ("a" if sign == 1 else "b") and worst > MARGIN


def _lacks(found: Findings, task: str, system: str) -> list[str]:
    """What keeps a system from being ahead of each rival by more than the margin, as what ends a sentence about it."""
    rivals = _rivals(found, task, system)
    told = [] if rivals else ["has no floor and no untuned model beside it to beat"]
    for rival in rivals:
        row, lead, worst, beaten = _lead(found, task, system, rival)
        if beaten:
            continue
        if not row.n or lead != lead:
            told.append(f"cannot be compared with {rival}")
        elif lead <= MARGIN:
            told.append(f"would have to gain {percent(MARGIN - lead)} points on {rival}")
        else:
            # the interval's half shrinks with the root of n
            needed = np.fmax(row.n * ((lead - worst) / (lead - MARGIN)) ** 2, row.samples_needed)
            told.append(
                f"leads {rival} by {percent(lead)} points, not surely by {percent(MARGIN)}{_settled(row, needed)}"
            )
    return told


def _settled(row: Any, needed: float) -> str:
    """How many samples would settle a comparison, where that is known."""
    if needed != needed:
        return ""
    clusters = "" if row.clusters == row.n else f" in {_round_up(needed * row.clusters / row.n):,} clusters"
    return f"; about {_round_up(needed):,} samples{clusters} would settle it"


# -- words --------------------------------------------------------------------------------------------------------


def verdict(found: Findings) -> list[tuple[str, list[str]]]:
    """(heading, sentences) for the whole and for each task."""
    parts = [("In short", list(_overall(found)) or ["There is nothing to compare."])]
    parts += [(found.titles[task], _task(found, task)) for task in found.tasks]
    return parts


def _overall(found: Findings) -> Iterator[str]:
    yield from _not_yet(found)
    yield from _enough_in_short(found)
    best: dict[str, list[str]] = {}
    for task in found.tasks:
        metric, name = found.primary(task), found.best(task, found.models)
        if name and not found.score(task, metric, name).score:
            yield f"No model gets anything right on {found.titles[task]}: {title(metric)} is 0 for all."
        elif name:
            best.setdefault(name, []).append(task)
    for name, tasks in best.items():
        what, where = [title(found.primary(task)) for task in tasks], [found.titles[task] for task in tasks]
        yield f"{name} has the best {_several(what)} on {_several(where)}."
    for ladder in ladders(found.systems):
        yield from _tuned_against_rest(found, ladder["system"].iloc[-1])
    if told := _few(found):
        yield told
    if unequal := sorted({note for note in found.compared["note"] if "different test sets" in note}):
        yield f"Not all systems answered the same samples; they are compared on those they share ({unequal[0]})."
    most = found.scores.groupby(["task", "system"])["n"].max()
    missing = [
        f"{system} has no answers for {found.titles[task]}"
        for task in found.tasks
        for system in found.systems["system"]
        if not most[task, system]
    ]
    if missing:
        yield f"Missing: {'; '.join(missing)}."


def _tuned_against_rest(found: Findings, system: str) -> Iterator[str]:
    """Win totals of a tuned system over the systems that are not tuned, floors apart."""
    rows = found.wins[(found.wins["system"] == system) & (found.wins["of"] > 0)]
    rivals = rows[~rows["baseline"].map(is_floor).astype(bool)]
    if len(rivals):
        yield (
            f"{system} wins {rivals['wins'].sum()} of {rivals['of'].sum()} metrics against untuned systems "
            f"({', '.join(rivals['baseline'].unique())}), {rivals['significant_wins'].sum()} of them significantly."
        )


def _ladders_enough(found: Findings) -> Iterator[tuple[str, pd.DataFrame, int]]:
    """Name, rows of the scales that are enough, and largest scale of each ladder."""
    enough = found.enough[found.enough["enough"].astype(bool)]
    for (_, name), part in enough.groupby(["base_model", "ladder"], sort=False):
        yield name, part, int(part["largest"].iloc[0])


def _not_yet(found: Findings) -> Iterator[str]:
    """For each task what it would take before data can be called enough: of the best of the ladders' largest systems, or,
    where there is no ladder, of the best model."""
    largest = [ladder["system"].iloc[-1] for ladder in ladders(found.systems)]
    for task in found.tasks:
        metric, system = found.primary(task), found.best(task, largest or found.models)
        if not system or not (lacks := _lacks(found, task, system)):
            continue
        rivals = _rivals(found, task, system)
        unbeaten = [r for r in rivals if not any(_lead(found, task, m, r)[3] for m in found.models if m != r)]
        start = f"No model beats {_several(unbeaten)} yet on" if unbeaten else "Not enough yet on"
        what = f"{system} ({title(metric)} {percent(found.score(task, metric, system).score)}%)"
        yield f"{start} {found.titles[task]}: {what} {' and '.join(lacks)}."


def _few(found: Findings) -> str:
    """The tasks whose samples are in few clusters."""
    clusters = found.scores.groupby("task")[["n", "clusters"]].max()
    told = [f"{found.titles[t]} {c:,} of {n:,} samples" for t, n, c in clusters.itertuples() if 0 < c < FEW]
    few = f"Few clusters (samples that share a source count as one; fewer than {FEW} make wide intervals and coarse tests)"
    return f"{few}: {', '.join(told)}." if told else ""


def _enough_in_short(found: Findings) -> Iterator[str]:
    for name, part, largest in _ladders_enough(found):
        scales = {(row.task, row.metric): row.scale for row in part.itertuples()}
        primary = {task: (task, found.primary(task)) for task in found.tasks}
        scales = {task: scales[key] for task, key in primary.items() if key in scales}
        if scales:
            told = ", ".join(f"{found.titles[task]} {scale:,}" for task, scale in scales.items())
            itself = largest in scales.values()
            hint = " Where that is the largest scale itself, more data may still help." if itself else ""
            within = f"within {percent(MARGIN)} points of the score at {largest:,} a task, 95% sure"
            beaten = [rival for task in scales for rival in _rivals(found, task, part["largest_system"].iloc[0])]
            yield (
                f"Enough training samples for {name} ({within}; there ahead of {_several(beaten)} by more than that): "
                f"{told}.{hint}"
            )


def _several(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _task(found: Findings, task: str) -> list[str]:
    metric = found.primary(task)
    if not metric:
        return ["No scores."]
    floor = found.best(task, found.floors)
    best = found.best(task, found.models) or floor
    row = found.score(task, metric, best)
    if not row.score:
        reached = found.score(task, metric, floor).score if floor else 0
        if not reached:
            return [f"No system gets anything right: {title(metric)} is 0 for all."]
        return [
            f"No model gets anything right: {title(metric)} is 0 for all of them; {floor}, which needs no model, "
            f"reaches {percent(reached)}%."
        ]
    lines = [f"Best: {best}, {title(metric)} {percent(row.score)}%{_span(row)} on {_samples(row)}."]
    rivals = {}
    if second := found.best(task, [name for name in found.models if name != best]):
        rivals[second] = "next best"
    for other in found.systems[found.systems["system"].isin(found.untuned)].itertuples():
        if other.system != best:
            own = other.base_model == row.base_model and row.base_model
            rivals.setdefault(other.system, "before tuning" if own else "untuned")
    if floor and floor != best:
        rivals[floor] = "best floor, needs no model"
    lines += [_against(found, task, metric, best, other, word) for other, word in rivals.items()]
    return [*lines, *_health(found, task, best), *_enough(found, task)]


def _samples(row: Any) -> str:
    return f"{row.n:,} samples" + ("" if row.clusters == row.n else f" in {row.clusters:,} clusters")


def _span(row: Any, sign: int = 0) -> str:
    """The interval of a score or, with a sign, of a difference as seen from that side."""
    if row.low != row.low:
        return ""
    low, high = sorted((sign * row.low, sign * row.high)) if sign else (row.low, row.high)
    return f" ({percent(low, bool(sign))} to {percent(high, bool(sign))})"


def _against(found: Findings, task: str, metric: str, a: str, b: str, word: str) -> str:
    row, sign = found.pair(task, metric, a, b)
    if row.n == 0:
        return f"Not comparable with {b} ({word}): {row.note}."
    gap = f"{percent(sign * row.difference, signed=True)} points{_span(row, sign)}"
    if row.verdict == "untested":
        return f"{gap} against {b} ({word}), not tested: {row.note}."
    p = p_text(row.p_holm, row.p_ends)
    p = p if p[0] in "<≤" else f"= {p}"
    if row.verdict == "undecided":
        return f"Not decided against {b} ({word}): {gap}, p {p}{_settled(row, row.samples_needed)}."
    ahead = "Ahead of" if (row.verdict == "a") == (sign == 1) else "Behind"
    return f"{ahead} {b} ({word}): {gap}, p {p}."


def _round_up(number: float) -> int:
    """Two significant digits are more than a power estimate deserves."""
    whole = int(number)
    step = 10 ** max(len(str(whole)) - 2, 0)
    return -(-whole // step) * step


def _health(found: Findings, task: str, system: str) -> list[str]:
    """How usable the best system's answers are: unanswered, unreadable, valid JSON, invented values."""
    summary, lines = found.summary, []
    for row in summary[(summary["task"] == task) & (summary["system"] == system)].itertuples():
        invalid, empty = ("an unknown number" if n != n else f"{int(n):,}" for n in (row.invalid, row.unanswered))
        lines.append(f"Of its {int(row.samples):,} answers {invalid} are unreadable, {empty} of them empty.")
    for metric, words in (
        ("json_parse_ok", "are valid JSON as they stand"),
        ("faithfulness", "of the values it answers occur in the source text"),
    ):
        row = found.score(task, metric, system)
        if row is not None and row.score == row.score:
            lines.append(f"{percent(row.score)}%{_span(row)} {words}.")
    return [" ".join(lines)] if lines else []


def _enough(found: Findings, task: str) -> Iterator[str]:
    shown = found.headline(task)
    for name, part, largest in _ladders_enough(found):
        part = part[(part["task"] == task) & part["metric"].isin(shown)]
        part = part.sort_values("metric", key=lambda column: column.map(shown.index), kind="stable")
        told = [
            f"{scale:,}{' (the largest: more may still help)' if scale == largest else ''} for {_several([*map(title, metrics)])}"
            for scale, metrics in part.groupby("scale")["metric"]
        ]
        if told:
            yield f"Enough training samples for {name}: {'; '.join(told)}."


# -- two systems in the terminal ----------------------------------------------------------------------------------


def compare(tidy: pd.DataFrame, a: str, b: str) -> str:
    """The verdict on two systems: a table a task and one sentence each; Holm over all the tests shown.

    Raises EtlchError for a system that has no scores, or for a system against itself.
    """
    names = systems_of(tidy)["system"].tolist() if len(tidy) else []
    for name in (a, b):
        if name not in names:
            expected = f"one of {', '.join(names)}" if names else "none: no scores"
            raise EtlchError(f"no system {name!r} in the scores (expected {expected})")
    if a == b:
        raise EtlchError(f"{a!r} against itself (expected two different systems)")
    table = comparisons(tidy[tidy["system"].isin([a, b])], pairs=[(a, b)])
    table = table[table["metric"].isin([*_HEADLINE, *_VALIDITY])].copy()
    table["p_holm"] = holm(table["p"])
    table["metric"] = table["metric"].map(title)
    table["difference_low"], table["difference_high"] = table["low"], table["high"]
    table["p_holm_ends"] = table["p_ends"]
    shown = {"a": a, "b": b, "undecided": "not decided", "untested": "not tested"}
    outcome = [shown[decision(*row)] for row in table[["p_holm", "difference"]].itertuples(index=False)]
    table["outcome"] = table["note"].where(table["n"] == 0, outcome)
    parts = [
        f"{a} against {b}: difference = {a} - {b} in points, 95% paired bootstrap over clusters; p after Holm over {table['p_holm'].notna().sum()} tests"
    ]
    for task, rows in table.groupby("task", sort=False):
        columns = [
            Column("metric", task_title(task)),
            Column("score_a", a, "score"),
            Column("score_b", b, "score"),
            Column("difference", "difference and 95% interval", "points"),
            Column("p_holm", "p", "p"),
            Column("n", "n", "count"),
            Column("clusters", "clusters", "count"),
            Column("outcome", "verdict"),
        ]
        parts.append(to_text(*Table("", "", columns, rows.to_dict("records")).texts()))
        notes = sorted({note for note in rows["note"] if "common samples" in note or "no answers" in note})
        if 0 < (clusters := rows["clusters"].max()) < FEW:
            notes.append(f"{clusters} clusters, fewer than {FEW}: wide intervals, coarse tests")
        parts.append("\n".join([*notes, f"{task_title(task)}: {_sentence(rows[rows['n'] > 0], a, b)}"]))
    return "\n\n".join(parts)


def _sentence(rows: pd.DataFrame, a: str, b: str) -> str:
    won, lost = ((rows["outcome"] == name).sum() for name in (a, b))
    if not len(rows):
        return "nothing to compare."
    words = {(True, False): f"{a} is better", (False, True): f"{b} is better", (True, True): "mixed"}
    word = words.get((won > 0, lost > 0), "no difference shown")
    count = len(rows)
    return f"{word}; {a} ahead on {won} of {count} metrics, {b} on {lost}, {count - won - lost} not decided."

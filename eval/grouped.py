"""Tables that an experiment asks for: each is a group-by of the tidy table, with the paper's own values beside.

A value is the mean of the samples' metric, or a ratio of summed counts: precision, recall and F1 of entity, triple, field,
plain, nested and discontinuous items (`entity_f1_offsets` and the like by other ways to match); `nested_lost`, the F1 of
plain mentions minus that of nested ones; `<metric>_sum`; `unread`, the share of answers that are not in their format; shares
of wrong types and of shifted spans. Of a training: `train_seconds`, `kwh`, `grams` (CO2) and `cut` (eval/costs.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import pandas as pd

from etlch.experiments import Experiment, TableSpec
from eval.metrics.matching import micro_of
from eval.published import FOLDER, Paper, load_paper

Sums = Mapping[str, tuple[float, int]]
"""Metric -> (sum, number of samples that have it)."""

_SHARES = {
    "unread": ("unread_prompts", "prompts"),
    "faithfulness": ("faithful_found", "faithful_total"),
    "wrong_type_share": ("wrong_type", "wrong"),
    "span_left_share": ("span_left", "span_shifted"),
    "span_near_share": ("span_near", "span_shifted"),
    "span_shift_mean": ("span_shift", "span_shifted"),
}
_SPANS = ("span_exact", "span_shifted", "span_other")
_RATIO = re.compile(r"(\w+?)_(precision|recall|f1)(_normalised|_partial|_offsets)?")
_OF_RUN = {"train_seconds", "kwh", "grams", "cut"}
_PLAIN = {*_OF_RUN, "prompts", "answer_tokens", "answer_chars", "span_shift_mean"}
TITLES = {
    "entity_precision": "P",
    "entity_recall": "R",
    "entity_f1": "F1",
    "entity_f1_offsets": "F1 by offsets",
    "train_seconds": "time",
    "grams": "gCO2e",
    "kwh": "kWh",
}


def value_of(sums: Sums, name: str) -> float | None:
    """A value of one group; None where there is nothing to divide by, or no sample has it."""
    total = {metric: found[0] for metric, found in sums.items()}
    if name.endswith("_sum"):
        stem = name.removesuffix("_sum")
        return sum(total[part] for part in _SPANS if part in total) if stem == "span" else total.get(stem)
    if name in ("nested_lost", "discontinuous_lost"):
        shape = name.removesuffix("_lost")
        plain, other = value_of(sums, "plain_f1"), value_of(sums, f"{shape}_f1")
        return plain - other if total.get(f"{shape}_gold") else None
    if name in _SHARES:
        part, whole = (total.get(metric, 0.0) for metric in _SHARES[name])
        return part / whole if whole else None
    if name.removesuffix("_share") in _SPANS:
        whole = value_of(sums, "span_sum")
        return total[name.removesuffix("_share")] / whole if whole else None
    if (match := _RATIO.fullmatch(name)) and f"{match[1]}_gold" in total:
        part, kind, by = match[1], match[2], match[3] or ""
        scores = micro_of(*(total[f"{part}_{count}"] for count in (f"tp{by}", "pred", "gold")))
        return scores[("precision", "recall", "f1").index(kind)]
    found = sums.get(name)
    return found[0] / found[1] if found and found[1] else None


@dataclass(frozen=True, slots=True)
class Grouped:
    """A table as it is printed."""

    title: str
    frame: pd.DataFrame
    note: str = ""

    def markdown(self) -> str:
        rows = [self.frame.columns, ["---"] * len(self.frame.columns), *self.frame.itertuples(index=False)]
        lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
        return "\n".join([f"### {self.title}", "", *lines, *(["", self.note.strip()] if self.note else [])])

    def text(self) -> str:
        return "\n".join([self.title, self.frame.to_string(index=False), *([self.note.strip()] if self.note else [])])


def tables(experiment: Experiment, tidy: pd.DataFrame) -> list[Grouped]:
    """Every table that the experiment asks for and for which there is a row. tidy: with the rows of eval/costs.py."""
    paper = load_paper(FOLDER / f"{experiment.paper}.yaml") if experiment.paper else None
    made = [grouped(table, tidy, paper) for table in experiment.tables]
    return [table for table in made if len(table.frame)]


def groups(tidy: pd.DataFrame, table: TableSpec) -> Iterator[tuple[tuple, dict[str, list[Sums]]]]:
    """(values of the rows' factors, column -> the sums of each value of `over`) of a table, in the order of the data."""
    for column, wanted in table.where.items():
        tidy = tidy[tidy[column].isin(wanted) | (tidy["sample"] == "")]
    for column, unwanted in table.without.items():
        tidy = tidy[~tidy[column].isin(unwanted)]
    factors = list(dict.fromkeys([*table.rows, *filter(None, (table.columns, table.over))]))
    of_runs = all(value in _OF_RUN for value in table.values)
    part = tidy[(tidy["sample"] == "") == of_runs]
    found: dict[tuple, dict[str, dict[tuple, dict[str, tuple[float, int]]]]] = {}
    summed = part.groupby([*factors, "metric"], sort=False, observed=True)["value"].agg(["sum", "count"])
    for key, total, count in summed.itertuples(name=None):
        at = dict(zip(factors, key[:-1], strict=True))
        row = tuple(at[factor] for factor in table.rows)
        cell = found.setdefault(row, {}).setdefault(str(at.get(table.columns, "")), {})
        cell.setdefault((at.get(table.over),), {})[key[-1]] = (float(total), int(count))
    for row, cells in found.items():
        yield row, {column: list(draws.values()) for column, draws in cells.items()}


def grouped(table: TableSpec, tidy: pd.DataFrame, paper: Paper | None = None) -> Grouped:
    """One table. A cell is the mean over `over`, ± the sample standard deviation where there are several."""
    lines = list(groups(tidy, table))
    columns = list(dict.fromkeys(column for _, cells in lines for column in cells))
    heads = [
        TITLES.get(value, value.replace("_", " "))
        if not column
        else column
        if len(table.values) == 1
        else f"{column} {value}"
        for column in columns
        for value in table.values
    ]
    beside = [f"paper: {c}" for c in table.published.columns] if table.published else []
    rows = []
    for row, cells in sorted(lines, key=lambda line: tuple(map(str, line[0]))):
        shown = [_shown(cells.get(column, []), value, table) for column in columns for value in table.values]
        at = dict(zip(table.rows, map(str, row), strict=True))
        rows.append([*row, *shown, *(_published(table, paper, at) if beside else [])])
    return Grouped(table.title, pd.DataFrame(rows, columns=[*table.rows, *heads, *beside]), table.note)


def _shown(draws: Sequence[Sums], name: str, table: TableSpec) -> str:
    values = [value for sums in draws if (value := value_of(sums, name)) is not None]
    if not values:
        return "-"
    middle, spread = mean(values), stdev(values) if len(values) > 1 else None
    if name == "train_seconds":
        return f"{int(middle) // 3600:02}:{int(middle) // 60 % 60:02}:{int(middle) % 60:02}"
    if name.endswith("_sum") or name == "cut":
        return f"{middle:,.0f}"
    scale, digits = (1, 4 if name == "kwh" else 1) if name in _PLAIN else (100 if table.percent else 1, table.digits)
    return f"{scale * middle:.{digits}f}" + ("" if spread is None else f" ± {scale * spread:.{digits}f}")


def _published(table: TableSpec, paper: Paper | None, at: dict[str, str]) -> list[str]:
    """The paper's cells of a row, as they are printed; a dash for what it does not have."""
    beside = table.published
    named = {factor: beside.names.get(factor, {}).get(found, found) for factor, found in at.items()}
    right = all(at.get(factor) in wanted for factor, wanted in beside.where.items())
    rows = paper.tables[beside.table].rows if paper and right else []
    row = next((r for r in rows if all(str(r[key]) == named.get(by, by) for key, by in beside.key.items())), {})
    cells = []
    for column in (column.format(**named) for column in beside.columns):
        found, spread = row.get(column), row.get(f"{column} sd")
        cells.append("-" if found is None else f"{found}" + (f" ± {spread}" if spread is not None else ""))
    return cells

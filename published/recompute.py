"""What can be recomputed of the papers' printed numbers (published/*.yaml), and what does not add up.

    python published/recompute.py [--all]

A paper's `checks` are data: a kind (a function below) and what it works on. A cell is [table, *key, column] and a row
[table, *key]. Statements that only one paper makes have a function of the paper's name.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from etlch.errors import EtlchError
from eval.published import Paper, PublishedTable, load_papers

ROUNDED = 1e-9
KINDS: dict[str, Callable[..., Iterator[Check]]] = {}


@dataclass(frozen=True, slots=True)
class Check:
    """One printed statement recomputed: `ok` when what is printed follows from what is printed elsewhere."""

    where: str
    printed: str
    computed: str
    ok: bool


def kind(function: Callable[..., Iterator[Check]]) -> Callable[..., Iterator[Check]]:
    """Make a function available to `checks` under its name."""
    KINDS[function.__name__] = function
    return function


def check(paper: Paper) -> list[Check]:
    """All recomputations for one paper. Raises EtlchError for a kind that is not there."""
    found: list[Check] = []
    for entry in paper.checks:
        name, arguments = entry["kind"], {key: value for key, value in entry.items() if key != "kind"}
        if name not in KINDS:
            raise EtlchError(f"{paper.name}: check of kind {name!r} (expected {', '.join(KINDS)})")
        found += KINDS[name](paper, **arguments)
    return found


def row_of(paper: Paper, at: Sequence[Any]) -> tuple[PublishedTable, dict[str, Any]]:
    """The table and the row at [table, *key, ...]."""
    table = paper.tables[at[0]]
    key = list(at[1 : 1 + len(table.key)])
    return table, next(row for row in table.rows if [row[column] for column in table.key] == key)


def cell(paper: Paper, at: Sequence[Any]) -> float:
    return row_of(paper, at)[1][at[-1]]


def close(where: str, what: str, printed: float, computed: float, within: float, says: str = "{:.5g}") -> Check:
    ok = abs(printed - computed) <= within + ROUNDED
    return Check(where, f"{what} {printed:g}", says.format(computed), bool(ok))


# -- kinds that several papers use --------------------------------------------------------------------------------


@kind
def value(
    paper: Paper, where: str, what: str, printed: Any, of: list, minus: list | None = None, **more: Any
) -> Iterator[Check]:
    """A printed number (or cell) is the cell `of`, less the cell `minus`. more: `within` (default 0), `says`."""
    printed = cell(paper, printed) if isinstance(printed, list) else printed
    computed = cell(paper, of) - (cell(paper, minus) if minus else 0)
    yield close(where, what, printed, computed, **{"within": 0.0, **more})


@kind
def mean(
    paper: Paper, tables: list[str], what: str, column: str, of: list[str] | None = None, within: float = 0.005
) -> Iterator[Check]:
    """In every row a column is the mean of others (default: all values of the row)."""
    for table in map(paper.tables.__getitem__, tables):
        for row in table.rows:
            values = [row[name] for name in of] if of else list(table.values(row).values())
            found = close(f"{table.id}, {table.name(row)}", what, row[column], float(np.mean(values)), within)
            hint = "" if of or found.ok else _mended_average(table, row)
            yield replace(found, computed=f"{found.computed}; {hint}") if hint else found


@kind
def f1(paper: Paper, tables: list[str], models: Sequence[str] = ("",), step: float = 0.005) -> Iterator[Check]:
    """F1 is the harmonic mean of P and R, each of the three rounded by up to `step`."""
    for table in map(paper.tables.__getitem__, tables):
        for row in table.rows:
            for model in models:
                p, r, printed = (row[f"{model} {column}".strip()] for column in ("P", "R", "F1"))
                ends = ((max(p + s, 0.0), max(r + s, 0.0)) for s in (-step, step))
                low, high = (2 * a * b / ((a + b) or 1.0) for a, b in ends)
                ok = low - step - ROUNDED <= printed <= high + step + ROUNDED
                where = f"{table.id}, {f'{model} {table.name(row)}'.strip()}"
                yield Check(where, f"F1 from P and R {printed:g}", f"{low:.4g} to {high:.4g}", bool(ok))


@kind
def same_row(paper: Paper, row: list, source: list) -> Iterator[Check]:
    """A row repeats another table's values, under the same headings."""
    (table, ours), (other, theirs) = row_of(paper, row), row_of(paper, source)
    values, right = table.values(ours), other.values(theirs)
    if values == right:
        said = "as printed there"
    elif sorted(values.values()) == sorted(right.values()):
        order = ", ".join(next(c for c in right if right[c] == number) for number in values.values())
        said = (
            f"{other.id}'s numbers under other headings: the columns are swapped; the values stand in the order {order}"
        )
    else:
        said = "other numbers"
    yield Check(f"{table.id}, {table.name(ours)}", f"the row of {other.id}, {source[1]}", said, values == right)


# -- ETLCH --------------------------------------------------------------------------------------------------------


def fisher(yes: int, other: int, n: int, alternative: str = "greater") -> float:
    """p of Fisher's exact test on two counts of n each; `greater`: the first share is the larger one."""
    return float(stats.fisher_exact([[yes, n - yes], [other, n - other]], alternative=alternative).pvalue)


def two_proportion_z(yes: int, other: int, n: int) -> float:
    """One-sided p of the pooled two-proportion z-test (its square is the chi-square statistic)."""
    table = [[yes, n - yes], [other, n - other]]
    return float(stats.norm.sf(np.sqrt(stats.chi2_contingency(table, correction=False).statistic)))


def recovered_counts(paper: Paper) -> dict[str, int]:
    """Baseline -> valid answers of 300: the only count whose one-sided Fisher p is the printed one, to four digits.

    The paper prints p for 288 of 300 against each baseline, and no counts but Taide's 0. Raises EtlchError when none or
    several counts fit.
    """
    best = paper.tables["Figure 5"].rows[-1]
    found = {}
    for row in paper.tables["Figure 3, p-values"].rows:
        hits = [k for k in range(best["of"] + 1) if f"{fisher(best['valid'], k, best['of']):.3e}" == f"{row['p']:.3e}"]
        if len(hits) != 1:
            raise EtlchError(f"{paper.name}: {len(hits)} counts give p = {row['p']:.3e} (expected one)")
        found[row["baseline"]] = hits[0]
    return found


@kind
def etlch(paper: Paper) -> Iterator[Check]:
    """The counts behind the p-values, and what the text makes of them."""
    ladder = {row["scale"]: row["valid"] for row in paper.tables["Figure 5"].rows}
    counts, best = recovered_counts(paper), ladder[1000]
    for row in paper.tables["Figure 3, p-values"].rows:
        name, count = row["baseline"], counts[row["baseline"]]
        z = two_proportion_z(best, count, 300)
        said = (
            f"one-sided Fisher test of {best}/300 against {count}/300: p = {fisher(best, count, 300):.3e}; the "
            f"two-proportion z-test gives {z:.3e} (one-sided), {2 * z:.3e} (two-sided)"
        )
        yield Check(f"Figure 3, {name}", f'"two-proportion z-test", p = {row["p"]:.3e}', said, False)
    stated, taide = cell(paper, ["Figure 3", "Taide-8B", "valid"]), counts["Taide-8B"]
    yield Check("Figure 3, Taide-8B", f"{stated} of 300 valid", f"{taide} of 300 from the p-value", stated == taide)
    first, *rest = (later - earlier for earlier, later in pairwise(ladder.values()))
    said = f"+{first}, then {' and '.join(f'+{gain}' for gain in rest)} of 300"
    yield Check("section 6, Figure 5", "rises sharply to 300 samples, slightly after", said, first > sum(rest))
    rival = max(counts, key=counts.__getitem__)
    p = fisher(ladder[300], counts[rival], 300, "two-sided")
    yield Check(
        "section 6",
        f"matches or surpasses {rival} from 300 samples on",
        f"valid JSON {ladder[300]} against {counts[rival]} of 300, two-sided Fisher p = {p:.2f}: no difference shown",
        ladder[300] >= counts[rival],
    )


# -- MF-NER -------------------------------------------------------------------------------------------------------

MODELS = ("Qwen", "Llama")


@kind
def mf_ner(paper: Paper) -> Iterator[Check]:
    """Training alone or with other formats, formats with offsets, the baselines, the rates of energy."""
    formats = [(row["format"], model, row) for row in paper.tables["Table 3"].rows for model in MODELS]
    gaps = []
    for name, model, row in formats:
        alone = row[f"{model} only"]
        if alone is not None:
            gaps.append(abs(alone - row[f"{model} all"]))
            there = cell(paper, ["Table 2", name, f"{model} F1"])
            yield close(f"Table 3, {model} {name}", "F1 trained alone, as in Table 2", alone, there, 0.0)
    yield close("section 5", "largest difference, alone or with other formats", 0.05, max(gaps), 0.0)
    spans = ("multi_brat", "multi_span", "single_span")
    worst, most = max(
        ((f"{name} {model}", row[f"{model} all"]) for name, model, row in formats if name in spans),
        key=lambda pair: pair[1],
    )
    yield Check(
        "section 5.1 on Table 3",
        "F1 of multi_brat, multi_span and single_span is less than 0.15",
        f"the largest is {worst} with {most:.2f}",
        most < 0.15,
    )
    ours = [(row, max(row["ours 7best"], row["ours conv_term"])) for row in paper.tables["Table 5"].rows]
    beaten = [
        f"{row['dataset']} ({best:.2f} against {row['UniNER']:.2f})"
        for row, best in ours
        if row["UniNER"] is not None and best > row["UniNER"]
    ]
    yield Check(
        "section 5.2 on Table 5",
        "UniNER slightly outperforms all our models on each dataset",
        f"not on {', '.join(beaten)}" if beaten else "so it is",
        not beaten,
    )
    for model in MODELS:
        rows = paper.tables["Table 9"].rows
        carbon = [row[f"{model} gCO2e"] / row[f"{model} kWh"] for row in rows]
        power = [row[f"{model} kWh"] / _hours(row[f"{model} time"]) for row in rows]
        for label, ratios in (("gCO2e a kWh", carbon), ("kWh an hour", power)):
            low, high = min(ratios), max(ratios)
            said = f"{low:.2f} to {high:.2f}"
            yield Check(f"Table 9, {model}", f"{label}: one rate for all rows", said, (high - low) / low < 0.02)


def _hours(clock: str) -> float:
    hours, minutes, seconds = map(int, clock.split(":"))
    return hours + minutes / 60 + seconds / 3600


# -- RA-IT --------------------------------------------------------------------------------------------------------


def _twin(table: PublishedTable, row: dict[str, Any]) -> str | None:
    """The column whose value a row's last value repeats, where the average column holds what belongs there."""
    *others, last = (values := table.values(row))
    return next((name for name in others if values[name] == values[last]), None)


def _put_right(table: PublishedTable, row: dict[str, Any]) -> float:
    """The average of a row, its last value taken from the average column where the two are swapped."""
    values = list(table.values(row).values())
    return float(np.mean([*values[:-1], row[table.average]] if _twin(table, row) else values))


def _mended_average(table: PublishedTable, row: dict[str, Any]) -> str:
    values, twin = table.values(row), _twin(table, row)
    if twin is None:
        return ""
    last = list(values)[-1]
    return (
        f"{last} repeats {twin}'s {values[last]:.2f}: columns swapped. If the {row[table.average]:.2f} in the average "
        f"column is {last}, the average is {_put_right(table, row):.2f}"
    )


@kind
def ra_it(paper: Paper) -> Iterator[Check]:
    """Rows that are another system's; appendix E's best size once the swapped averages are put right."""
    for name, source, language in (("Table 6", "Table 1", "English"), ("Table 7", "Table 2", "Chinese")):
        table, other = paper.tables[name], paper.tables[source]
        vanilla = {row["size"]: other.values(row) for row in other.rows if row["method"] == "Vanilla IT"}
        ours = {row["size"]: table.values(row) for row in table.rows if row["method"] == "RA-IT"}
        same = [size for size, values in ours.items() if vanilla.get(size) == values]
        said = (
            f"the rows for {' and '.join(same)} are {source}'s Vanilla IT rows, to the digit" if same else "so they are"
        )
        yield Check(f"{name}, {language}", "rows named RA-IT", said, not same)
    table = paper.tables["Table 7"]
    averages = {row["size"]: _put_right(table, row) for row in table.rows if row["method"] == "RA-IT"}
    best = max(averages, key=averages.__getitem__)
    said = f"with the averages put right the best is {best} ({averages[best]:.2f}); 30K has {averages['30K']:.2f}"
    yield Check("appendix E on Table 7", "in Chinese the results improve up to 30K", said, best == "30K")


# -- terminal -----------------------------------------------------------------------------------------------------


def as_text(everything: bool = False) -> str:
    """What was recomputed, paper by paper, and what does not add up; `everything` also lists what does."""
    return "\n".join(line for paper in load_papers().values() for line in _lines(paper, everything))


def _lines(paper: Paper, everything: bool) -> Iterator[str]:
    checks = check(paper)
    good = [c for c in checks if c.ok]
    values = sum(len(table.rows) * (len(table.columns) - len(table.key)) for table in paper.tables.values())
    yield f"{paper.name}: {paper.title}"
    yield (
        f"  {len(paper.tables)} tables, {values} values; {len(checks)} statements recomputed, {len(good)} add up, "
        f"{len(checks) - len(good)} do not"
    )
    for found in good if everything else ():
        yield f"  ok    {found.where}: {found.printed}; computed {found.computed}"
    for found in (c for c in checks if not c.ok):
        yield f"  WRONG {found.where}: {found.printed}"
        yield f"        {found.computed}"
    for remark in paper.remarks:
        yield f"  NOTE  {remark['where']}: {remark['says']}"
        yield f"        {remark['but']}"
    yield ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="also list every value that does add up")
    print(as_text(parser.parse_args().all))

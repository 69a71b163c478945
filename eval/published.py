"""The papers' own numbers (`published/*.yaml`): what can be recomputed is, and what does not add up is listed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from etlch import yamlfile
from etlch.errors import EtlchError
from etlch.yamlfile import YamlFile

FOLDER = Path(__file__).resolve().parent.parent / "published"
_ROUNDED = 1e-9
_EXPECTED = "paper, title, authors and tables with id, title, key, columns and rows"


@dataclass(frozen=True, slots=True)
class Table:
    """A published table: rows as mappings from column to value (None where the paper has a dash)."""

    id: str
    title: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    average: str | None = None
    measured: dict[str, str] | None = None

    def name(self, row: dict[str, Any]) -> str:
        """How a row is cited: its key columns."""
        return " ".join(str(row[column]) for column in self.key if row[column] != "-")

    def values(self, row: dict[str, Any]) -> dict[str, float]:
        """The numbers of a row, without keys and average."""
        return {c: row[c] for c in self.columns if c not in (*self.key, self.average) and row[c] is not None}


@dataclass(frozen=True, slots=True)
class Paper:
    """One file of `published/`."""

    name: str
    title: str
    authors: str
    tables: dict[str, Table]
    remarks: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Check:
    """One printed statement recomputed: `ok` when what is printed follows from what is printed elsewhere."""

    paper: str
    where: str
    printed: str
    computed: str
    ok: bool


def load_paper(path: str | Path) -> Paper:
    """Read one file. Raises EtlchError naming file and line, and table and row when a row does not fit its columns."""
    file = yamlfile.read(path, _EXPECTED)
    data, at = file.data, file.where()
    try:
        head = data["paper"], data["title"], data["authors"]
        tables = {}
        for number, entry in enumerate(data["tables"]):
            at = file.where("tables", number)
            tables[entry["id"]] = _table(file, number)
        return Paper(*head, tables, data.get("remarks", []))
    except (KeyError, TypeError) as error:
        raise EtlchError(f"{at}: {error} is missing or of the wrong kind (expected {_EXPECTED})") from None


def _table(file: YamlFile, number: int) -> Table:
    entry = file.data["tables"][number]
    columns = tuple(entry["columns"])
    for at, row in enumerate(entry["rows"]):
        if len(row) != len(columns):
            raise EtlchError(
                f"{file.where('tables', number, 'rows', at)}: {entry['id']}: row {at + 1} has {len(row)} values "
                f"(expected {len(columns)}: {', '.join(columns)})"
            )
    return Table(
        id=entry["id"],
        title=entry["title"],
        key=tuple(entry["key"]),
        columns=columns,
        rows=[dict(zip(columns, row, strict=True)) for row in entry["rows"]],
        average=entry.get("average"),
        measured=entry.get("measured"),
    )


def load_papers(folder: str | Path = FOLDER) -> dict[str, Paper]:
    """Every paper of the folder by name, in order of file names."""
    paths = sorted(Path(folder).glob("*.yaml"))
    if not paths:
        raise EtlchError(f"{folder}: no published numbers (expected *.yaml)")
    return {paper.name: paper for paper in map(load_paper, paths)}


# -- what can be recomputed ---------------------------------------------------------------------------------------


def check(paper: Paper) -> list[Check]:
    """All recomputations for one paper; none for a paper that this module does not know."""
    known: dict[str, Callable[[Paper], Iterator[Check]]] = {
        "ETLCH": _etlch,
        "InstructIE": _instructie,
        "MF-NER": _mf_ner,
        "RA-IT": _ra_it,
    }
    return list(known[paper.name](paper)) if paper.name in known else []


def recovered_counts(paper: Paper) -> dict[str, tuple[int, float]]:
    """ETLCH: baseline -> (valid answers of 300, its one-sided Fisher p), the count whose p agrees with the printed one.

    The paper prints p to four digits for 288 of 300 against each baseline, and no counts but Taide's 0. Exactly one count
    gives each p. Raises EtlchError when none or several do.
    """
    from eval.stats import fisher_exact

    best = max(paper.tables["Figure 5"].rows, key=lambda row: row["scale"])
    found = {}
    for row in paper.tables["Figure 3, p-values"].rows:
        tried = {k: fisher_exact(best["valid"], best["of"], k, best["of"], "larger") for k in range(best["of"] + 1)}
        hits = [k for k, p in tried.items() if f"{p:.3e}" == f"{row['p']:.3e}"]
        if len(hits) != 1:
            raise EtlchError(f"{paper.name}: {len(hits)} counts give p = {row['p']:.3e} (expected one)")
        found[row["baseline"]] = (hits[0], tried[hits[0]])
    return found


def _etlch(paper: Paper) -> Iterator[Check]:
    from eval.stats import fisher_exact, two_proportion_z

    ladder = paper.tables["Figure 5"].rows
    best = ladder[-1]
    p_values = paper.tables["Figure 3, p-values"]
    counts = recovered_counts(paper)
    for row in p_values.rows:
        count, p = counts[row["baseline"]]
        z = two_proportion_z(best["valid"], best["of"], count, best["of"], "larger")
        yield Check(
            paper.name,
            f"Figure 3, {row['baseline']}",
            f'"two-proportion z-test", p = {row["p"]:.3e}',
            f"one-sided Fisher test of {best['valid']}/{best['of']} against {count}/{best['of']}: p = {p:.3e}; the "
            f"two-proportion z-test gives {z:.3e} (one-sided), {2 * z:.3e} (two-sided)",
            False,
        )
    stated = paper.tables["Figure 3"].rows[0]
    yield Check(
        paper.name,
        "Figure 3, Taide-8B",
        f"{stated['valid']} of {stated['of']} valid",
        f"{counts['Taide-8B'][0]} of 300 from the p-value",
        stated["valid"] == counts["Taide-8B"][0],
    )
    gains = [later["valid"] - earlier["valid"] for earlier, later in pairwise(ladder)]
    yield Check(
        paper.name,
        "section 6, Figure 5",
        "rises sharply to 300 samples, slightly after",
        f"+{gains[0]}, then +{gains[1]} and +{gains[2]} of 300",
        gains[0] > gains[1] + gains[2],
    )
    yield from _etlch_claims(paper, ladder, counts, fisher_exact)


def _etlch_claims(
    paper: Paper, ladder: list[dict[str, Any]], counts: dict[str, tuple[int, float]], fisher: Callable[..., float]
) -> Iterator[Check]:
    rival = max(counts, key=lambda name: counts[name][0])
    strong = counts[rival][0]
    smallest, second = ladder[0], ladder[1]
    yield Check(
        paper.name,
        "abstract",
        "outperforms strong baselines across most metrics, even at the lowest data scale",
        f"on valid JSON ETLCH-{smallest['scale']} has {smallest['valid']} of 300, below "
        + " and ".join(f"{name} ({count})" for name, (count, _) in counts.items() if count > smallest["valid"]),
        all(count <= smallest["valid"] for count, _ in counts.values()),
    )
    p = fisher(second["valid"], 300, strong, 300)
    yield Check(
        paper.name,
        "section 6",
        f"matches or surpasses {rival} from 300 samples on",
        f"valid JSON {second['valid']} against {strong} of 300, two-sided Fisher p = {p:.2f}: no difference shown",
        second["valid"] >= strong,
    )


def _instructie(paper: Paper) -> Iterator[Check]:
    for name in ("Table 3", "Table 4"):
        table = paper.tables[name]
        for row in table.rows:
            score = 0.5 * row["F1"] + 0.5 * row["ROUGE-2"]
            yield _close(paper, f"{name}, {table.name(row)}", "SCORE", row["SCORE"], score, 0.005)
    table = paper.tables["Table 5"]
    themes = ("Natural Science", "Event", "Medicine")
    for row in table.rows:
        yield _close(
            paper, f"Table 5, {row['model']}", "Average", row["Average"], np.mean([row[t] for t in themes]), 0.005
        )
    first, second = table.rows
    yield _close(paper, "Table 5", "gain over ChatGPT", second["change"], second["Average"] - first["Average"], 0.01)
    table = paper.tables["Table 6"]
    base = table.rows[0]
    for row in table.rows:
        low, high = _harmonic_range(row["P"], row["R"], 0.005)
        yield _within(paper, f"Table 6, {row['variant']}", "F1 from P and R", row["F1"], low, high, 0.005)
        if row["change"] is not None:
            yield _close(
                paper, f"Table 6, {row['variant']}", "change of F1", row["change"], row["F1"] - base["F1"], 0.01
            )
    yield from _instructie_text(paper)


def _instructie_text(paper: Paper) -> Iterator[Check]:
    scores = {
        (language, row["strategy"], row["model"]): row["SCORE"]
        for language, name in (("zh", "Table 3"), ("en", "Table 4"))
        for row in paper.tables[name].rows
    }
    variants = {row["variant"]: row for row in paper.tables["Table 6"].rows}
    base = variants["Baichuan2-7B-Base"]
    computed = {
        "SINGLE recall": variants["SINGLE"]["R"] - base["R"],
        "W/ NAN precision": variants["W/ NAN"]["P"] - base["P"],
    }
    for row in paper.tables["section 4"].rows:
        claim = row["claim"]
        if claim not in computed:
            model, language = claim.split()[:2]
            computed[claim] = scores[language, "ICL", model] - scores[language, "zero-shot", model]
        yield _close(paper, "section 4", claim, row["change"], computed[claim], 0.01)


def _mf_ner(paper: Paper) -> Iterator[Check]:
    for name in ("Table 2", "Table 6"):
        table = paper.tables[name]
        for row in table.rows:
            for model in ("Qwen", "Llama"):
                low, high = _harmonic_range(row[f"{model} P"], row[f"{model} R"], 0.005)
                where = f"{name}, {model} {table.name(row)}"
                yield _within(paper, where, "F1 from P and R", row[f"{model} F1"], low, high, 0.005)
    table2 = {row["configuration"]: row for row in paper.tables["Table 2"].rows}
    table3 = paper.tables["Table 3"]
    gaps = []
    for row in table3.rows:
        for model in ("Qwen", "Llama"):
            alone, together = row[f"{model} only"], row[f"{model} all"]
            if alone is None:
                continue
            gaps.append(abs(alone - together))
            other = table2[row["format"]][f"{model} F1"]
            yield _close(
                paper, f"Table 3, {model} {row['format']}", "F1 trained alone, as in Table 2", alone, other, 0.0
            )
    yield _close(paper, "section 5", "largest difference, alone or with other formats", 0.05, max(gaps), 0.0)
    spans = {
        f"{row['format']} {model}": row[f"{model} all"]
        for row in table3.rows
        for model in ("Qwen", "Llama")
        if row["format"] in ("multi_brat", "multi_span", "single_span")
    }
    worst = max(spans, key=spans.__getitem__)
    yield Check(
        paper.name,
        "section 5.1 on Table 3",
        "F1 of multi_brat, multi_span and single_span is less than 0.15",
        f"the largest is {worst} with {spans[worst]:.2f}",
        spans[worst] < 0.15,
    )
    beaten = [
        f"{row['dataset']} ({max(row['ours 7best'], row['ours conv_term']):.2f} against {row['UniNER']:.2f})"
        for row in paper.tables["Table 5"].rows
        if row["UniNER"] is not None and max(row["ours 7best"], row["ours conv_term"]) > row["UniNER"]
    ]
    yield Check(
        paper.name,
        "section 5.2 on Table 5",
        "UniNER slightly outperforms all our models on each dataset",
        f"not on {', '.join(beaten)}" if beaten else "so it is",
        not beaten,
    )
    for model in ("Qwen", "Llama"):
        rows = paper.tables["Table 9"].rows
        for label, ratios in (
            ("gCO2e a kWh", [row[f"{model} gCO2e"] / row[f"{model} kWh"] for row in rows]),
            ("kWh an hour", [row[f"{model} kWh"] / _hours(row[f"{model} time"]) for row in rows]),
        ):
            spread = (max(ratios) - min(ratios)) / min(ratios)
            yield Check(
                paper.name,
                f"Table 9, {model}",
                f"{label}: one rate for all rows",
                f"{min(ratios):.2f} to {max(ratios):.2f}",
                spread < 0.02,
            )


def _hours(clock: str) -> float:
    hours, minutes, seconds = map(int, clock.split(":"))
    return hours + minutes / 60 + seconds / 3600


def _ra_it(paper: Paper) -> Iterator[Check]:
    for table in paper.tables.values():
        # the values averaged were rounded, and so was their mean: a whole last digit may differ
        digit = 0.1 if table.id == "Table 4" else 0.01
        for row in table.rows:
            yield _average(paper, table, row, digit)
    yield from _swapped(paper)
    for name, source, language in (("Table 6", "Table 1", "English"), ("Table 7", "Table 2", "Chinese")):
        vanilla = {row["size"]: row for row in paper.tables[source].rows if row["method"] == "Vanilla IT"}
        table = paper.tables[name]
        same = [
            row["size"]
            for row in table.rows
            if row["method"] == "RA-IT"
            and row["size"] in vanilla
            and table.values(row) == paper.tables[source].values(vanilla[row["size"]])
        ]
        yield Check(
            paper.name,
            f"{name}, {language}",
            "rows named RA-IT",
            f"the rows for {' and '.join(same)} are {source}'s Vanilla IT rows, to the digit"
            if same
            else "so they are",
            not same,
        )
    for name, source in (("Table 10", "Table 1"), ("Table 11", "Table 2")):
        ours = next(r for r in paper.tables[name].rows if (r["ratio"], r["examples"]) == ("1", "0"))
        main = next(r for r in paper.tables[source].rows if (r["size"], r["method"]) == ("5K", "RA-IT"))
        yield Check(
            paper.name,
            f"{name}, ratio 1 without examples",
            f"average {ours['Avg.']:.2f}",
            f"the same setting (5K, nearest neighbours, no examples at inference) has {main['Avg.']:.2f} in {source}",
            ours["Avg."] == main["Avg."],
        )
    yield _best_size(paper)


def _average(paper: Paper, table: Table, row: dict[str, Any], digit: float) -> Check:
    values = table.values(row)
    mean = float(np.mean(list(values.values())))
    found = _close(paper, f"{table.id}, {table.name(row)}", "average", row[table.average], mean, digit)
    if not found.ok and (mended := _mended_average(table, row)):
        return Check(found.paper, found.where, found.printed, f"{found.computed}; {mended}", False)
    return found


def _mended_average(table: Table, row: dict[str, Any]) -> str:
    """Explain a row whose last value repeats an earlier one while the average column holds what belongs there."""
    values = table.values(row)
    *others, last = values
    twin = next((name for name in others if values[name] == values[last]), None)
    if twin is None:
        return ""
    mean = np.mean([*(values[name] for name in others), row[table.average]])
    return (
        f"{last} repeats {twin}'s {values[last]:.2f}: columns swapped. If the {row[table.average]:.2f} in the average "
        f"column is {last}, the average is {mean:.2f}"
    )


def _swapped(paper: Paper) -> Iterator[Check]:
    """Rows that hold another table's values under other headings."""
    settings = {
        ("Table 9", ("Vanilla IT", "-")): ("Table 1", ("5K", "Vanilla IT")),
        ("Table 9", ("RA-IT", "2")): ("Table 1", ("5K", "RA-IT")),
        ("Table 8", ("Vanilla IT", "-")): ("Table 2", ("5K", "Vanilla IT")),
        ("Table 8", ("RA-IT", "2")): ("Table 2", ("5K", "RA-IT")),
        ("Table 10", ("Vanilla IT", "-", "-")): ("Table 1", ("5K", "Vanilla IT")),
        ("Table 11", ("Vanilla IT", "-", "-")): ("Table 2", ("5K", "Vanilla IT")),
    }
    for (name, key), (source_name, source_key) in settings.items():
        table, source = paper.tables[name], paper.tables[source_name]
        values = table.values(_row(table, key))
        right = source.values(_row(source, source_key))
        same_numbers = sorted(values.values()) == sorted(right.values())
        order = [next(c for c in right if right[c] == value) for value in values.values()] if same_numbers else []
        agrees = values == right
        said = (
            "as printed there" if agrees else f"{source_name}'s numbers under other headings: the columns are swapped"
        )
        if same_numbers and not agrees:
            said += f"; the values stand in the order {', '.join(order)}"
        elif not same_numbers:
            said = "other numbers"
        yield Check(
            paper.name, f"{name}, {table.name(_row(table, key))}", f"the row of {source_name}, 5K", said, agrees
        )


def _row(table: Table, key: Sequence[str]) -> dict[str, Any]:
    return next(row for row in table.rows if tuple(row[column] for column in table.key) == tuple(key))


def _best_size(paper: Paper) -> Check:
    """Appendix E says that Chinese results improve up to 30K; with the swapped averages put right they do not."""
    table = paper.tables["Table 7"]
    averages = {}
    for row in table.rows:
        if row["method"] == "RA-IT":
            values = list(table.values(row).values())
            # the two largest sizes hold the last benchmark in the average column
            swapped = values[-1] in values[:-1]
            averages[row["size"]] = float(np.mean([*values[:-1], row["Avg."]] if swapped else values))
    best = max(averages, key=averages.__getitem__)
    return Check(
        paper.name,
        "appendix E on Table 7",
        "in Chinese the results improve up to 30K",
        f"with the averages put right the best is {best} ({averages[best]:.2f}); 30K has {averages['30K']:.2f}",
        best == "30K",
    )


def _close(paper: Paper, where: str, what: str, printed: float, computed: float, within: float) -> Check:
    ok = abs(printed - computed) <= within + _ROUNDED
    return Check(paper.name, where, f"{what} {printed:g}", f"{computed:.5g}", bool(ok))


def _within(paper: Paper, where: str, what: str, printed: float, low: float, high: float, step: float) -> Check:
    ok = low - step - _ROUNDED <= printed <= high + step + _ROUNDED
    return Check(paper.name, where, f"{what} {printed:g}", f"{low:.4g} to {high:.4g}", bool(ok))


def _harmonic_range(precision: float, recall: float, step: float) -> tuple[float, float]:
    """The F1 values that precision and recall allow when each was rounded by up to `step`."""
    low, high = ((max(precision + s, 0.0), max(recall + s, 0.0)) for s in (-step, step))
    return 2 * low[0] * low[1] / (sum(low) or 1.0), 2 * high[0] * high[1] / (sum(high) or 1.0)


# -- beside what was measured -------------------------------------------------------------------------------------


def beside_measured(measured: pd.DataFrame, papers: Iterable[Paper] | None = None) -> pd.DataFrame:
    """Published values next to the measured ones of the same task, metric and scale or base model.

    measured: the table of eval.stats.intervals. Columns: paper, where, row, published, task, metric, system, base_model,
    measured, low, high, note. Published values without a measured partner are left out, and so are papers without a
    common task.
    """
    rows: list[dict[str, Any]] = []
    for paper in load_papers().values() if papers is None else papers:
        for table in paper.tables.values():
            if table.measured:
                for row in table.rows:
                    share = row[table.measured["value"]] / row["of"]
                    rows += _partners(measured, paper.name, table, table.name(row), row, share, "")
        if paper.name == "ETLCH":
            rows += _recovered_partners(measured, paper)
    columns = [
        "paper",
        "where",
        "row",
        "published",
        "task",
        "metric",
        "system",
        "base_model",
        "measured",
        "low",
        "high",
        "note",
    ]
    return pd.DataFrame(rows, columns=columns)


def _recovered_partners(measured: pd.DataFrame, paper: Paper) -> list[dict[str, Any]]:
    stated = {row["system"] for row in paper.tables["Figure 3"].rows}
    rows: list[dict[str, Any]] = []
    for row in paper.tables["Figure 3, p-values"].rows:
        if row["baseline"] not in stated and measured["base_model"].str.contains(row["base_model"], regex=False).any():
            count, _ = recovered_counts(paper)[row["baseline"]]
            note = f"{count} of 300 worked out from the printed p-value"
            rows += _partners(measured, paper.name, paper.tables["Figure 3"], row["baseline"], row, count / 300, note)
    return rows


def _partners(
    measured: pd.DataFrame, paper: str, table: Table, name: str, row: dict[str, Any], share: float, note: str
) -> Iterator[dict[str, Any]]:
    rule = table.measured or {}
    found = measured[(measured["task"] == rule["task"]) & (measured["metric"] == rule["metric"]) & (measured["n"] > 0)]
    if rule["by"] == "scale":
        found = found[found["scale"] == row["scale"]]
    else:
        found = found[(found["scale"] == 0) & found["base_model"].str.contains(row["base_model"], regex=False)]
    for partner in found.itertuples():
        other = "" if rule["by"] != "scale" or "Llama-3.2-1B" in partner.base_model else "another base model"
        yield {
            "paper": paper,
            "where": table.id,
            "row": name,
            "published": share,
            "task": partner.task,
            "metric": partner.metric,
            "system": partner.system,
            "base_model": partner.base_model,
            "measured": partner.score,
            "low": partner.low,
            "high": partner.high,
            "note": "; ".join(filter(None, [note, other])),
        }


# -- terminal -----------------------------------------------------------------------------------------------------


def told(everything: bool = False, folder: str | Path = FOLDER) -> str:
    """What was recomputed, paper by paper, and what does not add up; `everything` also lists what does."""
    return "\n".join(line for paper in load_papers(folder).values() for line in _told(paper, everything))


def _told(paper: Paper, everything: bool) -> Iterator[str]:
    checks = check(paper)
    good = [c for c in checks if c.ok]
    bad = [c for c in checks if not c.ok]
    values = sum(len(table.rows) * (len(table.columns) - len(table.key)) for table in paper.tables.values())
    yield f"{paper.name}: {paper.title}"
    yield f"  {len(paper.tables)} tables, {values} values; {len(checks)} statements recomputed, {len(good)} add up, {len(bad)} do not"
    for found in good if everything else ():
        yield f"  ok    {found.where}: {found.printed}; computed {found.computed}"
    for found in bad:
        yield f"  WRONG {found.where}: {found.printed}"
        yield f"        {found.computed}"
    for remark in paper.remarks:
        yield f"  NOTE  {remark['where']}: {remark['says']}"
        yield f"        {remark['but']}"
    yield ""

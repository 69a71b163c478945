"""The papers' own numbers (`published/*.yaml`) and the measured ones beside them; published/recompute.py checks them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from etlch import yamlfile
from etlch.errors import EtlchError
from etlch.yamlfile import YamlFile

FOLDER = Path(__file__).resolve().parent.parent / "published"
_EXPECTED = "paper, title, authors and tables with id, title, key, columns and rows"
_COLUMNS = [
    *("paper", "where", "row", "published", "task", "metric", "system", "base_model"),
    *("measured", "low", "high", "note"),
]


@dataclass(frozen=True, slots=True)
class Table:
    """A published table: rows as mappings from column to value (None where the paper has a dash).

    average: the column with each row's mean. measured: what of it can be measured here: `task`, `metric`, `value` (the
    column that holds a count of column `of`), `by` (scale or base_model: whose row it is), perhaps `where` and `note`.
    """

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
    """One file of `published/`. checks: see published/recompute.py."""

    name: str
    title: str
    authors: str
    tables: dict[str, Table]
    remarks: list[dict[str, str]]
    checks: list[dict[str, Any]]


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
        return Paper(*head, tables, data.get("remarks", []), data.get("checks", []))
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
    rows = [dict(zip(columns, row, strict=True)) for row in entry["rows"]]
    key, more = tuple(entry["key"]), (entry.get("average"), entry.get("measured"))
    return Table(entry["id"], entry["title"], key, columns, rows, *more)


def load_papers(folder: str | Path = FOLDER) -> dict[str, Paper]:
    """Every paper of the folder by name, in order of file names."""
    paths = sorted(Path(folder).glob("*.yaml"))
    if not paths:
        raise EtlchError(f"{folder}: no published numbers (expected *.yaml)")
    return {paper.name: paper for paper in map(load_paper, paths)}


def beside_measured(measured: pd.DataFrame, papers: Iterable[Paper] | None = None) -> pd.DataFrame:
    """Published values next to the measured ones of the same task, metric and scale or base model.

    measured: the table of eval.stats.intervals. Published values without a measured partner are left out.
    """
    rows = [
        partner
        for paper in (load_papers().values() if papers is None else papers)
        for table in paper.tables.values()
        for row in (table.rows if table.measured else ())
        if row[table.measured["value"]] is not None
        for partner in _partners(measured, paper.name, table, row)
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _partners(measured: pd.DataFrame, paper: str, table: Table, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    rule, by_scale = table.measured, table.measured["by"] == "scale"
    found = measured[(measured["task"] == rule["task"]) & (measured["metric"] == rule["metric"]) & (measured["n"] > 0)]
    if by_scale:
        found = found[found["scale"] == row["scale"]]
    else:
        found = found[(found["scale"] == 0) & found["base_model"].str.contains(row["base_model"], regex=False)]
    for partner in found.to_dict("records"):
        other = "another base model" if by_scale and "Llama-3.2-1B" not in partner["base_model"] else ""
        yield partner | {
            "paper": paper,
            "where": rule.get("where", table.id),
            "row": table.name(row),
            "published": row[rule["value"]] / row["of"],
            "measured": partner["score"],
            "note": rule.get("note", "").format(**row) or other,
        }

"""The papers' own numbers (`published/*.yaml`) and the measured ones beside them; published/recompute.py checks them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from etlch import yamlfile
from etlch.errors import EtlchError
from eval.names import is_floor

FOLDER = Path(__file__).resolve().parent.parent / "published"
_EXPECTED = "paper, title, authors and tables with id, title, key, columns and rows"
_COLUMNS = [
    *("paper", "where", "row", "published", "task", "metric", "system", "base_model", "measured", "low", "high", "note")
]


@dataclass(frozen=True, slots=True)
class PublishedTable:
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
    tables: dict[str, PublishedTable]
    remarks: list[dict[str, str]]
    checks: list[dict[str, Any]]


def load_paper(path: str | Path) -> Paper:
    """Read one file. Raises EtlchError naming file and line, and table and row when a row does not fit its columns."""
    file = yamlfile.read(path, _EXPECTED)
    data, at, tables = file.data, file.where(), {}
    try:
        head = data["paper"], data["title"], data["authors"]
        for number, entry in enumerate(data["tables"]):
            at = file.where("tables", number)
            names, rows = tuple(entry["columns"]), entry["rows"]
            for n, row in enumerate(rows):
                if len(row) != len(names):
                    raise EtlchError(
                        f"{file.where('tables', number, 'rows', n)}: {entry['id']}: row {n + 1} has {len(row)} values "
                        f"(expected {len(names)}: {', '.join(names)})"
                    )
            rows = [dict(zip(names, row, strict=True)) for row in rows]
            known = entry["id"], entry["title"], tuple(entry["key"]), names, rows
            tables[entry["id"]] = PublishedTable(*known, entry.get("average"), entry.get("measured"))
    except (KeyError, TypeError) as error:
        raise EtlchError(f"{at}: {error} is missing or of the wrong kind (expected {_EXPECTED})") from None
    return Paper(*head, tables, data.get("remarks", []), data.get("checks", []))


def load_papers() -> dict[str, Paper]:
    """Every paper of `published/` by name, in order of file names."""
    papers = map(load_paper, sorted(FOLDER.glob("*.yaml")))
    return {paper.name: paper for paper in papers}


def beside_measured(measured: pd.DataFrame) -> pd.DataFrame:
    """Published values next to the measured ones of the same task, metric and scale or base model.

    measured: the table of eval.stats.intervals. Published values without a measured partner are left out.
    """
    rows = []
    models = measured[~measured["system"].map(is_floor).astype(bool)]
    for paper in load_papers().values():
        for table in paper.tables.values():
            rule = table.measured or {"task": ""}
            same = models[(models["task"] == rule["task"]) & (models["n"] > 0)]
            for row in table.rows if len(same) else ():
                if row[rule["value"]] is not None:
                    rows += _partners(same[same["metric"] == rule["metric"]], paper.name, table, row)
    return pd.DataFrame(rows, columns=_COLUMNS)


def _partners(found: pd.DataFrame, paper: str, table: PublishedTable, row: dict[str, Any]) -> list[dict[str, Any]]:
    rule, by_scale = table.measured, table.measured["by"] == "scale"
    if by_scale:
        found = found[found["scale"] == row["scale"]]
    else:
        found = found[(found["scale"] == 0) & found["base_model"].str.contains(row["base_model"], regex=False)]
    other = [by_scale and "Llama-3.2-1B" not in name for name in found["base_model"]]
    note = rule.get("note", "").format(**row)
    about = {"paper": paper, "where": rule.get("where", table.id), "row": table.name(row)}
    about |= {"published": row[rule["value"]] / row["of"], "measured": found["score"]}
    return found.assign(**about, note=[note or "another base model" * is_other for is_other in other]).to_dict(
        "records"
    )

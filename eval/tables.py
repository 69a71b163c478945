"""One table, many forms: text for the terminal, Markdown, LaTeX (booktabs) to paste, CSV; HTML is made by report.html."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

ABSENT = "n/a"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a shown table.

    kind: `text`; `count`; `score` (share shown in percent, with `<key>_low` and `<key>_high` where the row has them);
    `points` (difference of shares in percentage points, likewise); `p` (with `<key>_ends`, see `p_text`).
    """

    key: str
    heading: str
    kind: str = "text"
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table to show. `name` is its id and file stem."""

    name: str
    heading: str
    columns: Sequence[Column]
    rows: list[dict[str, Any]]
    note: str = ""

    def cells(self) -> list[list[tuple[str, str]]]:
        """What each cell shows: the value and, for scores with an interval, the interval (else "")."""
        return [[cell(row, column) for column in self.columns] for row in self.rows]

    def texts(self) -> tuple[list[str], list[list[str]]]:
        """Headings, and rows with the interval behind the value."""
        return [c.heading for c in self.columns], [
            [" ".join(filter(None, shown)) for shown in row] for row in self.cells()
        ]


def p_text(p: float, ends: bool = False) -> str:
    """A p-value in three decimals; ends: the test cannot give a smaller one, so it is shown as at most that."""
    return "<0.001" if p < 0.001 else f"{'≤' * bool(ends)}{p:.3f}"


def percent(share: float, signed: bool = False) -> str:
    """A share in percent with one decimal and a true minus sign."""
    text = f"{100 * share:+.1f}" if signed else f"{100 * share:.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def cell(row: dict[str, Any], column: Column) -> tuple[str, str]:
    """The value of a cell and its interval, as they are shown."""
    value = row.get(column.key)
    if pd.isna(value) or value == "":
        return ("" if column.kind == "text" else ABSENT), ""
    if column.kind in ("score", "points"):
        signed = column.kind == "points"
        ends = [row.get(f"{column.key}_{end}") for end in ("low", "high")]
        span = "" if any(map(pd.isna, ends)) else f"[{', '.join(percent(end, signed) for end in ends)}]"
        return percent(value, signed), span
    if column.kind == "p":
        return p_text(value, row.get(f"{column.key}_ends", False)), ""
    return f"{int(value):,}" if column.kind == "count" else str(value), ""


def printable(text: str, other: str = " ") -> str:
    """The text with control characters replaced."""
    return "".join(c if c.isprintable() else other for c in text)


def width(text: str) -> int:
    """Columns a text takes in a terminal: two for a wide character, none for a combining one."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def to_text(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned first column, right-aligned others, a rule below the head. Control characters become `?`."""
    cells = [[printable(cell, "?") for cell in row] for row in [head, *rows]]
    widths = [max(width(row[n]) for row in cells) for n in range(len(head))]
    lines = []
    for row in cells:
        pads = [" " * (size - width(cell)) for cell, size in zip(row, widths, strict=True)]
        parts = [row[0] + pads[0], *(pad + cell for cell, pad in zip(row[1:], pads[1:], strict=True))]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "  ".join("-" * size for size in widths))
    return "\n".join(lines)


_MARKDOWN = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#"})


def plain(text: str) -> str:
    """Text that Markdown shows as it stands."""
    return printable(text).translate(_MARKDOWN)


def to_markdown(table: Table) -> str:
    """A GitHub table with its heading above."""
    head, *rows = (f"| {' | '.join(map(plain, row))} |" for row in (table.texts()[0], *table.texts()[1]))
    rule = "|" + "|".join(" :-- " if c.kind == "text" else " --: " for c in table.columns) + "|"
    note = ["", plain(table.note)] if table.note else []
    return "\n".join([f"### {plain(table.heading)}", "", head, rule, *rows, *note]) + "\n"


_LATEX = str.maketrans(
    {mark: f"\\{mark}" for mark in "{}$&#_%"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": "$<$", ">": "$>$", "−": "$-$"}
)


def to_latex(table: Table) -> str:
    """A booktabs table with caption and label; intervals small. Needs \\usepackage{booktabs}."""
    rows = [
        [_latex(text) + (rf" {{\scriptsize {_latex(span)}}}" if span else "") for text, span in row]
        for row in table.cells()
    ]
    return pd.DataFrame(rows, columns=[_latex(column.heading) for column in table.columns]).to_latex(
        index=False,
        escape=False,
        position="t",
        column_format="".join("l" if column.kind == "text" else "r" for column in table.columns),
        caption=_latex(table.heading),
        label=f"tab:{table.name}",
    )


def _latex(text: str) -> str:
    return printable(text).translate(_LATEX)


def to_csv(frame: pd.DataFrame) -> str:
    """A frame with ten significant digits and LF line ends: the same input gives the same bytes."""
    return frame.to_csv(index=False, float_format="%.10g", lineterminator="\n")

"""One table, four forms: HTML to sort and read, Markdown, LaTeX (booktabs) to paste, CSV for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pandas as pd

ABSENT = "n/a"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a shown table.

    kind: `text`; `count`; `score` (share shown in percent, with `<key>_low` and `<key>_high` where the row has them);
    `points` (difference of shares in percentage points, likewise); `p`; `number` (two decimals).
    """

    key: str
    heading: str
    kind: str = "text"
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table to show. `name` is its id and file stem; `marks` names the keys by which rows are filtered."""

    name: str
    heading: str
    columns: Sequence[Column]
    rows: list[dict[str, Any]]
    note: str = ""
    marks: tuple[str, ...] = field(default=())


def is_absent(value: Any) -> bool:
    """None, NaN and the empty string."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def p_text(p: float) -> str:
    """A p-value in three decimals."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float, signed: bool = False) -> str:
    """A share in percent with one decimal and a true minus sign."""
    text = f"{100 * share:+.1f}" if signed else f"{100 * share:.1f}"
    if float(text) == 0:
        return "0.0"
    return text.replace("-", "−")


def cell(row: dict[str, Any], column: Column) -> tuple[str, str]:
    """What a cell shows: the value and, for scores with an interval, the interval (else "")."""
    value = row.get(column.key)
    if is_absent(value):
        return ("" if column.kind == "text" else ABSENT), ""
    if column.kind in ("score", "points"):
        signed = column.kind == "points"
        low, high = row.get(f"{column.key}_low"), row.get(f"{column.key}_high")
        span = "" if is_absent(low) or is_absent(high) else f"[{percent(low, signed)}, {percent(high, signed)}]"
        return percent(value, signed), span
    if column.kind == "p":
        return p_text(value), ""
    if column.kind == "number":
        return f"{value:.2f}".replace("-", "−"), ""
    if column.kind == "count":
        return f"{int(value):,}", ""
    return str(value), ""


def to_rows(table: Table) -> list[list[Any]]:
    """The rows as the page's script builds them when they are asked for: marks, then a list of [text, interval, key]."""
    rows = []
    for row in table.rows:
        cells = [[*cell(row, column), _sort_key(row, column)] for column in table.columns]
        rows.append([*(str(row.get(name, "")) for name in table.marks), cells])
    return rows


def _sort_key(row: dict[str, Any], column: Column) -> float | None:
    """The number by which a cell is sorted; None where its text is."""
    value = row.get(column.key)
    return None if column.kind == "text" or is_absent(value) else float(f"{float(value):.6g}")


def to_html(table: Table) -> str:
    """A table whose columns can be sorted by the page's script; everything escaped."""
    head = "".join(
        f'<th scope="col"{"" if c.kind == "text" else " class=n"}{f" title={_quote(c.hint)}" if c.hint else ""}>'
        f'<button type="button">{escape(c.heading)}</button></th>'
        for c in table.columns
    )
    body = []
    for row in table.rows:
        cells = []
        for number, column in enumerate(table.columns):
            text, span = cell(row, column)
            key = _sort_key(row, column)
            sort = "" if key is None else f' data-v="{key:.6g}"'
            shown = escape(text) + (f' <small class="ci">{escape(span)}</small>' if span else "")
            kind = "" if column.kind == "text" else ' class="n"'
            cells.append(f"<th scope=row>{shown}</th>" if number == 0 else f"<td{kind}{sort}>{shown}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    note = f"<p class=note>{escape(table.note)}</p>" if table.note else ""
    return (
        f'<div class=scroll tabindex=0 role=region aria-label={_quote(table.heading)}><table class=sortable id="t-{escape(table.name)}">'
        f"<caption>{escape(table.heading)}</caption><thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(body)
        + f"\n</tbody></table></div>{note}"
    )


def _quote(text: str) -> str:
    return f'"{escape(text)}"'


def to_markdown(table: Table) -> str:
    """A GitHub table with its heading above."""
    lines = [f"### {_markdown(table.heading)}", ""]
    lines.append("| " + " | ".join(_markdown(c.heading) for c in table.columns) + " |")
    lines.append("|" + "|".join(" :-- " if c.kind == "text" else " --: " for c in table.columns) + "|")
    for row in table.rows:
        cells = [" ".join(filter(None, cell(row, c))) for c in table.columns]
        lines.append("| " + " | ".join(map(_markdown, cells)) + " |")
    if table.note:
        lines += ["", _markdown(table.note)]
    return "\n".join(lines) + "\n"


def _markdown(text: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in text)
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, "\\" + mark)
    return text


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "−": r"$-$",
}


def to_latex(table: Table) -> str:
    """A booktabs table with caption and label; intervals small. Needs \\usepackage{booktabs}."""
    form = "".join("l" if c.kind == "text" else "r" for c in table.columns)
    lines = [
        r"\begin{table}[t]",
        r"\centering\small",
        rf"\caption{{{_latex(table.heading)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{form}}}",
        r"\toprule",
        " & ".join(_latex(c.heading) for c in table.columns) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        cells = []
        for column in table.columns:
            text, span = cell(row, column)
            cells.append(_latex(text) + (rf" {{\scriptsize {_latex(span)}}}" if span else ""))
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c if c.isprintable() else " ") for c in text)


def to_csv(frame: pd.DataFrame) -> str:
    """A frame with ten significant digits and LF line ends: the same input gives the same bytes."""
    return frame.to_csv(index=False, float_format="%.10g", lineterminator="\n")

"""CSV, TSV and Parquet: a text column, and columns of lists that become the record's fields (or its entities).

A list in a CSV cell is JSON (`["a", "b"]`), Python as pandas writes it (`['a', 'b']`), or parts between the mark that
`--list-separator` names. Parquet has lists of its own.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError
from etlch.sources.base import Draft, Options, Reader, Report, Sample, make_id, open_text
from etlch.sources.bio import tag_columns
from etlch.sources.spans import Mention
from etlch.sources.text_files import split_lines

_TEXT = ("text", "article", "sentence", "content", "內容", "文章", "文本")
_OWN = ("id", "lang", "theme")
_AS = ("json_fields", "json_entities")

Row = dict[str, Any]


def _read_csv(path: Path, options: Options, report: Report) -> Iterator[Draft]:
    text = open_text(path, options, report)
    csv.field_size_limit(sys.maxsize)
    delimiter = max(",;\t|", key=text.lstrip("\r\n").splitlines()[0].count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header: list[str] = []
    rows = []
    while True:
        where = f"{path}:{lines.line_num + 1}"
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise EtlchError(f"{where}: not CSV ({error})") from None
        if cells is None:
            return _drafts(path, header, rows, options, report)
        if not header:
            header = [cell.strip() for cell in cells]
            if twice := [name for name in header if header.count(name) > 1]:
                raise EtlchError(f"{path}:1: the column {twice[0]!r} stands twice (expected names of their own)")
        elif cells and len(cells) != len(header):
            shown = delimiter.join(cells)[:60]
            report.refuse([(where, f"found {len(cells)} cells: {shown!r} (expected {len(header)}, as the header has)")])
        elif cells:
            rows.append((where, dict(zip(header, cells, strict=True))))


def _read_parquet(path: Path, options: Options, report: Report) -> Iterator[Draft]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise EtlchError(f"{path}: not Parquet ({str(error).splitlines()[0]})") from None
    rows = [(f"{path}: row {number}", row) for number, row in enumerate(table.to_pylist(), start=1)]
    if not rows:
        raise EtlchError(f"{path}: the file has no rows (expected at least one)")
    return _drafts(path, table.column_names, rows, options, report)


def _drafts(
    path: Path, header: list[str], rows: list[tuple[str, Row]], options: Options, report: Report
) -> Iterator[Draft]:
    text = options.text_column or next((name for name in _TEXT if name in header), "")
    if text not in header:
        found = f"no column {text!r}" if text else f"none of {', '.join(_TEXT)}"
        raise EtlchError(f"{path}:1: {found} (the columns are {', '.join(header)}: --text-column names the text's)")
    lists = _list_columns(path, header, rows, text, options)
    if options.answer_format not in ("", *_AS):
        expected = f"one of {', '.join(_AS)} for a table"
        raise EtlchError(f"--answer-format: found {options.answer_format!r} (expected {expected})")
    report.note(f"columns of lists: {', '.join(lists) or 'none'}", f"{path}:1")
    for number, (where, row) in enumerate(rows, start=1):
        draft = Draft(where, make_id(options, path, number, row.get("id")), row[text] or "")
        draft.lang, draft.theme = (str(row.get(name) or "") for name in ("lang", "theme"))
        for column in lists:
            try:
                values = _list(row[column], options)
            except EtlchError as error:
                draft.problems.append((where, f"{column}: {error}"))
                continue
            if options.answer_format == "json_entities":
                draft.mentions += [Mention(column, (), value, where) for value in values]
            else:
                draft.fields[column] = values
        yield draft


def _list_columns(path: Path, header: list[str], rows: list[tuple[str, Row]], text: str, options: Options) -> list[str]:
    """The columns asked for, else those in which every cell that is not empty holds a list."""
    if unknown := [name for name in options.columns if name not in header]:
        raise EtlchError(f"--columns: found {unknown[0]!r} (the columns of {path} are {', '.join(header)})")
    if options.columns:
        return list(options.columns)
    others = [name for name in header if name not in (text, *_OWN)]
    return [name for name in others if options.list_separator or _all_lists([row[name] for _, row in rows])]


def _all_lists(cells: list[Any]) -> bool:
    full = [cell for cell in cells if cell not in (None, "")]
    return bool(full) and all(isinstance(c, list) or (isinstance(c, str) and c.lstrip()[:1] == "[") for c in full)


def _list(cell: Any, options: Options) -> list[str]:
    """The strings of one cell; numbers as they are written. Raises EtlchError for anything else."""
    if cell is None or cell == "":
        return []
    if isinstance(cell, str):
        cell = _list_in(cell, options.list_separator)
    values = cell if isinstance(cell, list) else [cell]
    for value in values:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise EtlchError(f"found {value!r:.60} in a list (expected strings)")
    return list(map(str, values))


def _list_in(cell: str, separator: str) -> Any:
    if separator:
        return [part.strip() for part in cell.split(separator) if part.strip()]
    if not cell.lstrip().startswith("["):
        return [cell]
    for decode in (json.loads, ast.literal_eval):
        try:
            return decode(cell.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    raise EtlchError(f"found {cell[:60]!r} (expected a list as JSON or Python writes it, or --list-separator)")


def _sniff_csv(sample: Sample) -> str:
    if sample.path.suffix == ".csv":
        return "the name ends in .csv"
    table = sample.path.suffix == ".tsv" and not tag_columns(split_lines(sample.head))
    return "the name ends in .tsv and no column holds tags" if table else ""


def _sniff_parquet(sample: Sample) -> str:
    return "the file begins with Parquet's mark" if sample.magic == b"PAR1" else ""


_OPTIONS = ("text_column", "columns", "list_separator", "answer_format")
CSV = Reader(
    name="csv",
    what="CSV or TSV with a header: a text column, columns of lists",
    example="etlch import articles.csv --text-column 內容 --columns 人物,地點 --list-separator 、 --out records.jsonl",
    sniff=_sniff_csv,
    read=_read_csv,
    options=_OPTIONS,
)
PARQUET = Reader(
    name="parquet",
    what="Parquet with a text column and list columns",
    example="etlch import train.parquet --text-column text --out records.jsonl",
    sniff=_sniff_parquet,
    read=_read_parquet,
    options=_OPTIONS,
)
READERS = (CSV, PARQUET)

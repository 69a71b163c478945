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
    rows, header = _csv_rows(path, text, report)
    return _drafts(path, header, rows, options, report)


def _csv_rows(path: Path, text: str, report: Report) -> tuple[list[tuple[str, Row]], list[str]]:
    """(file:line, cells by column) for each row that has as many cells as the header."""
    csv.field_size_limit(sys.maxsize)
    first = text.lstrip("\r\n").splitlines()[0]
    delimiter = max(",;\t|", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header: list[str] = []
    rows = []
    while True:
        where = f"{path}:{reader.line_num + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise EtlchError(f"{where}: not CSV ({error})") from None
        if cells is None:
            return rows, header
        if not header:
            header = _header(path, cells)
        elif cells and len(cells) != len(header):
            shown = delimiter.join(cells)[:60]
            report.refuse([(where, f"found {len(cells)} cells: {shown!r} (expected {len(header)}, as the header has)")])
        elif cells:
            rows.append((where, dict(zip(header, cells, strict=True))))


def _header(path: Path, cells: list[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise EtlchError(f"{path}:1: the column {twice!r} stands twice (expected names of their own)")
    return header


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
    text_column = _text_column(path, header, options)
    lists = _list_columns(path, header, rows, text_column, options)
    if options.answer_format not in ("", *_AS):
        raise EtlchError(
            f"--answer-format: found {options.answer_format!r} (expected one of {', '.join(_AS)} for a table)"
        )
    report.note(f"columns of lists: {', '.join(lists) or 'none'}", f"{path}:1")
    for number, (where, row) in enumerate(rows, start=1):
        draft = Draft(where, make_id(options, path, number, row.get("id")), row[text_column] or "")
        draft.lang, draft.theme = (str(row.get(name) or "") for name in ("lang", "theme"))
        for column in lists:
            try:
                _add_list(draft, column, _list(row[column], options), options)
            except EtlchError as error:
                draft.problems.append((where, f"{column}: {error}"))
        yield draft


def _add_list(draft: Draft, column: str, values: list[str], options: Options) -> None:
    if options.answer_format == "json_entities":
        draft.mentions += [Mention(column, (), value, draft.where) for value in values]
    else:
        draft.fields[column] = values


def _text_column(path: Path, header: list[str], options: Options) -> str:
    wanted = options.text_column or next((name for name in _TEXT if name in header), "")
    if wanted not in header:
        found = f"no column {options.text_column!r}" if options.text_column else f"none of {', '.join(_TEXT)}"
        raise EtlchError(f"{path}:1: {found} (the columns are {', '.join(header)}: --text-column names the text's)")
    return wanted


def _list_columns(path: Path, header: list[str], rows: list[tuple[str, Row]], text: str, options: Options) -> list[str]:
    """The columns asked for, else those in which every cell that is not empty holds a list."""
    unknown = [name for name in options.columns if name not in header]
    if unknown:
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
    if not isinstance(cell, list):
        cell = [cell]
    bad = next((item for item in cell if not isinstance(item, str | int | float) or isinstance(item, bool)), None)
    if bad is not None:
        raise EtlchError(f"found {bad!r:.60} in a list (expected strings)")
    return [str(item) for item in cell]


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
    lines = [body for body, _ in split_lines(sample.head)]
    return (
        "the name ends in .tsv and no column holds tags"
        if sample.path.suffix == ".tsv" and not tag_columns(lines)
        else ""
    )


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

"""Rows of a JSON array or of JSON lines, each with its file:line; what the JSON readers share."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError
from etlch.sources.base import Draft, Options, Report, make_id, open_text
from etlch.sources.spans import Span
from etlch.sources.text_files import split_lines

Row = dict[str, Any]
_DECODER = json.JSONDecoder()
_BLANK = " \t\r\n"
_LOOKED_AT = 100_000  # characters of a line, to tell lines from one array
_BETWEEN = re.compile(r"[ \t\r\n,]*")


def each_row(
    make: Callable[[Any, str, Options, Report], Draft | None], path: Path, options: Options, report: Report
) -> Iterator[Draft]:
    """What `make(row, where, options, report)` makes of each row, its id completed; a row with an EtlchError is refused."""
    for number, (where, value) in enumerate(read_rows(path, options, report), start=1):
        try:
            draft = make(value, where, options, report)
        except EtlchError as error:
            report.refuse([(where, str(error))])
            continue
        if draft:
            draft.id = make_id(options, path, number, draft.id)
            yield draft


def read_rows(path: Path, options: Options, report: Report) -> Iterator[tuple[str, Any]]:
    """(file:line, decoded value) for each element of a JSON array, or each line that is not blank.

    A line that is not JSON is refused; in an array nothing can be read after the first mistake, which is said.
    """
    text = open_text(path, options, report)
    start = len(text) - len(text.lstrip(_BLANK))
    lines = split_lines(text)
    heads = islice((_parsed(body[:_LOOKED_AT]) for body in lines if body.strip()), 2)
    first, second = [*heads, None][:2]
    is_row = isinstance(first, list) and [type(item) for item in first] == [str, dict]  # spaCy's [text, {entities}]
    if text.startswith("[", start) and not is_row and (first is None or second is None):
        yield from _elements(path, text, start + 1, report)
    elif first is None and (whole := _parsed(text)) is not None:  # one object over several lines
        yield f"{path}:1", whole
    else:
        for number, line in enumerate(lines, start=1):
            try:
                if line.strip():
                    yield f"{path}:{number}", json.loads(line)
            except (ValueError, RecursionError) as error:
                whole = number < len(lines) or text.endswith(("\n", "\r"))
                cut = "" if whole else "; the line has no end, so the file may have been cut"
                report.refuse([(f"{path}:{number}", f"not JSON ({error}){cut}")])


def _parsed(text: str) -> Any:
    """The decoded value, or None when the text is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _elements(path: Path, text: str, position: int, report: Report) -> Iterator[tuple[str, Any]]:
    line = 1 + text.count("\n", 0, position)
    while True:
        start = _BETWEEN.match(text, position).end()
        line += text.count("\n", position, start)
        if text.startswith("]", start):
            return
        try:
            value, position = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            cut = "the array has no end, so the file may have been cut" if start >= len(text) else str(error)
            report.refuse([(f"{path}:{line}", f"not JSON ({cut}); nothing after this was read")])
            return
        yield f"{path}:{line}", value
        line += text.count("\n", start, position)


def object_at(value: Any, expected: str) -> Row:
    """The value when it is an object. Raises EtlchError saying what was expected."""
    if not isinstance(value, dict):
        raise EtlchError(f"found {type(value).__name__} (expected {expected})")
    return value


def text_of(row: Row, names: tuple[str, ...], wanted: str = "") -> str:
    """The text of a row: under `wanted` (--text-column), else under the first of `names` that is there."""
    name = wanted or next((n for n in names if n in row), names[0])
    value = row.get(name)
    if not isinstance(value, str):
        found = "nothing" if value is None else f"{value!r:.60}"
        raise EtlchError(
            f"{name}: found {found} (expected the text; the row has {', '.join(map(str, row))}: --text-column names another)"
        )
    return value


def list_at(row: Row, name: str) -> list[Any]:
    """The list under a name, empty when there is none. Raises EtlchError for anything else."""
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise EtlchError(f"{name}: found {value!r:.60} (expected a list)")
    return value


def span_of(start: Any, end: Any) -> Span:
    """A pair of whole numbers. Raises EtlchError for anything else."""
    if type(start) is not int or type(end) is not int:
        raise EtlchError(f"found the offsets {start!r:.20} and {end!r:.20} (expected whole numbers)")
    return start, end


def label_of(value: Any) -> str:
    """A label as a string. Raises EtlchError when it is empty or none."""
    if not isinstance(value, str) or not value:
        raise EtlchError(f"found the label {value!r:.60} (expected a string)")
    return value

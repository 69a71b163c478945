"""doccano's exports: JSONL rows with `label: [[start, end, type]]`, or `entities` with offsets and `relations`.

doccano counts offsets in the browser, so in UTF-16 units (doccano issues 2290 and 2484): an emoji before a mention
moves it by one. Rows made by a Python program count code points: `--offset-unit codepoint`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError
from etlch.sources.base import Draft, Options, Reader, Report, Sample, make_id
from etlch.sources.json_rows import Row, label_of, list_at, object_at, read_rows, span_of, text_of
from etlch.sources.spans import Mention, has_astral

_TEXT = ("text", "data")
_LABELS = ("label", "labels")


def _read(path: Path, options: Options, report: Report) -> tuple[Iterator[Draft], None]:
    return _drafts(path, options, report), None


def _drafts(path: Path, options: Options, report: Report) -> Iterator[Draft]:
    for number, (where, value) in enumerate(read_rows(path, options, report), start=1):
        try:
            row = object_at(value, "an object with text and label")
            draft = Draft(
                where, make_id(options, path, number, row.get("id")), text_of(row, _TEXT, options.text_column)
            )
            _add_labels(draft, row)
            _add_relations(draft, row)
        except EtlchError as error:
            report.refuse([(where, str(error))])
            continue
        if has_astral(draft.text) and draft.mentions and not options.offset_unit:
            report.note(
                "texts with an emoji or the like: offsets taken as UTF-16 units, as doccano counts (--offset-unit codepoint otherwise)",
                where,
            )
        yield draft


def _add_labels(draft: Draft, row: Row) -> None:
    there = [name for name in (*_LABELS, "entities") if row.get(name)]
    for name in there:
        draft.read_mentions(list_at(row, name), name, _mention)


def _mention(item: Any, where: str) -> Mention:
    if isinstance(item, list) and len(item) == 3:
        start, end, kind = item
        key = ""
    elif isinstance(item, dict) and "start_offset" in item:
        start, end, kind = item["start_offset"], item.get("end_offset"), item.get("label")
        key = str(item.get("id", ""))
    else:
        raise EtlchError(f"found {item!r:.60} (expected [start, end, type], or start_offset, end_offset and label)")
    return Mention(label_of(kind), (span_of(start, end),), None, where, key)


def _add_relations(draft: Draft, row: Row) -> None:
    for number, item in enumerate(list_at(row, "relations")):
        if isinstance(item, dict) and {"from_id", "to_id", "type"} <= set(item):
            draft.relations.append((str(item["from_id"]), label_of(item["type"]), str(item["to_id"])))
        else:
            draft.problems.append(
                (f"{draft.where}: relations[{number}]", f"found {item!r:.60} (expected from_id, to_id and type)")
            )


def _sniff(sample: Sample) -> str:
    rows = [row for row in sample.rows if isinstance(row, dict) and any(name in row for name in _TEXT)]
    if rows and all(any(_is_label(row.get(name)) for name in _LABELS) for row in rows):
        return "rows with a text and label: [[start, end, type]]"
    return "rows with start_offset" if any(_has_offsets(row) for row in rows) else ""


def _is_label(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, list) for item in value)


def _has_offsets(row: Row) -> bool:
    entities = row.get("entities")
    return isinstance(entities, list) and any(isinstance(e, dict) and "start_offset" in e for e in entities)


DOCCANO = Reader(
    name="doccano",
    what="doccano's JSONL export: sequence labelling, with or without relations",
    example="etlch import admin.jsonl --format doccano --out records.jsonl",
    sniff=_sniff,
    read=_read,
    options=("text_column", "offset_unit"),
    units=("utf16", "codepoint"),
)
READERS = (DOCCANO,)

"""doccano's exports: JSONL rows with `label: [[start, end, type]]`, or `entities` with offsets and `relations`.

doccano counts offsets in the browser, so in UTF-16 units (doccano issues 2290 and 2484): an emoji before a mention
moves it by one. Rows made by a Python program count code points: `--offset-unit codepoint`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from etlch.errors import EtlchError
from etlch.sources.base import Draft, Options, Reader, Report, Sample
from etlch.sources.json_rows import Row, each_row, label_of, list_at, object_at, span_of, text_of
from etlch.sources.spans import Mention, has_astral

_TEXT = ("text", "data")
_LABELS = ("label", "labels")


def _draft(value: Any, where: str, options: Options, report: Report) -> Draft:
    row = object_at(value, "an object with text and label")
    draft = Draft(where, row.get("id"), text_of(row, _TEXT, options.text_column))
    for name in (*_LABELS, "entities"):
        draft.each(list_at(row, name), name, lambda item, place: draft.mentions.append(_mention(item, place)))
    draft.each(list_at(row, "relations"), "relations", lambda item, _: draft.relations.append(_relation(item)))
    if has_astral(draft.text) and draft.mentions and not options.offset_unit:
        otherwise = "as doccano counts (--offset-unit codepoint otherwise)"
        report.note(f"texts with an emoji or the like: offsets taken as UTF-16 units, {otherwise}", where)
    return draft


def _mention(item: Any, where: str) -> Mention:
    if isinstance(item, list) and len(item) == 3:
        (start, end, kind), key = item, ""
    elif isinstance(item, dict) and "start_offset" in item:
        start, end, kind = item["start_offset"], item.get("end_offset"), item.get("label")
        key = str(item.get("id", ""))
    else:
        raise EtlchError(f"found {item!r:.60} (expected [start, end, type], or start_offset, end_offset and label)")
    return Mention(label_of(kind), (span_of(start, end),), None, where, key)


def _relation(item: Any) -> tuple[str, str, str]:
    if isinstance(item, dict) and {"from_id", "to_id", "type"} <= set(item):
        return str(item["from_id"]), label_of(item["type"]), str(item["to_id"])
    raise EtlchError(f"found {item!r:.60} (expected from_id, to_id and type)")


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
    read=partial(each_row, _draft),
    options=("text_column", "offset_unit"),
    units=("utf16", "codepoint"),
)
READERS = (DOCCANO,)

"""Records as JSONL, this project's own shape (see etlch/records.py)."""

from __future__ import annotations

from functools import partial
from typing import Any

from etlch.records import Record, dump_json, record_from_json
from etlch.sources.base import Draft, Options, Reader, Report, Sample, Written
from etlch.sources.json_rows import each_row, object_at
from etlch.sources.spans import Mention

_KEYS = {"id", "lang", "theme", "source", "text", "entities", "triples", "fields"}


def _draft(value: Any, where: str, options: Options, report: Report) -> Draft:
    """Check the shape without the offsets, which `settle` checks and mends."""
    row = bare = object_at(value, "a Record")
    if isinstance(row.get("entities"), list):
        bare = {**row, "entities": [{**e, "spans": []} if _has_spans(e) else e for e in row["entities"]]}
    record = record_from_json(bare)
    draft = Draft(where, record.id, record.text, triples=list(record.triples), fields=record.fields)
    draft.theme, draft.lang, draft.source = record.theme, record.lang, record.source
    for number, (entity, given) in enumerate(zip(record.entities, row.get("entities", ()), strict=True)):
        spans = tuple((start, end) for start, end in given.get("spans", ()))
        draft.mentions.append(Mention(entity.type, spans, entity.text, f"{where}: entities[{number}]"))
    return draft


def _has_spans(entity: Any) -> bool:
    """Whether an entity has spans of the right shape; one of another shape is left for record_from_json to name."""
    spans = entity.get("spans") if isinstance(entity, dict) else None
    return isinstance(spans, list) and all(
        isinstance(s, list) and len(s) == 2 and all(type(n) is int for n in s) for s in spans
    )


def _write(records: list[Record], options: Options) -> Written:
    return Written({"": "".join(dump_json(record.to_json()) + "\n" for record in records)})


def _sniff(sample: Sample) -> str:
    for row in sample.rows:
        if not (isinstance(row, dict) and {"id", "text"} <= set(row) <= _KEYS):
            return ""
        if not all(isinstance(e, dict) and "type" in e for e in row.get("entities", ())):
            return ""
    return "rows with the keys of a Record" if sample.rows else ""


RECORDS = Reader(
    name="records",
    what="Records as JSONL, one a line",
    example="etlch import records.jsonl --to brat --out corpus/",
    sniff=_sniff,
    read=partial(each_row, _draft),
    options=("offset_unit",),
    sorts=False,
    write=_write,
)
READERS = (RECORDS,)

"""Records as JSONL, this project's own shape (see etlch/records.py)."""

from __future__ import annotations

from functools import partial
from typing import Any

from etlch.records import Record, dump_json, parts_from_json
from etlch.sources.base import Draft, Options, Reader, Report, Sample, Written
from etlch.sources.json_rows import each_row
from etlch.sources.spans import Mention

_KEYS = {"id", "lang", "theme", "source", "text", "entities", "triples", "fields"}


def _draft(value: Any, where: str, options: Options, report: Report) -> Draft:
    """Check the shape without the offsets, which `settle` checks and mends."""
    parts = parts_from_json(value)
    entities = enumerate(parts.pop("entities"))
    mentions = [Mention(e.type, e.spans, e.text, f"{where}: entities[{number}]") for number, e in entities]
    return Draft(where, mentions=mentions, triples=list(parts.pop("triples")), **parts)


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

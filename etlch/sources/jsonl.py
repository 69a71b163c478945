"""Records as JSONL, this project's own shape (see etlch/records.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError
from etlch.records import Record, dump_json, record_from_json
from etlch.sources.base import Draft, Options, Reader, Report, Sample, Written, make_id
from etlch.sources.json_rows import object_at, read_rows
from etlch.sources.spans import Mention

_KEYS = {"id", "lang", "theme", "source", "text", "entities", "triples", "fields"}


def _read(path: Path, options: Options, report: Report) -> tuple[Iterator[Draft], None]:
    return _drafts(path, options, report), None


def _drafts(path: Path, options: Options, report: Report) -> Iterator[Draft]:
    for number, (where, row) in enumerate(read_rows(path, options, report), start=1):
        try:
            yield _draft(object_at(row, "a Record"), where, make_id(options, path, number, _id(row)))
        except EtlchError as error:
            report.refuse([(where, str(error))])


def _id(row: Any) -> Any:
    return row.get("id") if isinstance(row, dict) else None


def _draft(row: dict[str, Any], where: str, name: str) -> Draft:
    """Check the shape without the offsets, which `settle` checks and mends."""
    bare = row
    if isinstance(row.get("entities"), list):
        bare = {**row, "entities": [{**e, "spans": []} if _has_spans(e) else e for e in row["entities"]]}
    record = record_from_json(bare)
    mentions = [
        Mention(
            entity.type, tuple((s, e) for s, e in given.get("spans", ())), entity.text, f"{where}: entities[{number}]"
        )
        for number, (entity, given) in enumerate(zip(record.entities, row.get("entities", ()), strict=True))
    ]
    return Draft(
        where,
        name,
        record.text,
        mentions,
        triples=list(record.triples),
        fields=record.fields,
        theme=record.theme,
        lang=record.lang,
        source=record.source,
    )


def _has_spans(entity: Any) -> bool:
    """Whether an entity has spans of the right shape; one of another shape is left for record_from_json to name."""
    spans = entity.get("spans") if isinstance(entity, dict) else None
    return isinstance(spans, list) and all(
        isinstance(s, list) and len(s) == 2 and all(type(n) is int for n in s) for s in spans
    )


def _write(records: list[Record], frame: None, options: Options) -> Written:
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
    read=_read,
    options=("offset_unit",),
    sorts=False,
    write=_write,
)
READERS = (RECORDS,)

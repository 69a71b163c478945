"""JSONL of tokens with mentions over them: `{"tokens": [...], "entity_mentions": [{"start", "end", "entity_type"}]}`.

`start` and `end` count tokens, end-exclusive, as in the GENIA jsonlines of yhcc and OneIE's files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError, ManyErrors
from etlch.records import Entity, Record, dump_json
from etlch.sources.base import Draft, Options, Reader, Report, Sample, Written, make_id
from etlch.sources.bio import guess_joiner, joiner_of, token_offsets
from etlch.sources.json_rows import Row, label_of, list_at, object_at, read_rows, span_of
from etlch.sources.spans import Mention

_NAMES = ("sent_id", "id", "doc_key")


@dataclass(frozen=True, slots=True)
class Tokens:
    """A row as it is, and where its tokens stand in the joined text."""

    row: Row
    offsets: list[tuple[int, int]]


Frame = dict[str, Tokens]
"""Rows by record id."""


def _read(path: Path, options: Options, report: Report) -> tuple[Iterator[Draft], Frame]:
    frame: Frame = {}
    return _drafts(path, options, report, frame), frame


def _drafts(path: Path, options: Options, report: Report, frame: Frame) -> Iterator[Draft]:
    for number, (where, value) in enumerate(read_rows(path, options, report), start=1):
        try:
            row = object_at(value, "an object with tokens and entity_mentions")
            own = next((row[name] for name in _NAMES if row.get(name)), None)
            name = make_id(options, path, number, own)
            draft, offsets = _draft(row, where, name, options)
        except EtlchError as error:
            report.refuse([(where, str(error))])
            continue
        frame.setdefault(name, Tokens(row, offsets))
        yield draft


def _draft(row: Row, where: str, name: str, options: Options) -> tuple[Draft, list[tuple[int, int]]]:
    tokens = list_at(row, "tokens")
    if not tokens or not all(isinstance(token, str) and token for token in tokens):
        raise EtlchError(f"tokens: found {tokens!r:.60} (expected a list of strings that are not empty)")
    joiner = guess_joiner(tokens) if options.joiner is None else options.joiner
    offsets = token_offsets(tokens, joiner)
    draft = Draft(where, name, joiner.join(tokens))
    name_of_list = "entity_mentions"
    draft.read_mentions(list_at(row, name_of_list), name_of_list, lambda item, place: _mention(item, offsets, place))
    return draft, offsets


def _mention(item: Any, offsets: list[tuple[int, int]], where: str) -> Mention:
    item = object_at(item, "an object with start, end and entity_type")
    kind = label_of(item.get("entity_type"))
    start, end = span_of(item.get("start"), item.get("end"))
    if not 0 <= start < end <= len(offsets):
        raise EtlchError(
            f"tokens [{start}, {end}] are outside the sentence (expected 0 <= start < end <= {len(offsets)})"
        )
    return Mention(kind, ((offsets[start][0], offsets[end - 1][1]),), item.get("text"), where)


def _write(records: list[Record], frame: Frame | None, options: Options) -> Written:
    """One row a record. Raises ManyErrors for mentions that are no whole tokens."""
    problems: list[str] = []
    common = guess_joiner(word for record in records for word in record.text.split())
    rows = []
    for record in records:
        joiner = joiner_of(record, common) if options.joiner is None else options.joiner
        tokens = (frame or {}).get(record.id) or _split(record, joiner)
        rows.append(_row(record, tokens, problems))
    if problems:
        raise ManyErrors(problems)
    return Written({"": "".join(dump_json(row) + "\n" for row in rows)})


def _split(record: Record, joiner: str) -> Tokens:
    words = record.text.split(joiner) if joiner else list(record.text)
    return Tokens({"tokens": words, "sent_id": record.id}, token_offsets(words, joiner))


def _row(record: Record, tokens: Tokens, problems: list[str]) -> Row:
    starts = {start: number for number, (start, _) in enumerate(tokens.offsets)}
    ends = {end: number + 1 for number, (_, end) in enumerate(tokens.offsets)}
    mentions = []
    for entity in record.entities:
        start, end = entity.spans[0] if len(entity.spans) == 1 else (-1, -1)
        if start in starts and end in ends:
            mentions.append(_written(entity, starts[start], ends[end]))
        else:
            problems.append(f"record {record.id!r}: {entity.text!r} is no stretch of whole tokens (expected one span)")
    order = {json.dumps(item): number for number, item in enumerate(tokens.row.get("entity_mentions", []))}
    mentions.sort(key=lambda item: order.get(json.dumps(item), len(order)))
    return {**tokens.row, "entity_mentions": mentions}


def _written(entity: Entity, start: int, end: int) -> Row:
    return {"start": start, "end": end, "entity_type": entity.type, "text": entity.text}


def _sniff(sample: Sample) -> str:
    row = sample.rows[0] if sample.rows else None
    return (
        "rows with tokens and entity_mentions"
        if isinstance(row, dict) and {"tokens", "entity_mentions"} <= set(row)
        else ""
    )


TOKENS = Reader(
    name="tokens",
    what="JSONL of tokens with entity_mentions that count tokens (GENIA jsonlines)",
    example="etlch import dev.jsonlines --format tokens --out records.jsonl",
    sniff=_sniff,
    read=_read,
    options=("joiner",),
    write=_write,
)
READERS = (TOKENS,)

"""JSONL of tokens with mentions over them: `{"tokens": [...], "entity_mentions": [{"start", "end", "entity_type"}]}`.

`start` and `end` count tokens, end-exclusive, as in the GENIA jsonlines of yhcc and OneIE's files.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from etlch.errors import EtlchError, ManyErrors
from etlch.records import Record, dump_json
from etlch.sources.base import Draft, Options, Reader, Report, Sample, Written
from etlch.sources.bio import guess_joiner, token_offsets, tokenised, whole_tokens
from etlch.sources.json_rows import each_row, label_of, list_at, object_at, span_of
from etlch.sources.spans import Mention

_NAMES = ("sent_id", "id", "doc_key")


def _draft(value: Any, where: str, options: Options, report: Report) -> Draft:
    row = object_at(value, "an object with tokens and entity_mentions")
    tokens = list_at(row, "tokens")
    if not tokens or not all(isinstance(token, str) and token for token in tokens):
        raise EtlchError(f"tokens: found {tokens!r:.60} (expected a list of strings that are not empty)")
    joiner = guess_joiner(tokens) if options.joiner is None else options.joiner
    offsets = token_offsets(tokens, joiner)
    draft = Draft(where, next((row[name] for name in _NAMES if row.get(name)), None), joiner.join(tokens))
    items = list_at(row, "entity_mentions")
    draft.each(items, "entity_mentions", lambda item, place: draft.mentions.append(_mention(item, offsets, place)))
    return draft


def _mention(item: Any, offsets: list[tuple[int, int]], where: str) -> Mention:
    item = object_at(item, "an object with start, end and entity_type")
    kind = label_of(item.get("entity_type"))
    start, end = span_of(item.get("start"), item.get("end"))
    if not 0 <= start < end <= len(offsets):
        raise EtlchError(
            f"tokens [{start}, {end}] are outside the sentence (expected 0 <= start < end <= {len(offsets)})"
        )
    return Mention(kind, ((offsets[start][0], offsets[end - 1][1]),), item.get("text"), where)


def _write(records: list[Record], options: Options) -> Written:
    """One row a record. Raises ManyErrors for mentions that are no whole tokens."""
    problems: list[str] = []
    rows = []
    for record, tokens, offsets in tokenised(records, options):
        mentions = [
            {"start": start, "end": end, "entity_type": entity.type, "text": entity.text}
            for entity, start, end in whole_tokens(record, offsets, problems)
        ]
        rows.append({"tokens": tokens, "sent_id": record.id, "entity_mentions": mentions})
    if problems:
        raise ManyErrors(problems)
    return Written({"": "".join(dump_json(row) + "\n" for row in rows)})


def _sniff(sample: Sample) -> str:
    row = sample.rows[0] if sample.rows else None
    both = isinstance(row, dict) and {"tokens", "entity_mentions"} <= set(row)
    return "rows with tokens and entity_mentions" if both else ""


TOKENS = Reader(
    name="tokens",
    what="JSONL of tokens with entity_mentions that count tokens (GENIA jsonlines)",
    example="etlch import dev.jsonlines --format tokens --out records.jsonl",
    sniff=_sniff,
    read=partial(each_row, _draft),
    options=("joiner",),
    write=_write,
)
READERS = (TOKENS,)

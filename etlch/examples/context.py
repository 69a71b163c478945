"""What stands before a question: nothing, or the same few examples before all of them, as turns of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from etlch.errors import EtlchError
from etlch.examples import asking, deal
from etlch.examples.rows import Row
from etlch.experiments import Variant
from etlch.formats import FormatError
from etlch.records import Record
from etlch.tasks import Card


def with_examples(
    rows: Sequence[Row], how: Variant, pool: Sequence[Record], card: Card, types: Sequence[str], key: str
) -> list[Row]:
    """The rows with their examples, asked and answered as the row itself is; never the row's own text.

    Raises EtlchError when the pool has too few records that the format of a row can hold.
    """
    if how.context == "none":
        return list(rows)
    order = deal.sample(pool, None, f"{key}/fixed")
    return [_before(row, how, order, card, types) for row in rows]


def _before(row: Row, how: Variant, pool: Sequence[Record], card: Card, types: Sequence[str]) -> Row:
    turns: list[tuple[str, str]] = []
    for record in pool:
        if len(turns) == how.examples:
            break
        if record.id == row.record or record.text in row.prompt:
            continue
        keys = row.schema if asking.one_key(row.form) else card.keys(record, types, row.seed)
        try:
            example = asking.training(card, record, row.form, keys, row.corpus, row.seed)
        except FormatError:
            continue
        turns.append((example.prompt, example.output))
    if len(turns) < how.examples:
        raise EtlchError(f"context: found {len(turns)} examples for {row.id!r} (expected {how.examples})")
    return replace(row, history=(*turns, *(row.history or ())), context=how.before)

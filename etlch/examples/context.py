"""What stands before a question: nothing, or the same few examples before all of them, as turns of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from etlch.errors import EtlchError
from etlch.examples import asking, deal
from etlch.examples.rows import Row
from etlch.formats import FormatError
from etlch.records import Record
from etlch.tasks import Card

KINDS = ("none", "fixed")


@dataclass(frozen=True, slots=True)
class Context:
    """kind: none, or fixed: `examples` records of the training split, drawn once, before every question."""

    kind: str = "none"
    examples: int = 0

    @property
    def name(self) -> str:
        """What a row says of it: `none`, `fixed-3`."""
        return self.kind if self.kind == "none" else f"{self.kind}-{self.examples}"


def with_examples(
    rows: Sequence[Row], context: Context, pool: Sequence[Record], card: Card, types: Sequence[str], key: str
) -> list[Row]:
    """The rows with their examples, asked and answered as the row itself is; never the row's own text.

    Raises EtlchError when the pool has too few records that the format of a row can hold.
    """
    if context.kind == "none":
        return list(rows)
    order = deal.sample(pool, None, f"{key}/fixed")
    return [_before(row, context, order, card, types) for row in rows]


def _before(row: Row, context: Context, pool: Sequence[Record], card: Card, types: Sequence[str]) -> Row:
    turns: list[tuple[str, str]] = []
    for record in pool:
        if len(turns) == context.examples:
            break
        if record.id == row.record or record.text in row.prompt:
            continue
        keys = row.schema if asking.one_key(row.form) else card.keys(record, types, row.seed)
        try:
            example = asking.training(card, record, row.form, keys, row.corpus, row.seed)
        except FormatError:
            continue
        turns.append((example.prompt, example.output))
    if len(turns) < context.examples:
        raise EtlchError(f"context: found {len(turns)} examples for {row.id!r} (expected {context.examples})")
    return replace(row, history=(*turns, *(row.history or ())), context=context.name)

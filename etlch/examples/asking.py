"""Card and record -> row: the question, the gold answer, and how it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from etlch.examples.rows import Row, Turns
from etlch.formats import Format, FormatError, Schema, terms
from etlch.records import Record
from etlch.tasks import Card, asked

UNRENDERED = "Answer:"  # the output of a test row whose gold the format cannot hold; scoring never reads it


def one_key(form: Format) -> bool:
    """Whether a prompt of this format asks for one key."""
    return form.can.types in ("one", "one a turn")


def restricted(record: Record, form: Format, keys: Sequence[str]) -> Record:
    """The record with the mentions of these types alone, where the format writes mentions (not
    the set of what is named): what the row asks for."""
    if not form.can.repeats or not keys:
        return record
    return replace(record, entities=tuple(entity for entity in record.entities if entity.type in keys))


def training(
    card: Card, record: Record, form: Format, keys: Sequence[str], corpus: str, seed: int, context: str = "none"
) -> Row:
    """A row whose answer is the gold. A conversation has a turn for each key.

    Raises FormatError for a record that the format cannot represent.
    """
    keys = tuple(keys)
    wanted = restricted(record, form, keys)
    instruction, text = asked(card.instruction(record, seed), wanted, form, keys, corpus)
    history: Turns | None = None
    if form.can.types == "one a turn":
        (_, first), *rest = terms.turns(wanted, Schema(keys))
        *before, (instruction, output) = [(instruction, first), *rest]
        history = tuple(before)
    else:
        output = form.render(wanted, Schema(keys))
    name = record.id if len(card.formats) == 1 else "/".join((record.id, form.name, *keys))
    return Row(name, instruction, text, output, record.id, corpus, card.name, form.name, keys, context, seed, history)


def testing(
    card: Card, record: Record, form: Format, keys: Sequence[str], corpus: str, seed: int, context: str = "none"
) -> list[Row]:
    """The rows that ask for all these keys: one, or one a key. A conversation is asked key by key without the turns
    before (as UniversalNER does), so that no gold answer stands in a prompt."""
    rows = []
    for wanted in [(key,) for key in keys] if one_key(form) else [tuple(keys)]:
        try:
            rows.append(training(card, record, form, wanted, corpus, seed, context))
        except FormatError:
            instruction, text = asked(card.instruction(record, seed), record, form, wanted, corpus)
            name = record.id if len(card.formats) == 1 else "/".join((record.id, form.name, *wanted))
            rows.append(
                Row(name, instruction, text, UNRENDERED, record.id, corpus, card.name, form.name, wanted, context, seed)
            )
    return [replace(row, history=None) for row in rows]

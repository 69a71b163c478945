"""Who gets which format: an even deal within a corpus, and the records that a draw takes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from etlch.examples import asking
from etlch.examples.rows import Row
from etlch.formats import Format, FormatError
from etlch.records import Record
from etlch.tasks import Card

SEED = 20250821
"""Of the sets that `etlch data` builds."""


def compatible(formats: Sequence[Format], discontinuous: bool) -> tuple[Format, ...]:
    """The formats that a corpus is given: those that cannot hold discontinuous mentions never meet one that has some."""
    return tuple(form for form in formats if form.part != "entities" or form.can.discontinuous or not discontinuous)


def sample(records: Sequence[Record], most: int | None, key: str) -> list[Record]:
    """At most so many records (None: all), drawn by a seed made of the key, in the order of the draw."""
    return random.Random(key).sample(list(records), min(len(records) if most is None else most, len(records)))


def dealt(
    records: Sequence[Record],
    card: Card,
    formats: Sequence[Format],
    types: Sequence[str],
    corpus: str,
    seed: int,
    key: str,
    context: str = "none",
) -> Iterator[tuple[Record, Row]]:
    """One training row a record, the formats balanced: their counts differ by one at most.

    A record that its format cannot hold (mentions that cross, in a tag format) gets the first of the others that can;
    one that none can hold is left out. A format of one key a prompt asks for one: in half of the rows one that the record
    has. A conversation asks for its keys in random order, since at inference each of them comes first.
    """
    rng = random.Random(key)
    deck: list[Format] = []
    for record in records:
        if not deck:
            deck = rng.sample(list(formats), len(formats))
        first = deck.pop()
        others = rng.sample([form for form in formats if form is not first], len(formats) - 1)
        keys = card.keys(record, types, seed)
        one, shuffled = _drawn(record, keys, rng), tuple(rng.sample(keys, len(keys)))
        for form in (first, *others):
            asked = shuffled if form.can.types == "one a turn" else one if asking.one_key(form) else keys
            try:
                row = asking.training(card, record, form, asked, corpus, seed, context)
            except FormatError:
                continue
            yield record, row
            break


def _drawn(record: Record, keys: Sequence[str], rng: random.Random) -> tuple[str, ...]:
    if not keys:
        return ()
    present = [kind for kind in keys if any(entity.type == kind for entity in record.entities)]
    return (rng.choice(present if present and rng.random() < 0.5 else list(keys)),)


def one(card: Card, record: Record, seed: int = SEED) -> Row:
    """The row of a record in a set of the card's own: of several formats one drawn for this record alone.

    Raises FormatError for a record that the format cannot represent.
    """
    rng = random.Random(f"{seed}/{record.id}/format")
    form = card.formats[0] if len(card.formats) == 1 else rng.choice(card.formats)
    keys = card.keys(record, (), seed)
    return asking.training(
        card, record, form, _drawn(record, keys, rng) if asking.one_key(form) else keys, card.family, seed
    )

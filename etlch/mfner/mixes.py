"""Training mixes, which formats go with which corpus, and the draw: who gets which format (MF-NER, section 4.4)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from etlch.errors import EtlchError
from etlch.formats import FORMATS, FormatError
from etlch.mfner import prompts
from etlch.mfner.prompts import TWELVE, Question
from etlch.records import Record

MIXES: dict[str, tuple[str, ...]] = {
    "all": TWELVE,
    "7best": ("conv_term", "multi_tag", "multi_term", "multi_triple", "single_code", "single_tag", "single_term"),
    "term_ner": ("multi_term", "single_term"),
    **{name: (name,) for name in TWELVE},
}
PAPER = ("all", "7best", "conv_term", "multi_triple", "single_term", "multi_term", "term_ner")
"""The mixes that the paper trained."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A corpus as the experiment sees it: the name in the guideline line, the types in the order of prompts, splits."""

    name: str
    types: tuple[str, ...]
    discontinuous: bool
    splits: dict[str, list[Record]]


def mix(name: str) -> tuple[str, ...]:
    """The formats of a mix. Raises EtlchError for an unknown one."""
    if name not in MIXES:
        raise EtlchError(f"unknown mix {name!r} (expected one of {', '.join(MIXES)})")
    return MIXES[name]


def compatible(formats: Sequence[str], dataset: Dataset) -> tuple[str, ...]:
    """The formats that a corpus is given: those that cannot hold discontinuous mentions never meet one that has some.

    That is the paper's multi_bio, multi_tag and single_tag (section 4.4) with multi_span and single_span (sections 3.2
    and 5.4), for which its own sections do not agree.
    """
    return tuple(name for name in formats if FORMATS[name].can.discontinuous or not dataset.discontinuous)


def sample(records: Sequence[Record], most: int, key: str) -> list[Record]:
    """At most so many records, drawn by a seed made of the key, in the order of the draw."""
    return random.Random(key).sample(list(records), min(most, len(records)))


def dealt(
    records: Sequence[Record], formats: Sequence[str], dataset: Dataset, key: str
) -> Iterator[tuple[str, Record, Question]]:
    """One example a record, the formats balanced: their counts differ by one at most.

    A record that its format cannot hold (mentions that cross, in a tag format) gets the first of the others that can;
    one that none can hold is left out. A `single_*` example asks for one type: in half of them one that the text has. A
    conversation asks for the types in random order, since at inference each of them comes first.
    """
    rng = random.Random(key)
    deck: list[str] = []
    for record in records:
        if not deck:
            deck = rng.sample(list(formats), len(formats))
        first = deck.pop()
        others = rng.sample([name for name in formats if name != first], len(formats) - 1)
        one, shuffled = _drawn(record, dataset, rng), tuple(rng.sample(dataset.types, len(dataset.types)))
        for name in (first, *others):
            types = shuffled if name == prompts.CONVERSATION else one if prompts.one_type(name) else dataset.types
            try:
                question = prompts.training(name, record, dataset.name, types)
            except FormatError:
                continue
            yield name, record, question
            break


def _drawn(record: Record, dataset: Dataset, rng: random.Random) -> tuple[str]:
    present = [kind for kind in dataset.types if any(entity.type == kind for entity in record.entities)]
    return (rng.choice(present if present and rng.random() < 0.5 else list(dataset.types)),)

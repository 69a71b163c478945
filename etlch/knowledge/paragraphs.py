"""Paragraphs from the knowledge base: two or three neighbouring sentences of a topic, about the length of a news item.

An article of `compose` is made to hold much and repeats sentences of others; paragraphs cut a topic into pieces that share
none, so that two hundred of them are two hundred different things to read. They are what a laptop can train on in minutes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from etlch.errors import EtlchError
from etlch.knowledge.compose import article
from etlch.knowledge.relations import Relations
from etlch.knowledge.topics import Sentence, Topic
from etlch.records import Record

SIZES = (2, 3)  # sentences


def paragraphs(
    topics: list[Topic], known: Relations, split: str, lang: str, count: int, prefix: str, seed: int
) -> list[Record]:
    """`count` different paragraphs of a split in one language, as Records with entities, triples and fields.

    Topics are dealt out in turn. The first N of a longer call are those of a shorter one. Raises EtlchError where the
    knowledge base has too few.
    """
    pool = [topic for topic in topics if topic.split == split and topic.lang == lang]
    records: list[Record] = []
    for topic, sentences, rng in _dealt(pool, split, seed):
        chosen = [(topic, sentence, rng.choice(sentence.wordings)) for sentence in sentences]
        records.append(article(f"{prefix}-{len(records) + 1:04d}", chosen, known, rng))
        if len(records) == count:
            return records
    raise EtlchError(f"{split}: only {len(records)} different paragraphs of {count} (expected more topics in {lang})")


def _dealt(pool: list[Topic], split: str, seed: int) -> Iterator[tuple[Topic, list[Sentence], random.Random]]:
    """Pieces of the topics: one of each topic in turn, in an order of its own each time, until all are used up."""
    pieces = {topic.slug: list(_cut(topic, random.Random(f"{seed}/{split}/{topic.slug}"))) for topic in pool}
    turn = 0
    while any(pieces.values()):
        for topic in random.Random(f"{seed}/{split}/turn {turn}").sample(pool, len(pool)):
            if pieces[topic.slug]:
                yield topic, pieces[topic.slug].pop(), random.Random(f"{seed}/{split}/{turn}/{topic.slug}")
        turn += 1


def _cut(topic: Topic, rng: random.Random) -> list[list[Sentence]]:
    """The topic's sentences in neighbouring twos and threes, in random order; one left over joins those before it."""
    rest, found = list(topic.sentences), []
    while rest:
        size = rng.choice(SIZES)
        found.append(rest[:size])
        rest = rest[size:]
    if len(found) > 1 and len(found[-1]) < min(SIZES):
        found[-2:] = [found[-2] + found[-1]]
    rng.shuffle(found)
    return found

"""Compose articles from the knowledge base: which sentences, in which wording, up to which length.

A larger training set says more: topics open one after the other, the first tenth of the articles has about a quarter of
them. Of the open topics the least read one comes next, of its sentences and wordings those that were used least, so that
all of a topic is read before anything of it is repeated, and no wording stands in more than MAX_USES articles.
Every article keeps the reading order of its topics. Offsets, triples and fields are computed from the sentences that
were kept, so the gold is right by construction.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from etlch.errors import EtlchError
from etlch.knowledge.fields import fields
from etlch.knowledge.relations import Relations
from etlch.knowledge.topics import Sentence, Topic, Wording
from etlch.records import Entity, Record, Triple

MIN_LENGTH, MAX_LENGTH = 200, 1500  # characters of Chinese; English takes LETTERS for each
LONG = 0.06, 1100  # how often an article is long, and from how many characters on
LETTERS = {"zh-TW": 1, "en": 4}
JOINTS = {"zh-TW": "", "en": " "}
GROWTH = 0.62  # the part of the topics that is open after a part x of the training articles is x to this power
MAX_USES = 3  # of a wording, for training
DROP_FIRST = 0.1  # how often the opening sentence is missing, so that position gives nothing away


def compose(
    topics: list[Topic], known: Relations, split: str, lang: str, count: int, prefix: str, seed: int
) -> list[Record]:
    """`count` different articles from the topics of one split and language, as Records with entities, triples and fields.

    Raises EtlchError where the topics have too few sentences for so many.
    """
    pool = _in_turn([t for t in topics if (t.split, t.lang) == (split, lang)], f"{seed}/{split}")
    if not pool:
        raise EtlchError(f"the knowledge base has no topic with split {split!r} in {lang}")
    used: Counter[tuple[str, int, int]] = Counter()  # topic, sentence, wording
    read: Counter[str] = Counter()  # sentences of a topic, each time that they are used
    records: list[Record] = []
    while len(records) < count:
        rng = random.Random(f"{seed}/{split}/{len(records)}")
        size = LETTERS[lang] * _length(rng)
        part = ((len(records) + 1) / count) ** GROWTH if split == "train" else 1
        opened = sorted(pool[: math.ceil(part * len(pool))], key=lambda _, rng=rng: rng.random())
        opened.sort(key=lambda topic: read[topic.slug] / len(topic.sentences))
        chosen: list[tuple[Topic, Sentence, Wording]] = []
        for topic in opened:
            rest = size - sum(len(wording.text) for _, _, wording in chosen)
            if chosen and (rest < LETTERS[lang] * MIN_LENGTH or topic.theme != chosen[0][0].theme):
                continue
            for number, version in _kept(topic, rest, used, rng, MAX_USES if split == "train" else count):
                used[topic.slug, number, version] += 1
                read[topic.slug] += 1
                sentence = topic.sentences[number]
                chosen.append((topic, sentence, sentence.wordings[version]))
        if sum(len(wording.text) for _, _, wording in chosen) < LETTERS[lang] * MIN_LENGTH / 2:
            raise EtlchError(f"{split}: only {len(records)} articles of {count} in {lang} (expected more topics)")
        records.append(article(f"{prefix}-{len(records) + 1:04d}", chosen, known, rng))
    return records


def _in_turn(topics: list[Topic], key: str) -> list[Topic]:
    """A topic of each theme in turn, drawn by the key."""
    rank: Counter[str] = Counter()
    dealt = []
    for topic in random.Random(key).sample(topics, len(topics)):
        rank[topic.theme] += 1
        dealt.append((rank[topic.theme], topic))
    return [topic for _, topic in sorted(dealt, key=lambda pair: pair[0])]


def _length(rng: random.Random) -> int:
    share, least = LONG
    if rng.random() < share:
        return rng.randint(least, MAX_LENGTH)
    return int(min(least, max(MIN_LENGTH + 40, rng.lognormvariate(5.7, 0.4))))


def _kept(
    topic: Topic, size: int, used: Counter[tuple[str, int, int]], rng: random.Random, most: int
) -> Iterator[tuple[int, int]]:
    """Sentences of a topic with their wordings in reading order, about `size` characters, the least used first."""
    kept: list[tuple[int, int]] = []
    order = []
    for number, sentence in enumerate(topic.sentences):
        uses = [used[topic.slug, number, version] for version in range(len(sentence.wordings))]
        if min(uses) < most:
            version = rng.choice([version for version, times in enumerate(uses) if times == min(uses)])
            opening = number == 0 and rng.random() > DROP_FIRST
            order.append((not opening, sum(uses), rng.random(), number, version))
    for *_, number, version in sorted(order):
        length = len(topic.sentences[number].wordings[version].text)
        if not kept or length <= size:
            kept.append((number, version))
            size -= length
    yield from sorted(kept)


def article(
    name: str, chosen: Sequence[tuple[Topic, Sentence, Wording]], known: Relations, rng: random.Random
) -> Record:
    """The Record of these sentences; the first topic is the main one."""
    topics = list({topic.slug: topic for topic, _, _ in chosen}.values())
    main = topics[0]
    joint = JOINTS[main.lang]
    entities: list[Entity] = []
    offset = 0
    for _, _, wording in chosen:
        for entity in wording.entities:
            (start, end), *_ = entity.spans
            entities.append(Entity(entity.text, entity.type, ((start + offset, end + offset),)))
        offset += len(wording.text) + len(joint)
    text = joint.join(wording.text for _, _, wording in chosen)
    triples: tuple[Triple, ...] = tuple(dict.fromkeys(t for _, sentence, _ in chosen for t in sentence.triples))
    return Record(
        id=name,
        text=text,
        lang=main.lang,
        theme=main.theme,
        source="knowledge/" + "+".join(topic.slug for topic in topics),
        entities=tuple(entities),
        triples=triples,
        fields=fields(text, entities, triples, topics, known, rng),
    )

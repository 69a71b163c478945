"""Compose articles from the knowledge base: which sentences, in which wording, up to which length.

Every article keeps the reading order of its topic. Offsets, triples and fields are computed from the sentences that
were kept, so the gold is right by construction.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from etlch.errors import EtlchError
from etlch.knowledge.topics import TYPES_OF, Sentence, Topic, Wording
from etlch.records import Entity, Record, Triple

MIN_LENGTH, MAX_LENGTH = 200, 1200
JOIN_ABOVE = 620  # characters; a longer article is joined from two topics of one theme
MAX_FRUITLESS = 500  # attempts in a row without a new article
DROP_FIRST = 0.1  # how often the opening sentence is missing, so that position gives nothing away


def recurring_relations(topics: list[Topic], at_least: int = 3, lang: str = "zh-TW") -> tuple[str, ...]:
    """The relations that may serve as JSON keys: found in `at_least` training topics, so that a test key is never
    unheard of, and not the name of an entity type."""
    counts: dict[str, int] = {}
    for topic in topics:
        if topic.split == "train":
            for name in {t.relation for s in topic.sentences for t in s.triples}:
                counts[name] = counts.get(name, 0) + 1
    return tuple(sorted(n for n, c in counts.items() if c >= at_least and n not in TYPES_OF[lang]))


def compose(topics: list[Topic], split: str, count: int, prefix: str, seed: int) -> list[Record]:
    """`count` different articles from the topics of one split, as Records with entities, triples and fields.

    Topics are dealt out evenly: each occurs once as the main topic before any occurs again. The first N records of a
    longer call are the records of a shorter one, which is what makes the scales nested.
    """
    relations = recurring_relations(topics)
    pool = [t for t in topics if t.split == split and t.lang == "zh-TW"]
    if not pool:
        raise EtlchError(f"the knowledge base has no topic with split {split!r}")
    records: list[Record] = []
    seen: set[str] = set()
    deck: list[Topic] = []
    attempts = fruitless = 0
    while len(records) < count:
        rng = random.Random(f"{seed}/{split}/{attempts}")
        attempts += 1
        fruitless += 1
        if fruitless > MAX_FRUITLESS:
            raise EtlchError(
                f"{split}: only {len(records)} different articles of {count} (expected more topics or wordings)"
            )
        if not deck:
            deck = sorted(pool, key=lambda t: random.Random(f"{seed}/{split}/{len(records)}/{t.slug}").random())
        main = deck.pop()
        record = _article(main, pool, relations, rng, f"{prefix}-{len(records) + 1:04d}")
        if record is None or record.text in seen:
            continue
        fruitless = 0
        seen.add(record.text)
        records.append(record)
    return records


def _article(
    main: Topic, pool: list[Topic], relations: tuple[str, ...], rng: random.Random, name: str
) -> Record | None:
    target = int(min(MAX_LENGTH, max(MIN_LENGTH + 40, rng.lognormvariate(5.75, 0.5))))
    topics = [main]
    if target > JOIN_ABOVE:
        related = [t for t in pool if t.theme == main.theme and t is not main]
        if related:
            topics.append(rng.choice(related))
    chosen = [
        (sentence, rng.choice(sentence.wordings))
        for topic in topics
        for sentence in _kept(topic, target // len(topics), rng)
    ]
    text, entities, triples = joined(chosen)
    if not MIN_LENGTH <= len(text) <= MAX_LENGTH:
        return None
    return Record(
        id=name,
        text=text,
        lang=main.lang,
        theme=main.theme,
        source="knowledge/" + "+".join(t.slug for t in topics),
        entities=entities,
        triples=triples,
        fields=fields(entities, triples, relations, main.lang, rng),
    )


def joined(
    chosen: Sequence[tuple[Sentence, Wording]], joint: str = ""
) -> tuple[str, tuple[Entity, ...], tuple[Triple, ...]]:
    """The text of sentences, each in one wording, with its entities at their places and its triples, each once."""
    entities: list[Entity] = []
    offset = 0
    for _, wording in chosen:
        for entity in wording.entities:
            (start, end), *_ = entity.spans
            entities.append(Entity(entity.text, entity.type, ((start + offset, end + offset),)))
        offset += len(wording.text) + len(joint)
    triples = dict.fromkeys(triple for sentence, _ in chosen for triple in sentence.triples)
    return joint.join(wording.text for _, wording in chosen), tuple(entities), tuple(triples)


def _kept(topic: Topic, target: int, rng: random.Random) -> list[Sentence]:
    """Sentences of a topic in reading order, about `target` characters of them."""
    order = list(range(len(topic.sentences)))
    first_last = rng.random() < DROP_FIRST
    rng.shuffle(order)
    if not first_last:
        order.remove(0)
        order.insert(0, 0)
    kept: list[int] = []
    size = 0
    for index in order:
        length = len(topic.sentences[index].wordings[0].text)
        if kept and size + length > target:
            continue
        kept.append(index)
        size += length
    return [topic.sentences[index] for index in sorted(kept)]


def fields(
    entities: Sequence[Entity], triples: Sequence[Triple], relations: Sequence[str], lang: str, rng: random.Random
) -> dict[str, list[str]]:
    """What the JSON task asks of this article: three to six keys, at times one that it says nothing about.

    A key is an entity type (all its surfaces) or a relation (all its tails), so that its values are complete.
    """
    by_type: dict[str, dict[str, None]] = {}
    for entity in entities:
        by_type.setdefault(entity.type, {})[entity.text] = None
    by_relation: dict[str, dict[str, None]] = {}
    for triple in triples:
        if triple.relation in relations:
            by_relation.setdefault(triple.relation, {})[triple.tail] = None
    wanted = rng.sample(sorted(by_type), min(len(by_type), rng.randint(2, 3)))
    wanted += rng.sample(sorted(by_relation), min(len(by_relation), rng.randint(1, 3)))
    if rng.random() < 0.25:
        absent = sorted((set(TYPES_OF[lang]) | set(relations)) - set(by_type) - set(by_relation))
        wanted.append(rng.choice(absent))
    rng.shuffle(wanted)
    return {key: list(by_type.get(key) or by_relation.get(key) or {}) for key in wanted}

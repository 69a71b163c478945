"""What the JSON task asks of an article: keys with a subject, and their values in the order of the text.

A key is a relation of the table, told of what the article is about (`職業`), or of another subject, which it then names
(`莫內的職業`, `occupation (Claude Monet)`), or now and then an entity type. Names that a triple 別名 joins are one subject;
a relation with an inverse is read from both ends.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from etlch.knowledge.relations import Relations
from etlch.knowledge.topics import TYPES_OF, Topic
from etlch.records import Entity, Triple

NAMED = {"zh-TW": "{subject}的{relation}", "en": "{relation} ({subject})"}
TYPE, ABSENT = 0.7, 0.35  # how often a key is an entity type, and how often one has no answer in the text

Facts = dict[tuple[str, str], dict[str, None]]


def fields(
    text: str,
    entities: Sequence[Entity],
    triples: Sequence[Triple],
    topics: Sequence[Topic],
    known: Relations,
    rng: random.Random,
) -> dict[str, list[str]]:
    """Two to six keys with the values that the text holds; those of one that it does not answer are an empty list.

    An article of several topics has no main subject, so that every subject is named; so it is where the relation has the name
    of an entity type. The key without an answer is a relation
    that the topic has in other sentences than these.
    """
    lang = topics[0].lang
    every = [triple for topic in topics for sentence in topic.sentences for triple in sentence.triples]
    main, *_ = about = [subject(topic) for topic in topics]
    same = _aliases(every, known, lang, about)
    facts = _facts(triples, same, known, lang)
    of_main = [(name, relation) for name, relation in facts if name == main]
    of_others = [(name, relation) for name, relation in facts if name != main and name in text]
    wanted = _some(of_main, rng.randint(1, 3), rng)
    wanted += _some(of_others, rng.randint(1, 2) if of_main else 3, rng)
    if rng.random() < ABSENT:
        elsewhere = [fact for fact in _facts(every, same, known, lang) if fact[0] == main and fact not in facts]
        wanted += _some(elsewhere, 1, rng)
    made: dict[str, list[str]] = {}
    for name, relation in wanted:
        plain = name == main and len(topics) == 1 and relation not in TYPES_OF[lang]
        if plain or name in text:
            key = relation if plain else NAMED[lang].format(subject=name, relation=relation)
            made[key] = sorted(facts.get((name, relation), ()), key=text.find)
    types = list(dict.fromkeys(entity.type for entity in entities))
    if types and (not made or (len(made) > 2 and rng.random() < TYPE)):
        kind = rng.choice(types)
        made[kind] = list(dict.fromkeys(entity.text for entity in entities if entity.type == kind))
    return {key: made[key] for key in rng.sample(list(made), len(made))}


def subject(topic: Topic) -> str:
    """What a topic is about, as its triples name it."""
    heads = [triple.head for sentence in topic.sentences for triple in sentence.triples]
    named = [head for head in heads if head.strip("《》〈〉").lower() == topic.name.lower()]
    return max(named or heads or [topic.name], key=(named or heads or [topic.name]).count)


def _some(facts: list[tuple[str, str]], most: int, rng: random.Random) -> list[tuple[str, str]]:
    return rng.sample(facts, min(most, len(facts)))


def _aliases(triples: Iterable[Triple], known: Relations, lang: str, about: Sequence[str]) -> dict[str, str]:
    """Each name that a triple 別名 joins to others, and the one that stands for them: that of a topic, or the first."""
    same: dict[str, str] = {}
    for triple in triples:
        if known.name(triple.relation, lang) == "別名":
            names = [same.get(name, name) for name in (triple.head, triple.tail)]
            one, other = sorted(names, key=lambda name: name not in about)
            same |= dict.fromkeys((one, other, *(n for n, first in same.items() if first == other)), one)
    return same


def _facts(triples: Iterable[Triple], same: dict[str, str], known: Relations, lang: str) -> Facts:
    """(subject, relation) -> values, inverse and symmetric relations from both ends."""
    facts: Facts = {}
    for triple in triples:
        name = known.name(triple.relation, lang)
        told = [(triple.head, triple.relation, triple.tail)] if name else []
        for other, relation in known.relations.items():
            if name in relation.inverse or (other == name and relation.symmetric):
                told.append((triple.tail, relation.en if lang == "en" else other, triple.head))
        for head, relation, tail in told:
            if (head := same.get(head, head)) != tail:
                facts.setdefault((head, relation), {})[tail] = None
    return facts

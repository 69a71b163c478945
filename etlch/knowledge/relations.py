"""The relations of the knowledge base (data/knowledge/relations.yaml), and what a triple or a coordination may not be.

A coordination is a run of parts with `、`, `和`, `and` or their like between them. It is half annotated where a part
between two marked ones is not marked, or where a relation holds for one part and not for another of the same type.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from etlch import yamlfile
from etlch.errors import ManyErrors
from etlch.knowledge.topics import SEPARATOR, THEMES, TYPES, TYPES_EN, Sentence, Topic, Wording
from etlch.records import Entity, Triple

FILE = "relations.yaml"
SHARE = 0.85
"""At least this part of the triples has a relation of a theme's schema."""

_ZH = dict(zip(TYPES_EN, TYPES, strict=True))
_JOINTS = re.compile(r"\s*(?:、|以及|及其|及|和|與|或|兼|,? and |,? or |, )\s*")
_SHORT = re.compile(r"[^\s，。；：！？「」（）]+( \w+)?")  # no clause of its own; in English two words
_ONE_EACH = re.compile(r"分別|依序|各自|前者|後者|respectively|each|former|latter")
"""Words that deal out facts to the parts of a coordination."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation with the types of its ends; the file says what its keys mean."""

    en: str
    heads: tuple[str, ...] | Literal["any"]
    tails: tuple[str, ...] | Literal["any", "same"]
    themes: tuple[str, ...] = ()
    inverse: tuple[str, ...] = ()
    symmetric: bool = False

    def problem(self, head: str, tail: str) -> str:
        """What is wrong with ends of these types (empty: a phrase), nothing where they fit."""
        if self.heads != "any" and (head or "phrase") not in self.heads:
            return f"head is {head or 'not marked'} (expected {' or '.join(self.heads)})"
        if self.tails == "same" and head != tail:
            return f"tail is {tail or 'not marked'} (expected {head or 'not marked'}, as the head)"
        if self.tails not in ("any", "same") and (tail or "phrase") not in self.tails:
            return f"tail is {tail or 'not marked'} (expected {' or '.join(self.tails)})"
        return ""


@dataclass(frozen=True, slots=True)
class Relations:
    """The table by Chinese name, what free relations mean in it, and by topic the facts that a coordination does not mean."""

    relations: dict[str, Relation]
    free: dict[str, str] = field(default_factory=dict)
    apart: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def name(self, relation: str, lang: str) -> str:
        """The Chinese name of a relation of the table, empty for a free one."""
        if lang != "en":
            return relation if relation in self.relations else ""
        return next((name for name, known in self.relations.items() if known.en == relation), "")

    def schema(self, triple: Triple, lang: str) -> tuple[str, ...]:
        """The themes whose schema can hold this triple: those of its relation, or of the one that it means."""
        name = self.name(triple.relation, lang)
        if not name:
            name = self.free.get(triple.relation, "")
            if not name or self.relations[name].problem(*_types(triple)):
                return ()
        return self.relations[name].themes

    def share(self, topics: list[Topic]) -> float:
        """The part of the triples that a theme's schema can hold."""
        held = [bool(self.schema(triple, t.lang)) for t in topics for s in t.sentences for triple in s.triples]
        return sum(held) / max(1, len(held))


def _types(triple: Triple) -> tuple[str, str]:
    """The types of its ends in Chinese."""
    return _ZH.get(triple.head_type, triple.head_type), _ZH.get(triple.tail_type, triple.tail_type)


def load(folder: Path) -> Relations:
    """Read and check the file. Raises ManyErrors with every problem as `file:line: ...`."""
    file = yamlfile.read(folder / FILE, "the keys relations, free and apart")
    found = yamlfile.build(Relations, file)
    problems = []
    for name, relation in found.relations.items():
        ends = (end for end in (relation.heads, relation.tails) if not isinstance(end, str))
        for value, known in [(t, (*TYPES, "phrase")) for end in ends for t in end] + [
            *((theme, THEMES) for theme in relation.themes),
            *((other, found.relations) for other in relation.inverse),
        ]:
            if value not in known:
                problems.append(
                    f"{file.where('relations', name)}: found {value!r} (expected one of {', '.join(known)})"
                )
    for name, meant in found.free.items():
        if meant and meant not in found.relations:
            problems.append(f"{file.where('free', name)}: found {meant!r} (expected a relation of the table)")
    if problems:
        raise ManyErrors(problems)
    return found


def problems(topics: list[Topic], known: Relations) -> list[str]:
    """Every contradiction between topics and table, as `file:line: ...`."""
    found = list(_names(topics))
    for topic in topics:
        for sentence in topic.sentences:
            for what in (*_triples(topic, sentence, known), *_unmarked(sentence)):
                found.append(f"{topic.path}:{sentence.line}: {what}")
        missing = {fact: sentence.line for sentence in topic.sentences for fact in _missing(topic, sentence)}
        apart = known.apart.get(topic.slug, ())
        for fact in sorted(missing.keys() - set(apart)):
            what = f"no triple {fact}, while another part of its coordination has one"
            found.append(f"{topic.path}:{missing[fact]}: {what} (expected it, or a line under apart in {FILE})")
        for fact in sorted(set(apart) - missing.keys()):
            found.append(
                f"{topic.path.with_name(FILE)}: apart: {topic.slug}: found {fact} (expected nothing: no coordination)"
            )
    return found


def _names(topics: list[Topic]) -> Iterator[str]:
    """A topic that stands in two files, or has another split in another language."""
    seen: dict[tuple[str, str], Topic] = {}
    splits: dict[str, Topic] = {}
    for topic in topics:
        if (first := seen.setdefault((topic.lang, topic.name), topic)) is not topic:
            yield f"{topic.path}:1: topic: found {topic.name!r} again (expected once; first in {first.path})"
        first = splits.setdefault(topic.slug.removesuffix("_en"), topic)
        if first.split != topic.split:
            yield f"{topic.path}:3: split: found {topic.split!r} (expected {first.split!r}, as in {first.path})"


def _triples(topic: Topic, sentence: Sentence, known: Relations) -> Iterator[str]:
    for triple in sentence.triples:
        written = f"{triple.head}－{triple.relation}－{triple.tail}"
        if name := known.name(triple.relation, topic.lang):
            if problem := known.relations[name].problem(*_types(triple)):
                yield f"{written}: {problem}"
        elif triple.relation not in known.free and not any(
            _says(wording.text, triple.relation) for wording in sentence.wordings
        ):
            yield f"{written}: unknown relation {triple.relation!r} (expected one of {FILE}, or words of the sentence)"


def _says(text: str, relation: str) -> bool:
    """Whether the words of a relation stand in a text, in their order (能夠降低: 能夠大幅降低)."""
    letters = iter(text.lower())
    return all(letter in letters for letter in relation.lower() if letter != " ")


def _outer(wording: Wording) -> list[Entity]:
    """The entities that lie in no other, in reading order."""
    outer: list[Entity] = []
    for entity in wording.entities:  # outermost first among those that start together
        if not outer or entity.spans[0][0] >= outer[-1].spans[0][1]:
            outer.append(entity)
    return outer


def _unmarked(sentence: Sentence) -> Iterator[str]:
    """Parts between two joints without an entity, while the parts beside them are entities from joint to joint."""
    for wording in sentence.wordings:
        entities = _outer(wording)
        for one, other in pairwise(entities):
            between = wording.text[one.spans[0][1] : other.spans[0][0]]
            parts = _JOINTS.split(between)
            if len(parts) > 2 and not parts[0] and not parts[-1] and all(map(_SHORT.fullmatch, parts[1:-1])):
                yield f"{between!r} stands in a coordination of {one.text!r} and {other.text!r} (expected an entity)"


def _runs(wording: Wording, lang: str) -> Iterator[list[str]]:
    """The coordinations whose parts are all entities of one type, nothing but an entity between two joints."""
    entities = _outer(wording)
    betweens = [wording.text[a.spans[0][1] : b.spans[0][0]] for a, b in pairwise(entities)] + [""]
    run: list[str] = []
    last = ""  # joint
    for number, (entity, after) in enumerate(zip(entities, betweens, strict=True)):
        whole = (number == 0 or run or betweens[number - 1]) and (after or number == len(entities) - 1)
        if whole and not (after == "的" and run) and entity.type not in ("時間", "time"):
            run.append(entity.text)
        goes_on = run and _JOINTS.fullmatch(after) and entities[number + 1].type == entity.type
        if goes_on:
            last = after
        else:
            if len(run) > 1 and (lang != "en" or "and" in last or "or" in last):
                yield run
            run = []


def _missing(topic: Topic, sentence: Sentence) -> set[str]:
    """Facts, as `head－relation－tail`, that by every wording hold for a coordination and are told of some of its parts alone."""
    found = []
    for wording in sentence.wordings:
        runs = [] if _ONE_EACH.search(wording.text) else _runs(wording, topic.lang)
        again = Counter(entity.text for entity in _outer(wording))
        found.append({fact for parts in runs for fact in _untold(parts, sentence, again)})
    return set.intersection(*found)


def _untold(parts: list[str], sentence: Sentence, again: Counter[str]) -> Iterator[str]:
    """Facts that the sentence tells of one part of a coordination and not of another, which has no such relation at all; not
    where the part that has it is named again by itself (`again` counts its mentions)."""
    told: dict[tuple[bool, str], dict[str, set[str]]] = {}  # (part is the head, relation) -> other end -> parts
    for triple in sentence.triples:
        if (triple.head in parts) != (triple.tail in parts):
            is_head = triple.head in parts
            part, other = (triple.head, triple.tail) if is_head else (triple.tail, triple.head)
            told.setdefault((is_head, triple.relation), {}).setdefault(other, set()).add(part)
    for (is_head, relation), others in told.items():
        having = set().union(*others.values())
        for other, tellers in others.items():
            for part in parts:
                if part not in having and max(map(again.__getitem__, tellers)) == 1:
                    head, tail = (part, other) if is_head else (other, part)
                    yield SEPARATOR.join((head, relation, tail))

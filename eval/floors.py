"""Floors: what needs no model at all, scored like any system, so that a reader sees what a score is worth.

- `skeleton` writes the form and nothing else: the keys asked for (or, where the prompt names none, the keys of a typical
  training answer) with empty lists, or the header alone.
- `dictionary` knows the training set by heart: each training surface that occurs in the article is listed under its most
  frequent type, each training value under its keys; a training relation that occurs in a sentence becomes a triple with
  the nearest training heads and tails before and after it. The longest match wins.

Their answers are written as run folders and then read, joined and scored through the same path as everybody's.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from etlch.formats import FormatError
from etlch.records import Entity, Record, Triple, dump_json, read_records, write_text
from etlch.tasks import Card
from eval.answers import ANSWERS, RUN, Gold, Run, read_run

FLOORS = ("dictionary", "skeleton")
_SENTENCE = re.compile(r"[^。！？!?；;\n]+")


class Lexicon:
    """Known strings; finds them in a text from left to right, the longest first, without overlaps."""

    def __init__(self, strings: Iterable[str]):
        lengths: dict[str, set[int]] = defaultdict(set)
        self._strings = {s for s in strings if s.strip()}
        for string in self._strings:
            lengths[string[0]].add(len(string))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def find(self, text: str) -> Iterator[tuple[int, str]]:
        """(start, string) of each match."""
        position = 0
        while position < len(text):
            for length in self._lengths.get(text[position], ()):
                string = text[position : position + length]
                if len(string) == length and string in self._strings:
                    yield position, string
                    position += length
                    break
            else:
                position += 1


def skeleton(card: Card, train: Sequence[Record]) -> list[str]:
    """The keys of a typical training answer: the most frequent ones, as many as the median answer has."""
    if not card.format.is_json:
        return []
    answers = [_keys(card, record) for record in train]
    sizes = sorted(len(keys) for keys in answers)
    counts = Counter(key for keys in answers for key in keys)
    ranked = sorted(counts, key=lambda key: (-counts[key], key))
    return ranked[: sizes[len(sizes) // 2]] if sizes else []


def skeleton_answer(card: Card, record: Record, keys: Sequence[str]) -> str:
    """The answer of the floor `skeleton` to one record; `keys` from `skeleton`."""
    if card.format.is_json:
        wanted = card.schema(record).keys or tuple(keys)
        return json.dumps({key: [] for key in wanted}, ensure_ascii=False)
    return card.format.render(replace(record, entities=(), triples=(), fields={}), card.schema(record))


class Dictionary:
    """The floor `dictionary`, made from a card's training records."""

    def __init__(self, train: Iterable[Record]):
        types: dict[str, Counter[str]] = defaultdict(Counter)
        self._keys: dict[str, set[str]] = defaultdict(set)
        relations: set[str] = set()
        ends: set[str] = set()
        for record in train:
            for entity in record.entities:
                types[entity.text][entity.type] += 1
            for key, values in record.fields.items():
                for value in values:
                    self._keys[value].add(key)
            for triple in record.triples:
                relations.add(triple.relation)
                ends |= {triple.head, triple.tail}
        self._types = {text: min(found, key=lambda t: (-found[t], t)) for text, found in types.items()}
        self._lexicons = {
            "entities": Lexicon(self._types),
            "fields": Lexicon(self._keys),
            "ends": Lexicon(ends),
            "relations": Lexicon(relations),
        }

    def answer(self, card: Card, record: Record) -> str:
        """The answer to one record. What the format cannot represent (a name with its separator, say) is left out."""
        schema = card.schema(record)
        text = record.text
        empty = replace(record, entities=(), triples=(), fields={})
        if card.format.part == "entities":
            found = dict.fromkeys(string for _, string in self._lexicons["entities"].find(text))
            entities = (Entity(string, self._types[string]) for string in found)
            kept = tuple(e for e in entities if not schema.keys or e.type in schema.keys)
            return card.format.render(replace(empty, entities=kept), schema)
        if card.format.part == "fields":
            fields: dict[str, list[str]] = {key: [] for key in schema.keys}
            for string in dict.fromkeys(string for _, string in self._lexicons["fields"].find(text)):
                for key in sorted(self._keys[string] & set(fields)):
                    fields[key].append(string)
            return card.format.render(replace(empty, fields=fields), schema)
        triples = [t for t in self._triples(text) if _renders(card, replace(empty, triples=(t,)))]
        return card.format.render(replace(empty, triples=tuple(triples)), schema)

    def _triples(self, text: str) -> Iterator[Triple]:
        for sentence in _SENTENCE.findall(text):
            ends = list(self._lexicons["ends"].find(sentence))
            for start, relation in self._lexicons["relations"].find(sentence):
                before = [s for at, s in ends if at + len(s) <= start]
                after = [s for at, s in ends if at >= start + len(relation)]
                if before and after:
                    yield Triple(before[-1], relation, after[0])


def write_floors(gold: Gold, folder: str | Path, root: str | Path = ".", samples: int | None = None) -> list[Run]:
    """Answer the first `samples` test records of a card (all when None), write the runs into the folder, return them."""
    card = gold.card
    files = {name: Path(folder) / name / card.name / ANSWERS for name in FLOORS}
    train = list(read_records(Path(root) / card.train))
    records = list(islice(gold.test, samples))
    known, keys = Dictionary(train), skeleton(card, train)
    answers = {
        "dictionary": [known.answer(card, record) for record in records],
        "skeleton": [skeleton_answer(card, record, keys) for record in records],
    }
    for name, file in files.items():
        info = {
            "system": name,
            "base_model": None,
            "adapter": None,
            "scale": 0,
            "task": card.name,
            "engine": "eval.floors",
            "samples": len(records),
            "data": {"train": card.train.as_posix(), "records": len(train)},
        }
        rows = (
            {"prompt": card.prompt(record), "predict": made, "label": card.answer(record)}
            for record, made in zip(records, answers[name], strict=True)
        )
        file.with_name(RUN).unlink(missing_ok=True)
        write_text(file, "".join(dump_json(row) + "\n" for row in rows))
        write_text(file.with_name(RUN), dump_json(info, indent=2) + "\n")
    return [read_run(file) for file in files.values()]


def _keys(card: Card, record: Record) -> list[str]:
    return list(dict.fromkeys(e.type for e in record.entities) if card.format.part == "entities" else record.fields)


def _renders(card: Card, record: Record) -> bool:
    try:
        card.format.render(record, card.schema(record))
    except FormatError:
        return False
    return True

"""Floors: what needs no model at all, answered and scored like any system, so that a reader sees what a score is worth.

- `skeleton` writes the form and nothing else: the keys asked for (or, where the prompt names none, the keys of a typical
  training answer) with empty lists, or the header alone.
- `dictionary` knows the training set by heart: each training surface that occurs in the article is listed under its most
  frequent type, each training value under its keys; a training relation that occurs in a sentence becomes a triple with
  the nearest training heads and tails before and after it. The longest match wins.

Their answers are run folders like anybody's.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from etlch.examples.rows import Row
from etlch.formats import Format, FormatError, Schema
from etlch.records import Entity, Record, Triple, dump_json, read_records, write_text
from etlch.runs import ANSWERS, RUN, Run, read_run, write_stamp
from etlch.tasks import Card

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


class Skeleton:
    """The floor `skeleton`, made from a card's training records: where a prompt names no keys it writes the most
    frequent ones, as many as the median answer has."""

    def __init__(self, train: Iterable[Record], part: str):
        answers = [
            list(dict.fromkeys(e.type for e in record.entities) if part == "entities" else record.fields)
            for record in train
        ]
        sizes = sorted(len(keys) for keys in answers)
        counts = Counter(key for keys in answers for key in keys)
        ranked = sorted(counts, key=lambda key: (-counts[key], key))
        self.keys = tuple(ranked[: sizes[len(sizes) // 2]]) if sizes else ()

    def answer(self, form: Format, schema: Schema, record: Record) -> str:
        if form.is_json:
            return json.dumps({key: [] for key in schema.keys or self.keys}, ensure_ascii=False)
        return form.render(replace(record, entities=(), triples=(), fields={}), schema)


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

    def answer(self, form: Format, schema: Schema, record: Record) -> str:
        """The answer to one row. What the format cannot represent (a name with its separator, say) is left out."""
        text = record.text
        empty = replace(record, entities=(), triples=(), fields={})
        if form.part == "entities":
            found = dict.fromkeys(string for _, string in self._lexicons["entities"].find(text))
            entities = (Entity(string, self._types[string]) for string in found)
            kept = tuple(e for e in entities if not schema.keys or e.type in schema.keys)
            return form.render(replace(empty, entities=kept), schema)
        if form.part == "fields":
            fields: dict[str, list[str]] = {key: [] for key in schema.keys}
            for string in dict.fromkeys(string for _, string in self._lexicons["fields"].find(text)):
                for key in sorted(self._keys[string] & set(fields)):
                    fields[key].append(string)
            return form.render(replace(empty, fields=fields), schema)
        triples = [t for t in self._triples(text) if _renders(form, schema, replace(empty, triples=(t,)))]
        return form.render(replace(empty, triples=tuple(triples)), schema)

    def _triples(self, text: str) -> Iterator[Triple]:
        for sentence in _SENTENCE.findall(text):
            ends = list(self._lexicons["ends"].find(sentence))
            for start, relation in self._lexicons["relations"].find(sentence):
                before = [s for at, s in ends if at + len(s) <= start]
                after = [s for at, s in ends if at >= start + len(relation)]
                if before and after:
                    yield Triple(before[-1], relation, after[0])


def write_floors(
    card: Card, model: Run, asked: Sequence[tuple[Row, Record]], folder: Path, root: Path = Path(".")
) -> list[Run]:
    """Answer the rows that a run was asked as both floors do, trained on the card's training set; the runs written."""
    train = list(read_records(root / card.train))
    floors: dict[str, Callable[[Format, Schema, Record], str]] = {
        "dictionary": Dictionary(train).answer,
        "skeleton": Skeleton(train, card.part).answer,
    }
    runs = []
    for name, answer in floors.items():
        file = folder / name / model.task / ANSWERS
        info: dict[str, Any] = {
            "system": name,
            "base_model": None,
            "adapter": None,
            "scale": 0,
            "task": model.task,
            "card": card.name,
            "engine": "floor",
            "samples": len(asked),
            "data": model.info.get("data"),
            "train": {"file": card.train.as_posix(), "records": len(train)},
        }
        rows = (
            {"prompt": "\n".join(row.turns), "predict": answer(row.form, row.asks, record), "label": row.output}
            for row, record in asked
        )
        file.with_name(RUN).unlink(missing_ok=True)
        write_text(file, "".join(dump_json(row) + "\n" for row in rows))
        write_stamp(file.parent, RUN, info)
        runs.append(read_run(file))
    return runs


def _renders(form: Format, schema: Schema, record: Record) -> bool:
    try:
        form.render(record, schema)
    except FormatError:
        return False
    return True

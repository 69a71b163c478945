"""Floors: what needs no language model, answered and scored like any system, so that a reader sees what a score is worth.

- `skeleton` writes the form and nothing else: the keys asked for (or, where the prompt names none, the keys of a typical
  training answer) with empty lists, or the header alone.
- `dictionary` knows the training set by heart: each training surface that occurs in the article is listed under its most
  frequent type, each training value under its keys; a training relation that occurs in a sentence becomes a triple with
  the nearest training heads and tails before and after it. The longest match wins.
- `crf` is the dictionary with names found by a trained CRF (etlch/infer/crf.py) instead of looked up: entities, the values
  of keys that are entity types, and the ends of triples.

Their answers are run folders like anybody's. `dictionary_300` has read the first 300 training records, as a system of scale
300 has; `dictionary` and `skeleton` as many as the largest of the scales beside them, all where there is no scale.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from etlch import formats
from etlch.checksums import of_file
from etlch.examples.rows import Row
from etlch.formats import Format, FormatError, Schema
from etlch.infer import crf
from etlch.records import Entity, Record, Triple, dump_json, read_records, write_text
from etlch.runs import ANSWERS, RUN, Run, read_run, read_stamp, write_stamp
from etlch.tasks import Card

_SENTENCE = re.compile(r"[^。！？!?；;\n]+")
_CODE = (Path(__file__), Path(crf.__file__))


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

    def __init__(self, train: Sequence[Record]):
        self.keys = {
            "entities": _typical(dict.fromkeys(entity.type for entity in record.entities) for record in train),
            "fields": _typical(record.fields for record in train),
        }

    def answer(self, form: Format, schema: Schema, record: Record) -> str:
        """The answer to one row."""
        if form.is_json:
            return json.dumps({key: [] for key in schema.keys or self.keys[form.part]}, ensure_ascii=False)
        return form.render(replace(record, entities=(), triples=(), fields={}), schema)


def _typical(answers: Iterable[Iterable[str]]) -> list[str]:
    """The most frequent keys of some answers, as many as the median one has."""
    found = [list(keys) for keys in answers]
    counts = Counter(key for keys in found for key in keys)
    ranked = sorted(counts, key=lambda key: (-counts[key], key))
    return ranked[: sorted(map(len, found))[len(found) // 2]] if found else []


class Dictionary:
    """The floor `dictionary`, made from a card's training records."""

    def __init__(self, train: Sequence[Record]):
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
            kept = tuple(e for e in self.mentions(text) if not schema.keys or e.type in schema.keys)
            return form.render(replace(empty, entities=kept), schema)
        if form.part == "fields":
            fields: dict[str, list[str]] = {key: [] for key in schema.keys}
            for key, value in dict.fromkeys(self.values(text)):
                if key in fields:
                    fields[key].append(value)
            return form.render(replace(empty, fields=fields), schema)
        triples = [t for t in self._triples(text) if _renders(form, schema, replace(empty, triples=(t,)))]
        return form.render(replace(empty, triples=tuple(triples)), schema)

    def mentions(self, text: str) -> Iterator[Entity]:
        """The entities of a text, each where it stands."""
        for start, string in self._lexicons["entities"].find(text):
            yield Entity(string, self._types[string], ((start, start + len(string)),))

    def values(self, text: str) -> Iterator[tuple[str, str]]:
        """(key, value) of each value of a text."""
        for _, string in self._lexicons["fields"].find(text):
            yield from ((key, string) for key in self._keys[string])

    def ends(self, sentence: str) -> list[tuple[int, str]]:
        """(start, string) of what may be a head or a tail."""
        return list(self._lexicons["ends"].find(sentence))

    def _triples(self, text: str) -> Iterator[Triple]:
        for sentence in _SENTENCE.findall(text):
            ends = self.ends(sentence)
            for start, relation in self._lexicons["relations"].find(sentence):
                before = [s for at, s in ends if at + len(s) <= start]
                after = [s for at, s in ends if at >= start + len(relation)]
                if before and after:
                    yield Triple(before[-1], relation, after[0])


class Crf(Dictionary):
    """The floor `crf`, made from a card's training records."""

    def __init__(self, train: Sequence[Record]):
        super().__init__(train)
        self._tagger = crf.Tagger(train)
        self._named = {entity.type for record in train for entity in record.entities}

    def mentions(self, text: str) -> Iterator[Entity]:
        return self._tagger.mentions(text)

    def values(self, text: str) -> Iterator[tuple[str, str]]:
        yield from ((entity.type, entity.text) for entity in self.mentions(text))
        yield from ((key, value) for key, value in super().values(text) if key not in self._named)

    def ends(self, sentence: str) -> list[tuple[int, str]]:
        return [(entity.spans[0][0], entity.text) for entity in self.mentions(sentence)]


Floor = Skeleton | Dictionary


def write_floors(
    asked: Sequence[tuple[Card, Run, Sequence[tuple[Row, Record]]]],
    scales: Iterable[int],
    folder: Path,
    root: Path = Path("."),
) -> list[Run]:
    """Answer the rows of some runs, one a task, as every floor does; the runs written.

    scales: those of the systems beside them; one beyond a card's training set is left out. What the same code made before of
    the same records and rows is kept. Raises EtlchError.
    """
    records = {card.train: list(read_records(root / card.train)) for card, _, _ in asked if card.train}
    code = [of_file(path) for path in (*sorted(Path(formats.__file__).parent.glob("*.py")), *_CODE)]
    jobs: list[tuple[type[Floor], int, int, Card, Run, Sequence[tuple[Row, Record]]]] = []
    for card, run, rows in asked:
        there = sorted(scale for scale in set(scales) if 0 < scale <= len(records[card.train]))
        count = there[-1] if there else len(records[card.train])
        jobs += [(floor, 0, count, card, run, rows) for floor in (Skeleton, Dictionary)]
        jobs += [(floor, scale, scale, card, run, rows) for scale in there for floor in (Dictionary, Crf)]
    made: dict[tuple[object, ...], Floor] = {}
    runs = []
    for floor, scale, count, card, run, rows in tqdm(jobs, "floors", delay=3, disable=None, leave=False):
        name = floor.__name__.lower() + (f"_{scale}" if scale else "")
        file = folder / name / run.task / ANSWERS
        train = records[card.train][:count]
        source = [code, [record.to_json() for record in train], [row.to_json() for row, _ in rows]]
        info: dict[str, Any] = {
            "system": name,
            "base_model": None,
            "adapter": None,
            "scale": scale,
            "task": run.task,
            "card": card.name,
            "engine": "floor",
            "samples": len(rows),
            "data": run.info.get("data"),
            "train": {"file": card.train.as_posix(), "records": count},
            "made_from": hashlib.sha256(dump_json(source).encode()).hexdigest(),
        }
        if not file.is_file() or read_stamp(file.parent, RUN) != info:
            key = (floor, count, card.train)
            if key not in made:
                made[key] = floor(train)
            answers = (
                {
                    "prompt": "\n".join(row.turns),
                    "predict": made[key].answer(row.form, row.asks, record),
                    "label": row.output,
                }
                for row, record in rows
            )
            file.with_name(RUN).unlink(missing_ok=True)
            write_text(file, "".join(dump_json(answer) + "\n" for answer in answers))
            write_stamp(file.parent, RUN, info)
        runs.append(read_run(file))
    return runs


def _renders(form: Format, schema: Schema, record: Record) -> bool:
    try:
        form.render(record, schema)
    except FormatError:
        return False
    return True

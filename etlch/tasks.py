"""Task cards (`tasks/*.yaml`): what a task asks, in which formats it is answered, where its records are, how it is scored.

A card is a warehouse: one instruction or several, one format or several; a row draws one of each by its record and seed.
An instruction may hold `{keys}` (what is asked for, as a JSON array), `{labels}` (the same, with commas), `{format}` (a
line that names format and labels), `{corpus}` and `{text}`; without `{text}` the text follows the instruction.

    schema: record     ask for the keys of the record's fields (the default of formats of fields)
    schema: labels     ask for the card's labels, or, where it has none, for whatever is there (the default of others)
    schema: corpus     ask for the types of the record's corpus
    order: random      name them in an order drawn for each record (given: as they stand)
    primary: pair_f1   the metric that ranks systems; left out, F1 without labels where the prompt names none, else with them

`train`, `validation`, `test`, `scales` and `family` belong to cards whose sets `make data` builds; a card without them is asked about the
corpora of an experiment (etlch/experiments.py). A task is added by a card and a JSONL of records; no code changes.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etlch import yamlfile
from etlch.errors import ManyErrors
from etlch.formats import FORMATS, Format, Parsed, Schema
from etlch.records import Record

METRICS = (
    "rouge1",
    "rouge2",
    "rougeL",
    "cosine",
    "json_parse_ok",
    "entity_surface_f1",
    "entity_f1",
    "pair_f1",
    "triple_f1",
    "field_f1",
    "faithfulness",
)
"""The metrics a card may name; package `eval` computes them (a test holds the two lists together)."""

_KEYS = {
    "name": str,
    "title": str,
    "language": str,
    "format": str,
    "formats": list,
    "instruction": str,
    "instructions": list,
    "labels": list,
    "schema": str,
    "order": str,
    "version": int,
    "metrics": list,
    "wins": list,
    "primary": str,
    "family": str,
    "train": str,
    "validation": str,
    "test": str,
    "scales": list,
}
_NEEDED = ("name", "title", "language", "metrics", "wins")
_OF_BUILT = ("family", "train", "test", "scales")
_EITHER = (("format", "formats"), ("instruction", "instructions"))
_ALLOWED = {"schema": ("record", "labels", "corpus"), "order": ("given", "random")}
_PLACE = re.compile(r"\{(keys|labels|format|corpus|text)\}")


@dataclass(frozen=True, slots=True)
class Card:
    """A validated task card. Paths are relative to the root of the repository, None of a card without sets of its own."""

    name: str
    title: str
    language: str
    formats: tuple[Format, ...]
    instructions: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    wins: tuple[str, ...]
    primary: str
    family: str = ""
    train: Path | None = None
    validation: Path | None = None
    test: Path | None = None
    scales: tuple[int, ...] = ()
    ask_for: str = "labels"
    order: str = "given"
    version: int = 1

    @property
    def part(self) -> str:
        """The part of a record that its answers carry: entities, triples or fields."""
        return self.formats[0].part

    def keys(self, record: Record, types: Sequence[str] = (), seed: object = 0) -> tuple[str, ...]:
        """What the prompt of this record asks for, in its order. types: those of the record's corpus."""
        found = {"record": record.fields, "labels": self.labels, "corpus": types}[self.ask_for]
        if self.order == "random":
            return tuple(random.Random(f"{seed}/{record.id}/order").sample(list(found), len(found)))
        return tuple(found)

    def instruction(self, record: Record, seed: object = 0) -> str:
        """The instruction that this record gets, its places not yet filled."""
        if len(self.instructions) == 1:
            return self.instructions[0]
        return random.Random(f"{seed}/{record.id}/instruction").choice(self.instructions)

    @property
    def format(self) -> Format:
        """The first of its formats: the only one of a simple card."""
        return self.formats[0]

    def schema(self, record: Record) -> Schema:
        """What the simple card asks this record for."""
        return Schema(self.keys(record))

    def question(self, record: Record) -> str:
        """The instruction of a LlamaFactory row that asks a simple card."""
        return asked(self.instruction(record), record, self.format, self.keys(record))[0]

    def prompt(self, record: Record) -> str:
        """What LlamaFactory makes of an alpaca row: instruction, line break, text."""
        return "\n".join(filter(None, asked(self.instruction(record), record, self.format, self.keys(record))))

    def answer(self, record: Record) -> str:
        """The gold answer in its first format."""
        return self.format.render(record, self.schema(record))

    def parse(self, answer: str, record: Record) -> Parsed:
        """Read a model's answer to this record's prompt; never raises."""
        return self.format.parse(answer, self.schema(record), record.text)

    @property
    def stem(self) -> str:
        """Its name in files and data sets, without the family that tells it apart."""
        return self.name.rpartition("/")[2]

    def dataset(self, part: int | str) -> str:
        """The registry name of a scale, of validation or of the test: `etlch_ner_300`, `etlch_ner_test`."""
        return f"{self.family}_{self.stem}_{part}"


def asked(instruction: str, record: Record, form: Format, keys: Sequence[str], corpus: str = "") -> tuple[str, str]:
    """(instruction, input) of a LlamaFactory row: the places filled, and the text where the instruction has no place for it.

    A conversation asks for one key a turn; this is its first turn. What is put in is not looked at again.
    """
    turns = form.can.types == "one a turn"
    line = f"Format: {form.name}, one type a turn." if turns else f"Format: {form.name}. {_named(form, keys)}"
    text = f"{record.text}\nType: {keys[0]}" if turns else record.text
    array = json.dumps(list(keys), ensure_ascii=False)
    places = {"keys": array, "labels": ", ".join(keys), "format": line, "corpus": corpus, "text": text}
    return _PLACE.sub(lambda match: places[match[1]], instruction), "" if "{text}" in instruction else text


def _named(form: Format, keys: Sequence[str]) -> str:
    return f"{'Type' if form.can.types == 'one' else 'Types'}: {', '.join(keys)}."


def load_card(path: str | Path) -> Card:
    """Read and check one card. Raises ManyErrors with every problem, each naming file, line and key."""
    file = yamlfile.read(path, f"the keys {', '.join(_KEYS)}")
    row = file.data
    problems = list(_problems_of_keys(row)) or list(_semantic_problems(row))
    if problems:
        raise ManyErrors([f"{file.where(key)}: {problem}" for key, problem in problems])
    formats = [FORMATS[name] for name in row.get("formats", [row.get("format")])]
    return Card(
        name=row["name"],
        title=row["title"],
        language=row["language"],
        formats=tuple(formats),
        instructions=tuple(text.rstrip("\n") for text in row.get("instructions", [row.get("instruction")])),
        labels=tuple(row.get("labels", ())),
        metrics=tuple(row["metrics"]),
        wins=tuple(row["wins"]),
        primary=row.get(
            "primary", _f1(formats[0].part, bool(row.get("labels")) or row.get("schema", "labels") != "labels")
        ),
        family=row.get("family", ""),
        **{part: Path(row[part]) for part in ("train", "validation", "test") if part in row},
        scales=tuple(row.get("scales", ())),
        ask_for=row.get("schema", "record" if formats[0].part == "fields" else "labels"),
        order=row.get("order", "given"),
        version=row.get("version", 1),
    )


def _f1(part: str, labels: bool) -> str:
    """The F1 of a part of the record: of whole items, or of what is left where the prompt names no labels."""
    bare, whole = {"entities": ("entity_surface", "entity"), "triples": ("pair", "triple")}.get(
        part, ("field", "field")
    )
    return f"{whole if labels else bare}_f1"


def load_cards(folder: str | Path = "tasks", built: bool = False) -> list[Card]:
    """Read every card of a folder, sorted by file name; built: those with sets of their own.

    Cards of two families may share a name; one of them is then `family/name`. Raises ManyErrors for bad cards and a name
    that a family has twice.
    """
    cards = yamlfile.read_folder(folder, load_card, "task card", family=lambda card: card.family)
    stems = [path.stem for path in sorted(Path(folder).glob("*.yaml"))]
    return [card for card in _told_apart(cards, stems) if card.test or not built]


def _told_apart(cards: list[Card], stems: list[str]) -> Iterator[Card]:
    """Of cards with one name, the one whose file is named so keeps it (else the first); the others are `family/name`."""
    keepers: dict[str, Card] = {}
    for card, stem in zip(cards, stems, strict=True):
        if card.name not in keepers or stem == card.name:
            keepers[card.name] = card
    for card in cards:
        yield card if keepers[card.name] is card else replace(card, name=f"{card.family}/{card.name}")


def _problems_of_keys(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, problem) of each key that is unknown, missing or of the wrong kind."""
    for key in row:
        if key not in _KEYS:
            yield key, f"unknown key {key!r} (expected {', '.join(_KEYS)})"
    for key in (*_NEEDED, *(_OF_BUILT if any(k in row for k in _OF_BUILT) else ())):
        if key not in row:
            yield key, f"{key}: missing (expected a {_KEYS[key].__name__})"
    for one, many in _EITHER:
        if (one in row) == (many in row):
            yield (
                one,
                f"{one}: {'stands beside' if one in row else 'missing, and so is'} {many} (expected one of the two)",
            )
    for key, kind in _KEYS.items():
        if key in row and not isinstance(row[key], kind):
            yield key, f"{key}: found {row[key]!r} (expected a {kind.__name__})"


def _semantic_problems(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, problem) of each value that is of the right kind and wrong all the same."""
    for key in ("name", "family"):
        more = "-_" if key == "family" else "-"
        if key in row and not (row[key].isascii() and row[key].translate(dict.fromkeys(map(ord, more))).isalnum()):
            expected = f"ASCII letters, digits and {' and '.join(more)}: it names files and datasets"
            yield key, f"{key}: found {row[key]!r} (expected {expected})"
    for key, allowed in _ALLOWED.items():
        if row.get(key, allowed[0]) not in allowed:
            yield key, f"{key}: found {row[key]!r} (expected one of {', '.join(allowed)})"
    yield from _problems_of_warehouse(row)
    for key in ("metrics", "wins", "primary"):
        for name in [row[key]] if isinstance(row.get(key), str) else row.get(key, []):
            if name not in METRICS:
                yield key, f"{key}: found {name!r} (expected one of {', '.join(METRICS)})"
    for key, names in (("wins", row["wins"]), ("primary", [row["primary"]] if "primary" in row else [])):
        for name in names:
            if name not in row["metrics"]:
                yield key, f"{key}: {name!r} is not among this card's metrics"
    scales = row.get("scales", [])
    if any(type(scale) is not int or scale < 1 for scale in scales) or scales != sorted(set(scales)):
        yield "scales", f"scales: found {scales!r} (expected rising whole numbers such as [100, 300])"
    if not all(isinstance(label, str) for label in row.get("labels", [])):
        yield "labels", f"labels: found {row['labels']!r} (expected a list of strings)"


def _problems_of_warehouse(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Formats that are not there, or carry different parts of a record; instructions that are no texts."""
    key = "formats" if "formats" in row else "format"
    names = row.get("formats", [row.get("format")])
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        yield key, f"{key}: found {(unknown or [names])[0]!r} (expected one of {', '.join(FORMATS)})"
    elif len(parts := {FORMATS[name].part for name in names}) > 1:
        yield key, f"{key}: carry {', '.join(sorted(parts))} (expected one part of the record)"
    texts = row.get("instructions", [row.get("instruction")])
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        yield "instructions", f"instructions: found {texts!r:.60} (expected a list of texts)"

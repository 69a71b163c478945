"""Task cards (`tasks/*.yaml`): what a task asks, in which format it is answered, where its records are, how it is scored.

A task is added by adding a card and a JSONL of records; no code changes. See README.md, "Add your own task".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlch import yamlfile
from etlch.errors import EtlchError, ManyErrors
from etlch.formats import FORMATS, Format, Parsed, Schema
from etlch.records import Record

METRICS = (
    "rouge1",
    "rouge2",
    "rougeL",
    "cosine",
    "json_parse_ok",
    "entity_f1",
    "triple_f1",
    "field_f1",
    "faithfulness",
)
"""The metrics a card may name; package `eval` computes them (a test holds the two lists together)."""

_KEYS = {
    "name": str,
    "family": str,
    "title": str,
    "language": str,
    "format": str,
    "instruction": str,
    "labels": list,
    "metrics": list,
    "wins": list,
    "train": str,
    "test": str,
    "scales": list,
}
_OPTIONAL = ("labels",)


@dataclass(frozen=True, slots=True)
class Card:
    """A validated task card. Paths are relative to the root of the repository."""

    name: str
    family: str
    title: str
    language: str
    format: Format
    instruction: str
    labels: tuple[str, ...]
    metrics: tuple[str, ...]
    wins: tuple[str, ...]
    train: Path
    test: Path
    scales: tuple[int, ...]

    def schema(self, record: Record) -> Schema:
        """The keys that the prompt of this record asks for: its fields, or the card's labels (none: whatever is there)."""
        return Schema(tuple(record.fields) if self.format.part == "fields" else self.labels)

    def question(self, record: Record) -> str:
        """The instruction, with `{keys}` replaced by the wanted keys as a JSON array."""
        keys = json.dumps(list(self.schema(record).keys), ensure_ascii=False)
        return self.instruction.replace("{keys}", keys)

    def prompt(self, record: Record) -> str:
        """What LlamaFactory makes of an alpaca row: instruction, line break, text."""
        return f"{self.question(record)}\n{record.text}"

    def answer(self, record: Record) -> str:
        """The gold answer in this task's format."""
        return self.format.render(record, self.schema(record))

    def parse(self, answer: str, record: Record) -> Parsed:
        """Read a model's answer to this record's prompt; never raises."""
        return self.format.parse(answer, self.schema(record), record.text)

    def dataset(self, part: int | str) -> str:
        """The registry name of a scale or of the test set: `etlch_ner_300`, `etlch_ner_test`."""
        return f"{self.family}_{self.name}_{part}"


def load_card(path: str | Path) -> Card:
    """Read and check one card. Raises ManyErrors with every problem, each naming file, line and key."""
    file = yamlfile.read(path, f"the keys {', '.join(_KEYS)}")
    row = file.data
    problems = list(_problems_of_keys(row)) or list(_semantic_problems(row))
    if problems:
        raise ManyErrors([f"{file.where(key)}: {problem}" for key, problem in problems])
    return Card(
        name=row["name"],
        family=row["family"],
        title=row["title"],
        language=row["language"],
        format=FORMATS[row["format"]],
        instruction=row["instruction"].rstrip("\n"),
        labels=tuple(row.get("labels", ())),
        metrics=tuple(row["metrics"]),
        wins=tuple(row["wins"]),
        train=Path(row["train"]),
        test=Path(row["test"]),
        scales=tuple(row["scales"]),
    )


def load_cards(folder: str | Path = "tasks") -> list[Card]:
    """Read every card of a folder, sorted by file name. Raises ManyErrors for bad cards and repeated names."""
    folder = Path(folder)
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise EtlchError(f"{folder}: no task card (expected *.yaml)")
    cards: list[Card] = []
    problems: list[str] = []
    for path in paths:
        try:
            card = load_card(path)
        except ManyErrors as errors:
            problems += errors.problems
            continue
        if any(card.name == other.name for other in cards):
            problems.append(f"{path}: name: {card.name!r} again (expected a name of its own)")
        cards.append(card)
    if problems:
        raise ManyErrors(problems)
    return cards


def _problems_of_keys(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, problem) of each key that is unknown, missing or of the wrong kind."""
    for key in row:
        if key not in _KEYS:
            yield key, f"unknown key {key!r} (expected {', '.join(_KEYS)})"
    for key, kind in _KEYS.items():
        if key not in row and key not in _OPTIONAL:
            yield key, f"{key}: missing (expected a {kind.__name__})"
        elif key in row and not isinstance(row[key], kind):
            yield key, f"{key}: found {row[key]!r} (expected a {kind.__name__})"


def _semantic_problems(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, problem) of each value that is of the right kind and wrong all the same."""
    for key in ("name", "family"):
        if not (row[key].isascii() and row[key].replace("-", "").isalnum()):
            expected = "ASCII letters, digits and hyphens: it names files and datasets"
            yield key, f"{key}: found {row[key]!r} (expected {expected})"
    if row["format"] not in FORMATS:
        yield "format", f"format: found {row['format']!r} (expected one of {', '.join(FORMATS)})"
    for key in ("metrics", "wins"):
        for name in row[key]:
            if name not in METRICS:
                yield key, f"{key}: found {name!r} (expected one of {', '.join(METRICS)})"
    for name in row["wins"]:
        if name not in row["metrics"]:
            yield "wins", f"wins: {name!r} is not among this card's metrics"
    scales = row["scales"]
    if any(type(scale) is not int or scale < 1 for scale in scales) or scales != sorted(set(scales)):
        yield "scales", f"scales: found {scales!r} (expected rising whole numbers such as [100, 300])"
    if not all(isinstance(label, str) for label in row.get("labels", [])):
        yield "labels", f"labels: found {row['labels']!r} (expected a list of strings)"

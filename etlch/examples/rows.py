"""A row says how it was asked: record, corpus, card, format, schema, context and seed beside LlamaFactory's own columns.

Scoring reads the row, never a name or the card's present text. `schema` is a JSON array in a string, since LlamaFactory
reads a file's columns with one type each. A file has one row a line between brackets, so that it can be read in a stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError
from etlch.formats import FORMATS, Format, Schema
from etlch.records import dump_json

COLUMNS = {"prompt": "instruction", "query": "input", "response": "output"}
TEST = "test"  # key of a registry entry: the name of this test set's run folders

Turns = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One example. history: the turns (question, answer) before the last, None in a file without such a column.
    context: `none`, or which examples stand in the history. An empty `card` is a row of somebody else's file."""

    id: str
    instruction: str
    input: str
    output: str
    record: str
    corpus: str = ""
    card: str = ""
    format: str = ""
    schema: tuple[str, ...] = ()
    context: str = "none"
    seed: int = 0
    history: Turns | None = None

    @property
    def form(self) -> Format:
        return FORMATS[self.format]

    @property
    def asks(self) -> Schema:
        """What it asks for."""
        return Schema(self.schema)

    @property
    def prompt(self) -> str:
        """The last turn as LlamaFactory writes it."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction

    @property
    def turns(self) -> tuple[str, ...]:
        """Every turn that a model reads: the history's questions and answers, then the prompt."""
        return (*(part for turn in self.history or () for part in turn), self.prompt)

    def to_json(self) -> dict[str, Any]:
        """The row of a LlamaFactory file."""
        made: dict[str, Any] = {
            "id": self.id,
            "instruction": self.instruction,
            "input": self.input,
            "output": self.output,
        }
        if self.history is not None:
            made["history"] = [list(turn) for turn in self.history]
        return made | {
            "record": self.record,
            "corpus": self.corpus,
            "card": self.card,
            "format": self.format,
            "schema": json.dumps(self.schema, ensure_ascii=False),
            "context": self.context,
            "seed": self.seed,
        }


def from_json(found: Any, where: str) -> Row:
    """A row of a file. Raises EtlchError naming the place for one that is no row, or of an unknown format."""
    try:
        history = found.get("history")
        row = Row(
            id=str(found.get("id", "")),
            instruction=found["instruction"],
            input=found.get("input") or "",
            output=found.get("output") or "",
            record=str(found.get("record", found.get("id", ""))),
            corpus=found.get("corpus", ""),
            card=found.get("card", ""),
            format=found.get("format", ""),
            schema=tuple(json.loads(found.get("schema", "[]"))),
            context=found.get("context", "none"),
            seed=found.get("seed", 0),
            history=None if history is None else tuple((q, a) for q, a in history),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EtlchError(
            f"{where}: not a row of a data set ({error!r:.60}; expected what `etlch data` writes)"
        ) from None
    if row.format and row.format not in FORMATS:
        raise EtlchError(f"{where}: format: found {row.format!r} (expected one of {', '.join(FORMATS)})")
    return row


def to_text(rows: Iterable[Row]) -> str:
    """A LlamaFactory file, one row a line."""
    return as_file(dump_json(row.to_json()) for row in rows)


def as_file(lines: Iterable[str]) -> str:
    """A LlamaFactory file of rows that are JSON already."""
    return "[\n" + ",\n".join(lines) + "\n]\n"


def read(path: Path) -> Iterator[Row]:
    """The rows of a file, in constant memory where it has one a line. Raises EtlchError."""
    try:
        with path.open(encoding="utf-8") as handle:
            if next(handle, "").strip() == "[":
                for number, line in enumerate(handle, start=2):
                    if line.strip() == "]":
                        return
                    yield from_json(json.loads(line.rstrip().removesuffix(",")), f"{path}:{number}")
                raise EtlchError(f"{path}: ends in the middle (expected a closing bracket); run `make data`")
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise EtlchError(f"{path}: not the JSON of a data set ({error})") from None
    if not isinstance(found, list):
        raise EtlchError(f"{path}: found {type(found).__name__} (expected a list of rows)")
    for number, row in enumerate(found, start=1):
        yield from_json(row, f"{path}: row {number}")


def entry(file_name: str, history: bool = False, test: str = "") -> dict[str, Any]:
    """An entry of dataset_info.json."""
    made: dict[str, Any] = {"file_name": file_name, "columns": COLUMNS | ({"history": "history"} if history else {})}
    return made | ({TEST: test} if test else {})

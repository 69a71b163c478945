"""Record: the one shape of an annotated text, and its JSONL reader and writer.

Offsets are Unicode code points, end-exclusive. A discontinuous entity has several spans; its text is then the
fragments joined by one blank, as in BRAT standoff.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError

_KEYS = ("id", "lang", "theme", "source", "text", "entities", "triples", "fields")


@dataclass(frozen=True, slots=True)
class Entity:
    """One mention. `spans` may be empty when only the surface is known (an answer without offsets)."""

    text: str
    type: str
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Triple:
    """head - relation - tail; the types may be empty."""

    head: str
    relation: str
    tail: str
    head_type: str = ""
    tail_type: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """An annotated text. `fields` maps a key to the list of its values (possibly empty)."""

    id: str
    text: str
    lang: str = ""
    theme: str = ""
    source: str = ""
    entities: tuple[Entity, ...] = ()
    triples: tuple[Triple, ...] = ()
    fields: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for problem in problems_of(self):
            raise EtlchError(f"record {self.id!r}: {problem}")

    def to_json(self) -> dict[str, Any]:
        """The JSON object of DESIGN.md; empty parts are left out."""
        row: dict[str, Any] = {"id": self.id, "lang": self.lang, "theme": self.theme, "source": self.source}
        row = {key: value for key, value in row.items() if value}
        row["text"] = self.text
        if self.entities:
            row["entities"] = [
                {"text": e.text, "type": e.type, "spans": [list(s) for s in e.spans]} for e in self.entities
            ]
        if self.triples:
            keys = ("head", "head_type", "relation", "tail", "tail_type")
            pairs = ([(key, getattr(triple, key)) for key in keys] for triple in self.triples)
            row["triples"] = [{k: v for k, v in pair if v or not k.endswith("_type")} for pair in pairs]
        if self.fields:
            row["fields"] = self.fields
        return row


def problems_of(record: Record) -> Iterator[str]:
    """Each way in which a record contradicts itself, as `field: what was found (what was expected)`."""
    if not record.id:
        yield "id: empty (expected a name that is unique in its file)"
    text, size = record.text, len(record.text)
    for number, entity in enumerate(record.entities):
        for start, end in entity.spans:
            if not 0 <= start < end <= size:
                where = f"entities[{number}].spans: [{start}, {end}]"
                yield f"{where} is outside the text (expected 0 <= start < end <= {size})"
                return
        sliced = " ".join([text[start:end] for start, end in entity.spans])
        if entity.spans and sliced != entity.text:
            where = f"entities[{number}].spans: {[list(s) for s in entity.spans]}"
            yield f"{where} slices to {sliced!r} (expected {entity.text!r})"


def record_from_json(row: Any) -> Record:
    """Build a Record from one decoded JSON object.

    Raises EtlchError naming the field, what was found and what was expected.
    """
    return Record(**parts_from_json(row))


def parts_from_json(row: Any) -> dict[str, Any]:
    """What a Record is made of, its offsets not compared with its text yet. Raises EtlchError as `record_from_json`."""
    if not isinstance(row, dict):
        raise EtlchError(f"found {type(row).__name__} (expected a JSON object)")
    if unknown := sorted(row.keys() - set(_KEYS)):
        raise EtlchError(f"unknown field {unknown[0]!r} (expected {', '.join(_KEYS)})")
    parts = {key: _string(row, key) for key in ("id", "text")}
    parts |= {key: _string(row, key, default="") for key in ("lang", "theme", "source")}
    parts["entities"] = _items(row, "entities", _entity, "text, type and spans")
    parts["triples"] = _items(row, "triples", _triple, "head, relation and tail")
    return parts | {"fields": _fields(row.get("fields", {}))}


def read_records(path: str | Path) -> Iterator[Record]:
    """Yield the records of a JSONL file; blank lines are skipped, a repeated id is refused.

    Raises EtlchError naming file, line and field.
    """
    path = Path(path)
    seen: dict[str, int] = {}
    for number, row in read_jsonl(path):
        try:
            record = record_from_json(row)
        except EtlchError as error:
            raise EtlchError(f"{path}:{number}: {error}") from None
        if record.id in seen:
            raise EtlchError(f"{path}:{number}: id {record.id!r} again (first on line {seen[record.id]})")
        seen[record.id] = number
        yield record


def write_records(path: str | Path, records: Iterable[Record]) -> None:
    """Write records as JSONL, whole or not at all."""
    write_text(path, "".join(dump_json(record.to_json()) + "\n" for record in records))


def read_jsonl(path: str | Path) -> Iterator[tuple[int, Any]]:
    """Yield (line number, decoded value) for each line that is not blank.

    Lines end at LF or CRLF only. Raises EtlchError for a missing file, bytes that are not UTF-8, or a line that is
    not JSON (a file cut in the middle of a line, say).
    """
    path = Path(path)
    try:
        handle = path.open("rb")
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error})") from None
    with handle:
        for number, raw in enumerate(handle, start=1):
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if not raw.strip():
                continue
            try:
                yield number, json.loads(raw.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise EtlchError(f"{path}:{number}: not UTF-8 ({error.reason} at byte {error.start + 1})") from None
            except (ValueError, RecursionError) as error:
                cut = "" if raw.endswith(b"\n") else "; the line has no end, so the file may have been cut"
                raise EtlchError(f"{path}:{number}: not JSON ({error}){cut}") from None


def dump_json(value: Any, indent: int | None = None) -> str:
    """JSON text with non-ASCII characters as they are (lone surrogates escaped, so that it can be encoded)."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, ensure_ascii=True, indent=indent)
    return text


def write_text(path: str | Path, text: str) -> None:
    """Write a file whole or not at all: to a temporary file beside it, then rename."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(text.encode("utf-8"))
        temporary.replace(path)
    except OSError as error:
        raise EtlchError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


class _Field(EtlchError):
    """A field of an object is not what it should be; the message begins with its name."""


def _string(row: dict[str, Any], key: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str):
        found = "nothing" if value is None else repr(value)[:60]
        raise _Field(f"{key}: found {found} (expected a string)")
    return value


def _list(row: dict[str, Any], key: str) -> list[Any]:
    value = row.get(key, [])
    if not isinstance(value, list):
        raise _Field(f"{key}: found {type(value).__name__} (expected a list)")
    return value


def _items(row: dict[str, Any], key: str, build: Callable[[dict[str, Any]], Any], parts: str) -> tuple[Any, ...]:
    """Each object of a list, built; an error names its place."""
    built: list[Any] = []
    items = _list(row, key)
    try:
        for item in items:
            if not isinstance(item, dict):
                raise EtlchError(f"{key}[{len(built)}]: found {type(item).__name__} (expected an object with {parts})")
            built.append(build(item))
    except _Field as error:
        raise EtlchError(f"{key}[{len(built)}].{error}") from None
    return tuple(built)


def _entity(row: dict[str, Any]) -> Entity:
    text, kind, spans = _string(row, "text"), _string(row, "type"), []
    for span in _list(row, "spans"):
        if not (type(span) is list and len(span) == 2 and type(span[0]) is int and type(span[1]) is int):
            raise _Field(f"spans: found {span!r} (expected [start, end])")
        spans.append((span[0], span[1]))
    return Entity(text, kind, tuple(spans))


def _triple(row: dict[str, Any]) -> Triple:
    parts = [_string(row, key) for key in ("head", "relation", "tail")]
    return Triple(*parts, *(_string(row, key, default="") for key in ("head_type", "tail_type")))


def _fields(value: Any) -> dict[str, list[str]]:
    if not isinstance(value, dict):
        raise EtlchError(f"fields: found {type(value).__name__} (expected an object of lists)")
    for key, values in value.items():
        if not (isinstance(values, list) and all(isinstance(v, str) for v in values)):
            raise EtlchError(f"fields[{key!r}]: found {values!r:.60} (expected a list of strings)")
    return value

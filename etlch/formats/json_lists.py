"""A JSON object whose values are lists of strings, nothing nested: the answer of the ETLCH paper's JSON and NER tasks.

Two formats share it: `json_fields` (keys are the fields the prompt names) and `json_entities` (keys are entity types,
values the distinct surfaces in order of appearance).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from etlch.formats.base import MAX_PROBLEMS, Can, Format, FormatError, Parsed, Schema, status_of
from etlch.records import Entity, Record

Items = list[tuple[str, tuple[str, ...]]]


class _Number(str):
    """A number's literal, kept as written (10 stays 10, 1e9 stays 1e9)."""

    __slots__ = ()


class _Object(list):
    """The pairs of a JSON object, duplicates included."""


def render_fields(record: Record, schema: Schema) -> str:
    """`{"key": ["value", ...], ...}` with the keys in the schema's order (the record's own where it names none)."""
    keys = schema.keys or tuple(record.fields)
    missing = [k for k in record.fields if k not in keys]
    if missing:
        raise FormatError(f"record {record.id!r}: field {missing[0]!r} is not in the schema {list(keys)}")
    return _dump({key: list(record.fields.get(key, [])) for key in keys})


def render_entities(record: Record, schema: Schema) -> str:
    """`{"type": ["surface", ...], ...}`; types in the schema's order, else in order of appearance; absent types left out."""
    surfaces: dict[str, dict[str, None]] = {key: {} for key in schema.keys}
    for entity in record.entities:
        if schema.keys and entity.type not in surfaces:
            raise FormatError(f"record {record.id!r}: type {entity.type!r} is not in the schema {list(schema.keys)}")
        surfaces.setdefault(entity.type, {})[entity.text] = None
    return _dump({kind: list(found) for kind, found in surfaces.items() if found})


def parse_fields(text: str, schema: Schema, source_text: str = "") -> Parsed:
    """Read an answer in `json_fields`. Never raises."""
    items, problems, readable = read_lists(text)
    items = _merged(items, problems)
    for key, _ in items:
        if schema.keys and key not in schema.keys:
            problems.append(f"key {key[:40]!r} was not asked for")
    found = {key for key, _ in items}
    for key in schema.keys:
        if key not in found:
            problems.append(f"key {key[:40]!r} is missing")
    status = status_of(problems, readable or bool(items))
    return Parsed(status, tuple(problems[:MAX_PROBLEMS]), fields=tuple(items))


def parse_entities(text: str, schema: Schema, source_text: str = "") -> Parsed:
    """Read an answer in `json_entities`. Never raises. Entities come without spans, each (type, surface) once."""
    items, problems, readable = read_lists(text)
    items = _merged(items, problems)
    for key, _ in items:
        if schema.keys and key not in schema.keys:
            problems.append(f"type {key[:40]!r} is unknown")
    entities = tuple(dict.fromkeys(Entity(surface, kind) for kind, surfaces in items for surface in surfaces))
    status = status_of(problems, readable or bool(items))
    return Parsed(status, tuple(problems[:MAX_PROBLEMS]), entities=entities)


def read_lists(text: str) -> tuple[Items, list[str], bool]:
    """Read key -> list of strings from any string.

    Returns the items in order (keys may repeat), the problems met, and whether the raw text was a JSON object. Strict
    JSON first; else a code fence or words around the object are taken off; else whatever stands between quotes is
    collected by a scanner that is linear in the length of the text.
    """
    problems: list[str] = []
    value = _loads(text)
    if value is None:
        start, end = text.find("{"), text.rfind("}")
        inner = _loads(text[start : end + 1]) if 0 <= start < end else None
        if inner is None:
            items = _scan(text)
            problems.append("not JSON; items were read from what is there" if items else "not JSON")
            return items, problems, False
        problems.append("text around the JSON object")
        value = inner
    if not isinstance(value, _Object):
        return [], [*problems, f"found {type(value).__name__.strip('_')} (expected a JSON object)"], False
    return [(key, tuple(_strings(key, item, problems))) for key, item in value], problems, True


def _loads(text: str) -> Any:
    """The decoded value, or None when the text is not JSON. Objects come as _Object, numbers as _Number."""
    try:
        return json.loads(
            text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_Number
        )
    except (ValueError, RecursionError):
        return None


def _strings(key: str, value: Any, problems: list[str]) -> Iterable[str]:
    """The strings of one value, noting whatever is not a flat list of strings; walks nesting without recursion."""
    if not (isinstance(value, list) and not isinstance(value, _Object)):
        problems.append(f"value of {key[:40]!r} is not a list")
        value = [value]
    pending = list(reversed(value))
    nested = False
    while pending:
        item = pending.pop()
        if type(item) is str:
            yield item
        elif isinstance(item, _Object):
            nested = True
            pending.extend(reversed([inner for _, inner in item]))
        elif isinstance(item, list):
            nested = True
            pending.extend(reversed(item))
        elif item is not None:
            problems.append(f"value of {key[:40]!r} holds {str(item)[:20]} (expected a string)")
            yield str(item)
    if nested:
        problems.append(f"value of {key[:40]!r} is nested")


_BODY = re.compile(r'(?:[^"\\]|\\.)*+', re.S)
_MARK = re.compile(r'["\[\]{}:,]')


def _scan(text: str) -> Items:
    """Collect `"key": [ "value", ...` from broken JSON: a string before a colon is a key, others are its values."""
    items: list[tuple[str, list[str]]] = []
    pending: str | None = None
    position = 0
    while match := _MARK.search(text, position):
        position = match.end()
        mark = match[0]
        if mark == '"':
            body = _BODY.match(text, position)
            end = body.end()
            if pending is not None and items:
                items[-1][1].append(pending)
            pending = None
            if end >= len(text):  # the answer was cut inside this string: it is not a value the model finished
                break
            pending = _unescape(body[0])
            position = end + 1
        elif mark == ":":
            if pending is not None:
                items.append((pending, []))
                pending = None
        elif pending is not None:
            if items:
                items[-1][1].append(pending)
            pending = None
    if pending is not None and items:
        items[-1][1].append(pending)
    return [(key, tuple(values)) for key, values in items]


def _unescape(body: str) -> str:
    if "\\" not in body:
        return body
    value = _loads(f'"{body}"')
    return value if isinstance(value, str) else body


def _merged(items: Items, problems: list[str]) -> Items:
    """Put the values of a repeated key together, noting it."""
    merged: dict[str, list[str]] = {}
    for key, values in items:
        if key in merged:
            problems.append(f"key {key[:40]!r} stands twice")
        merged.setdefault(key, []).extend(values)
    return [(key, tuple(values)) for key, values in merged.items()]


def _dump(value: dict[str, list[str]]) -> str:
    return json.dumps(value, ensure_ascii=False)


FIELDS = Format("json_fields", "fields", render_fields, parse_fields, is_json=True)
MENTIONS = Can("many", nested=True, crossing=True, discontinuous=True)
ENTITIES = Format("json_entities", "entities", render_entities, parse_entities, is_json=True, can=MENTIONS)

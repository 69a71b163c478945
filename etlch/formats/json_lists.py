"""A JSON object whose values are lists of strings, nothing nested: the answer of the ETLCH paper's JSON and NER tasks.

Two formats share it: `json_fields` (keys are the fields the prompt names) and `json_entities` (keys are entity types,
values the distinct surfaces in order of appearance).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from etlch.formats.base import Can, Format, FormatError, Parsed, Problems, Schema, again
from etlch.formats.literals import tokens
from etlch.records import Entity, Record

Lists = list[tuple[str, list[str]]]


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
    return _dump(record, {key: list(record.fields.get(key, [])) for key in keys})


def render_entities(record: Record, schema: Schema) -> str:
    """`{"type": ["surface", ...], ...}`; types in the schema's order, else in order of appearance; absent types left out."""
    surfaces: dict[str, dict[str, None]] = {key: {} for key in schema.keys}
    for entity in record.entities:
        if schema.keys and entity.type not in surfaces:
            raise FormatError(f"record {record.id!r}: type {entity.type!r} is not in the schema {list(schema.keys)}")
        surfaces.setdefault(entity.type, {})[entity.text] = None
    return _dump(record, {kind: list(found) for kind, found in surfaces.items() if found})


def parse_fields(text: str, schema: Schema, source_text: str = "") -> Parsed:
    """Read an answer in `json_fields`. Never raises."""
    problems = Problems()
    lists, readable = _read(text, schema, "key {} was not asked for", problems)
    for key in schema.keys:
        if key not in lists:
            problems.add(f"key {key[:40]!r} is missing")
    fields = tuple((key, tuple(values)) for key, values in lists.items())
    return Parsed(problems.status(readable), problems.lines(), fields=fields)


def parse_entities(text: str, schema: Schema, source_text: str = "") -> Parsed:
    """Read an answer in `json_entities`. Never raises. Entities come without spans, as often as they are named."""
    problems = Problems()
    lists, readable = _read(text, schema, "type {} is unknown", problems)
    entities = tuple(Entity(surface, kind) for kind, surfaces in lists.items() for surface in surfaces)
    again(entities, problems)
    return Parsed(problems.status(readable), problems.lines(), entities)


def _read(text: str, schema: Schema, unknown: str, problems: Problems) -> tuple[dict[str, list[str]], bool]:
    """The lists by key, in order, and whether any could be read; a key that stands twice has the values of both, empty
    keys and values are left out."""
    found, readable = _lists(text, problems)
    merged: dict[str, list[str]] = {}
    for key, named in found:
        values = [value for value in named if value]
        if not key or len(values) < len(named):
            problems.add(f"an empty {'value of ' + repr(key[:40]) if key else 'key'}")
        if not key:
            continue
        if key in merged:
            problems.add(f"key {key[:40]!r} stands twice")
        merged.setdefault(key, []).extend(values)
    for key in merged:
        if schema.keys and key not in schema.keys:
            problems.add(unknown.format(repr(key[:40])))
    return merged, readable or bool(merged)


def _lists(text: str, problems: Problems) -> tuple[Lists, bool]:
    """Key -> list of strings from any string, in order (keys may repeat), and whether a JSON object is there.

    Strict JSON first; else a code fence or words around the object are taken off; else whatever stands between quotes
    is collected by a scanner that is linear in the length of the text.
    """
    value = _loads(text)
    if value is None:
        start, end = text.find("{"), text.rfind("}")
        value = _loads(text[start : end + 1]) if 0 <= start < end else None
        if value is None:
            found = _scan(text)
            problems.add("not JSON; items were read from what is there" if found else "not JSON")
            return found, False
        problems.add("text around the JSON object")
    if isinstance(value, list) and value and all(map(_object_of_lists, value)):
        problems.add("a list of objects (expected one object)")
        value = _Object(pair for item in value for pair in item)
    if not isinstance(value, _Object):
        problems.add(f"found {type(value).__name__.strip('_')} (expected a JSON object)")
        return [], False
    return [(key, list(_strings(key, item, problems))) for key, item in value], True


def _object_of_lists(value: Any) -> bool:
    """Is it an object with one key, or one whose values are all lists?"""
    return isinstance(value, _Object) and (len(value) == 1 or all(type(item) is list for _, item in value))


def _loads(text: str) -> Any:
    """The decoded value, or None when the text is not JSON. Objects come as _Object, numbers as _Number."""
    try:
        return json.loads(
            text, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number, parse_constant=_Number
        )
    except (ValueError, RecursionError):
        return None


def _strings(key: str, value: Any, problems: Problems) -> Iterator[str]:
    """The strings of one value, noting whatever is not a flat list of strings; walks nesting without recursion."""
    if not isinstance(value, list) or isinstance(value, _Object):
        problems.add(f"value of {key[:40]!r} is not a list")
        value = [value]
    pending = value[::-1]
    nested = False
    while pending:
        item = pending.pop()
        if type(item) is str:
            yield item
        elif isinstance(item, list):
            nested = True
            inner = [inside for _, inside in item] if isinstance(item, _Object) else item
            pending += inner[::-1]
        elif item is not None:
            problems.add(f"value of {key[:40]!r} holds {str(item)[:20]} (expected a string)")
            yield str(item)
    if nested:
        problems.add(f"value of {key[:40]!r} is nested")


_BARE = re.compile(r"\s*+[^\s\"'“‘「\[{［｛0-9-]")


def _scan(text: str) -> Lists:
    """Collect `"key": [ "value", ...` from broken JSON: what stands before a colon is a key, the rest are its values.

    A string that the end of the text cuts is not a value that the model finished, and is left out. Within a list, what
    stands before a colon and bare words is a string whose quotes were not escaped.
    """
    found: Lists = []
    pending: str | None = None
    listed = loose = False
    for token in tokens(text):
        mark = token.text if token.kind == "mark" else ""
        if pending is not None and mark == ":":
            loose = listed and _BARE.match(text, token.end) is not None
            if not loose:
                found.append((pending, []))
        if pending is not None and found and (mark != ":" or loose):
            found[-1][1].append(pending)
        taken = token.whole and not mark and not (loose and token.kind == "words")
        pending = token.text if taken else None
        loose = loose and mark == ":"
        listed = mark == "[" or (listed and mark not in tuple("]{}"))
    if pending is not None and found:
        found[-1][1].append(pending)
    return found


def _dump(record: Record, value: dict[str, list[str]]) -> str:
    if not all(text for key, texts in value.items() for text in (key, *texts)):
        raise FormatError(f"record {record.id!r}: an empty key or value cannot be written", "an empty key or value")
    return json.dumps(value, ensure_ascii=False)


FIELDS = Format("json_fields", "fields", render_fields, parse_fields, is_json=True)
MENTIONS = Can("many", nested=True, crossing=True, discontinuous=True)
ENTITIES = Format("json_entities", "entities", render_entities, parse_entities, is_json=True, can=MENTIONS)

"""What an answer in JSON may look like: what a row asks for, as every engine that can constrain an answer is given it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from etlch.formats import Format


@dataclass(frozen=True, slots=True)
class Shape:
    """An object whose values are lists of strings, written as `json.dumps` does.

    keys: in the order in which they are written. optional: each may be left out; with no keys, any distinct keys may be
    written.
    """

    keys: tuple[str, ...] = ()
    optional: bool = True


def shape_of(form: Format, keys: Iterable[str]) -> Shape | None:
    """The shape of an answer in this format to a prompt that asks for these keys; None when it is not a JSON object of lists."""
    keys = tuple(dict.fromkeys(keys))
    if form.name == "json_fields":
        return Shape(keys, optional=not keys)
    return Shape(keys) if form.name == "json_entities" else None


def json_schema(shape: Shape, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """A shape as JSON Schema. values: the schema of a key's value, if more is to be said than that it is a list of strings."""
    values = values or {"type": "array", "items": {"type": "string"}}
    return {
        "type": "object",
        "properties": dict.fromkeys(shape.keys, values),
        "required": [] if shape.optional else list(shape.keys),
        "additionalProperties": False if shape.keys else values,
    }

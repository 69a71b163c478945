"""Strings and numbers out of an answer that was to be JSON (or a line of Python) and may be anything.

`exactly` is json.loads that also refuses repeated keys; `items` collects what stands there when the shape is not right,
in time linear in the length of the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

Item = dict[str, list[str | int]]
"""Values by key, in order; values that stand outside of any object have the key "" (empty)."""

_TOKEN = re.compile(
    r'"(?P<double>(?:[^"\\]|\\.)*+)(?P<closed>"?)'
    r"|'(?P<single>(?:[^'\\\n]|\\.)*+)'(?=\s*[,:)\]}])"
    r"|(?<![\w.])(?P<number>-?[0-9]{1,9})(?![\w.])"
    r"|(?P<mark>[\[\]{}:])"
    r"|\\.",
    re.S,
)


def exactly(text: str) -> Any:
    """The value of a JSON text, or None: not JSON, an object with a key twice, NaN, too deep or too large a number."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def items(text: str) -> Iterator[Item]:
    """What stands in each object, and in each list outside of objects; empty ones are left out.

    A string before a colon is a key; a key that comes again begins another item, as a brace does. A string or number
    that the end of the text cuts is left out.
    """
    item: Item = {}
    key = ""
    pending: str | int | None = None
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        mark = match["mark"] if kind == "mark" else ""
        if mark == ":" and isinstance(pending, str):
            if pending in item:
                yield item
                item = {}
            key, pending = pending, None
            item[key] = []
            continue
        if pending is not None:
            item.setdefault(key, []).append(pending)
            pending = None
        if not mark:
            pending = _value(match, kind, len(text))
        elif mark in "{}" or not key:
            if item:
                yield item
            item, key = {}, ""
    if pending is not None:
        item.setdefault(key, []).append(pending)
    if item:
        yield item


def first_string(values: list[str | int] | None) -> str:
    """The first string among the values of a key; empty when there is none."""
    return next((value for value in values or () if isinstance(value, str)), "")


def unescape(body: str) -> str:
    """What stands between quotes, its escapes decoded (as it is, when they are none of JSON's)."""
    if "\\" not in body:
        return body
    try:
        return json.loads('"' + body.replace("\\'", "'") + '"', strict=False)
    except ValueError:
        return body


def _value(match: re.Match[str], kind: str | None, size: int) -> str | int | None:
    """The string or number of a token; None for one that the end of the text cuts, and for a lone backslash."""
    if kind == "number":
        return int(match["number"]) if match.end() < size else None
    if kind == "single":
        body = match["single"]
        return unescape(body) if '"' not in body else body
    return unescape(match["double"]) if kind == "closed" and match["closed"] else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)

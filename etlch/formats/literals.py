"""Strings and numbers out of an answer that was to be JSON (or a line of Python) and may be anything.

`exactly` is json.loads that also refuses repeated keys; `tokens` reads what stands there when it is not JSON, in time
linear in the length of the text, and `items` collects it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

Item = dict[str, list[str | int]]
"""Values by key, in order; values that stand outside of any object have the key "" (empty)."""

_CURLY, _SINGLE = "“”„‟＂〝〞", "'‘’‚‛＇"
_QUOTES = '"' + _CURLY + _SINGLE + "「」『』"
_STRAY = _QUOTES + "•*"
_MARKS = r",:=;\[\](){}，：；、［］（）｛｝【】"
_ASCII = str.maketrans("，：；、［］（）｛｝【】;", ",:,,[](){}[],")

# A string ends at a quote before one of the marks, the end of a line or another string; a quote before anything else is
# one that was not escaped. What is full-width may stand in a string, so it counts only where a value may follow it.
_AHEAD = rf"\s*+(?:[,:;\]\[{{}})`\uff3d\uff5d\uff09]|\Z|[，、；：]\s*+(?:[{_QUOTES}:\]\[{{}}\uff3b\uff5b]|\Z))"
_SIGNS = rf"[^\w\s{_MARKS}{_QUOTES}]{{1,3}}+"
_END = rf"(?:{_AHEAD}|{_SIGNS}{_AHEAD}|\s*+[{_QUOTES}](?!{_AHEAD})|[^\S\n]*+\n)"


_NEXT = rf"\s*+[\[［]?\s*+[{_QUOTES}](?!{_AHEAD})"  # behind `,`, `:` or `],`: a string was not closed before


def _string(name: str, opens: str, closes: str, within: str = "") -> str:
    inside = rf"[^{closes}\\,:\]{within}]++|\\.|[{closes}](?!{_END})|[,:](?!{_NEXT})|\](?!\s*+,{_NEXT})"
    return rf"[{opens}](?P<{name}>(?:{inside})*+)(?P<{name}_end>[{closes}]?)"


_TOKEN = re.compile(
    "|".join(
        (
            _string("straight", '"', '"'),
            _string("curly", _CURLY, '"' + _CURLY),
            _string("single", _SINGLE, _SINGLE, r"\n"),
            _string("corner", "「『", "」』", r"\n"),
            rf"(?P<mark>[{_MARKS}])",
            rf"(?P<word>{_SIGNS}(?=[{_QUOTES}])|[^\s{_MARKS}{_QUOTES}][^\s{_MARKS}]*+)",
        )
    ),
    re.S,
)
_NUMBER = re.compile(r"(?<![\w.])-?[0-9]{1,9}(?![\w.])")
_NOTHING = re.compile(r"\W*+(?:null|none|nil|true|false|undefined)?\W*+", re.I)
_ESCAPED = re.compile(r"\\.|\"", re.S)


class Token(NamedTuple):
    """`kind` is string, words or mark (as ASCII). A string that the end of the text cuts is "" and not whole; words are
    whole when they stand where a value without quotes would: within brackets, marks before and behind."""

    kind: str
    text: str
    end: int
    whole: bool = True


def exactly(text: str) -> Any:
    """The value of a JSON text, or None: not JSON, an object with a key twice, NaN, too deep or too large a number."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def tokens(text: str) -> Iterator[Token]:
    """Strings in quotes of any kind, runs of words, and brackets, commas and colons."""
    before, depth = "", 0
    begun = ended = -1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind == "word":
            begun, ended = begun if begun >= 0 else match.start(), match.end()
            continue
        mark = match["mark"].translate(_ASCII) if kind == "mark" else ""
        if begun >= 0:
            words = text[begun:ended].strip(_STRAY)
            whole = depth > 0 and before in "[{,:" and mark != "" and mark in ",:]}" and not _NOTHING.fullmatch(words)
            yield Token("words", words, ended, whole)
            begun, before = -1, "words"
        if mark:
            depth = depth + 1 if mark in "[{" else max(0, depth - 1) if mark in "]}" else depth
            yield Token("mark", mark, match.end())
            before = mark
            continue
        name = kind.removesuffix("_end")
        whole = bool(match[name + "_end"]) or text[match.end() : match.end() + 1] in (",", ":", "]")
        yield Token("string", unescape(match[name]) if whole else "", match.end(), whole)
        before = "string"
    if begun >= 0:
        yield Token("words", text[begun:ended], ended, False)


def items(text: str) -> Iterator[Item]:
    """What stands in each object, and in each list outside of objects; empty ones are left out.

    A string before a colon is a key; a key that comes again begins another item, as a brace does. A string or number
    that the end of the text cuts is left out.
    """
    item: Item = {}
    key = ""
    pending: list[str | int] = []
    for token in tokens(text):
        if token.text == ":" and token.kind == "mark" and pending and isinstance(pending[-1], str):
            *values, name = pending
            if values:
                item.setdefault(key, []).extend(values)
            if name in item:
                yield item
                item = {}
            key, pending = name, []
            item[key] = []
            continue
        if pending:
            item.setdefault(key, []).extend(pending)
            pending = []
        if token.kind == "string":
            pending = [token.text] if token.whole else []
        elif token.kind == "words":
            pending = _numbers(token, len(text)) or ([token.text] if token.whole else [])
        elif token.text in "{}" or (token.text in "[]" and not key):
            if item:
                yield item
            item, key = {}, ""
    if pending:
        item.setdefault(key, []).extend(pending)
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
        return json.loads('"' + _ESCAPED.sub(_json_escape, body) + '"', strict=False)
    except ValueError:
        return body


def _json_escape(match: re.Match[str]) -> str:
    return {'"': '\\"', "\\'": "'"}.get(match[0], match[0])


def _numbers(token: Token, size: int) -> list[str | int]:
    """The whole numbers among words, but for one at the end of the text, which may be cut."""
    last = len(token.text) if token.end == size else -1
    return [int(found[0]) for found in _NUMBER.finditer(token.text) if found.end() != last]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)

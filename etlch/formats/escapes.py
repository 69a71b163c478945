r"""Backslash escapes for the formats that write one mention a line or one tag a blank.

A character that would be read as the format's own syntax is written with a backslash before it (`\;`, `\\`), line breaks
and tabs as `\n`, `\r`, `\t`, other white space, letters and digits as `\u0020`. Reading, a backslash before anything else
stands for itself.
"""

from __future__ import annotations

import re

_NAMED = {"\n": "n", "\r": "r", "\t": "t"}
_CHARACTERS = {letter: character for character, letter in _NAMED.items()}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[nrt]|[^\w\s])")
EDGES = r"\A\s|\s\Z|[\\\n\r]"
"""What every format of lines escapes: blanks at the ends, line breaks, and the backslash itself (a regex)."""


def escape(text: str, special: re.Pattern[str]) -> str:
    """Write each character that `special` finds (one at a time) as an escape."""
    return special.sub(_written, text)


def unescape(text: str) -> str:
    """The inverse of `escape`, for any set of special characters."""
    return _ESCAPE.sub(_meant, text) if "\\" in text else text


def _written(match: re.Match[str]) -> str:
    character = match[0]
    if character in _NAMED:
        return "\\" + _NAMED[character]
    if character.isspace() or character.isalnum():
        return f"\\u{ord(character):04x}"
    return "\\" + character


def _meant(match: re.Match[str]) -> str:
    name = match[1]
    if name[0] == "u":
        return chr(int(name[1:], 16))
    return _CHARACTERS.get(name, name)

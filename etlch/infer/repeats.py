"""Answers that say a thing again: small models list a value twice and then never leave the circle.

A record's lists are sets, so nothing that is right is lost by three rules, which hold for answers in the layouts that need them:
a list of strings that gives a string again has ended before it, an object that gives a key again has ended before it, and so has
a list of `head－relation－tail` lines that gives a line again.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from etlch.formats.triple_lines import SEPARATOR

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:]')


def revised(text: str) -> tuple[str, bool] | None:
    """What an answer is to go on from once its last piece is a repetition, and whether it has ended there; None: as it is.

    text: the answer so far, just after a quotation mark or a line break.
    """
    if text.startswith("{"):
        return _object(text)
    return _lines(text) if text.endswith("\n") and SEPARATOR in text else None


def _object(text: str) -> tuple[str, bool] | None:
    keys: set[str] = set()
    items: set[str] | None = None  # of the list that is open, if it is one of strings
    depth = after_item = after_list = 0
    for piece in _PIECE.finditer(text):
        mark = piece[0]
        if mark == "{":
            depth, items = depth + 1, None
        elif mark == "[":
            items = set() if depth == 1 else None
        elif mark == "]":
            items, after_list = None, piece.end()
        elif mark[0] == '"' and items is not None:
            if mark in items:
                return text[:after_item] + "]", False
            items.add(mark)
            after_item = piece.end()
        elif mark[0] == '"' and depth == 1:
            if mark in keys:
                return text[:after_list] + "}", True
            keys.add(mark)
    return None


def _lines(text: str) -> tuple[str, bool] | None:
    *earlier, last = text.splitlines()
    return ("\n".join(earlier), True) if SEPARATOR in last and last in earlier else None


class Reviser:
    """`revised` for the tokens of a tokenizer; looks only where a piece may just have ended."""

    def __init__(self, encode: Callable[[str], list[int]], decode: Callable[[list[int]], str]) -> None:
        self._encode, self._decode = encode, decode
        self._ends: dict[int, bool] = {}

    def __call__(self, tokens: list[int]) -> tuple[list[int], bool] | None:
        """The tokens to go on from instead of these, and whether the answer ends there; None: go on as it is."""
        token = tokens[-1]
        if token not in self._ends:
            self._ends[token] = bool({'"', "\n"} & set(self._decode([token])))
        if not self._ends[token]:
            return None
        found = revised(self._decode(tokens))
        return (self._encode(found[0]), found[1]) if found else None

"""Where in the source do the terms of an answer stand? One rule for every format whose answers have no offsets.

Terms are taken in the order of the answer. Each gets the first place that no earlier term has claimed

1. where it stands letter for letter;
2. else where it stands when both are normalised: NFKC, case folded, white space reduced to single blanks, all middle
   dots one sign, signs that nobody sees left out (etlch/formats/surface.py);
3. else, where it stands nowhere in one piece, its words in order with others between them, as close together as they
   come: a discontinuous mention is written as its fragments with blanks between;
4. else the first of these places that no term *of the same type* has claimed (one place, two types);

and otherwise it keeps no spans: it is invented, or repeated more often than the source has it. The places of one term
do not overlap each other. In steps 1 and 2 a place inside a longer word (`T` in `The`) is taken only when there is no
other; scripts written without blanks have no such inside.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache

from etlch.formats.surface import one_sign
from etlch.records import Entity

Span = tuple[int, int]
Spans = tuple[Span, ...]
_EXTENDS = re.compile(r"[\u1160-\u11ff]")  # conjoining jamo, which normalisation joins to the one before
# two letters or digits of a word, in the scripts that put blanks between words (not Thai, Khmer, kana, Han, Hangul, ...)
_WORD = re.compile(r"[^\W_\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u3040-\U0010ffff]{2}")
_PIECE = re.compile(r"\w+|[^\w\s]")


def align(found: Iterable[Entity], source: str) -> list[Entity]:
    """The same entities with spans, where the rule above finds them; those that have spans keep and claim them.

    Time: that of looking each distinct term up in the source once.
    """
    found = list(found)
    places = _Places(source)
    for entity in found:
        if entity.spans:
            places.claim(entity.spans, entity.type)
    return [e if e.spans else Entity(e.text, e.type, places.take(e.text, e.type)) for e in found]


class _Places:
    """The places of each term, and which of them are claimed. Pointers only move on, so repeated terms cost nothing."""

    def __init__(self, source: str):
        self._source = source
        self._claimed: set[Spans] = set()
        self._by_type: set[tuple[Spans, str]] = set()
        self._exact: dict[str, list[Spans]] = {}
        self._all: dict[str, list[Spans]] = {}
        self._next: dict[tuple[str, str | None], int] = {}

    def claim(self, place: Spans, kind: str) -> Spans:
        self._claimed.add(place)
        self._by_type.add((place, kind))
        return place

    def take(self, term: str, kind: str) -> Spans:
        """Claim the place of a term; no spans when nothing is left."""
        if term not in self._exact:
            self._exact[term] = _whole_words_first(_occurrences(term, self._source), self._source)
        place = self._free(self._exact[term], term)
        if not place:
            if term not in self._all:
                self._all[term] = self._everywhere(term)
            place = self._free(self._all[term], term) or self._free(self._all[term], term, kind)
        return self.claim(place, kind) if place else ()

    def _everywhere(self, term: str) -> list[Spans]:
        loose = _whole_words_first(_loose_occurrences(term, self._source), self._source)
        found = list(dict.fromkeys([*self._exact[term], *loose]))
        return found or [place for place in [_fragments(term, self._source)] if place]

    def _free(self, places: list[Spans], term: str, kind: str | None = None) -> Spans:
        """The first place that is not claimed (by this type, where one is named)."""
        number = self._next.get((term, kind), 0)
        while number < len(places):
            place = places[number]
            if (place not in self._claimed) if kind is None else ((place, kind) not in self._by_type):
                break
            number += 1
        self._next[term, kind] = number
        return places[number] if number < len(places) else ()


def _occurrences(term: str, source: str) -> list[Span]:
    spans = []
    start = source.find(term) if term else -1
    while start >= 0:
        spans.append((start, start + len(term)))
        start = source.find(term, start + len(term))
    return spans


def _loose_occurrences(term: str, source: str) -> list[Span]:
    folded, starts, ends = fold(source)
    return [
        (starts[first], ends[last - 1])
        for first, last in _occurrences(_folded(term), folded)
        if (first == 0 or starts[first - 1] != starts[first])
        and (last == len(folded) or starts[last] != starts[last - 1])
    ]


def _whole_words_first(spans: list[Span], source: str) -> list[Spans]:
    if len(spans) > 1:
        spans.sort(key=lambda span: _in_word(source, span[0]) or _in_word(source, span[1]))
    return [(span,) for span in spans]


def _in_word(source: str, at: int) -> bool:
    return bool(at) and _WORD.match(source, at - 1) is not None


def _fragments(term: str, source: str) -> Spans:
    """The words of a term in the source, in order, where they reach over the fewest characters; () if they do not stand
    there. Words that only blanks part in the source are one fragment."""
    pieces = _PIECE.findall(term)
    ends = _ends(source)
    if len(pieces) < 2 or any(piece not in ends for piece in pieces):
        return ()
    best: list[Span] = []
    for first in ends[pieces[0]]:
        chain = [(first - len(pieces[0]), first)]
        for piece in pieces[1:]:
            number = bisect_left(ends[piece], chain[-1][1] + len(piece))
            if number == len(ends[piece]):
                break
            chain.append((ends[piece][number] - len(piece), ends[piece][number]))
        if len(chain) < len(pieces):
            break
        if not best or chain[-1][1] - chain[0][0] < best[-1][1] - best[0][0]:
            best = chain
    joined = best[:1]
    for start, end in best[1:]:
        if source[joined[-1][1] : start].strip():
            joined.append((start, end))
        else:
            joined[-1] = (joined[-1][0], end)
    return tuple(joined) if " ".join(source[start:end] for start, end in joined) == term else ()


@lru_cache(maxsize=64)
def _ends(source: str) -> dict[str, list[int]]:
    """Where each word of the source ends, ascending."""
    found: dict[str, list[int]] = {}
    for match in _PIECE.finditer(source):
        found.setdefault(match[0], []).append(match.end())
    return found


@lru_cache(maxsize=64)
def fold(text: str) -> tuple[str, list[int], list[int]]:
    """The normalised text, and for each of its characters where the source characters it stands for start and end.

    A character is normalised together with the combining marks behind it; a run of white space becomes one blank.
    """
    out: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    while position < len(text):
        stop = position + 1
        if text[position].isspace():
            while stop < len(text) and text[stop].isspace():
                stop += 1
            piece = " "
        else:
            while stop < len(text) and (unicodedata.combining(text[stop]) or _EXTENDS.match(text[stop])):
                stop += 1
            piece = _normal(text[position:stop])
        out.append(piece)
        starts += [position] * len(piece)
        ends += [stop] * len(piece)
        position = stop
    return "".join(out), starts, ends


def _folded(term: str) -> str:
    """The normalised term, without blanks at its ends."""
    return " ".join(term.lower().split()) if term.isascii() else fold.__wrapped__(term)[0].strip()


def _normal(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", one_sign(text).casefold())

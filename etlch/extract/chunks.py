"""Long documents are cut at the ends of sentences into pieces that overlap, so that no sentence is lost at a cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

Span = tuple[int, int]
Count = Callable[[list[str]], list[int]]
"""Texts -> their lengths in tokens."""

_END = re.compile(r"""[。！？!?…]+[」』”’）)\]"']*\s*|\.["'”’)\]]*\s+|\n\s*""")


def cut(text: str, count: Count, most: int, overlap: int) -> list[Span]:
    """The pieces of a text, at most `most` tokens each, a piece beginning with up to `overlap` tokens of the one before.

    A sentence of more than `most` tokens is cut within. White space at the ends of a piece is left out; a text of white
    space has no piece.
    """
    sentences = [(a, b) for a, b in _sentences(text) if text[a:b].strip()]
    sizes = count([text[a:b] for a, b in sentences])
    parts, lengths = [], []
    for span, size in zip(sentences, sizes, strict=True):
        for part, length in _within(text, span, size, count, most):
            parts.append(part)
            lengths.append(length)
    pieces = ((parts[a][0], parts[b - 1][1]) for a, b in _packed(lengths, most, overlap))
    return _advancing(_stripped(text, start, end) for start, end in pieces if text[start:end].strip())


def _sentences(text: str) -> Iterator[Span]:
    start = 0
    for match in _END.finditer(text):
        yield start, match.end()
        start = match.end()
    if start < len(text):
        yield start, len(text)


def _within(text: str, span: Span, size: int, count: Count, most: int) -> Iterator[tuple[Span, int]]:
    """The span, halved until no part has more than `most` tokens."""
    waiting = [(span, size)]
    while waiting:
        (start, end), size = waiting.pop()
        if size <= most or end - start < 2:
            yield (start, end), size
            continue
        middle = (start + end) // 2
        halves = [(start, middle), (middle, end)]
        waiting += reversed(list(zip(halves, count([text[a:b] for a, b in halves]), strict=True)))


def _packed(lengths: list[int], most: int, overlap: int) -> Iterator[Span]:
    """Runs of neighbours, by number, with at most `most` tokens together."""
    first = 0
    while first < len(lengths):
        last, total = first, 0
        while last < len(lengths) and (last == first or total + lengths[last] <= most):
            total += lengths[last]
            last += 1
        yield first, last
        if last == len(lengths):
            return
        back = last
        shared = 0
        # the overlap leaves room for the next sentence, or the same piece would come again
        while back - 1 > first and shared + lengths[back - 1] <= min(overlap, most - lengths[last]):
            back -= 1
            shared += lengths[back]
        first = back


def _advancing(pieces: Iterable[Span]) -> list[Span]:
    """The pieces without those that another contains: where an overlap was white space, two may begin or end alike."""
    kept: list[Span] = []
    for start, end in pieces:
        if kept and end <= kept[-1][1]:
            continue
        if kept and start <= kept[-1][0]:
            kept.pop()
        kept.append((start, end))
    return kept


def _stripped(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())

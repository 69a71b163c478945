"""Offsets of a source file -> entities of a Record: units, ranges, and texts that differ from their offsets by a blank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from etlch.errors import EtlchError
from etlch.records import Entity

UNITS = ("codepoint", "utf16")
"""What an offset counts: Unicode code points (Python), or UTF-16 units (JavaScript, Java: 2 for an emoji)."""

Span = tuple[int, int]
_ONE_LINE = str.maketrans("\r\n", "  ")  # as BRAT writes a mention that runs over a line's end


@dataclass(frozen=True, slots=True)
class Mention:
    """One mention as a source file gives it: `text` is None where the file holds offsets only, `spans` is empty where
    it holds only the surface; `key` is the name by which relations refer to it, `where` its file:line."""

    type: str
    spans: tuple[Span, ...]
    text: str | None
    where: str
    key: str = ""


class OffsetError(EtlchError):
    """A mention whose offsets contradict the text."""


class Offsets:
    """Turns offsets of one unit into code points of one text."""

    def __init__(self, text: str, unit: str):
        self.text = text
        self._units = text.encode("utf-16-le", "surrogatepass") if unit == "utf16" and has_astral(text) else b""

    def __call__(self, offset: int) -> int:
        """The code point at an offset; raises OffsetError where a UTF-16 offset cuts a character in two.

        An offset beyond the end comes back beyond the end, for the caller to refuse.
        """
        if not 0 <= 2 * offset <= len(self._units):
            return offset
        if 0xDC00 <= int.from_bytes(self._units[2 * offset : 2 * offset + 2], "little") <= 0xDFFF:
            raise OffsetError(f"offset {offset} is inside a character (expected --offset-unit codepoint?)")
        return len(self._units[: 2 * offset].decode("utf-16-le", "surrogatepass"))


def has_astral(text: str) -> bool:
    """Whether the units differ for this text: it holds a character beyond U+FFFF."""
    return not text.isascii() and max(text) > "\uffff"


def ground(mention: Mention, offsets: Offsets) -> tuple[Entity, bool]:
    """The entity of a mention, and whether its text differed from its offsets by blanks (the offsets win).

    Raises OffsetError for a span that is out of range or empty, fragments that overlap, and any other difference.
    """
    if not mention.spans:
        return Entity(mention.text or "", mention.type), False
    text = offsets.text
    spans = tuple((offsets(start), offsets(end)) for start, end in mention.spans)
    for start, end in spans:
        if not 0 <= start < end <= len(text):
            raise OffsetError(f"[{start}, {end}] is outside the text (expected 0 <= start < end <= {len(text)})")
    for first, second in pairwise(sorted(spans)):
        if second[0] < first[1]:
            raise OffsetError(f"fragments {list(first)} and {list(second)} of one mention overlap")
    sliced = " ".join(text[start:end] for start, end in spans)
    if mention.text in (None, sliced, sliced.translate(_ONE_LINE)):
        return Entity(sliced, mention.type, spans), False
    if "".join(mention.text.split()) != "".join(sliced.split()) or not sliced.strip():
        raise OffsetError(f"{[list(s) for s in spans]} slices to {sliced!r} (expected {mention.text!r})")
    spans = tuple(trimmed(text, span) for span in spans if text[span[0] : span[1]].strip())
    return Entity(" ".join(text[start:end] for start, end in spans), mention.type, spans), True


def extent(mention: Mention | Entity) -> Span:
    """From its first character to its last, of a mention with spans."""
    return min(start for start, _ in mention.spans), max(end for _, end in mention.spans)


def reading_order(mention: Mention) -> tuple[float, float]:
    """Sort key: by first character, the longest first among those that start together; without offsets last."""
    if not mention.spans:
        return float("inf"), 0.0
    start, end = extent(mention)
    return start, -end


def shapes(entities: tuple[Entity, ...]) -> Iterator[str]:
    """`nested`, `crossing` or `discontinuous`, once for each entity of which it is true.

    Nested: the extent (first to last character) lies within that of another entity. Crossing: it overlaps one that
    starts before it, without either holding the other.
    """
    extents = [extent(entity) for entity in entities if entity.spans]
    for number, (start, end) in enumerate(extents):
        others = [o for i, o in enumerate(extents) if i != number and o[0] < end and start < o[1]]
        if any(o[0] <= start and end <= o[1] for o in others):
            yield "nested"
        if any(o[0] < start < o[1] < end for o in others):
            yield "crossing"
    for entity in entities:
        if len(entity.spans) > 1:
            yield "discontinuous"


def trimmed(text: str, span: Span) -> Span:
    """The span without white space at its ends; its end is not before its start."""
    inside = text[slice(*span)]
    start = span[0] + len(inside) - len(inside.lstrip())
    return start, max(start, span[1] - len(inside) + len(inside.rstrip()))

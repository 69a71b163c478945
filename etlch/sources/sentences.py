"""Records of whole documents -> records of sentences, with the mentions' offsets moved along.

A sentence ends at a line break, and at `.`, `!` or `?` (closing quotes and brackets included) before white space and a
capital, a digit or an opening bracket; at 。！？ anywhere. It does not end behind an abbreviation of ABBREVIATIONS or a
single capital (`E. coli`), nor inside a mention's extent, so that no mention is cut or lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from etlch.records import Entity, Record
from etlch.sources.spans import Span

ABBREVIATIONS = (
    "e.g",
    "i.e",
    "al",
    "cf",
    "vs",
    "fig",
    "figs",
    "ref",
    "refs",
    "dr",
    "mr",
    "mrs",
    "no",
    "approx",
    "ca",
    "sp",
)
_END = re.compile(r"""\s*\n\s*|[。！？]+[」』”’）)]*\s*|[.!?]["'”’)\]]*\s+(?=[A-Z0-9("'“‘\[])""")
_LAST_WORD = re.compile(r"([A-Za-z][A-Za-z.]*)$")


def split(record: Record) -> Iterator[Record]:
    """The sentences of a record that hold anything but white space; ids are `<id>-s1`, `-s2`, ...

    Triples and fields belong to the whole document and are left out, as are mentions without offsets.
    """
    extents = [(min(s for s, _ in e.spans), max(t for _, t in e.spans)) for e in record.entities if e.spans]
    for number, (start, end) in enumerate(_sentences(record.text, extents), start=1):
        inside = (e for e in record.entities if e.spans and start <= min(s for s, _ in e.spans) < end)
        entities = tuple(_moved(entity, -start) for entity in inside)
        name = f"{record.id}-s{number}"
        yield replace(record, id=name, text=record.text[start:end], entities=entities, triples=(), fields={})


def _sentences(text: str, extents: Iterable[Span]) -> Iterator[Span]:
    covered = bytearray(len(text) + 1)  # positions at which a cut would go through a mention
    for first, last in extents:
        covered[first + 1 : last] = b"\1" * (last - first - 1)
    start = 0
    for match in [*_END.finditer(text), None]:
        end = match.end() if match else len(text)
        if match and (any(covered[match.start() + 1 : end + 1]) or _abbreviated(text, match)):
            continue
        first, last = _stripped(text, start, end)
        if first < last:
            yield first, last
        start = end


def _abbreviated(text: str, match: re.Match[str]) -> bool:
    if text[match.start()] != ".":
        return False
    word = _LAST_WORD.search(text, max(0, match.start() - 12), match.start())
    return bool(word) and (word[1].lower() in ABBREVIATIONS or (len(word[1]) == 1 and word[1].isupper()))


def _stripped(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _moved(entity: Entity, by: int) -> Entity:
    return replace(entity, spans=tuple((start + by, end + by) for start, end in entity.spans))

"""Records of whole documents -> records of sentences, with the mentions' offsets moved along.

A sentence ends at a line break, and at `.`, `!` or `?` (closing quotes and brackets included) before white space and a
capital, a digit or an opening bracket; at 。！？ anywhere. It does not end behind an abbreviation such as `e.g.` or a
single capital (`E. coli`), nor inside a mention's extent, so that no mention is cut or lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from etlch.records import Entity, Record
from etlch.sources.spans import Span, extent, trimmed

_END = re.compile(r"""\s*\n\s*|[。！？]+[」』”’）)]*\s*|[.!?]["'”’)\]]*\s+(?=[A-Z0-9("'“‘\[])""")
_ABBREVIATED = re.compile(  # a word and its full stop
    r"(?<![A-Za-z])(?<![A-Za-z]\.)(?:[A-Z]|(?i:e\.g|i\.e|al|cf|vs|figs?|refs?|dr|mrs?|no|approx|ca|sp))\.\Z"
)


def split(record: Record) -> Iterator[Record]:
    """The sentences of a record that hold anything but white space; ids are `<id>-s1`, `-s2`, ...

    Triples and fields belong to the whole document and are left out, as are mentions without offsets.
    """
    placed = [(extent(entity), entity) for entity in record.entities if entity.spans]
    for number, (start, end) in enumerate(_sentences(record.text, [place for place, _ in placed]), start=1):
        entities = tuple(_moved(entity, -start) for (first, _), entity in placed if start <= first < end)
        name = f"{record.id}-s{number}"
        yield replace(record, id=name, text=record.text[start:end], entities=entities, triples=(), fields={})


def _sentences(text: str, extents: Iterable[Span]) -> Iterator[Span]:
    covered = bytearray(len(text) + 1)  # positions at which a cut would go through a mention
    for first, last in extents:
        covered[first + 1 : last] = b"\1" * (last - first - 1)
    start = 0
    for match in [*_END.finditer(text), None]:
        end = match.end() if match else len(text)
        if match and (
            any(covered[match.start() + 1 : end + 1])
            or _ABBREVIATED.search(text, max(0, match.start() - 12), match.start() + 1)
        ):
            continue
        first, last = trimmed(text, (start, end))
        if first < last:
            yield first, last
        start = end


def _moved(entity: Entity, by: int) -> Entity:
    return replace(entity, spans=tuple((start + by, end + by) for start, end in entity.spans))

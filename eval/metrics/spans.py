"""Entities: matched, answered and gold counts a sample, as multisets of (type, what identifies the mention).

What identifies a mention:
- `exact`: its surface, character for character;
- `normalised`: its surface as `matching.normalise` writes it;
- `surface`: its surface alone, whatever its type;
- `offsets`: its spans, as seqeval and conlleval count (a mention without spans matches none that has them).

Partial credit (`partial_counts`) is the boundary overlap of MUC-5 and nervaluate: same type, an exact boundary earns 1,
an overlapping one 0.5; each mention is used once, exact matches first, then the largest overlaps. A mention without
offsets stands for every place of the source (the first 100) where its surface stands; where it stands nowhere, it can
only match exactly.

Formulas and the rules for no answer, an unreadable answer and empty gold: see `matching`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from etlch.errors import EtlchError
from etlch.records import Entity
from eval.metrics.matching import Counts, Items, Labels, counts_by_label, multiset_counts, normalise

Spans = tuple[tuple[int, int], ...]
_MOST_PLACES = 100

_ITEMS: dict[str, Callable[[Entity], tuple[str, object]]] = {
    "exact": lambda entity: (entity.type, entity.text),
    "normalised": lambda entity: (normalise(entity.type), normalise(entity.text)),
    "surface": lambda entity: ("", entity.text),
    "offsets": lambda entity: (entity.type, entity.spans),
}


def _items(samples: Sequence[Iterable[Entity]], by: str) -> Items:
    if by not in _ITEMS:
        raise EtlchError(f"unknown way to match entities {by!r} (expected {', '.join(_ITEMS)})")
    return [list(map(_ITEMS[by], sample)) for sample in samples]


def entity_counts(gold: Sequence[Iterable[Entity]], answers: Sequence[Iterable[Entity]], by: str = "exact") -> Counts:
    """Counts a sample; `by` is exact, normalised, surface or offsets."""
    return multiset_counts(_items(gold, by), _items(answers, by))


def entity_counts_by_type(
    gold: Sequence[Iterable[Entity]], answers: Sequence[Iterable[Entity]], by: str = "exact"
) -> Labels:
    """Matched, answered and gold mentions of each type, summed over the samples."""
    return counts_by_label(_items(gold, by), _items(answers, by))


def partial_counts(
    gold: Sequence[Iterable[Entity]], answers: Sequence[Iterable[Entity]], sources: Sequence[str]
) -> Counts:
    """Counts a sample with partial credit: `tp` is 1 for an exact boundary, 0.5 for an overlapping one."""
    rows = np.zeros((3, len(gold)))
    for n, (wanted, found, source) in enumerate(zip(gold, answers, sources, strict=True)):
        wanted, found = list(wanted), list(found)
        rows[:, n] = _credit(wanted, found, source), len(found), len(wanted)
    return Counts(*rows)


def _places(surface: str, text: str) -> Spans:
    places: list[tuple[int, int]] = []
    start = text.find(surface) if surface else -1
    while start >= 0 and len(places) < _MOST_PLACES:
        places.append((start, start + len(surface)))
        start = text.find(surface, start + len(surface))
    return tuple(places)


def _credit(gold: list[Entity], found: list[Entity], source: str) -> float:
    """Exact boundaries first, then the largest overlaps, each mention once."""
    exact = Counter((e.type, e.spans or e.text) for e in gold)
    rest: list[Entity] = []
    credit = 0.0
    for entity in found:
        key = (entity.type, entity.spans or entity.text)
        if exact[key] > 0:
            exact[key] -= 1
            credit += 1.0
        else:
            rest.append(entity)
    left: dict[str, list[Spans]] = defaultdict(list)
    for (kind, where), count in exact.items():
        left[kind] += [_places(where, source) if isinstance(where, str) else where] * count
    shared = sorted(
        (-size, row, column, entity.type)
        for row, entity in enumerate(rest)
        if entity.type in left
        for spans in [entity.spans or _places(entity.text, source)]
        for column, other in enumerate(left[entity.type])
        if (size := _overlap(spans, other))
    )
    used_rows: set[int] = set()
    used_columns: set[tuple[str, int]] = set()
    for _, row, column, kind in shared:
        if row not in used_rows and (kind, column) not in used_columns:
            used_rows.add(row)
            used_columns.add((kind, column))
            credit += 0.5
    return credit


def _overlap(left: Spans, right: Spans) -> int:
    """How many characters two mentions share."""
    return sum(max(0, min(e1, e2) - max(s1, s2)) for s1, e1 in left for s2, e2 in right)

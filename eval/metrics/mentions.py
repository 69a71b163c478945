"""What formats of mentions are asked beyond P, R and F1: lost shapes, wrong types, shifted spans (MF-NER, section 5).

A mention is right when its text and its type are, as the paper counts. All functions take gold and answered mentions a
sample and give a column a count, one value a sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from etlch.records import Entity

FARTHEST = 20  # characters; a span of the right length further away is another mistake
NEAR = 5
SHAPES = ("plain", "nested", "discontinuous")
COLUMNS = (
    *(f"{shape}_{count}" for shape in SHAPES for count in ("tp", "pred", "gold")),
    *("wrong", "wrong_type", "span_exact", "span_shifted", "span_other", "span_left", "span_near", "span_shift"),
)

Samples = Sequence[Sequence[Entity]]
Columns = dict[str, np.ndarray]


def columns(gold: Samples, found: Samples, offsets: bool) -> tuple[Columns, Counter[tuple[str, str]]]:
    """Every column of samples, and how often a mention of a gold type was answered as another. offsets: the answers say
    where a mention stands, so that spans can be shifted."""
    rows = []
    confused: Counter[tuple[str, str]] = Counter()
    for wanted, named in zip(gold, found, strict=True):
        pairs, wrong = wrong_types(wanted, named)
        confused += pairs
        row = by_shape(wanted, named)
        row.update(wrong=wrong, wrong_type=pairs.total())
        if offsets:
            row.update(span_shifts(wanted, named))
        rows.append(row)
    names = [name for name in COLUMNS if offsets or not name.startswith("span_")]
    return {name: np.array([row[name] for row in rows], dtype=float) for name in names}, confused


def wrong_types(gold: Sequence[Entity], found: Sequence[Entity]) -> tuple[Counter[tuple[str, str]], int]:
    """(gold type, answered type) of the answered mentions whose text is gold under another type that was missed; and how
    many answered mentions are wrong in all (section 5.3: `lung tumors` as disease instead of anatomy)."""
    wanted, named = (Counter((e.text, e.type) for e in some) for some in (gold, found))
    missed, extra = wanted - named, named - wanted
    left: dict[str, list[str]] = {}
    for text, kind in missed.elements():
        left.setdefault(text, []).append(kind)
    confused = Counter((left[text].pop(), kind) for text, kind in extra.elements() if left.get(text))
    return confused, extra.total()


def shape(entity: Entity, among: Iterable[Entity]) -> str:
    """discontinuous; nested, where its place lies within the extent of another that is not the same place; or plain."""
    if len(entity.spans) > 1:
        return "discontinuous"
    if not entity.spans:
        return "plain"
    start, end = entity.spans[0]
    others = (other.spans for other in among if other.spans and other.spans != entity.spans)
    within = any(min(s for s, _ in spans) <= start and end <= max(t for _, t in spans) for spans in others)
    return "nested" if within else "plain"


def by_shape(gold: Sequence[Entity], found: Sequence[Entity]) -> Counter[str]:
    """Right, answered and gold mentions of each shape. An answered mention that is right has the shape of its gold
    mention; one that is wrong has its own among the answered ones. The paper does not say how it tells them apart."""
    counts: Counter[str] = Counter()
    left: dict[tuple[str, str], list[str]] = {}
    for entity in gold:
        kind = shape(entity, gold)
        counts[f"{kind}_gold"] += 1
        left.setdefault((entity.text, entity.type), []).append(kind)
    for entity in found:
        waiting = left.get((entity.text, entity.type))
        right = bool(waiting)
        kind = waiting.pop() if waiting else shape(entity, found)
        counts.update({f"{kind}_pred": 1, f"{kind}_tp": int(right)})
    return counts


def span_shifts(gold: Sequence[Entity], found: Sequence[Entity]) -> Counter[str]:
    """Section 5.5: answered spans that are exact, shifted (right type and length, at most FARTHEST characters off) or
    other; of the shifted how many to the left, how many by at most NEAR, and the sum of answered start minus gold start.

    Each gold mention explains one answered span: the exact one, else the nearest of its length and type.
    """
    wanted, named = (Counter((e.type, e.spans[0]) for e in some if len(e.spans) == 1) for some in (gold, found))
    counts = Counter(span_exact=(wanted & named).total())
    left = list((wanted - named).elements())
    for kind, (start, end) in sorted((named - wanted).elements()):
        near = [
            (abs(start - s), s, (t, (s, e)))
            for t, (s, e) in left
            if t == kind and e - s == end - start and abs(start - s) <= FARTHEST
        ]
        if not near:
            counts["span_other"] += 1
            continue
        distance, at, taken = min(near)
        left.remove(taken)
        counts.update(span_shifted=1, span_left=int(start < at), span_near=int(distance <= NEAR))
        counts["span_shift"] += start - at
    return counts

"""What the MF-NER paper asks of answers, as pure functions: micro scores, wrong types, lost shapes, shifted spans.

A mention is right when its text and its type are (as the paper counts); `by="offsets"` asks for its spans instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from etlch.records import Entity
from eval.metrics.matching import micro, micro_of
from eval.metrics.spans import entity_counts
from eval.mfner_answers import Sentence

FARTHEST = 20  # characters; a span of the right length further away is another mistake
SPAN_FORMATS = ("single_span", "multi_span", "multi_brat")
Scores = tuple[float, float, float]


def prf(sentences: Sequence[Sentence], by: str = "exact") -> Scores:
    """Micro precision, recall and F1."""
    return micro(entity_counts([s.gold for s in sentences], [s.found for s in sentences], by))


def over_draws(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation; the mean alone of a single draw, a dash of none."""
    if not values:
        return "-"
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def wrong_types(sentences: Iterable[Sentence]) -> tuple[Counter[tuple[str, str]], int]:
    """(gold type, answered type) of the answered mentions whose text is gold under another type that was missed; and how
    many answered mentions are wrong in all (the paper's section 5.3: `lung tumors` as disease instead of anatomy)."""
    confused: Counter[tuple[str, str]] = Counter()
    wrong = 0
    for sentence in sentences:
        gold = Counter((e.text, e.type) for e in sentence.gold)
        found = Counter((e.text, e.type) for e in sentence.found)
        missed, extra = gold - found, found - gold
        wrong += extra.total()
        left: dict[str, list[str]] = {}
        for text, kind in missed.elements():
            left.setdefault(text, []).append(kind)
        for text, kind in extra.elements():
            if left.get(text):
                confused[left[text].pop(), kind] += 1
    return confused, wrong


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


def by_shape(sentences: Iterable[Sentence]) -> dict[str, tuple[int, float]]:
    """Shape -> gold mentions, F1. An answered mention that is right has the shape of its gold mention; one that is
    wrong has its own among the answered ones. The paper does not say how it tells them apart for Table 7."""
    counts = {name: Counter() for name in ("plain", "nested", "discontinuous")}
    for sentence in sentences:
        left: dict[tuple[str, str], list[str]] = {}
        for entity in sentence.gold:
            kind = shape(entity, sentence.gold)
            counts[kind]["gold"] += 1
            left.setdefault((entity.text, entity.type), []).append(kind)
        for entity in sentence.found:
            waiting = left.get((entity.text, entity.type))
            right = bool(waiting)
            kind = waiting.pop() if waiting else shape(entity, sentence.found)
            counts[kind].update(found=1, right=int(right))
    return {name: (c["gold"], micro_of(c["right"], c["found"], c["gold"])[2]) for name, c in counts.items()}


@dataclass(frozen=True, slots=True)
class Shifts:
    """Answered spans: exact, shifted (right length and type, at most FARTHEST characters off) by how much, other."""

    exact: int
    shifted: Counter[int]
    other: int

    @property
    def total(self) -> int:
        return self.exact + self.shifted.total() + self.other


def span_shifts(sentences: Iterable[Sentence]) -> Shifts:
    """Section 5.5: answered start minus gold start, so that -5 is five characters to the left.

    Each gold mention explains one answered span: the exact one, else the nearest of its length and type.
    """
    exact = other = 0
    shifted: Counter[int] = Counter()
    for sentence in sentences:
        gold = Counter((e.type, e.spans[0]) for e in sentence.gold if len(e.spans) == 1)
        found = Counter((e.type, e.spans[0]) for e in sentence.found if len(e.spans) == 1)
        exact += (gold & found).total()
        left = list((gold - found).elements())
        for kind, (start, end) in sorted((found - gold).elements()):
            near = [
                g
                for g in left
                if g[0] == kind and g[1][1] - g[1][0] == end - start and abs(start - g[1][0]) <= FARTHEST
            ]
            if not near:
                other += 1
                continue
            nearest = min(near, key=lambda g: (abs(start - g[1][0]), g[1][0]))
            left.remove(nearest)
            shifted[start - nearest[1][0]] += 1
    return Shifts(exact, shifted, other)

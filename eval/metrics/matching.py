"""Counting matches: items as multisets of (label, what is named), and precision, recall and F1 from the counts.

A triple is its relation and (head, tail); the types of head and tail are not compared, the paper's layout does not carry
them. A field is its key and one of its values: a key with an empty list has no item, it is neither right nor wrong here
(whether it stands there at all is a matter of `validity.schema_ok`). For entities see `spans`. Compared is character for
character or, `normalised`, after NFKC, case folding and white space reduced to single blanks, with all middle dots one
sign (`·`, `‧`, `・`) and invisible signs left out.

Formulas: an item that stands `a` times in the answer and `g` times in the gold counts min(a, g) true positives;
precision = tp / predicted, recall = tp / gold, F1 = 2 tp / (predicted + gold). Micro: from counts summed over the
samples. Macro: the mean of the samples' own values.

Rules, the same for every system: a sample whose answer names nothing although there is gold scores 0; empty gold met by
an answer that names something scores 0; empty gold met by a readable answer that names nothing scores 1; an unreadable
answer, or none, scores 0 even when the gold is empty. In the micro average samples weigh by their items, so one without
gold and without answered items has no weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from etlch.formats.surface import one_sign
from etlch.records import Triple

Items = Sequence[Iterable[tuple[str, Hashable]]]
Fields = Iterable[tuple[str, Sequence[str]]]
Labels = dict[str, tuple[int, int, int]]
_CACHED_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Counts:
    """Matched, answered and gold items: one float64 value a sample each."""

    tp: np.ndarray
    predicted: np.ndarray
    gold: np.ndarray


def normalise(text: str) -> str:
    """NFKC, case folded, middle dots one sign, invisible signs left out, each run of white space one blank, none at the
    ends."""
    return _normalise_cached(text) if len(text) <= _CACHED_LENGTH else _normalise(text)


def _normalise(text: str) -> str:
    return " ".join(one_sign(text).casefold().split())


_normalise_cached = lru_cache(maxsize=65_536)(_normalise)


def multiset_counts(gold: Items, answers: Items) -> Counts:
    """Counts of each sample's answered items against its gold items."""
    rows = np.zeros((3, len(gold)))
    for n, (wanted, found) in enumerate(zip(gold, answers, strict=True)):
        wanted, found = Counter(wanted), Counter(found)
        rows[:, n] = (wanted & found).total(), found.total(), wanted.total()
    return Counts(*rows)


def counts_by_label(gold: Items, answers: Items) -> Labels:
    """For each label, summed over the samples: matched, answered, gold."""
    tp, predicted, wanted = Counter(), Counter(), Counter()
    for g, a in zip(gold, answers, strict=True):
        g, a = Counter(g), Counter(a)
        for total, items in ((tp, g & a), (predicted, a), (wanted, g)):
            for (label, _), count in items.items():
                total[label] += count
    return {label: (tp[label], predicted[label], wanted[label]) for label in sorted({*predicted, *wanted})}


def _triples(samples: Sequence[Iterable[Triple]], normalised: bool = False) -> Items:
    change: Callable[[str], str] = normalise if normalised else str
    return [[(change(t.relation), (change(t.head), change(t.tail))) for t in sample] for sample in samples]


def triple_counts(
    gold: Sequence[Iterable[Triple]], answers: Sequence[Iterable[Triple]], normalised: bool = False
) -> Counts:
    """Counts a sample."""
    return multiset_counts(_triples(gold, normalised), _triples(answers, normalised))


def pair_counts(gold: Sequence[Iterable[Triple]], answers: Sequence[Iterable[Triple]]) -> Counts:
    """Counts a sample of heads with their tails, whatever the relation."""
    return multiset_counts(*([[("", (t.head, t.tail)) for t in sample] for sample in side] for side in (gold, answers)))


def triple_counts_by_relation(gold: Sequence[Iterable[Triple]], answers: Sequence[Iterable[Triple]]) -> Labels:
    """Matched, answered and gold triples of each relation, summed over the samples."""
    return counts_by_label(_triples(gold), _triples(answers))


def _fields(samples: Sequence[Fields], normalised: bool = False) -> Items:
    change: Callable[[str], str] = normalise if normalised else str
    return [[(change(key), change(value)) for key, values in sample for value in values] for sample in samples]


def field_counts(gold: Sequence[Fields], answers: Sequence[Fields], normalised: bool = False) -> Counts:
    """Counts a sample; a sample is a list of (key, values)."""
    return multiset_counts(_fields(gold, normalised), _fields(answers, normalised))


def field_counts_by_key(gold: Sequence[Fields], answers: Sequence[Fields]) -> Labels:
    """Matched, answered and gold values of each key, summed over the samples."""
    return counts_by_label(_fields(gold), _fields(answers))


def sample_scores(counts: Counts, readable: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each sample. `readable` (all True when left out): could the answer be read?"""
    silent = counts.predicted + counts.gold == 0
    right = silent if readable is None else silent & np.asarray(readable, dtype=bool)
    return (
        np.where(silent, right, _ratio(counts.tp, counts.predicted)),
        np.where(silent, right, _ratio(counts.tp, counts.gold)),
        np.where(silent, right, _ratio(2 * counts.tp, counts.predicted + counts.gold)),
    )


def micro(counts: Counts) -> tuple[float, float, float]:
    """Precision, recall and F1 from the summed counts; 0 where there is nothing to divide by."""
    return micro_of(*(float(np.sum(part)) for part in (counts.tp, counts.predicted, counts.gold)))


def micro_of(tp: float, predicted: float, gold: float) -> tuple[float, float, float]:
    """Precision, recall and F1 of three sums; 0 where there is nothing to divide by."""
    return (
        tp / predicted if predicted else 0.0,
        tp / gold if gold else 0.0,
        2 * tp / (predicted + gold) if predicted + gold else 0.0,
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

"""Triples: matched, answered and gold counts a sample, as multisets of (head, relation, tail).

`exact` compares the three strings character for character, `normalised` after NFKC, case folding and white space reduced
to single blanks. The types of head and tail are not compared: the paper's layout does not carry them.

Formulas and the rules for no answer, an unreadable answer and empty gold: see `matching`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from etlch.records import Triple
from eval.metrics.matching import Counts, counts_by_label, multiset_counts, normalise


def _pairs(samples: Sequence[Iterable[Triple]], normalised: bool) -> list[list[tuple[str, Hashable]]]:
    """(relation, (head, tail)) of each triple."""
    change: Callable[[str], str] = normalise if normalised else str
    return [[(change(t.relation), (change(t.head), change(t.tail))) for t in sample] for sample in samples]


def triple_counts(
    gold: Sequence[Iterable[Triple]], answers: Sequence[Iterable[Triple]], normalised: bool = False
) -> Counts:
    """Counts a sample."""
    return multiset_counts(_pairs(gold, normalised), _pairs(answers, normalised))


def triple_counts_by_relation(
    gold: Sequence[Iterable[Triple]], answers: Sequence[Iterable[Triple]], normalised: bool = False
) -> dict[str, tuple[int, int, int]]:
    """Matched, answered and gold triples of each relation, summed over the samples."""
    return counts_by_label(_pairs(gold, normalised), _pairs(answers, normalised))

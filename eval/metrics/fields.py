"""Fields: matched, answered and gold counts a sample, as multisets of (key, value).

A key with an empty list has no item: it is neither right nor wrong here (whether it stands there at all is a matter of
`validity.schema_ok`). `exact` compares key and value character for character, `normalised` after NFKC, case folding and
white space reduced to single blanks.

Formulas and the rules for no answer, an unreadable answer and empty gold: see `matching`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from eval.metrics.matching import Counts, counts_by_label, multiset_counts, normalise

Fields = Iterable[tuple[str, Sequence[str]]]


def _pairs(samples: Sequence[Fields], normalised: bool) -> list[list[tuple[str, Hashable]]]:
    change: Callable[[str], str] = normalise if normalised else str
    return [[(change(key), change(value)) for key, values in sample for value in values] for sample in samples]


def field_counts(gold: Sequence[Fields], answers: Sequence[Fields], normalised: bool = False) -> Counts:
    """Counts a sample; a sample is a list of (key, values)."""
    return multiset_counts(_pairs(gold, normalised), _pairs(answers, normalised))


def field_counts_by_key(
    gold: Sequence[Fields], answers: Sequence[Fields], normalised: bool = False
) -> dict[str, tuple[int, int, int]]:
    """Matched, answered and gold values of each key, summed over the samples."""
    return counts_by_label(_pairs(gold, normalised), _pairs(answers, normalised))

"""Several teachers, one annotation: majority voting (RA-IT, appendix C, "ensemble distillation")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def majority(ballots: Sequence[Sequence[Item]]) -> tuple[list[Item], list[Item]]:
    """Items named by more than half of the ballots, and those named by exactly half: a tie, which is not a majority.

    An item counts once a ballot. Both lists are in the order in which the ballots, one after the other, name the items.
    """
    counts = Counter(item for ballot in ballots for item in dict.fromkeys(ballot))
    kept = [item for item, count in counts.items() if 2 * count > len(ballots)]
    tied = [item for item, count in counts.items() if 2 * count == len(ballots)]
    return kept, tied

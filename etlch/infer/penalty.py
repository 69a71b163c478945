"""The repetition penalty of Keskar et al. 2019 (CTRL), as transformers computes it, for rows that come and go."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class RepetitionPenalty:
    """Scores of tokens that occurred in the prompt or the answer are divided by `penalty` (multiplied where negative)."""

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty
        self._seen: dict[int, set[int]] = {}

    def start(self, row: int, prompt: Sequence[int]) -> None:
        self._seen[row] = set(prompt)

    def apply(self, rows: Sequence[int | None], scores: torch.Tensor) -> None:
        for place, row in enumerate(rows):
            if row is None:
                continue
            seen = torch.tensor(list(self._seen[row]), device=scores.device)
            found = scores[place, seen]
            scores[place, seen] = torch.where(found < 0, found * self.penalty, found / self.penalty)

    def took(self, row: int, token: int) -> None:
        self._seen[row].add(token)

    def ended(self, row: int) -> None:
        del self._seen[row]

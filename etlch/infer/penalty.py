"""Penalties on tokens that came before, for rows that come and go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch


class RepetitionPenalty:
    """Scores of tokens that occurred in the prompt or the answer are divided by `penalty` (multiplied where negative).

    Keskar et al. 2019 (CTRL), as transformers computes it.
    """

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


class FrequencyPenalty:
    """Scores of tokens are lowered by `penalty` for each time that they occurred in the answer; the prompt does not count.

    OpenAI's `frequency_penalty`, which vLLM, SGLang and llama.cpp have as well: an answer that goes round in circles leaves
    them sooner or later, and one that copies from the prompt may.
    """

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty
        self._counts: dict[int, Counter[int]] = {}

    def start(self, row: int, prompt: Sequence[int]) -> None:
        self._counts[row] = Counter()

    def apply(self, rows: Sequence[int | None], scores: torch.Tensor) -> None:
        for place, row in enumerate(rows):
            if row is None or not (counts := self._counts[row]):
                continue
            tokens = torch.tensor(list(counts), device=scores.device)
            often = torch.tensor(list(counts.values()), device=scores.device, dtype=scores.dtype)
            scores[place, tokens] -= self.penalty * often

    def took(self, row: int, token: int) -> None:
        self._counts[row][token] += 1

    def ended(self, row: int) -> None:
        del self._counts[row]

"""Penalties on tokens that came before, for rows that come and go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from etlch.infer.decode import Slot


@dataclass(frozen=True, slots=True)
class Penalty:
    """Changes the scores of the next token (etlch/infer/decode.py).

    repetition: scores of tokens in the prompt or the answer are divided by it (multiplied where negative; Keskar et al. 2019, CTRL,
    as transformers computes it). frequency: scores are lowered by it for each time that the token is in the answer; the prompt
    does not count (OpenAI's `frequency_penalty`, which vLLM, SGLang and llama.cpp have as well: an answer that goes round in
    circles leaves them sooner or later, and one that copies from the prompt may).
    """

    repetition: float = 1.0
    frequency: float = 0.0

    def __call__(self, rows: Sequence[Slot | None], scores: torch.Tensor) -> None:
        for place, row in enumerate(rows):
            if row is None:
                continue
            if self.repetition != 1.0:
                seen = torch.tensor([*row.prompt, *row.tokens], device=scores.device)
                found = scores[place, seen]
                scores[place, seen] = torch.where(found < 0, found * self.repetition, found / self.repetition)
            if self.frequency and row.tokens:
                tokens, often = torch.tensor(row.tokens, device=scores.device).unique(return_counts=True)
                scores[place, tokens] -= self.frequency * often.to(scores.dtype)

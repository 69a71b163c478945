"""Cosine similarity of the vectors of answer and gold answer (etlch/embed.py makes them).

cosine(a, g) = a·g / (|a| |g|), between -1 and 1, rounded to six decimals (what a change of batch leaves alone). Values of
different encoders cannot be compared; where unrelated texts lie depends on the encoder, too (docs/models.md).

Rules, the same for every system: no answer scores 0, and so does an empty gold answer; an unreadable answer is text like
any other. An encoder that knows too few tokens of a language (UNKNOWN) cannot see its texts, and has no say on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

UNKNOWN = 0.05
"""The largest share of unknown tokens in the gold texts of a language with which cosine similarity is computed."""


def cosine(
    references: Sequence[str], answers: Sequence[str], vectors: Callable[[Sequence[str]], np.ndarray]
) -> np.ndarray:
    """One value a pair. `vectors` gives (texts, width) vectors of texts."""
    there = np.array([bool(r.strip() and a.strip()) for r, a in zip(references, answers, strict=True)], dtype=bool)
    values = np.zeros(len(there))
    if there.any():
        pairs = [[texts[n] for n in np.flatnonzero(there)] for texts in (references, answers)]
        left, right = np.split(vectors([*pairs[0], *pairs[1]]).astype(np.float64), 2)
        size = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        values[there] = np.divide((left * right).sum(axis=1), size, out=np.zeros(len(left)), where=size > 0)
    return np.round(values, 6)

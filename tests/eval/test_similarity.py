"""Cosine similarity of hand-worked vectors, and what it is of nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from eval.metrics.similarity import cosine


def letters(texts: Sequence[str]) -> np.ndarray:
    """Counts of a, b and c; asked for no empty text."""
    assert all(text.strip() for text in texts)
    return np.array([[t.count(c) for c in "abc"] for t in texts], float)


def test_cosine_of_hand_worked_vectors() -> None:
    # (1,1,0)·(1,0,0) / (√2·1); (2,1,0)·(1,2,0) / (√5·√5); orthogonal; a zero vector
    values = cosine(["ab", "aab", "a", "a"], ["a", "abb", "b", "xyz"], letters)
    assert values.tolist() == [pytest.approx(1 / math.sqrt(2), abs=1e-6), pytest.approx(4 / 5), 0.0, 0.0]


def test_no_answer_scores_zero_and_is_not_encoded() -> None:
    assert cosine(["a", "a", "", "ab"], ["", " \n", "a", "ab"], letters).tolist() == [0.0, 0.0, 0.0, 1.0]
    assert cosine([], [], letters).tolist() == []

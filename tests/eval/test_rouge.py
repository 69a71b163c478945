"""ROUGE: the values of rouge_score for the same tokens, in every language and at every length."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from etlch.errors import EtlchError
from eval.metrics.rouge import TYPES, char_tokens, longest_common_subsequence, rouge, tokenizer_named


class Given:
    """A tokenizer function in the shape rouge_score asks for."""

    def __init__(self, tokenize):
        self.tokenize = tokenize


def assert_same(references: list[str], answers: list[str], tokenize) -> None:
    ours = rouge(references, answers, tokenize)
    scorer = RougeScorer(list(TYPES), tokenizer=Given(tokenize))
    for n, (reference, answer) in enumerate(zip(references, answers, strict=True)):
        theirs = scorer.score(reference, answer)
        for kind in TYPES:
            assert ours[kind][n] == pytest.approx(theirs[kind], abs=1e-12), (kind, reference, answer)


PAIRS = [
    ("黃金比例約為1.618，記作φ。", "黃金比例約等於1.618，用φ表示"),
    ("1986年王偉在台北", "1986年李娜在高雄"),
    ('{"人物": ["王偉", "李娜"]}', '{"人物": ["李娜", "王偉"], "地點": []}'),
    ("量子力學" * 200, "力學量子" * 190),
    ("The quick brown fox", "the Quick-brown dog and the fox"),
    ("", "甲"),
    ("甲", ""),
    ("", ""),
    ("！？，。", "！？"),
    ("\ud800甲\0乙", "甲乙\udfff"),
    ("𠮷野家と吉野家", "吉野家と𠮷野家"),
]


@pytest.mark.parametrize("name", ["char", "jieba", "rouge_score"])
def test_values_are_those_of_rouge_score(name: str) -> None:
    references, answers = (list(side) for side in zip(*PAIRS, strict=True))
    assert_same(references, answers, tokenizer_named(name))


def test_rouge_score_tokenizer_is_the_default_of_rouge_score() -> None:
    text, other = "Cats don't run 100 metres, DOGS do.", "dogs run 100m; cats do not"
    theirs = RougeScorer(list(TYPES)).score(text, other)
    ours = rouge([text], [other], tokenizer_named("rouge_score"))
    for kind in TYPES:
        assert ours[kind][0] == pytest.approx(theirs[kind], abs=1e-12)


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet="甲乙丙丁 ab12,。\n", max_size=60), st.text(alphabet="甲乙丙丁 ab12,。\n", max_size=60))
def test_any_two_texts(reference: str, answer: str) -> None:
    assert_same([reference], [answer], char_tokens)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from(["", "a", "bb", "甲", "ccc"]), max_size=12),
    st.lists(st.sampled_from(["", "a", "bb", "甲"])),
)
def test_any_token_lists_even_with_empty_tokens(left: list[str], right: list[str]) -> None:
    table = np.zeros((len(left) + 1, len(right) + 1), dtype=int)
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            table[i + 1, j + 1] = table[i, j] + 1 if a == b else max(table[i, j + 1], table[i + 1, j])
    assert longest_common_subsequence(left, right) == table[-1, -1]


@pytest.mark.parametrize("alphabet", ["甲乙丙丁戊", "".join(chr(0x4E00 + n) for n in range(600)), "甲𠮷😀"])
def test_long_texts_take_the_same_values(alphabet: str) -> None:
    rng = random.Random(5)
    reference = "".join(rng.choices(alphabet, k=620))
    answer = "".join(c if rng.random() < 0.7 else rng.choice(alphabet + "辛壬癸") for c in reference)
    assert_same([reference], [answer], char_tokens)


def test_char_tokenizer_keeps_words_and_numbers_whole_and_splits_chinese() -> None:
    assert char_tokens("於1986年，COVID-19與Schrödinger方程式") == [
        *("於", "1986", "年", "covid", "19", "與", "schrödinger", "方", "程", "式")
    ]
    assert char_tokens("アインシュタイン・東京ー한국") == [*"アインシュタイン", "東", "京", "ー", "한", "국"]


def test_other_names_than_in_the_reference_do_not_score_like_the_same_ones() -> None:
    """With rouge_score's own tokenizer both of these score as if equal (only the year is left)."""
    pair = (["1986年王偉"], ["1986年李娜"])
    assert rouge(*pair, tokenizer_named("rouge_score"))["rougeL"][0, 2] == 1.0
    assert rouge(*pair)["rougeL"][0, 2] == pytest.approx(2 / 4)


def test_no_answer_scores_zero() -> None:
    for values in rouge(["甲", "", "。"], ["", "", "甲"]).values():
        assert values.tolist() == [[0.0] * 3] * 3


def test_an_unknown_tokenizer_is_refused_by_name() -> None:
    with pytest.raises(EtlchError, match=r"'words' \(expected char, jieba, rouge_score\)"):
        tokenizer_named("words")

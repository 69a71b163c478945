"""Pieces cover the text, end with sentences, overlap, and are never too long."""

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from etlch.extract.chunks import cut


def letters(texts):
    return [len(text) for text in texts]


def words(texts):
    return [len(text.split()) for text in texts]


def pieces(text, most, overlap, count=letters):
    return [text[a:b] for a, b in cut(text, count, most, overlap)]


def test_a_short_text_is_one_piece_without_the_blanks_around_it():
    assert cut(" \n甲。乙。\n", letters, 100, 10) == [(2, 6)]
    assert cut(" \n ", letters, 100, 10) == []


def test_pieces_end_with_sentences_and_overlap_by_whole_ones():
    text = "一二三。四五六！七八九？十十十。"
    assert pieces(text, 8, 0) == ["一二三。四五六！", "七八九？十十十。"]
    assert pieces(text, 8, 4) == ["一二三。四五六！", "四五六！七八九？", "七八九？十十十。"]
    assert pieces(text, 12, 3) == ["一二三。四五六！七八九？", "十十十。"]  # no sentence is as short as the overlap


def test_the_marks_after_a_sentence_stay_with_it():
    assert pieces("他說：「好。」她走了。", 7, 0) == ["他說：「好。」", "她走了。"]
    assert pieces("It is 3.5 m. Then (so.) He left\nNew line", 4, 0, words) == [
        "It is 3.5 m.",
        "Then (so.) He left",
        "New line",
    ]


def test_a_sentence_without_end_is_cut_within():
    assert pieces("甲" * 10, 3, 0) == ["甲" * 2, "甲" * 3, "甲" * 2, "甲" * 3]


@example(text="xxxxx \nx", most=3, overlap=0)  # white space between the parts counts
@example(text="xxxxx \n!x", most=3, overlap=1)  # an overlap of white space only
@given(st.text(alphabet="甲乙 。.\n!」x", max_size=120), st.integers(1, 30), st.integers(0, 29))
def test_nothing_is_lost_and_nothing_too_long(text, most, overlap):
    spans = cut(text, letters, most, min(overlap, most - 1))
    covered = {at for start, end in spans for at in range(start, end)}
    assert {at for at, letter in enumerate(text) if not letter.isspace()} <= covered
    assert all(0 < end - start <= most for start, end in spans)
    assert all(a < b and c < d for (a, c), (b, d) in itertools.pairwise(spans)), "each piece goes on"

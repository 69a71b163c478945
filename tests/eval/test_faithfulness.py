"""Faithfulness: what counts as found in the source, and the rules for samples without values."""

from __future__ import annotations

import numpy as np
import pytest

from etlch.formats import Parsed
from etlch.records import Entity, Triple
from eval.metrics.faithfulness import faithful_counts, faithfulness, hallucinated, values_of

SOURCE = "愛因斯坦於１９０５年發表狹義相對論， Marie\nCurie 兩度獲得諾貝爾獎。馮・布朗的飛彈 V\u00ad2 and the moon, US$5 🚀 in As"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("愛因斯坦", True),
        ("1905年", True),  # full-width digits in the source
        ("Marie Curie", True),  # a line break in the source
        ("MarieCurie", True),
        ("marie curie", False),  # case counts
        ("居里夫人", False),
        ("", False),
        (" ", False),
        ("\ud800", False),
        ("\0", False),
        ("馮‧布朗", True),
        ("馮·布朗", True),
        ("V2", True),
        ("V\u200b2", True),
        ("，", False),
        ("。", False),
        ("的", False),
        ("的飛彈", True),
        ("the", False),
        ("The", False),
        ("the moon", True),
        (" and, ", False),
        ("$", True),
        ("US", True),
        ("🚀", True),
        ("As", True),
        ("in", False),
    ],
)
def test_found_in_the_source(value: str, found: bool) -> None:
    assert (hallucinated([value], SOURCE) == []) is found


def test_each_invented_value_is_listed_as_often_as_it_was_answered() -> None:
    assert hallucinated(["甲", "愛因斯坦", "乙", "甲"], SOURCE) == ["甲", "乙", "甲"]


def test_values_are_surfaces_heads_tails_and_field_values() -> None:
    parsed = Parsed(
        "ok",
        entities=(Entity("甲", "人物"),),
        triples=(Triple("乙", "關係", "丙"),),
        fields=(("鍵", ("丁", "戊")), ("空", ())),
    )
    assert values_of(parsed) == ["甲", "乙", "丙", "丁", "戊"]


def test_shares_and_rules() -> None:
    found, total = faithful_counts([["愛因斯坦", "甲"], [], [], []], [SOURCE] * 4)
    assert found.tolist() == [1, 0, 0, 0]
    assert total.tolist() == [2, 0, 0, 0]
    # names nothing though there is gold; unreadable with empty gold; readable, nothing to name and nothing named
    gold_total = np.array([3.0, 3.0, 0.0, 0.0])
    readable = np.array([True, True, False, True])
    assert faithfulness(found, total, gold_total, readable).tolist() == [0.5, 0.0, 0.0, 1.0]
    assert faithfulness(found, total, gold_total).tolist() == [0.5, 0.0, 1.0, 1.0]

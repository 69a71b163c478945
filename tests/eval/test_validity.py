"""Validity: JSON exactly where Python's json says so, four columns that never mix, and no answer that breaks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.metrics.validity import COLUMNS, REPAIR_LIMIT, inside_fence, validity

# what Python's json takes although the test suite's authors reject it: NaN and the infinities, as its documentation says
PYTHON_ACCEPTS = {"n_number_NaN.json", "n_number_infinity.json", "n_number_minus_infinity.json"}


def columns(answer: str, required: list[str] | None = None) -> list[float]:
    found = validity([answer], None if required is None else [required])
    return [float(found[name][0]) for name in COLUMNS]


def test_every_file_of_the_json_test_suite_is_classified_as_pythons_json_does(golden: Callable[[str], Path]) -> None:
    files = sorted((golden("jsontestsuite") / "test_parsing").glob("*.json"))
    assert len(files) == 318
    undecodable = 0
    for file in files:
        raw = file.read_bytes()
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            undecodable += 1  # no string, so no answer either
            continue
        try:
            json.loads(text)
            expected = 1.0
        except (ValueError, RecursionError):
            expected = 0.0
        assert columns(text)[0] == expected, file.name
        if file.name.startswith("y_") or file.name in PYTHON_ACCEPTS:
            assert expected == 1.0, file.name
        elif file.name.startswith("n_"):
            assert expected == 0.0, file.name
    assert undecodable < 40


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('{"人物": ["王偉", "李娜"], "地點": []}', [1, 1, 1, 1]),
        ("{}", [1, 1, 1, 1]),
        ('```json\n{"人物": ["王偉"]}\n```', [0, 1, 1, 0]),
        ('好的，結果如下：\n```\n{"人物": ["王偉"]}\n```\n以上。', [0, 1, 1, 0]),
        ('```json\n{"人物": ["王偉"]}', [0, 1, 1, 0]),
        ('{"人物": ["王偉", "李', [0, 0, 1, 0]),
        ("{'人物': ['王偉']}", [0, 0, 1, 0]),
        ('{"人物": ["王偉"],}', [0, 0, 1, 0]),
        ("", [0, 0, 0, 0]),
        ("  \n", [0, 0, 0, 0]),
        ("沒有", [0, 0, 0, 0]),
        ('{"人物": "王偉"}', [1, 1, 1, 0]),
        ('{"人物": [["王偉"]]}', [1, 1, 1, 0]),
        ('{"人物": [{"名": "王偉"}]}', [1, 1, 1, 0]),
        ('{"人物": [1]}', [1, 1, 1, 0]),
        ('{"人物": [null]}', [1, 1, 1, 0]),
        ('{"人物": ["王偉"], "人物": []}', [1, 1, 1, 0]),
        ('["王偉"]', [1, 1, 1, 0]),
        ('"王偉"', [1, 1, 1, 0]),
        ("NaN", [1, 1, 1, 0]),
        ('{"人物": ["\\ud800"]}', [1, 1, 1, 1]),
    ],
)
def test_hand_worked_answers(answer: str, expected: list[int]) -> None:
    assert columns(answer) == expected


def test_required_keys() -> None:
    assert columns('{"甲": [], "乙": ["x"]}', ["甲", "乙"])[3] == 1
    assert columns('{"乙": ["x"], "甲": [], "丙": []}', ["甲", "乙"])[3] == 1
    assert columns('{"甲": []}', ["甲", "乙"])[3] == 0


def test_integers_beyond_pythons_limit_are_not_json_to_it() -> None:
    assert columns('{"甲": [' + "9" * 5000 + "]}")[0] == 0


def test_broken_answers_above_the_limit_are_not_repaired() -> None:
    broken = '{"甲": ["' + "乙" * 100
    assert columns(broken)[2] == 1
    assert columns(broken + "乙" * REPAIR_LIMIT)[2] == 0


@pytest.mark.parametrize(
    "answer",
    [
        *("[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, "\0" * 1_000_000, "\ud800" * 1000),
        *("字" * 1_000_000, '"' * 1_000_000, "```" * 300_000, "[" * 4000, '{"a":' * 900, '"' + "\\" * 4000),
    ],
    ids=lambda answer: f"{answer[:5]!r}x{len(answer)}",
)
def test_no_answer_crashes_or_hangs(answer: str) -> None:
    assert columns(answer)[0] == 0
    assert columns(answer)[3] == 0


def test_inside_fence() -> None:
    assert inside_fence("a\n```json\nb\n```\nc\n```\nd\n```") == "b\n"
    assert inside_fence("no fence") == "no fence"
    assert inside_fence("``` one line ```") == "``` one line ```"

"""Counts of mentions: hand-worked shapes, the paper's three span shifts and its confused type."""

from collections import Counter

import pytest

from etlch.records import Entity
from eval.metrics import mentions
from eval.metrics.matching import micro_of


def mention(text: str, kind: str, *spans: tuple[int, int]) -> Entity:
    return Entity(text, kind, spans)


# Listing 4: gold span, answered span, printed shift. In the third the paper's reference is no mention and its candidate is:
# they stand in each other's place, so the shift keeps its printed sign only with them as printed.
LISTING_4 = [
    ((111, 118), (106, 113), -5),
    ((32, 39), (30, 37), -2),
    ((53, 61), (50, 58), -3),
]


@pytest.mark.parametrize(("gold", "said", "shift"), LISTING_4)
def test_the_shifts_of_listing_4(gold, said, shift):
    text = "x" * 200
    found = mentions.span_shifts([mention(text[slice(*gold)], "D", gold)], [mention(text[slice(*said)], "D", said)])
    assert found == Counter(span_exact=0, span_shifted=1, span_left=1, span_near=1, span_shift=shift)


def test_what_counts_as_a_shift():
    gold = [mention("x" * 5, "D", (10, 15)), mention("x" * 5, "D", (20, 25)), mention("x" * 4, "E", (40, 44))]
    said = [
        mention("x" * 5, "D", (10, 15)),  # exact
        mention("x" * 5, "D", (27, 32)),  # +7 from the second, the first being taken
        mention("x" * 5, "E", (41, 46)),  # another length
        mention("x" * 5, "D", (80, 85)),  # too far, and nothing is left
        mention("x" * 4, "D", (40, 44)),  # another type
    ]
    found = mentions.span_shifts(gold, said)
    assert found == Counter(span_exact=1, span_shifted=1, span_other=3, span_left=0, span_near=0, span_shift=7)


def test_lung_tumors_as_disease():
    """Listing 3: right text, wrong type; and a mention that is simply wrong."""
    gold = [mention("lung tumors", "anatomy", (0, 11))]
    said = [mention("lung tumors", "disease", (0, 11)), mention("tumors", "disease", (5, 11))]
    assert mentions.wrong_types(gold, said) == (Counter({("anatomy", "disease"): 1}), 2)


def test_a_type_that_is_right_as_well_is_not_confused():
    gold = [mention("A", "x", (0, 1))]
    assert mentions.wrong_types(gold, [*gold, mention("A", "y", (0, 1))]) == (Counter(), 1)


def test_scores_by_shape():
    """Plain: 1 of 1 found, nothing else: F1 1. Nested: 1 of 2, none wrong: 2/3. Discontinuous: 0 of 1, one wrong: 0."""
    outer, inner = mention("hepatic failure", "D", (10, 25)), mention("hepatic", "D", (10, 17))
    other = mention("failure", "D", (18, 25))
    ragged, plain = mention("renal failure", "D", (0, 5), (18, 25)), mention("rat", "D", (35, 38))
    wrong = mention("renal and failure", "D", (0, 9), (18, 25))
    gold = [mention("chronic rat", "E", (27, 38)), plain, outer]
    assert [mentions.shape(e, gold) for e in gold] == ["plain", "nested", "plain"]
    assert [mentions.shape(e, [outer, inner, other, ragged]) for e in (outer, inner, ragged)] == [
        "nested",
        "nested",
        "discontinuous",
    ]  # the outer one lies within the extent of the discontinuous one
    rat = mention("rat", "A", (35, 38))
    columns, confused = mentions.columns([[outer, inner, other, rat], [ragged]], [[outer, inner, rat], [wrong]], False)
    sums = {name: values.sum() for name, values in columns.items()}
    f1 = {
        shape: micro_of(*(sums[f"{shape}_{count}"] for count in ("tp", "pred", "gold")))[2] for shape in mentions.SHAPES
    }
    assert f1 == {"plain": 1.0, "nested": pytest.approx(2 / 3), "discontinuous": 0.0}
    assert (sums["wrong"], sums["wrong_type"], not confused) == (1, 0, True)
    assert "span_exact" not in columns

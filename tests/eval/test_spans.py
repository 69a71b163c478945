"""Entities, triples and fields: hand-worked counts, conlleval's and seqeval's numbers, the rules for empty samples."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from etlch.errors import EtlchError
from etlch.records import Entity, Triple
from eval.metrics.matching import (
    Counts,
    field_counts,
    field_counts_by_key,
    micro,
    normalise,
    sample_scores,
    triple_counts,
    triple_counts_by_relation,
)
from eval.metrics.spans import entity_counts, entity_counts_by_type, partial_counts


def values(counts: Counts) -> list[tuple[float, float, float]]:
    return list(zip(counts.tp.tolist(), counts.predicted.tolist(), counts.gold.tolist(), strict=True))


def test_entities_are_multisets_of_type_and_surface() -> None:
    gold = [[Entity("台北", "地點"), Entity("台北", "地點"), Entity("王偉", "人物")], []]
    answers = [
        [Entity("台北", "地點"), Entity("王偉", "地點"), Entity("台北", "地點"), Entity("台北", "地點")],
        [Entity("甲", "乙")],
    ]
    assert values(entity_counts(gold, answers)) == [(2, 4, 3), (0, 1, 0)]
    assert entity_counts_by_type(gold, answers) == {"乙": (0, 1, 0), "人物": (0, 0, 1), "地點": (2, 4, 2)}


def test_normalised_is_nfkc_case_and_white_space() -> None:
    assert normalise(" Ａ\u3000b\nＣ ") == "a b c"
    assert len({normalise(f"馮{dot}布朗") for dot in "·‧・･•⋅"}) == 1
    assert normalise("so\u00adft\u200b \ufeffHyphen") == "soft hyphen"
    gold, answers = [[Entity("DNA 聚合酶", "蛋白")]], [[Entity("ｄｎａ\u3000聚合酶", "蛋白")]]
    assert values(entity_counts(gold, answers)) == [(0, 1, 1)]
    assert values(entity_counts(gold, answers, "normalised")) == [(1, 1, 1)]


def test_an_unknown_way_to_match_is_refused() -> None:
    with pytest.raises(EtlchError, match=r"'fuzzy'.*expected exact, normalised, offsets"):
        entity_counts([[]], [[]], "fuzzy")


def test_micro_and_macro_of_hand_worked_counts() -> None:
    counts = Counts(*np.array([[1.0, 3.0, 0.0], [2.0, 3.0, 1.0], [4.0, 3.0, 2.0]]))
    assert micro(counts) == (pytest.approx(4 / 6), pytest.approx(4 / 9), pytest.approx(8 / 15))
    means = [float(values.mean()) for values in sample_scores(counts)]
    assert means == pytest.approx([(1 / 2 + 1 + 0) / 3, (1 / 4 + 1 + 0) / 3, (1 / 3 + 1 + 0) / 3])


def test_rules_for_empty_samples() -> None:
    zero, one = np.zeros(4), np.ones(4)
    # empty gold: a readable answer that names nothing is right, an unreadable one is not, naming something is wrong
    counts = Counts(zero, np.array([0.0, 0, 1, 0]), np.array([0.0, 0, 0, 1]))
    precision, recall, f1 = sample_scores(counts, np.array([True, False, True, True]))
    assert precision.tolist() == recall.tolist() == f1.tolist() == [1, 0, 0, 0]
    assert micro(Counts(zero, zero, zero)) == (0, 0, 0)
    assert sample_scores(Counts(one, one, one))[2].tolist() == [1, 1, 1, 1]


def test_partial_credit_by_hand() -> None:
    source = "國立臺灣大學位於臺北市"
    gold = [
        Entity("國立臺灣大學", "組織", ((0, 6),)),
        Entity("臺北市", "地點", ((8, 11),)),
        Entity("臺北", "地點", ((8, 10),)),
    ]
    answers = [
        Entity("臺灣大學", "組織", ((2, 6),)),  # overlaps: 0.5
        Entity("臺北市", "地點", ((8, 11),)),  # exact: 1
        Entity("市", "地點", ((10, 11),)),  # overlaps only what is taken: 0
        Entity("國立", "地點", ((0, 2),)),  # another type: 0
    ]
    assert values(partial_counts([gold], [answers], [source])) == [(1.5, 4, 3)]


def test_partial_credit_without_offsets_uses_every_place_of_the_surface() -> None:
    source = "臺大在臺北，臺灣大學也在臺北"
    gold = [Entity("臺灣大學", "組織"), Entity("臺北", "地點")]
    answers = [Entity("大學", "組織"), Entity("臺北", "地點"), Entity("高雄", "地點")]
    assert values(partial_counts([gold], [answers], [source])) == [(1.5, 3, 2)]


def test_partial_credit_prefers_the_larger_overlap() -> None:
    gold = [Entity("abcdef", "x", ((0, 6),))]
    answers = [Entity("f", "x", ((5, 6),)), Entity("abcde", "x", ((0, 5),))]
    assert values(partial_counts([gold], [answers], ["abcdef"])) == [(0.5, 2, 1)]


def test_discontinuous_mentions_match_by_all_their_spans() -> None:
    gold = [[Entity("left lung", "a", ((0, 4), (10, 14)))]]
    assert values(entity_counts(gold, [[Entity("left lung", "a", ((0, 4), (10, 14)))]], "offsets")) == [(1, 1, 1)]
    assert values(entity_counts(gold, [[Entity("left lung", "a", ((0, 4),))]], "offsets")) == [(0, 1, 1)]


def chunks(column: list[list[str]]) -> list[list[Entity]]:
    """Each sentence's chunks by seqeval's reading of its labels, as entities whose offsets are token numbers."""
    from seqeval.metrics.sequence_labeling import get_entities

    return [
        [Entity(" ", kind, ((start, end + 1),)) for kind, start, end in get_entities(labels, suffix=False)]
        for labels in column
    ]


def sentences(file: Path) -> tuple[list[list[str]], list[list[str]]]:
    blocks = [block.split("\n") for block in re.split(r"\n\s*\n", file.read_text().strip())]
    rows = [[line.split() for line in block] for block in blocks]
    return [[row[-2] for row in block] for block in rows], [[row[-1] for row in block] for block in rows]


def test_conlleval_counts(golden: Callable[[str], Path]) -> None:
    """conlleval's own output: 459 phrases, 539 found, 371 correct; P 68.83, R 80.83, F 74.35; the types' F."""
    pytest.importorskip("seqeval", reason="seqeval is not installed")
    folder = golden("conlleval")
    gold, answers = (chunks(side) for side in sentences(folder / "output.txt"))
    report = (folder / "result.txt").read_text()
    total = [int(n) for n in re.search(r"with (\d+) phrases; found: (\d+) phrases; correct: (\d+)", report).groups()]
    counts = entity_counts(gold, answers, "offsets")
    assert [counts.gold.sum(), counts.predicted.sum(), counts.tp.sum()] == total
    overall = [
        float(n) for n in re.search(r"precision:\s+([\d.]+)%; recall:\s+([\d.]+)%; FB1:\s+([\d.]+)", report).groups()
    ]
    assert [round(100 * value, 2) for value in micro(counts)] == overall
    by_type = entity_counts_by_type(gold, answers, "offsets")
    lines = re.findall(r"^\s+(\w+): precision:\s+([\d.]+)%; recall:\s+([\d.]+)%; FB1:\s+([\d.]+)\s+(\d+)", report, re.M)
    assert len(lines) == 6
    for kind, precision, recall, f1, found in lines:
        tp, predicted, wanted = by_type[kind]
        assert predicted == int(found)
        measured = [100 * tp / predicted, 100 * tp / wanted if wanted else 0, 200 * tp / (predicted + wanted)]
        assert measured == pytest.approx([float(precision), float(recall), float(f1)], abs=0.006)


def test_seqevals_numbers(golden: Callable[[str], Path]) -> None:
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    gold, answers = sentences(golden("seqeval") / "ground_truth.txt")
    counts = entity_counts(chunks(gold), chunks(answers), "offsets")
    expected = [score(gold, answers) for score in (seqeval.precision_score, seqeval.recall_score, seqeval.f1_score)]
    assert list(micro(counts)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("file", ["conlleval/output.txt", "seqeval/ground_truth.txt"])
def test_nervaluates_partial_credit(golden: Callable[[str], Path], file: str) -> None:
    """Type by type, as nervaluate's `partial` knows no types: its correct + 0.5 partial, actual and possible.

    It lets two answers share one gold mention, which we do not; such a type may score higher there by their number.
    """
    nervaluate = pytest.importorskip("nervaluate", reason="nervaluate is not installed")
    folder, name = file.split("/")
    gold, answers = (chunks(side) for side in sentences(golden(folder) / name))
    kinds = sorted({e.type for sample in [*gold, *answers] for e in sample})
    assert len(kinds) > 2
    equal = 0
    for kind in kinds:
        sides = [[[e for e in sample if e.type == kind] for sample in side] for side in (gold, answers)]
        ours = [counts.sum() for counts in vars_of(partial_counts(*sides, [""] * len(gold)))]
        rows = [
            [[{"label": kind, "start": e.spans[0][0], "end": e.spans[0][1] - 1} for e in sample] for sample in side]
            for side in sides
        ]
        theirs = nervaluate.Evaluator(*rows, tags=[kind], loader="dict").evaluate()["overall"]["partial"]
        assert ours[1:] == [theirs.actual, theirs.possible]
        credit = theirs.correct + 0.5 * theirs.partial
        assert credit - 0.5 * shared(sides) <= ours[0] <= credit
        equal += ours[0] == credit
    assert equal >= len(kinds) - 1


def vars_of(counts: Counts) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return counts.tp, counts.predicted, counts.gold


def shared(sides: list[list[list[Entity]]]) -> int:
    """How many answers overlap a gold mention that an earlier answer overlaps already."""
    total = 0
    for wanted, found in zip(*sides, strict=True):
        for w in wanted:
            touching = sum(f.spans[0][0] < w.spans[0][1] and w.spans[0][0] < f.spans[0][1] for f in found)
            total += max(0, touching - 1)
    return total


def test_triples_by_hand() -> None:
    gold = [[Triple("運動", "能夠釋放", "內啡肽"), Triple("運動", "改善", "健康")]]
    answers = [[Triple("運動", "改善", "健康", "活動"), Triple("健康", "改善", "運動"), Triple("運動", "改善", "健康")]]
    assert values(triple_counts(gold, answers)) == [(1, 3, 2)]
    assert triple_counts_by_relation(gold, answers) == {"改善": (1, 3, 1), "能夠釋放": (0, 0, 1)}
    assert values(triple_counts([[Triple("A", "b", "C")]], [[Triple("ａ", "B ", "c")]], True)) == [(1, 1, 1)]


def test_fields_by_hand() -> None:
    gold = [[("人物", ("王偉", "李娜")), ("獎項", ())]]
    answers = [[("人物", ("李娜", "李娜", "張三")), ("獎項", ()), ("地點", ("王偉",))]]
    assert values(field_counts(gold, answers)) == [(1, 4, 2)]
    assert field_counts_by_key(gold, answers) == {"人物": (1, 3, 2), "地點": (0, 1, 0)}
    assert values(field_counts([[("Key", ("A b",))]], [[("key", ("a\u3000B",))]], True)) == [(1, 1, 1)]

"""The results: hand-worked counts, the paper's three span shifts, planted mistakes, and a grid of scripted answers."""

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from etlch.errors import EtlchError
from etlch.mfner import grid
from etlch.records import Entity, Record
from etlch.trainer import energy, launch
from eval import mfner, mfner_analysis, mfner_figures
from eval.mfner_answers import Answered, Sentence, read, read_all


def mention(text: str, kind: str, *spans: tuple[int, int]) -> Entity:
    return Entity(text, kind, spans)


def sentence(text: str, gold: list[Entity], found: list[Entity]) -> Sentence:
    return Sentence(Record("r", text), gold, found)


# Listing 4: text, gold span, answered span, printed shift. In the third the paper's reference is no mention and its
# candidate is: they stand in each other's place, so the shift keeps its printed sign only with them as printed.
LISTING_4 = [
    ((111, 118), (106, 113), -5),
    ((32, 39), (30, 37), -2),
    ((53, 61), (50, 58), -3),
]


@pytest.mark.parametrize(("gold", "said", "shift"), LISTING_4)
def test_the_shifts_of_listing_4(gold, said, shift):
    text = "x" * 200
    one = sentence(text, [mention(text[slice(*gold)], "D", gold)], [mention(text[slice(*said)], "D", said)])
    found = mfner_analysis.span_shifts([one])
    assert (found.exact, found.shifted, found.other) == (0, Counter({shift: 1}), 0)


def test_what_counts_as_a_shift():
    text = "x" * 100
    gold = [mention("x" * 5, "D", (10, 15)), mention("x" * 5, "D", (20, 25)), mention("x" * 4, "E", (40, 44))]
    said = [
        mention("x" * 5, "D", (10, 15)),  # exact
        mention("x" * 5, "D", (23, 28)),  # +3 from the second, the first being taken
        mention("x" * 5, "E", (41, 46)),  # another length
        mention("x" * 5, "D", (80, 85)),  # too far, and nothing is left
        mention("x" * 4, "D", (40, 44)),  # another type
    ]
    found = mfner_analysis.span_shifts([sentence(text, gold, said)])
    assert (found.exact, found.shifted, found.other, found.total) == (1, Counter({3: 1}), 3, 5)


def test_lung_tumors_as_disease():
    """Listing 3: right text, wrong type; and a mention that is simply wrong."""
    one = sentence(
        "lung tumors .",
        [mention("lung tumors", "anatomy", (0, 11))],
        [mention("lung tumors", "disease", (0, 11)), mention("tumors", "disease", (5, 11))],
    )
    assert mfner_analysis.wrong_types([one]) == (Counter({("anatomy", "disease"): 1}), 2)


def test_a_type_that_is_right_as_well_is_not_confused():
    gold = [mention("A", "x", (0, 1))]
    assert mfner_analysis.wrong_types([sentence("A", gold, [*gold, mention("A", "y", (0, 1))])]) == (Counter(), 1)


def test_scores_by_shape():
    """Plain: 1 of 1 found, nothing else: F1 1. Nested: 1 of 2, none wrong: 2/3. Discontinuous: 0 of 1, one wrong: 0."""
    text = "renal and hepatic failure, chronic rat"
    outer, inner = mention("hepatic failure", "D", (10, 25)), mention("hepatic", "D", (10, 17))
    other = mention("failure", "D", (18, 25))
    ragged, plain = mention("renal failure", "D", (0, 5), (18, 25)), mention("rat", "D", (35, 38))
    wrong = mention("renal and failure", "D", (0, 9), (18, 25))
    gold = [mention("chronic rat", "E", (27, 38)), plain, outer]
    assert [mfner_analysis.shape(e, gold) for e in gold] == ["plain", "nested", "plain"]
    assert [mfner_analysis.shape(e, [outer, inner, other, ragged]) for e in (outer, inner, ragged)] == [
        "nested",
        "nested",
        "discontinuous",
    ]  # the outer one lies within the extent of the discontinuous one
    found = mfner_analysis.by_shape(
        [
            sentence(
                text,
                [outer, inner, other, mention("rat", "A", (35, 38))],
                [outer, inner, mention("rat", "A", (35, 38))],
            ),
            sentence(text, [ragged], [wrong]),
        ]
    )
    assert found["plain"] == (2, 1.0)
    assert found["nested"] == (2, pytest.approx(2 / 3))
    assert found["discontinuous"] == (1, 0.0)


def test_mean_and_spread_over_draws():
    assert mfner_analysis.over_draws([0.7, 0.8, 0.9]) == "0.80 ± 0.10"
    assert mfner_analysis.over_draws([0.7]) == "0.70"
    assert mfner_analysis.over_draws([]) == "-"


def gold_of(row):
    """The right answer of a conversation's turn or of any other format: its label."""
    return row["output"]


def silent(row):
    return "Answer: []"


FORMATS = ("conv_term", "multi_tag", "multi_term", "multi_triple", "single_code", "single_tag", "single_term")


@pytest.fixture
def answered(small, trained, answer):
    """Draw 1 all right; draw 2 right on multi_term only. multi_span is shifted by two to the left throughout."""

    def shifted(row):
        return json.dumps(
            [{"span": [a - 2 for a in item["span"]], "type": item["type"]} for item in json.loads(row["output"][8:])]
        )

    for draw in (1, 2):
        best = grid.run(small, f"draw{draw}/7best")
        spans = grid.run(small, f"draw{draw}/multi_span")
        trained(best, 10, seconds=3600)
        trained(spans, 10)
        for name in FORMATS:
            answer(best, f"test_{name}", gold_of if draw == 1 or name == "multi_term" else silent)
        answer(spans, "test_multi_span", shifted)
    return grid.RUNS / small.name


def table(folder, title: str) -> dict[tuple[str, ...], list[str]]:
    made = mfner.tables(folder, read_all(folder), None)
    found = next(t for t in made if t.title.startswith(title))
    return {tuple(row[:2]): row for row in found.rows} | {"head": list(found.head)}


def test_by_format(answered):
    rows = table(answered, "By format")
    assert rows["multi_term", "7best"][2:4] == ["1.00 ± 0.00", "1.00 ± 0.00"]
    assert rows["single_term", "7best"][2] == "0.50 ± 0.71"  # 1 and 0
    assert rows["multi_span", "multi_span"][2:5] == ["0.00 ± 0.00", "0.00 ± 0.00", "0.00 ± 0.00"]


def test_by_mix(answered):
    """Draw 2 of 7best answers multi_term alone: precision 1, recall its share of all mentions asked for.

    Five formats are asked of both corpora (3 + 4 mentions a sentence, ten sentences each), two tag formats of one."""
    rows = table(answered, "By training mix")
    (row,) = (r for key, r in rows.items() if key != "head" and r[0] == "7best")
    recall = 70 / (5 * 70 + 2 * 30)
    assert row[1] == "1.00 ± 0.00"
    assert row[2].startswith(f"{(1 + recall) / 2:.2f} ±")


def test_by_corpus(answered):
    rows = table(answered, "F1 by corpus")
    assert rows["head"][:3] == ["corpus", "7best", "multi_span"]
    corpora = {row[0]: row for key, row in rows.items() if key != "head"}
    assert set(corpora) == {"BC5CDR", "PGxCorpus"}
    assert corpora["PGxCorpus"][2] == "-"  # no span format meets it


def test_shifts_and_gap(answered):
    (row,) = (r for key, r in table(answered, "Shifted spans").items() if key != "head")
    assert row[:2] == ["multi_span", "multi_span"]
    shifted = int(row[2].replace(",", ""))
    assert shifted > 0 and row[3] == "0%" and row[6:] == ["100%", "100%", "-2"]
    gap = table(answered, "F1 lost on")
    assert gap["7best", "multi_term"][3] == "+0.00 (60)"  # `hepatic` of both corpora, `hepatic failure` of one
    assert gap["7best", "multi_term"][5] == "+0.00 (20)"


def test_costs(answered, monkeypatch):
    monkeypatch.setattr(energy, "this_machine", lambda: energy.Machine(2, 12.0, 16.0, pue=1.0))
    rows = table(answered, "Time and energy")
    (row,) = (r for key, r in rows.items() if r[0] == "draw1/7best")
    # one hour of two cores at 12 W and 16 GB at 0.3725 W: 29.96 Wh
    assert row[1:3] == ["01:00:00", "0.0300"] and row[4].startswith("Green Algorithms formula, 2 x 12 W")
    (grid.RUNS / "gemma/draw1/7best" / energy.MEASURED).write_text('{"by": "codecarbon", "kwh": 0.5, "grams": 25}')
    (row,) = (r for key, r in table(answered, "Time and energy").items() if r[0] == "draw1/7best")
    assert row[2:5] == ["0.5000", "25.00", "codecarbon"]


def test_triples_by_corpus(answered):
    rows = table(answered, "multi_triple by corpus")
    assert rows["PGxCorpus", "7best"][2:] == ["0.50 ± 0.71"] * 3 + ["-"] * 3
    paper = mfner.Published("qwen2.5-0.5b")
    assert paper("Table 6", ["only"], "{} R") == "0.03 ± 0.03"


def test_a_confusion_of_types_is_drawn(tmp_path):
    gold, said = mention("rat", "動物", (0, 3)), mention("rat", "a $b$ type", (0, 3))
    one = Answered("draw1", "all", "multi_term", [sentence("rat", [gold], [said])], None, 1)
    assert mfner_figures.write([one], tmp_path) == ["f1_by_format", "confusion"]  # tokens were not counted
    assert (tmp_path / "confusion.png").stat().st_size > 2000


def test_names_of_points_that_lie_together_do_not_cover_each_other():
    figure, axes = mfner_figures._axes(5, 3)
    axes.set_xlim(0, 300)
    axes.set_ylim(0, 1)
    mfner_figures._name(
        figure, axes, {(100, 0.5): ["multi_term"], (101, 0.5): ["multi_tag"], (104, 0.51): ["conv_term"]}
    )
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_length(answered):
    """Seven hundred tokens over twenty sentences, or over the ten of the tag formats."""
    rows = table(answered, "What a format costs")
    assert rows["7best", "multi_term"][2:4] == ["1.0", "35"]
    assert rows["7best", "single_tag"][2:4] == ["2.0", "70"]


def test_published_values_stand_beside():
    """Tables 3, 4, 7 and 9 of the paper."""
    qwen, small = mfner.Published("qwen2.5-0.5b"), mfner.Published("gemma")
    assert qwen("Table 3", ["multi_triple"], "{} only") == "0.73 ± 0.01"
    assert qwen("Table 4", ["multi_bio"], "{}") == "0.44 ± 0.07"
    assert mfner.Published("llama3.2-1b")("Table 7", ["term", "multi_term"], "{} nested") == "0.32"
    assert qwen("Table 9", ["all"], "{} time") == "02:23:46"
    assert qwen("Table 3", ["multi_brat"], "{} only") == "-"
    assert small("Table 3", ["multi_triple"], "{} only") == "-"


def test_the_report_is_written(answered, capsys):
    assert mfner.main(["report", "gemma", "--out", "report/mfner"]) == 0
    out = Path("report/mfner/gemma")
    text = (out / "tables.md").read_text()
    assert "BC5CDR: 30/8/10; PGxCorpus: 30/8/10" in text and "### Shifted spans (section 5.5)" in text
    for name in ("f1_by_format", "f1_by_tokens"):
        assert (out / f"{name}.svg").stat().st_size > 2000 and f"![{name}]({name}.svg)" in text
    assert not (out / "confusion.svg").exists()  # no type was confused
    assert "tables.md" in capsys.readouterr().out


def test_the_best_checkpoint(small, trained, answer, capsys):
    run = grid.run(small, "draw1/7best")
    trained(run, 10, 20, 30)
    for step, say in ((10, silent), (20, gold_of), (30, gold_of)):
        answer(run, "dev_7best", say, folder=f"checkpoint-{step}/dev-7best")
    assert mfner.main(["best", "gemma", "draw1/7best"]) == 0
    found = json.loads((run.folder / grid.BEST).read_text())
    assert found["checkpoint"] == "checkpoint-20"  # the earliest of equals
    assert found["scores"]["checkpoint-30"] == 1.0 and found["scores"]["checkpoint-10"] < 0.2
    for step in (10, 20):
        (run.output / f"checkpoint-{step}/adapter_config.json").unlink()
        (run.output / f"checkpoint-{step}").rmdir()
    assert mfner.main(["best", "gemma", "draw1/7best"]) == 0
    assert "nothing to choose" in capsys.readouterr().out


def test_answers_to_other_data_are_refused(answered, small):
    folder = answered / "draw1/7best/multi-term"
    data = small.data(1) / "test_multi_term.json"
    kept = data.read_text()
    data.write_text(kept.replace("naloxone", "naloxon"))
    with pytest.raises(EtlchError, match=r"not the data that .*multi-term was asked"):
        read(folder)
    data.write_text(kept)
    answers = (folder / "generated_predictions.jsonl").read_text().splitlines(keepends=True)
    (folder / "generated_predictions.jsonl").write_text("".join(answers[:-1]))
    with pytest.raises(EtlchError, match=r"found 19 answers \(expected 20"):
        read(folder)
    (folder / "generated_predictions.jsonl").write_text("".join([answers[1], answers[0], *answers[2:]]))
    with pytest.raises(EtlchError, match="jsonl:1: found another prompt"):
        read(folder)


def test_nothing_there(small, capsys):
    assert mfner.main(["report", "gemma"]) == 2
    assert "nothing trained there" in capsys.readouterr().err
    assert mfner.main(["best", "gemma", "draw1/7best"]) == 2
    assert not launch.read_stamp(grid.RUNS / "gemma", launch.DONE)

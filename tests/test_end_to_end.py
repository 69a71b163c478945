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


TASKS = ("entities", "fields", "triples")
# what makes a config of the embedded model one of the tiny model, and learn fast enough for it
TINY = ("template=llama3", "bf16=false", "learning_rate=1.0e-2", "lora_rank=32", "lora_alpha=64")


def training(tiny: str, output: Path, *overrides: str) -> list[str]:
    """The command for a short real training of the tiny model."""
    command = ["etlch.cli", "train", "configs/short_100.yaml", f"model_name_or_path={tiny}", *TINY]
    return [*command, *overrides, f"output_dir={output}"]


@pytest.fixture(scope="module")
def runs(root, tiny, tmp_path_factory):
    """A short real training, and real answers of the untuned and of the tuned model to six texts a task."""
    folder = tmp_path_factory.mktemp("runs") / "e2e"
    ask = ["configs/gemma_predict.yaml", f"model_name_or_path={tiny}", *TINY[:2], "max_samples=6", "max_new_tokens=60"]
    ask += ["eval_dataset=" + ",".join(f"short_{task}_test" for task in TASKS)]
    adapter = folder / "short_100" / "adapter"
    tuned = [f"output_dir={folder}/short_100/predict", f"adapter_name_or_path={adapter}"]
    steps = [
        training(tiny, adapter, "max_steps=100"),
        ["etlch.cli", "predict", *ask, f"output_dir={folder}/short_untuned/predict"],
        ["etlch.cli", "predict", *ask, *tuned],
    ]
    for step in steps:
        ended = run(root, *step)
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return folder


def test_training_left_an_adapter_and_its_record(runs):
    adapter = runs / "short_100" / "adapter"
    assert (adapter / "adapter_model.safetensors").stat().st_size > 100_000
    stamp = json.loads((adapter / ".done.json").read_text())
    assert stamp["config"]["dataset"] == "short_entities_100,short_triples_100,short_fields_100"
    losses = [json.loads(line)["loss"] for line in (adapter / "trainer_log.jsonl").open() if '"loss"' in line]
    assert sum(losses[-3:]) / 3 < 0.8 * losses[0]


def test_answers_are_runs(runs):
    for system, scale in (("short_untuned", 0), ("short_100", 100)):
        for task in TASKS:
            about = json.loads((runs / system / task / "run.json").read_text())
            assert (about["system"], about["task"], about["scale"], about["samples"]) == (system, task, scale, 6)
            assert about["tokens"]["answer"] > 0
            assert about["decoding"]["do_sample"] is False


def test_the_tuned_model_opens_json_objects_and_the_untuned_does_not(runs):
    opened = dict.fromkeys(("short_untuned", "short_100"), 0)
    for system in opened:
        for task in ("entities", "fields"):
            lines = (runs / system / task / "generated_predictions.jsonl").read_text(encoding="utf-8").splitlines()
            opened[system] += sum(json.loads(line)["predict"].startswith('{"') for line in lines)
    assert opened["short_untuned"] == 0
    assert opened["short_100"] > 6, "of 12"


def test_a_finished_run_is_not_run_again(root, tiny, runs):
    began = time.monotonic()
    ended = run(root, *training(tiny, runs / "short_100" / "adapter", "max_steps=100"))
    assert ended.returncode == 0 and "already done" in ended.stdout
    assert time.monotonic() - began < 10


def test_scores_and_report(root, runs, tmp_path):
    ended = run(root, "eval", "report", str(runs), "--out", str(tmp_path / "report"), "--floors")
    assert ended.returncode == 0, ended.stderr[-3000:]
    import pandas

    tidy = pandas.read_parquet(tmp_path / "report" / "scores.parquet")
    assert {"system", "base_model", "scale", "task", "sample", "metric", "value"} <= set(tidy.columns)
    assert {"short_untuned", "short_100", "dictionary", "skeleton"} <= set(tidy["system"])
    mean = tidy.groupby(["system", "metric"])["value"].mean()
    assert mean["short_100", "json_repair_ok"] > 0.5 > mean["short_untuned", "json_repair_ok"]
    assert mean["dictionary", "rouge1"] > mean["short_100", "rouge1"]
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "short_100" in html and "<svg" in html
    assert "short\\_100" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")  # escaped for Markdown
    assert list((tmp_path / "report").rglob("*.png"))


def test_a_killed_training_resumes(root, tiny, tmp_path):
    """Killed after its first checkpoint, the same command goes on from there and ends."""
    output = tmp_path / "adapter"
    command = training(tiny, output, "max_steps=16", "save_steps=4", "logging_steps=1")
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
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
    ended = run(root, *command)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    assert "going on from its last checkpoint" in ended.stdout
    state = json.loads((output / "trainer_state.json").read_text())
    assert state["global_step"] == 16
    assert state["log_history"][0]["step"] == 1  # the log of before the kill is kept


def test_the_papers_config_works_as_it_stands(root, tiny, tmp_path):
    """`llamafactory-cli train configs/etlch_300.yaml` with the overrides that the README gives for a machine without a GPU."""
    ended = subprocess.run(
        [
            str(Path(sys.executable).parent / "llamafactory-cli"),
            "train",
            "configs/etlch_300.yaml",
            f"model_name_or_path={tiny}",
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

"""Answers by an engine: kept as they come, gone on with after a kill, written in the gold's order."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from etlch.errors import EtlchError
from etlch.infer import predict
from etlch.infer.loading import Made, Prompt
from etlch.journal import Journal

ROWS = 40
ENGINE = """
import sys, time
from etlch.infer import predict
from etlch.infer.loading import Made, Prompt

class Slow:
    def answers(self, todo):
        for row, prompt in sorted(todo, key=lambda item: -len(item[1].text)):
            time.sleep(float(sys.argv[2]))
            yield Made(row, f"answer to {prompt.text}", 3, True)

prompts = [Prompt((1, 2), f"question {n} " + "x" * (n * 7 % 11), "gold") for n in range(40)]
job = predict.read_job(sys.argv[1], [])
print(predict.with_engine(job, "slow", lambda: (Slow(), prompts)))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": f"{n}", "input": "", "output": "o"} for n in range(ROWS)]
    Path("rows.json").write_text(json.dumps(rows))
    Path("dataset_info.json").write_text(json.dumps({"x_a_test": {"file_name": "rows.json", "test": "a"}}))
    Path("predict.yaml").write_text(
        "dataset_dir: .\neval_dataset: x_a_test\noutput_dir: runs/x/m/predict\nmodel_name_or_path: none\nuse_cpu: true\n"
    )
    Path("engine.py").write_text(ENGINE)
    return tmp_path


def answer(seconds: float) -> subprocess.Popen:
    command = [sys.executable, "engine.py", "predict.yaml", str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def test_ten_kills_change_nothing(project):
    assert answer(0).wait() == 0
    final = Path("runs/x/m/a/generated_predictions.jsonl")
    undisturbed = final.read_bytes()
    assert [json.loads(line)["predict"].split()[3] for line in undisturbed.splitlines()] == [
        str(n) for n in range(ROWS)
    ]
    about = json.loads(Path("runs/x/m/a/run.json").read_text())
    assert (about["engine"], about["samples"], about["system"]) == ("slow", ROWS, "m")
    for path in Path("runs/x/m").rglob("*"):
        path.is_file() and path.unlink()
    rng = random.Random(5)
    journal = Path("runs/x/m/predict/answers.jsonl")
    kept = []
    for _ in range(10):
        process = answer(0.05)
        before = len(journal.read_bytes().splitlines()) if journal.exists() else 0
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            if journal.exists() and len(journal.read_bytes().splitlines()) > before + rng.randint(0, 3):
                break
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kept.append(len(journal.read_bytes().splitlines()) if journal.exists() else ROWS + 1)
    assert kept == sorted(kept)  # nothing that was there is lost
    assert answer(0).wait() == 0
    assert final.read_bytes() == undisturbed
    assert not journal.exists()


def test_a_cut_last_line_is_taken_off(tmp_path):
    path = tmp_path / "answers.jsonl"
    with Journal(path, Made, {"sha256": "a"}) as journal:
        journal.append(Made(1, "一", 1, True, 2.0))
    with path.open("ab") as handle:
        handle.write('{"row": 0, "answer": "二'.encode()[:-1])
    with Journal(path, Made, {"sha256": "a"}) as journal:
        assert journal.entries == [Made(1, "一", 1, True, 2.0)]
        journal.append(Made(0, "二", 1, True, 3.0))
    assert len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"sha256": "b"}\n', "holds answers of another run \\(sha256: 'b' then, 'a' now\\)"),
        (b"\x00\xff\n", ":1: not the beginning"),
        (b'{"sha256": "a"}\n[]\n', ":2: found b'\\[\\]'"),
    ],
)
def test_another_file_is_refused_and_kept(tmp_path, content, expected):
    path = tmp_path / "answers.jsonl"
    path.write_bytes(content)
    with pytest.raises(EtlchError, match=expected):
        Journal(path, Made, {"sha256": "a"})
    assert path.read_bytes() == content


def test_two_runs_at_once_are_refused(tmp_path):
    with Journal(tmp_path / "answers.jsonl", Made, {}), pytest.raises(EtlchError, match="another run is at work"):
        Journal(tmp_path / "answers.jsonl", Made, {})


def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "answers.jsonl"
    with Journal(path, Made, {}) as journal:
        journal.append(Made(0, "一", 1, True))
        before = path.read_bytes()

        def full(handle, data):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.write", full)
        with pytest.raises(EtlchError, match=r"cannot be saved .No space left"):
            journal.append(Made(1, "二", 1, True))
    assert path.read_bytes() == before


def test_a_finished_run_is_left_alone_and_another_engine_refused(project):
    class Engine:
        def answers(self, todo):
            return (Made(row, prompt.text, 1, True) for row, prompt in todo)

    started = []

    def start():
        started.append(1)
        return Engine(), [Prompt((1,), str(n)) for n in range(ROWS)]

    job = predict.read_job("predict.yaml", [])
    predict.with_engine(job, "one", start)
    predict.with_engine(job, "one", start)
    assert len(started) == 1
    with pytest.raises(EtlchError, match="engine: 'one' then, 'two' now"):
        predict.with_engine(job, "two", start)
    predict.with_engine(job, "two", start, force=True)
    assert len(started) == 2

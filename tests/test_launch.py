"""Runs are kept, resumed and explained. LlamaFactory is replaced by a small script; the real one runs in test_end_to_end."""

import json
import stat
import sys

import pytest
import yaml

from etlch.errors import EtlchError
from etlch.infer import predict
from etlch.records import read_jsonl
from etlch.trainer import launch

SCRIPT = """#!{python}
import json, os, sys, yaml
config = yaml.safe_load(open(sys.argv[2]))
for item in sys.argv[3:]:
    key, _, value = item.partition("=")
    config[key] = yaml.safe_load(value)
out = config["output_dir"]
os.makedirs(out, exist_ok=True)
with open(os.path.join(out, "calls"), "a") as calls:
    calls.write(" ".join(sys.argv[3:]) + "\\n")
message = os.environ.get("FAKE_ERROR")
if message:
    print(message, file=sys.stderr)
    sys.exit(1)
if config.get("do_predict"):
    with open(os.path.join(out, "generated_predictions.jsonl"), "w") as answers:
        for name in config["eval_dataset"].split(","):
            rows = json.load(open(os.path.join(config["dataset_dir"], name + ".json")))
            for row in rows[: config.get("max_samples") or None][: int(os.environ.get("FAKE_ROWS", 99))]:
                print(json.dumps({{"prompt": row["instruction"], "predict": name, "label": ""}}), file=answers)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a fake llamafactory-cli, two test sets and a config writer."""
    program = tmp_path / "bin" / "llamafactory-cli"
    program.parent.mkdir()
    program.write_text(SCRIPT.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(launch.shutil, "which", lambda *_, **__: str(program))
    monkeypatch.chdir(tmp_path)
    registry = {}
    for name, count in (("x_a_test", 3), ("x_b_test", 2), ("x_a_100", 100)):
        rows = [{"id": f"{n}", "instruction": f"{name} {n}", "input": "", "output": ""} for n in range(count)]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
        registry[name] = {"file_name": f"{name}.json", "test": name.split("_")[1]}
    (tmp_path / "dataset_info.json").write_text(json.dumps(registry))

    def write(**changes):
        config = {"dataset_dir": ".", "dataset": "x_a_100", "use_cpu": True, "output_dir": "runs/x/m/adapter"} | changes
        path = tmp_path / "c.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in config.items() if v is not None}))
        return path

    return write


def calls(folder="runs/x/m/adapter"):
    with open(f"{folder}/calls") as handle:
        return handle.read().splitlines()


def test_a_finished_run_is_left_alone(project, capsys):
    path = project()
    launch.train(path, ["seed=1"])
    launch.train(path, ["seed=1"])
    assert len(calls()) == 1
    assert "already done" in capsys.readouterr().out
    launch.train(path, ["seed=1"], force=True)
    assert len(calls()) == 1  # the folder was made anew
    with pytest.raises(EtlchError, match=r"finished run of another config .seed: 1 then, 2 now"):
        launch.train(path, ["seed=2"])


def test_an_interrupted_run_resumes_from_its_checkpoint(project, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_ERROR", "Killed")
    with pytest.raises(EtlchError):
        launch.train(project(), [])
    (tmp_path / "runs/x/m/adapter/checkpoint-5").mkdir()
    monkeypatch.delenv("FAKE_ERROR")
    with pytest.raises(EtlchError, match="interrupted run of another config"):
        launch.train(project(), ["seed=9"])
    launch.train(project(), [])
    assert calls()[-1] == ""  # no overwrite_output_dir: LlamaFactory finds the checkpoint


def test_a_run_without_a_checkpoint_starts_over(project, monkeypatch):
    monkeypatch.setenv("FAKE_ERROR", "boom")
    with pytest.raises(EtlchError):
        launch.train(project(), [])
    monkeypatch.delenv("FAKE_ERROR")
    launch.train(project(), [])
    assert calls()[-1] == "overwrite_output_dir=true"


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("OSError: You are trying to access a gated repo.", "hf auth login"),
        ("OSError: x/y is not a local folder and is not a valid model identifier", "there is no such model"),
        ("We couldn't connect to 'https://huggingface.co' to load the files", "MODEL=gemma needs no download"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("torch.OutOfMemoryError: CUDA out of memory", "per_device_train_batch_size"),
        ("ValueError: Your setup doesn't support bf16/gpu.", "bf16=false"),
        ("ZeroDivisionError: division by zero", "ZeroDivisionError: division by zero"),
    ],
)
def test_failures_say_what_to_do(project, monkeypatch, printed, expected):
    monkeypatch.setenv("FAKE_ERROR", printed)
    with pytest.raises(EtlchError) as error:
        launch.train(project(), [])
    assert expected in str(error.value)
    assert "Traceback" not in str(error.value)


def test_a_gpu_config_without_a_gpu_is_refused(project, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(EtlchError, match="MODEL=gemma"):
        launch.train(project(use_cpu=None), [])


def test_a_full_disk_is_refused_before_the_run(project, monkeypatch):
    monkeypatch.setattr(launch, "MIN_FREE", 2**80)
    with pytest.raises(EtlchError, match="MiB free"):
        launch.train(project(), [])


def test_a_missing_dataset_or_adapter_is_named(project):
    with pytest.raises(EtlchError, match="'x_c_100' is not in"):
        launch.train(project(dataset="x_c_100"), [])
    predicting = project(dataset=None, do_predict=True, eval_dataset="x_a_test", adapter_name_or_path="runs/none")
    with pytest.raises(EtlchError, match="no adapter there"):
        predict.with_llamafactory(predict.read_job(predicting, []))


def test_answers_are_cut_apart_by_test_set(project, tmp_path):
    launch.train(project(), [])
    (tmp_path / "runs/x/m/adapter/adapter_config.json").write_text("{}")
    path = project(
        dataset=None,
        do_predict=True,
        eval_dataset="x_a_test,x_b_test",
        adapter_name_or_path="runs/x/m/adapter",
        output_dir="runs/x/m/predict",
        max_new_tokens=5,
    )
    folders = predict.with_llamafactory(predict.read_job(path, []))
    assert [f.as_posix() for f in folders] == ["runs/x/m/a", "runs/x/m/b"]
    rows = [row["predict"] for _, row in read_jsonl("runs/x/m/b/generated_predictions.jsonl")]
    assert rows == ["x_b_test"] * 2
    about = json.loads((tmp_path / "runs/x/m/a/run.json").read_text())
    assert (about["system"], about["scale"], about["task"], about["samples"]) == ("m", 100, "a", 3)
    assert about["decoding"] == {"max_new_tokens": 5}
    assert about["seconds"] >= 0 and about["data"]["sha256"] and about["config"]["sha256"]


def test_lost_answers_are_noticed(project, monkeypatch):
    monkeypatch.setenv("FAKE_ROWS", "1")
    path = project(dataset=None, do_predict=True, eval_dataset="x_a_test", output_dir="runs/x/m/predict")
    with pytest.raises(EtlchError, match=r"found 1 answers \(expected 3"):
        predict.with_llamafactory(predict.read_job(path, []))

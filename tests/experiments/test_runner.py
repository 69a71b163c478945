"""Cells: the best checkpoint, what is done already, whole models, and an experiment that is YAML alone."""

import json
import sys

import pytest

from etlch import runner
from etlch.errors import EtlchError
from etlch.examples import drawn
from etlch.records import Entity, Record
from etlch.runs import read_stamp
from eval.experiment import value


@pytest.fixture
def jobs(monkeypatch):
    """The answers that were asked for; none is made."""
    asked = []
    monkeypatch.setattr(
        "etlch.infer.predict.with_engine", lambda job, *rest: asked.append(job) or [job.output.parent / "dev"]
    )
    return asked


def cell_of(experiment, name):
    return next(cell for cell in experiment.cells() if cell.name == name)


def test_the_best_checkpoint_is_answered_with(small, trained, jobs):
    cell = cell_of(small, "gemma_7best_draw1")
    trained(cell, 9, 10, 100)
    assert [path.name for path in runner.checkpoints(cell)] == ["checkpoint-9", "checkpoint-10", "checkpoint-100"]
    scores = iter([0.1, 0.5, 0.5])
    runner.choose(cell, lambda folder, metric: next(scores))
    assert [job.output.as_posix() for job in jobs] == [
        f"runs/tiny/gemma_7best_draw1/checkpoint-{step}/predict" for step in (9, 10, 100)
    ]
    assert {tuple(job.names) for job in jobs} == {("dev_7best",)}
    found = read_stamp(cell.folder, runner.BEST)
    assert found["checkpoint"] == "checkpoint-10"  # the earliest of equals
    jobs.clear()
    runner.answer(cell)
    config = jobs[0].config
    assert config["adapter_name_or_path"] == "runs/tiny/gemma_7best_draw1/adapter/checkpoint-10"
    assert (config["model_name_or_path"], config["use_cpu"]) == ("models/gemma3-270m/weights", True)
    assert len(jobs[0].names) == 7
    assert jobs[0].factors == {"system": cell.name, "train_on": "7best", "scale": 0, "draw": 1}


def test_the_other_checkpoints_go(small, trained, jobs, monkeypatch):
    cell = cell_of(small, "gemma_multi_span_draw2")
    monkeypatch.setattr("etlch.trainer.launch.train", lambda config, overrides, force: trained(cell, 5, 10))
    runner.run(cell, lambda folder, metric: 0.3)
    assert [path.name for path in runner.checkpoints(cell)] == ["checkpoint-5"]
    (cell.adapter / "checkpoint-5").rename(cell.adapter / "checkpoint-6")
    with pytest.raises(EtlchError, match="names checkpoint-5, which is not in"):
        runner.chosen(cell)


def test_validation_answers_are_scored(small, trained, answer):
    cell = cell_of(small, "gemma_7best_draw1")
    answer(cell, "dev_7best", lambda row: row["output"], folder="checkpoint-20/dev")
    answer(cell, "dev_7best", lambda row: "Answer: []", folder="checkpoint-10/dev")
    assert value(cell.folder / "checkpoint-20" / "dev", "entity_f1") == 1.0
    assert value(cell.folder / "checkpoint-10" / "dev", "entity_f1") < 0.2
    with pytest.raises(EtlchError, match="no metric 'field_f1'"):
        value(cell.folder / "checkpoint-20" / "dev", "field_f1")


def test_whole_models_are_given_as_the_model():
    given = runner._of_model({"finetuning_type": "full", "model_name_or_path": "a/b", "bf16": True}, runner.Path("c/d"))
    assert given == ["model_name_or_path=c/d", "finetuning_type=full", "bf16=true"]


CARD = """\
name: shapes
title: Shapes
language: en
formats: [multi_term, json_entities]
instructions: ["Find {labels} in the text. {format}", "Which {labels} does the text name? {format}"]
labels: [shape, colour]
metrics: [entity_f1]
wins: [entity_f1]
"""
CORPUS = """\
name: Shapes
lang: en
licence: mine
get: here
types: [shape, colour]
reader: records
folder: mine
files: {train: train.jsonl, test: test.jsonl}
"""
EXPERIMENT = """\
title: An experiment of one's own
cards: [shapes]
corpora: [shapes]
scales: [4, 8]
draws: 2
systems:
  mine: {train: mine.yaml, predict: answers.yaml, engine: transformers}
tables:
  - {title: Over draws, rows: [scale, format], values: [entity_f1], over: draw}
"""
FAKE = """#!{python}
import json, os, sys, yaml
config = yaml.safe_load(open(sys.argv[2]))
for item in sys.argv[3:]:
    key, _, value = item.partition("=")
    config[key] = yaml.safe_load(value)
os.makedirs(config["output_dir"], exist_ok=True)
rows = json.load(open(os.path.join(config["dataset_dir"], config["dataset"] + ".json")))
open(os.path.join(config["output_dir"], "adapter_config.json"), "w").write(json.dumps(len(rows)))
"""


def test_an_experiment_is_yaml_alone(tmp_path, monkeypatch, capsys, root):
    """Own corpus, own card with two instructions and two formats, two scales, two draws, one table over draws."""
    from etlch.cli import main
    from etlch.infer.loading import Made
    from etlch.records import write_records

    monkeypatch.chdir(tmp_path)
    (tmp_path / "published").symlink_to(root / "published")
    for path, text in {
        "tasks/shapes.yaml": CARD,
        "corpora/shapes.yaml": CORPUS,
        "experiments/mine.yaml": EXPERIMENT,
        "llamafactory_configs/mine.yaml": "model_name_or_path: none\nuse_cpu: true\ndataset_dir: .\noutput_dir: x\n",
        "llamafactory_configs/answers.yaml": "model_name_or_path: none\nuse_cpu: true\noutput_dir: x\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    for split, count in (("train", 12), ("test", 6)):
        records = [
            Record(
                f"{split}-{n}",
                f"A red square {split} {n}.",
                "en",
                entities=(Entity("red", "colour", ((2, 5),)), Entity("square", "shape", ((6, 12),))),
            )
            for n in range(count)
        ]
        write_records(tmp_path / "mine" / f"{split}.jsonl", records)
    program = tmp_path / "llamafactory-cli"
    program.write_text(FAKE.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr("etlch.trainer.launch.shutil.which", lambda *_, **__: str(program))
    answers = []

    class Engine:
        """Right where the row's number is even."""

        def __init__(self, rows):
            self.rows = rows

        def answers(self, todo):
            for number, _ in todo:
                answers.append(number)
                yield Made(number, self.rows[number]["output"] if number % 2 == 0 else "Answer: []", 5, True)

    def local(job):
        from types import SimpleNamespace

        rows = [row for name in job.names for row in json.loads(job.files[name].read_text())]
        return Engine(rows), [
            SimpleNamespace(text=f"<user>{r['instruction']}\n{r['input']}", label="", tokens=[]) for r in rows
        ]

    monkeypatch.setattr("etlch.infer.engines._local", local)
    assert main(["run", "experiments/mine.yaml"]) == 0
    rows = json.loads((tmp_path / "runs/mine/data/draw1/train_8.json").read_text())
    assert {row["format"] for row in rows} == {"multi_term", "json_entities"}
    assert len({row["instruction"].split()[0] for row in rows}) == 2
    assert (tmp_path / "runs/mine/mine_4_draw2/adapter/adapter_config.json").read_text() == "4"
    once = len(answers)
    assert once == 4 * 2 * 6
    assert main(["run", "experiments/mine.yaml"]) == 0 and len(answers) == once  # nothing is done again
    assert main(["report", "experiments/mine.yaml", "--no-cosine"]) == 0
    text = (tmp_path / "report/tables.md").read_text()
    assert "### Over draws" in text and "| 4 | json_entities | " in text
    cells = [line.split(" | ") for line in text.splitlines() if line.startswith("| 8")]
    assert len(cells) == 2 and all(" ± 0.0" in row[2] for row in cells)
    assert drawn.PLAN in {path.name for path in (tmp_path / "runs/mine/data/draw2").iterdir()}


KILLED = """
import json, random, sys, time
from types import SimpleNamespace
from etlch import cli
from etlch.infer import engines
from etlch.infer.loading import Made
from etlch.trainer import launch

class Engine:
    def __init__(self, rows):
        self.rows = rows
    def answers(self, todo):
        for number, _ in todo:
            time.sleep(0.02)
            yield Made(number, self.rows[number]["output"] if number % 2 else "Answer: []", 5, True)

def local(job):
    rows = [row for name in job.names for row in json.loads(job.files[name].read_text())]
    prompts = [SimpleNamespace(text=f"<user>{r['instruction']}", label="", tokens=[]) for r in rows]
    return Engine(rows), prompts

engines._local = local
launch.shutil.which = lambda *_, **__: sys.argv[1]
sys.exit(cli.main(["run", "experiments/tiny.yaml", "--root", "corpora-here"]))
"""
TRAINER = FAKE.replace(
    'open(os.path.join(config["output_dir"], "adapter_config.json")',
    "import time; time.sleep(0.2)\n"
    "for step in (5, 10):\n"
    '    folder = os.path.join(config["output_dir"], f"checkpoint-{{step}}")\n'
    "    os.makedirs(folder, exist_ok=True)\n"
    '    open(os.path.join(folder, "adapter_config.json"), "w").write(str(step))\n'
    'open(os.path.join(config["output_dir"], "adapter_config.json")',
)


def test_killed_at_five_moments_it_ends_with_the_same_files(tmp_path, root):
    """Trainings, validation answers, choices and test answers of a whole experiment, by kill -9 of the process."""
    import os
    import random
    import subprocess
    import time

    from etlch.records import write_records

    text = "title: t\ncards: [mentions]\ncorpora: [tiny]\ntrain_on: {a: {formats: [multi_term]}, b: {formats: [multi_span, multi_term]}}\n"
    text += "choose: entity_f1\nsystems: {m: {train: mine.yaml, predict: answers.yaml, engine: transformers}}\n"
    corpus = CORPUS.replace("train: train.jsonl, test", "train: train.jsonl, dev: dev.jsonl, test")
    files = {
        "experiments/tiny.yaml": text,
        "corpora/tiny.yaml": corpus.replace("types: [shape, colour]", "types: [colour]"),
        "llamafactory_configs/mine.yaml": "model_name_or_path: none\nuse_cpu: true\ndataset_dir: .\noutput_dir: x\nsave_only_model: true\n",
        "llamafactory_configs/answers.yaml": "model_name_or_path: none\nuse_cpu: true\noutput_dir: x\n",
    }
    program = tmp_path / "llamafactory-cli"
    program.write_text(TRAINER.format(python=sys.executable))
    program.chmod(0o755)

    def start(folder):
        return subprocess.Popen(
            [sys.executable, "-c", KILLED, str(program)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(root)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def made(folder):
        """What was made, but for stamps, which have times, and what an interrupted training printed."""
        paths = [p for p in sorted((folder / "runs").rglob("*")) if p.is_file()]
        kept = [
            p
            for p in paths
            if not p.name.startswith(".") and p.suffix != ".log" and p.name not in ("run.json", "energy.json")
        ]
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in kept}

    folders = [tmp_path / "once", tmp_path / "often"]
    for folder in folders:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        (folder / "tasks").symlink_to(root / "tasks")
        for split, count in (("train", 12), ("dev", 4), ("test", 6)):
            red = Entity("red", "colour", ((2, 5),))
            records = [
                Record(f"{split}-{n}", f"A red square {split} {n}.", "en", entities=(red,)) for n in range(count)
            ]
            write_records(folder / "mine" / f"{split}.jsonl", records)
    assert start(folders[0]).wait(120) == 0
    rng = random.Random(4)
    for _ in range(5):
        process = start(folders[1])
        time.sleep(rng.uniform(0.8, 2.5))
        os.killpg(process.pid, 9)
        process.wait()
    assert start(folders[1]).wait(120) == 0
    once, often = map(made, folders)
    assert once == often and len([name for name in once if name.endswith("generated_predictions.jsonl")]) == 13

"""A small grid with scripted answers: data built as for the real one, answers made from the gold, nothing trained."""

import json

import pytest
from etlch.mfner import build, grid, mixes
from etlch.mfner.mixes import Dataset

from etlch.checksums import of_file
from etlch.infer import predict
from etlch.records import Entity, Record, dump_json, write_text
from etlch.trainer import launch

TEXT = "Chronic renal and hepatic failure after naloxone in rats"


def sentence(number: int, split: str) -> Record:
    """One plain, one nested and one discontinuous mention, at places that shift with the number."""
    lead = "So " * (number % 4)
    at = len(lead)

    def entity(kind: str, *spans: tuple[int, int]) -> Entity:
        moved = tuple((start + at, end + at) for start, end in spans)
        return Entity(" ".join(text[start:end] for start, end in moved), kind, moved)

    text = f"{lead}{TEXT} {number}"
    found = (
        entity("Disease", (8, 13), (26, 33)),
        entity("Disease", (18, 33)),
        entity("Disease", (18, 25)),
        entity("Drug", (40, 48)),
    )
    return Record(f"{split}-{number}", text, "en", entities=found)


def dataset(name: str, smooth: bool) -> Dataset:
    """Forty training sentences, ten of each other split; a smooth one lacks the discontinuous mentions."""
    splits = {}
    for split, count in (("train", 40), ("dev", 10), ("test", 10)):
        records = [sentence(number, f"{name}-{split}") for number in range(count)]
        if smooth:
            records = [Record(r.id, r.text, r.lang, entities=r.entities[1:]) for r in records]
        splits[split] = records
    return Dataset(name, ("Disease", "Drug"), not smooth, splits)


@pytest.fixture
def datasets() -> list[Dataset]:
    return [dataset("BC5CDR", smooth=True), dataset("PGxCorpus", smooth=False)]


@pytest.fixture
def project(tmp_path, monkeypatch, root):
    """An empty project with the configs and the corpora's files."""
    monkeypatch.chdir(tmp_path)
    for name in ("llamafactory_configs", "corpora"):
        (tmp_path / name).symlink_to(root / name)
    return tmp_path


@pytest.fixture
def answer():
    """Write the answers of one run folder: `say(row)` gives the answer to a row of the data."""

    def write(run: grid.Run, name: str, say, folder: str = "", tokens: int = 700) -> None:
        data = run.grid.data(run.draw) / f"{name}.json"
        rows = json.loads(data.read_text(encoding="utf-8"))
        out = run.folder / (folder or name.removeprefix("test_").replace("_", "-"))
        answers = [{"prompt": f"user\n{row['instruction']}", "predict": say(row), "label": ""} for row in rows]
        write_text(out / predict.ANSWERS, "".join(dump_json(a) + "\n" for a in answers))
        about = {"data": {"file": data.as_posix(), "sha256": of_file(data)}, "tokens": {"answer": tokens}}
        write_text(out / predict.RUN, json.dumps(about))

    return write


@pytest.fixture
def trained():
    """Pretend that a run was trained, with these checkpoints."""

    def make(run: grid.Run, *steps: int, seconds: float = 60.0) -> None:
        for step in steps:
            write_text(run.output / f"checkpoint-{step}" / "adapter_config.json", "{}")
        config = {"use_cpu": True, "dataset_dir": run.grid.data(run.draw).as_posix()}
        write_text(run.output / launch.DONE, json.dumps({"config": config, "seconds": seconds}))

    return make


@pytest.fixture
def small(project, datasets, monkeypatch):
    """A grid of two draws and two mixes over both datasets, its data written."""
    made = grid.Grid(
        "gemma",
        grid.SMALL.config,
        "tiny",
        ("7best", "multi_span"),
        2,
        build.Limits(30, 8, 10),
        decoding=grid.SMALL.decoding,
    )
    monkeypatch.setitem(grid.GRIDS, "gemma", made)
    for draw in (1, 2):
        build.write(build.draw(datasets, draw, made.mixes, made.limits), made.data(draw))
    assert set(made.mixes) <= set(mixes.MIXES)
    return made

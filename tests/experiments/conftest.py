"""A small experiment with scripted answers: data drawn as for a real one, answers made from the gold, nothing trained."""

import json

import pytest

from etlch.checksums import of_file
from etlch.corpora import Corpus, FoundCorpus, Release
from etlch.examples import drawn
from etlch.experiments import Cell, Experiment, load_experiment
from etlch.records import Entity, Record, dump_json, write_text
from etlch.runs import ANSWERS, DONE, RUN, write_stamp

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


def corpus(name: str, smooth: bool) -> FoundCorpus:
    """Forty training sentences, ten of each other split; a smooth one lacks the discontinuous mentions."""
    splits = {}
    for split, count in (("train", 40), ("dev", 10), ("test", 10)):
        records = [sentence(number, f"{name}-{split}") for number in range(count)]
        if smooth:
            records = [Record(r.id, r.text, r.lang, entities=r.entities[1:]) for r in records]
        splits[split] = records
    made = Corpus(name.lower(), name, "en", "", "", (Release("records"),), ("Disease", "Drug"), not smooth)
    return FoundCorpus(made, made.releases[0], splits, (), ())


@pytest.fixture
def corpora() -> list[FoundCorpus]:
    return [corpus("BC5CDR", smooth=True), corpus("PGxCorpus", smooth=False)]


@pytest.fixture
def project(tmp_path, monkeypatch, root):
    """An empty project with the configs, cards and corpora of the repository."""
    monkeypatch.chdir(tmp_path)
    for name in ("llamafactory_configs", "tasks", "corpora", "data", "published"):
        (tmp_path / name).symlink_to(root / name)
    return tmp_path


TABLES = """
tables:
  - {title: By training set, rows: [train_on], values: [entity_precision, entity_recall, entity_f1]}
  - {title: By corpus, rows: [corpus], columns: train_on, values: [entity_f1]}
  - {title: By format, rows: [train_on, format], values: [entity_f1, unread, prompts, answer_tokens]}
  - {title: Shapes, rows: [train_on, format], values: [nested_lost, nested_gold_sum, discontinuous_gold_sum], over: ""}
  - title: Spans
    rows: [train_on]
    values: [span_sum, span_exact_share, span_left_share, span_shift_mean]
    where: {format: [multi_span]}
    over: ""
  - title: Triples beside the paper's
    rows: [train_on]
    values: [entity_f1]
    where: {format: [multi_triple]}
    published: {table: Table 2, key: {configuration: train_on}, columns: ["Qwen F1", "Llama F1"]}
  - {title: Costs, rows: [train_on, draw], values: [train_seconds, kwh], over: ""}
figures:
  - {name: f1_by_format, kind: dots, x: entity_f1, y: format, colour: train_on}
  - {name: f1_by_tokens, kind: scatter, x: answer_tokens, y: entity_f1, label: format, colour: train_on}
  - {name: confusion, kind: confusion}
"""
SEVEN = "[conv_term, multi_tag, multi_term, multi_triple, single_code, single_tag, single_term]"


@pytest.fixture
def experiment(project):
    """Write an experiment file and read it: two draws of `7best` and multi_span, unless other text is given."""

    def make(
        train_on: str = f"{{7best: {{formats: {SEVEN}}}, multi_span: {{formats: [multi_span]}}}}",
        limits: str = "{train: 30, dev: 8, test: 10}",
        draws: int = 2,
        more: str = TABLES,
    ) -> Experiment:
        path = project / "experiments" / "tiny.yaml"
        text = f"title: t\npaper: mf_ner\ncards: [mentions]\ncorpora: [bc5cdr, pgxcorpus]\ndraws: {draws}\nlimits: {limits}\n"
        text += f"train_on: {train_on}\nchoose: entity_f1\nsystems:\n  gemma: {{train: mf_ner_gemma.yaml, predict: mf_ner_predict.yaml, engine: transformers}}\n"
        write_text(path, text + more)
        return load_experiment(path)

    return make


@pytest.fixture
def small(experiment, corpora) -> Experiment:
    """The experiment of two draws and two training sets over both corpora, its data written."""
    made = experiment()
    for number in (1, 2):
        drawn.write(drawn.draw(made, corpora, number), made.data(number))
    return made


@pytest.fixture
def answer():
    """Write the answers of one run folder: `say(row)` gives the answer to a row of the data."""

    def write(cell: Cell, name: str, say, folder: str = "", tokens: int = 700) -> None:
        data = cell.experiment.data(cell.draw) / f"{name}.json"
        rows = json.loads(data.read_text(encoding="utf-8"))
        task = name.removeprefix("test_")
        out = cell.folder / (folder or task)
        answers = [{"prompt": f"user\n{row['instruction']}", "predict": say(row), "label": ""} for row in rows]
        write_text(out / ANSWERS, "".join(dump_json(a) + "\n" for a in answers))
        about = {"data": {"file": data.as_posix(), "sha256": of_file(data)}, "tokens": {"answer": tokens}}
        about |= {"system": cell.name, "task": task, "card": "mentions", "samples": len(rows), **cell.factors}
        write_stamp(out, RUN, about)

    return write


@pytest.fixture
def trained():
    """Pretend that a cell was trained, with these checkpoints."""

    def make(cell: Cell, *steps: int, seconds: float = 60.0) -> None:
        for step in steps:
            write_text(cell.adapter / f"checkpoint-{step}" / "adapter_config.json", "{}")
        write_stamp(cell.adapter, DONE, {"config": {"use_cpu": True}, "seconds": seconds})

    return make

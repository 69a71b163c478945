"""Answers to the test sets of a predict config, by any engine: one run folder a task.

    llamafactory   LlamaFactory's own predict: writes at the end, starts over when killed
    transformers   the model in this process: answers are kept as they come, batches stay full (etlch/infer/decode.py)
    endpoint       an OpenAI-compatible server that has the model loaded (etlch/infer/remote.py)

All of them are given the same prompts (etlch/infer/loading.py) and decode greedily. Answers to several test sets stand in one
file without a mark between them; they are cut apart by the number of rows of each set, and `eval` checks every prompt when
it joins them with the gold.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from etlch.checksums import of_file
from etlch.errors import EtlchError
from etlch.examples.rows import TEST
from etlch.examples.rows import read as read_rows
from etlch.infer.loading import Made
from etlch.journal import Journal
from etlch.records import dump_json, read_jsonl, write_text
from etlch.runs import ANSWERS, DECODED, DONE, RUN, read_stamp, write_stamp
from etlch.trainer import configs, launch
from etlch.trainer.configs import Config

JOURNAL = "answers.jsonl"
SCHEMA_PACKAGE = "llguidance"  # what keeps answers in their shape (etlch/infer/grammar.py)
DECODING = (
    "do_sample",
    "max_new_tokens",
    "repetition_penalty",
    "frequency_penalty",
    "stop_loops",
    "temperature",
    "top_p",
    "top_k",
    "num_beams",
    "cutoff_len",
)


class Engine(Protocol):
    """Answers prompts, each as soon as it is there, in any order."""

    def answers(self, todo: Sequence[tuple[int, object]]) -> Iterator[Made]: ...


@dataclass(frozen=True, slots=True)
class Job:
    """A predict config with its overrides, read and checked. schema: answers in JSON are kept in their cards' shape;
    factors: what run.json says of the cell of an experiment."""

    path: Path
    overrides: list[str]
    config: Config
    files: dict[str, Path]
    schema: bool = False
    factors: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The test sets that are asked for, in order."""
        return configs.names(self.config.get("eval_dataset"))

    @property
    def output(self) -> Path:
        return Path(str(self.config["output_dir"]))


def read_job(path: str | Path, overrides: list[str]) -> Job:
    """Raises EtlchError for a config that cannot be answered: no test set, no output_dir, no adapter there."""
    config = configs.read(path, overrides)
    job = Job(Path(path), overrides, config, configs.dataset_files(config))
    if not job.names:
        raise EtlchError(f"{path}: eval_dataset is missing (expected test sets such as etlch_ner_test)")
    if not config.get("output_dir"):
        raise EtlchError(f"{path}: output_dir is missing (expected for example runs/etlch/etlch_300/predict)")
    adapter = config.get("adapter_name_or_path")
    if adapter and Path(str(adapter)).parts[0] == "runs" and not (Path(str(adapter)) / "adapter_config.json").is_file():
        raise EtlchError(f"{adapter}: no adapter there (train it first, for example `make train-300`)")
    return job


def with_schema(job: Job) -> Job:
    """The same job under its tasks' schemas: a system of its own, `gemma_300+schema` beside `gemma_300`."""
    system = job.output.parent
    output = system.with_name(f"{system.name}+schema") / job.output.name
    return replace(job, config=job.config | {"output_dir": output.as_posix()}, schema=True)


def with_frequency_penalty(job: Job, penalty: float) -> Job:
    """The same job with a penalty on what an answer has said before; run.json tells it. Raises EtlchError for one not above 0."""
    if not 0 < penalty <= 2:
        raise EtlchError(f"--frequency-penalty: found {penalty:g} (expected above 0 and at most 2, for example 0.1)")
    return replace(job, config=job.config | {"frequency_penalty": penalty})


def with_llamafactory(job: Job, force: bool = False) -> list[Path]:
    """Answer by LlamaFactory's own predict; returns one run folder a task. Raises EtlchError."""
    output = launch.run(job.path, job.config, job.overrides, force)
    stamp = read_stamp(output, DONE)
    return list(_split(job, stamp | {"engine": "llamafactory"}))


def with_engine(job: Job, engine: str, start: Callable[[], tuple[Engine, list]], force: bool = False) -> list[Path]:
    """Answer by an engine; returns one run folder a task.

    start: makes the engine and the prompts, called only when there is something left to answer. An interrupted
    run goes on from its last answer. Raises EtlchError.
    """
    marked = job.config | {"engine": engine} | ({"schema": True} if job.schema else {})
    output = job.output
    if not force and launch.finished(output, marked):
        print(f"{output}: already done with this config (again: --force, or make ... FORCE=1)")
    else:
        launch.require_space(output)
        if force:
            (output / JOURNAL).unlink(missing_ok=True)
        stamp = launch.stamp(job.path, marked)
        if job.schema:
            stamp["versions"][SCHEMA_PACKAGE] = version(SCHEMA_PACKAGE)
        stamp |= _answer(job, stamp, start)
        write_stamp(output, DONE, stamp)
        _remember_decoding(job.config)
        (output / JOURNAL).unlink(missing_ok=True)
    return list(_split(job, read_stamp(output, DONE)))


def _answer(job: Job, stamp: dict, start: Callable[[], tuple[Engine, list]]) -> dict:
    """Answer what the journal lacks and write LlamaFactory's file, in the gold's order. Returns what it took."""
    from tqdm import tqdm

    about = {"sha256": stamp["sha256"], "data": {name: of_file(job.files[name]) for name in job.names}}
    about["adapter"] = _adapter_sha256(job.config)
    with Journal(job.output / JOURNAL, Made, about) as journal:
        there = {made.row for made in journal.entries}
        began = time.monotonic() - max((made.seconds for made in journal.entries), default=0.0)
        engine, prompts = start()
        todo = [(row, prompt) for row, prompt in enumerate(prompts) if row not in there]
        if there:
            print(f"{job.output}: interrupted before; {len(there)} of {len(prompts)} answers are there")
        with tqdm(total=len(prompts), initial=len(there), unit="answer", dynamic_ncols=True) as bar:
            for made in engine.answers(todo):
                journal.append(replace(made, seconds=round(time.monotonic() - began, 3)))
                bar.update()
        made = sorted(journal.entries, key=lambda made: made.row)
        rows = [{"prompt": p.text, "predict": m.answer, "label": p.label} for p, m in zip(prompts, made, strict=True)]
        write_text(job.output / ANSWERS, "".join(dump_json(row) + "\n" for row in rows))
        return {"seconds": round(time.monotonic() - began, 1), "cut": sum(not m.ended for m in made)}


def _remember_decoding(config: Config) -> None:
    """Leave beside a local adapter how its answers were made, so that it extracts as it was scored, wherever they lie."""
    adapter = Path(str(config.get("adapter_name_or_path") or ""))
    if (adapter / "adapter_config.json").is_file():
        kept = {key: config[key] for key in ("frequency_penalty",) if key in config}
        if kept or (adapter / DECODED).exists():
            with contextlib.suppress(EtlchError):  # somebody else's folder
                write_stamp(adapter, DECODED, kept)


def _adapter_sha256(config: Config) -> str:
    """The checksum of a local adapter's weights; nothing for none or for one on the Hub."""
    path = Path(str(config.get("adapter_name_or_path") or "")) / "adapter_model.safetensors"
    return of_file(path) if path.is_file() else ""


def _split(job: Job, stamp: dict) -> Iterator[Path]:
    """Cut the answers to all test sets into one run folder a task."""
    output = job.output
    answers = [row for _, row in read_jsonl(output / ANSWERS)]
    counts = {name: _asked(job.config, job.files[name]) for name in job.names}
    if len(answers) != sum(counts.values()):
        raise EtlchError(
            f"{output / ANSWERS}: found {len(answers)} answers (expected {sum(counts.values())}: "
            + ", ".join(f"{n} of {name}" for name, n in counts.items())
            + "); LlamaFactory drops rows that it cannot read"
        )
    tokens = _token_counter(job.config)
    known = configs.registry(job.config)
    scale = _scale(job.config.get("adapter_name_or_path"))
    position = 0
    for name, count in counts.items():
        rows = answers[position : position + count]
        position += count
        folder = output.parent / str(known[name].get(TEST) or name)
        write_text(folder / ANSWERS, "".join(dump_json(row) + "\n" for row in rows))
        write_stamp(folder, RUN, _about(job, folder.name, name, scale, rows, stamp, tokens))
        yield folder


def _asked(config: Config, path: Path) -> int:
    total = len(configs.rows_of(path))
    limit = config.get("max_samples")
    return min(total, int(limit)) if limit else total


def _about(job: Job, task: str, name: str, scale: int, rows: list[dict], stamp: dict, tokens) -> dict:
    config = job.config
    adapter = config.get("adapter_name_or_path")
    first = next(read_rows(job.files[name]), None)
    return {
        "system": job.output.parent.name,
        "base_model": config.get("model_name_or_path"),
        "adapter": adapter,
        "scale": scale,
        "task": task,
        "card": (first.card if first else "") or task,
        "engine": stamp.get("engine") or stamp.get("config", {}).get("engine"),
        "schema": job.schema,
        "samples": len(rows),
        "seed": config.get("seed", 42),
        "decoding": {key: config[key] for key in DECODING if key in config},
        "tokens": {"prompt": tokens([r["prompt"] for r in rows]), "answer": tokens([r["predict"] for r in rows])},
        "seconds": stamp.get("seconds"),
        "seconds_cover": f"{', '.join(job.names)} together, start included",
        "config": {"file": job.path.as_posix(), "sha256": stamp.get("sha256")},
        "data": {"dataset": name, "file": job.files[name].as_posix(), "sha256": of_file(job.files[name])},
        "versions": stamp.get("versions", {}),
    } | job.factors


def _scale(adapter: str | None) -> int:
    """Samples a task that an adapter was trained on: how many rows each of its data sets has; 0 for an untuned model."""
    trained = read_stamp(Path(adapter), DONE).get("config", {}) if adapter else {}
    try:
        files = configs.dataset_files({key: trained.get(key) for key in ("dataset", "dataset_dir")})
        counts = {sum(1 for _ in read_rows(file)) for file in files.values()}
    except EtlchError:  # its data are gone, or somebody else's
        return 0
    return counts.pop() if len(counts) == 1 else 0


def _token_counter(config: Config):
    """Counts tokens with the model's own tokenizer; None for each count where it cannot be loaded."""
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(config["model_name_or_path"])
    except Exception:  # whatever keeps the tokenizer away, the answers are worth keeping
        return lambda texts: None
    return lambda texts: sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])

"""Answers through LlamaFactory's own predict: one start a system, then one run folder a task.

LlamaFactory writes the answers of several test sets into one file without a mark between them. They are cut apart here by
the number of rows of each set, and `eval` checks every prompt when it joins them with the gold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from etlch import configs, launch
from etlch.configs import Config
from etlch.errors import EtlchError
from etlch.records import dump_json, read_jsonl, write_text

ANSWERS, RUN = "generated_predictions.jsonl", "run.json"
RAW = "predict"  # LlamaFactory's own output of several test sets in one file, which is cut into run folders
DECODING = (
    "do_sample",
    "max_new_tokens",
    "repetition_penalty",
    "temperature",
    "top_p",
    "top_k",
    "num_beams",
    "cutoff_len",
)


def predict(path: str | Path, overrides: list[str], force: bool = False) -> list[Path]:
    """Answer the test sets of a predict config; returns one run folder a task.

    output_dir is `runs/<experiment>/<system>/predict`; the run folders stand beside it. Raises EtlchError.
    """
    config = configs.read(path, overrides)
    files = configs.dataset_files(config)
    if not names_of(config):
        raise EtlchError(f"{path}: eval_dataset is missing (expected test sets such as etlch_ner_test)")
    _require_adapter(config)
    output = launch.run(Path(path), config, overrides, force)
    return list(_split(Path(path), config, files, output))


def names_of(config: Config) -> list[str]:
    """The test sets that a config asks for."""
    return configs.names(config.get("eval_dataset"))


def _require_adapter(config: Config) -> None:
    adapter = config.get("adapter_name_or_path")
    if adapter and Path(str(adapter)).parts[0] == "runs" and not (Path(str(adapter)) / "adapter_config.json").is_file():
        raise EtlchError(f"{adapter}: no adapter there (train it first, for example `make train-300`)")


def _split(path: Path, config: Config, files: dict[str, Path], output: Path) -> Iterator[Path]:
    answers = [row for _, row in read_jsonl(output / ANSWERS)]
    counts = {name: _asked(config, files[name]) for name in names_of(config)}
    if len(answers) != sum(counts.values()):
        raise EtlchError(
            f"{output / ANSWERS}: found {len(answers)} answers (expected {sum(counts.values())}: "
            + ", ".join(f"{n} of {name}" for name, n in counts.items())
            + "); LlamaFactory drops rows that it cannot read"
        )
    stamp = launch.read_stamp(output, launch.DONE)
    tokens = _token_counter(config)
    position = 0
    for name, count in counts.items():
        rows = answers[position : position + count]
        position += count
        folder = output.parent / task_of(name)
        write_text(folder / ANSWERS, "".join(dump_json(row) + "\n" for row in rows))
        about = _about(path, config, files[name], name, rows, stamp, tokens)
        write_text(folder / RUN, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        yield folder


def task_of(dataset: str) -> str:
    """`etlch_ner_test` -> `ner`."""
    parts = dataset.split("_")
    if len(parts) != 3 or parts[2] != "test":
        raise EtlchError(f"eval_dataset: found {dataset!r} (expected <family>_<task>_test)")
    return parts[1]


def _asked(config: Config, path: Path) -> int:
    total = len(configs.rows_of(path))
    limit = config.get("max_samples")
    return min(total, int(limit)) if limit else total


def _about(path: Path, config: Config, file: Path, name: str, rows: list[dict], stamp: dict, tokens) -> dict:
    adapter = config.get("adapter_name_or_path")
    return {
        "system": Path(str(config["output_dir"])).parent.name,
        "base_model": config.get("model_name_or_path"),
        "adapter": adapter,
        "scale": _scale(adapter),
        "task": task_of(name),
        "engine": "llamafactory",
        "samples": len(rows),
        "seed": config.get("seed", 42),
        "decoding": {key: config[key] for key in DECODING if key in config},
        "tokens": {"prompt": tokens([r["prompt"] for r in rows]), "answer": tokens([r["predict"] for r in rows])},
        "seconds": stamp.get("seconds"),
        "seconds_cover": f"{', '.join(names_of(config))} together, start of LlamaFactory included",
        "config": {"file": path.as_posix(), "sha256": stamp.get("sha256")},
        "data": {"dataset": name, "file": file.as_posix(), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()},
        "versions": stamp.get("versions", {}),
    }


def _scale(adapter: str | None) -> int:
    """Samples a task that an adapter was trained on, from its own stamp; 0 for an untuned model."""
    if not adapter:
        return 0
    trained = launch.read_stamp(Path(adapter), launch.DONE).get("config", {})
    ends = {name.rsplit("_", 1)[-1] for name in configs.names(trained.get("dataset"))}
    return int(ends.pop()) if len(ends) == 1 and all(e.isdigit() for e in ends) else 0


def _token_counter(config: Config):
    """Counts tokens with the model's own tokenizer; None for each count where it cannot be loaded."""
    try:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(config["model_name_or_path"])
    except Exception:  # whatever keeps the tokenizer away, the answers are worth keeping
        return lambda texts: None
    return lambda texts: sum(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])

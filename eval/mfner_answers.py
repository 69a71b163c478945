"""Answers of the MF-NER grid, joined with the rows that were asked and the gold, one `Answered` a (draw, mix, format)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from etlch.checksums import of_file
from etlch.errors import EtlchError
from etlch.formats import FORMATS, Schema
from etlch.infer.predict import ANSWERS, RAW, RUN
from etlch.mfner.build import PLAN
from etlch.records import Entity, Record, read_jsonl, read_records
from etlch.trainer import launch
from etlch.trainer.configs import rows_of
from eval.answers import same_prompt


@dataclass(slots=True)
class Sentence:
    """A text, the gold mentions of the types that were asked for, and what all its answers together name."""

    record: Record
    gold: list[Entity] = field(default_factory=list)
    found: list[Entity] = field(default_factory=list)
    invalid: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers of one model to one test set. `tokens`: of all answers; `prompts`: how many there were."""

    draw: str
    mix: str
    format: str
    sentences: list[Sentence]
    tokens: int | None
    prompts: int


def runs(folder: Path) -> Iterator[Path]:
    """The (draw, mix) folders of a grid that have been trained. Raises EtlchError when there is none."""
    found = sorted(path.parent.parent for path in folder.glob(f"draw*/*/adapter/{launch.DONE}"))
    if not found:
        raise EtlchError(f"{folder}: nothing trained there (expected draw1/<mix>/adapter; run `make mfner`)")
    yield from found


def read_all(folder: Path) -> list[Answered]:
    """Every answered test set of a grid's folder, in order of draw, mix and format."""
    found = [read(file.parent) for run in runs(folder) for file in _files(run)]
    if not found:
        raise EtlchError(f"{folder}: no answers (expected draw1/<mix>/<format>/{ANSWERS}; run `make mfner`)")
    return found


def _files(run: Path) -> list[Path]:
    hidden = ("checkpoint-", RAW)
    return [path for path in sorted(run.glob(f"*/{ANSWERS}")) if not path.parent.name.startswith(hidden)]


def read(folder: Path) -> Answered:
    """One run folder. Raises EtlchError when its data has changed since, or rows and answers do not fit together."""
    about = _about(folder)
    data = Path(about["data"]["file"])
    rows = rows_of(data)
    if of_file(data) != about["data"]["sha256"]:
        raise EtlchError(f"{data}: not the data that {folder} was asked (built again since? answer again with --force)")
    answers = [row for _, row in read_jsonl(folder / ANSWERS)]
    if len(answers) != len(rows):
        raise EtlchError(f"{folder / ANSWERS}: found {len(answers)} answers (expected {len(rows)}, the rows of {data})")
    split = data.stem.partition("_")[0]
    gold = _gold(data.with_name(f"{split}.jsonl"))
    sentences: dict[str, Sentence] = {}
    for number, (row, answer) in enumerate(zip(rows, answers, strict=True), start=1):
        if not same_prompt(answer["prompt"], row["instruction"]):
            raise EtlchError(
                f"{folder / ANSWERS}:{number}: found another prompt (expected that of {row['id']!r} in {data})"
            )
        _add(sentences.setdefault(row["record"], Sentence(gold[row["record"]])), row, answer["predict"])
    return Answered(
        draw=folder.parents[1].name,
        mix=folder.parent.name,
        format=data.stem.partition("_")[2],
        sentences=list(sentences.values()),
        tokens=about.get("tokens", {}).get("answer"),
        prompts=len(rows),
    )


def _about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / RUN).read_text(encoding="utf-8"))
        return about | {"data": {"file": about["data"]["file"], "sha256": about["data"]["sha256"]}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EtlchError(f"{folder / RUN}: cannot be read ({error}; expected what `etlch mfner test` writes)") from None


@lru_cache(maxsize=8)
def _gold(path: Path) -> dict[str, Record]:
    return {record.id: record for record in read_records(path)}


def _add(sentence: Sentence, row: dict[str, Any], answer: str) -> None:
    types = tuple(json.loads(row["types"]))
    parsed = FORMATS[row["format"]].parse(answer, Schema(types), sentence.record.text)
    sentence.gold += [entity for entity in dict.fromkeys(sentence.record.entities) if entity.type in types]
    sentence.found += parsed.entities
    sentence.invalid += parsed.status == "invalid"


def plan(folder: Path) -> dict[str, Any]:
    """plan.json of the data that a run was made from."""
    data = launch.read_stamp(folder / "adapter", launch.DONE).get("config", {}).get("dataset_dir", "")
    return launch.read_stamp(Path(data), PLAN)

"""A run: a folder of one system's answers to one test set, and what it says of itself; the stamps of what made it.

    runs/<experiment>/<system>/<test>/generated_predictions.jsonl    rows `prompt`, `predict`, `label`, as LlamaFactory writes them
    runs/<experiment>/<system>/<test>/run.json                       who answered what, and how
    runs/<experiment>/<system>/predict/                              the answers to all test sets, before they are cut apart
    <output>/.started.json, <output>/.done.json                      stamps: the config that a folder was begun with, and ended with

Answers made elsewhere can be dropped in: without run.json the folders' names give system and test.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError, ManyErrors
from etlch.records import write_text
from etlch.weights.recipe import WEIGHTS

ANSWERS, RUN, RAW = "generated_predictions.jsonl", "run.json", "predict"
STARTED, DONE = ".started.json", ".done.json"
DECODED = "decoding.json"  # beside an adapter: settings of its last answers that LlamaFactory does not know


@dataclass(frozen=True, slots=True)
class Run:
    """One system's answers to one test set. `task`: the test's name; `samples`: only the first so many rows were asked
    (None: all); train_on, draw: factors of an experiment's cell; info: run.json as it stands."""

    file: Path
    system: str
    task: str
    base_model: str = ""
    scale: int = 0
    adapter: str | None = None
    samples: int | None = None
    train_on: str = ""
    draw: int = 0
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def card(self) -> str:
        """The name of the task card; that of the test where run.json says nothing else."""
        return self.info.get("card") or self.task


def read_stamp(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object beside a run, or {} when there is none or it cannot be read."""
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_stamp(folder: Path, name: str, content: dict[str, Any]) -> None:
    """Write one; complete or not at all."""
    write_text(folder / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


_CHECKS = (
    ("system", "a name", lambda v: isinstance(v, str) and bool(v.strip())),
    ("task", "a test's name", lambda v: isinstance(v, str) and bool(v.strip())),
    ("card", "a card's name or null", lambda v: v is None or isinstance(v, str)),
    ("base_model", "a string or null", lambda v: v is None or isinstance(v, str)),
    ("adapter", "a string or null", lambda v: v is None or isinstance(v, str)),
    ("train_on", "a string", lambda v: isinstance(v, str)),
    ("scale", "a whole number, 0 for an untuned model", lambda v: type(v) is int and v >= 0),
    ("draw", "a whole number", lambda v: type(v) is int and v >= 0),
    ("samples", "a whole number above 0", lambda v: v is None or (type(v) is int and v > 0)),
)


def read_run(file: str | Path) -> Run:
    """The run of one answers file, from the run.json beside it or, without one, from the folders' names."""
    file = Path(file)
    path = file.parent / RUN
    names = file.resolve().parent
    if not path.exists():
        return Run(file, system=names.parent.name, task=names.name)
    try:
        row = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise EtlchError(f"{path}: cannot be read ({error})") from None
    if not isinstance(row, dict):
        raise EtlchError(f"{path}: found {type(row).__name__} (expected a JSON object)")
    problems = [
        f"{path}: {key}: found {row[key]!r:.60} (expected {expected})"
        for key, expected, fits in _CHECKS
        if key in row and not fits(row[key])
    ]
    if problems:
        raise ManyErrors(problems)
    return Run(
        file,
        system=row.get("system", names.parent.name),
        task=row.get("task", names.name),
        base_model=(row.get("base_model") or "").removesuffix(f"/{WEIGHTS}"),
        scale=row.get("scale", 0),
        adapter=row.get("adapter"),
        samples=row.get("samples"),
        train_on=row.get("train_on", ""),
        draw=row.get("draw", 0),
        info=row,
    )


def find_runs(folder: str | Path) -> tuple[list[Run], list[str]]:
    """The runs of an experiment, sorted by system and task, and notices about folders without answers.

    Raises EtlchError when there is none, ManyErrors for unreadable run.json files, for a system name that stands in
    several folders, and for a system whose tasks disagree on its base model or scale.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise EtlchError(f"{folder}: no such folder (expected runs/<experiment>)")
    files = sorted(path for path in folder.glob(f"*/*/{ANSWERS}") if path.parent.name != RAW)
    if not files:
        experiments = sorted({str(path.parents[2]) for path in folder.glob(f"*/*/*/{ANSWERS}")})
        hint = f"; one of these? {', '.join(experiments)}" if experiments else ""
        raise EtlchError(f"{folder}: no answers (expected <system>/<task>/{ANSWERS}){hint}")
    runs: list[Run] = []
    problems: list[str] = []
    for file in files:
        try:
            runs.append(read_run(file))
        except EtlchError as error:
            problems.append(str(error))
    problems += clashes(runs)
    if problems:
        raise ManyErrors(problems)
    unanswered = sorted(path.parent for path in folder.glob(f"*/*/{RUN}") if not (path.parent / ANSWERS).exists())
    notices = [f"{path}: {RUN} but no {ANSWERS}; not scored" for path in unanswered]
    return sorted(runs, key=lambda run: (run.system, run.task)), notices


def clashes(runs: Iterable[Run]) -> list[str]:
    """Each system name of several folders, each task told twice, each system whose tasks disagree on a factor."""
    problems: list[str] = []
    first: dict[str, Run] = {}
    tasks: dict[tuple[str, str], Run] = {}
    for run in runs:
        other = first.setdefault(run.system, run)
        if run.file.parents[1] != other.file.parents[1]:
            problems.append(
                f"{run.file.parent}: system {run.system!r} again (also {other.file.parent}; expected a name of its own)"
            )
            continue
        for key in ("base_model", "scale", "train_on", "draw"):
            found, expected = getattr(run, key), getattr(other, key)
            if found != expected:
                problems.append(
                    f"{run.file.parent / RUN}: {key}: found {found!r} (expected {expected!r} as in {other.file.parent})"
                )
        same = tasks.setdefault((run.system, run.task), run)
        if same is not run:
            problems.append(f"{run.file.parent}: task {run.task!r} of {run.system!r} again (also {same.file.parent})")
    return problems

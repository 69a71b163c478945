"""Model answers: find the runs of an experiment, join each answer with its gold record, refuse whatever does not fit.

A run is a folder `runs/<experiment>/<system>/<task>/` with `generated_predictions.jsonl` (LlamaFactory's rows `prompt`,
`predict`, `label`, whatever engine made them) and `run.json`. Without run.json the folder names give system and task. The
gold is the card's test set, joined by order and checked by prompt; LlamaFactory's `label` is not used, it can be cut.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError, ManyErrors
from etlch.infer.predict import ANSWERS, RAW, RUN
from etlch.records import Record, read_jsonl, read_records
from etlch.tasks import Card, load_cards
from etlch.weights.recipe import WEIGHTS

_KEPT_BYTES = 16 * 2**20
_FIELDS = ("prompt", "predict", "label")


@dataclass(frozen=True, slots=True)
class Run:
    """One system's answers to one task. `samples`: only the first so many test records were asked (None: all)."""

    file: Path
    system: str
    task: str
    base_model: str = ""
    scale: int = 0
    adapter: str | None = None
    samples: int | None = None
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer and the record whose text was asked about."""

    record: Record
    text: str


class TestSet:
    """The records of a test file; a small one is read once and kept, a large one is read again for every run."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._kept: list[Record] | None = None

    @property
    def small(self) -> bool:
        return self.path.is_file() and self.path.stat().st_size <= _KEPT_BYTES

    def __iter__(self) -> Iterator[Record]:
        if self._kept is None and self.small:
            self._kept = list(read_records(self.path))
        return read_records(self.path) if self._kept is None else iter(self._kept)


@dataclass(frozen=True, slots=True)
class Gold:
    """A card with its test set."""

    card: Card
    test: TestSet

    @property
    def path(self) -> Path:
        return self.test.path


def load_gold(tasks: str | Path) -> dict[str, Gold]:
    """Task -> card and test set, for every card of a folder. Paths in cards are relative to the folder's parent."""
    tasks = Path(tasks)
    tests: dict[Path, TestSet] = {}
    gold = {}
    for card in load_cards(tasks):
        path = tasks.resolve().parent / card.test
        gold[card.name] = Gold(card, tests.setdefault(path, TestSet(path)))
    return gold


def squeeze(text: str) -> str:
    """The text without any white space."""
    return "".join(text.split())


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


def read_run(file: str | Path) -> Run:
    """The run of one answers file, from the run.json beside it or, without one, from the folders' names."""
    file = Path(file)
    path = file.parent / RUN
    names = file.resolve().parent
    default = Run(file, system=names.parent.name, task=names.name)
    if not path.exists():
        return default
    try:
        row = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise EtlchError(f"{path}: cannot be read ({error})") from None
    if not isinstance(row, dict):
        raise EtlchError(f"{path}: found {type(row).__name__} (expected a JSON object)")
    problems = [
        f"{path}: {key}: found {row[key]!r:.60} (expected {expected})"
        for key, expected, fits in (
            ("system", "a name", lambda v: isinstance(v, str) and bool(v.strip())),
            ("task", "a task's name", lambda v: isinstance(v, str) and bool(v.strip())),
            ("base_model", "a string or null", lambda v: v is None or isinstance(v, str)),
            ("adapter", "a string or null", lambda v: v is None or isinstance(v, str)),
            ("scale", "a whole number, 0 for an untuned model", lambda v: type(v) is int and v >= 0),
            ("samples", "a whole number above 0", lambda v: v is None or (type(v) is int and v > 0)),
        )
        if key in row and not fits(row[key])
    ]
    if problems:
        raise ManyErrors(problems)
    return Run(
        file,
        system=row.get("system", default.system),
        task=row.get("task", default.task),
        base_model=(row.get("base_model") or "").removesuffix(f"/{WEIGHTS}"),
        scale=row.get("scale", 0),
        adapter=row.get("adapter"),
        samples=row.get("samples"),
        info=row,
    )


def clashes(runs: Iterable[Run]) -> list[str]:
    """Each system name of several folders, each task told twice, each system whose tasks disagree on model or scale."""
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
        for key in ("base_model", "scale"):
            found, expected = getattr(run, key), getattr(other, key)
            if found != expected:
                problems.append(
                    f"{run.file.parent / RUN}: {key}: found {found!r} (expected {expected!r} as in {other.file.parent})"
                )
        same = tasks.setdefault((run.system, run.task), run)
        if same is not run:
            problems.append(f"{run.file.parent}: task {run.task!r} of {run.system!r} again (also {same.file.parent})")
    return problems


def read_answers(run: Run, gold: Gold) -> Iterator[Answer]:
    """The run's answers in order, each with its record; constant memory.

    Raises EtlchError naming file and line: a line that is not JSON (cut, say), a key that is missing or not a string, a
    prompt that is not the record's, too few or too many rows, an empty file.
    """
    records = islice(gold.test, run.samples)
    count = 0
    for line, row in read_jsonl(run.file):
        where = f"{run.file}:{line}"
        prompt, text = _strings(row, where)
        record = next(records, None)
        if record is None:
            asked = f"samples is {run.samples} in {RUN}" if run.samples else f"{gold.path} has no more records"
            raise EtlchError(f"{where}: row {count + 1} is one too many (expected {count} rows: {asked})")
        if not same_prompt(prompt, gold.card.prompt(record)):
            raise EtlchError(f"{where}: {_other_prompt(prompt, record, gold)}")
        count += 1
        yield Answer(record, text)
    missing = sum(1 for _ in records)
    if missing:
        found = "no rows" if count == 0 else f"{count} rows"
        hint = (
            ""
            if run.samples
            else f'; if only the first {count or 30} were asked, say "samples": {count or 30} in {RUN}'
        )
        raise EtlchError(f"{run.file}: {found} (expected {count + missing}, one for each record of {gold.path}){hint}")
    if run.samples is not None and count < run.samples:
        raise EtlchError(
            f"{run.file.parent / RUN}: samples: found {run.samples} (expected at most {count}, the records of {gold.path})"
        )
    if count == 0:
        raise EtlchError(f"{run.file}: no rows, and {gold.path} has no records (expected at least one)")


def check_answers(runs: Sequence[Run], gold: dict[str, Gold]) -> list[int]:
    """Read every run once; how many answers each has. Raises ManyErrors with the first problem of each run."""
    problems: list[str] = []
    counts = []
    for run in runs:
        try:
            if run.task not in gold:
                names = ", ".join(sorted(gold))
                raise EtlchError(f"{run.file.parent}: no card for task {run.task!r} (expected {names})")
            counts.append(sum(1 for _ in read_answers(run, gold[run.task])))
        except EtlchError as error:
            problems.append(str(error))
    if problems:
        raise ManyErrors(list(dict.fromkeys(problems)))  # a test set that cannot be read is told once
    return counts


def same_prompt(prompt: str, expected: str) -> bool:
    """Does a row's prompt contain the expected one, white space aside? The chat template's words stand around it.

    Some tokenizers decode to NFKC, which is accepted.
    """
    if expected in prompt or squeeze(expected) in squeeze(prompt):
        return True
    return _nfkc(expected) in _nfkc(prompt)


def _nfkc(text: str) -> str:
    return squeeze(unicodedata.normalize("NFKC", text))


def _strings(row: Any, where: str) -> tuple[str, str]:
    if not isinstance(row, dict):
        raise EtlchError(f"{where}: found {type(row).__name__} (expected an object with {', '.join(_FIELDS)})")
    for key in _FIELDS:
        if not isinstance(row.get(key), str):
            found = f"found {type(row[key]).__name__}" if key in row else "missing"
            raise EtlchError(f"{where}: {key}: {found} (expected a string)")
    return row["prompt"], row["predict"]


def _other_prompt(prompt: str, record: Record, gold: Gold) -> str:
    """What is wrong with a prompt: another record's, a cut one, or one that is not known."""
    start = f"prompt: not that of record {record.id!r}, which stands at this place of {gold.path}"
    for other in gold.test:
        if same_prompt(prompt, gold.card.prompt(other)):
            return f"{start}: it is that of {other.id!r} (expected the test set's order)"
    found, expected = squeeze(prompt), squeeze(gold.card.prompt(record))
    for share in (0.9, 0.5, 0.2):
        if expected[: int(len(expected) * share)] in found:
            return f"{start}: only about {share:.0%} of it is there (was it cut, by cutoff_len say?)"
    return f"{start} (found {found[:40]!r}, expected {expected[:40]!r})"

"""Join each answer with the row that was asked and the record it asked about; refuse whatever does not fit.

The rows are those of the run's data file (run.json names it) or, for answers made elsewhere, what the card asks of its test
set. A record stands in the card's test set or, for an experiment's drawn data, in the records beside the rows. Every turn of
a row is looked for in the prompt, in order; LlamaFactory's `label` is not used, it can be cut.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError, ManyErrors
from etlch.examples import deal
from etlch.examples import rows as row_files
from etlch.examples.drawn import RECORDS
from etlch.examples.rows import Row
from etlch.records import Record, read_jsonl, read_records
from etlch.runs import RUN, Run
from etlch.tasks import Card, load_cards

_KEPT_BYTES = 16 * 2**20
_FIELDS = ("prompt", "predict", "label")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered about one record: a text a row, one row but where a card asks key by key."""

    record: Record
    rows: tuple[Row, ...]
    texts: tuple[str, ...]

    @property
    def text(self) -> str:
        """All that was answered about the record."""
        return "\n".join(self.texts)


class TestSet:
    """The records of a test file; a small one is read once and kept, a large one is read again for every run."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._kept: dict[str, Record] | None = None

    @property
    def small(self) -> bool:
        return self.path.is_file() and self.path.stat().st_size <= _KEPT_BYTES

    def __iter__(self) -> Iterator[Record]:
        if self._kept is None and self.small:
            self._kept = {record.id: record for record in read_records(self.path)}
        return read_records(self.path) if self._kept is None else iter(self._kept.values())

    def joined(self, rows: Iterator[Row]) -> Iterator[tuple[Row, Record]]:
        """Each row with its record; of a large file the rows have to stand in its order. Raises EtlchError."""
        records = iter(self)
        record = None
        for row in rows:
            if self._kept is not None:
                record = self._kept.get(row.record)
            while record is None or (self._kept is None and record.id != row.record):
                record = next(records, None) if self._kept is None else None
                if record is None:
                    raise EtlchError(f"{self.path}: no record {row.record!r} (expected one for each row of the data)")
            yield row, record


@dataclass(frozen=True, slots=True)
class Gold:
    """A card with its test set; None of a card that an experiment asks about drawn records."""

    card: Card
    test: TestSet | None

    def asked(self, run: Run) -> Iterator[tuple[Row, Record]]:
        """The rows that a run was asked, each with its record. Raises EtlchError."""
        file = (run.info.get("data") or {}).get("file")
        rows = row_files.read(Path(file)) if file and Path(file).is_file() else iter(())
        first = next(rows, None)
        if first is not None and first.card:
            test = self.test or _drawn_records(Path(file).with_name(RECORDS))
            yield from test.joined(_chained(first, rows))
        elif self.test is None:
            raise EtlchError(f"{run.file.parent / RUN}: data: found {file!r} (expected the rows that {run.card} asked)")
        else:
            yield from ((deal.one(self.card, record), record) for record in self.test)


def _chained(first: Row, rows: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rows


_DRAWN: dict[tuple[Path, int], TestSet] = {}


def _drawn_records(path: Path) -> TestSet:
    """The records of a draw, read once for all runs that were asked about them."""
    key = (path, path.stat().st_mtime_ns if path.is_file() else 0)
    return _DRAWN.setdefault(key, TestSet(path))


def load_gold(tasks: str | Path) -> dict[str, Gold]:
    """Card's name -> card and test set, for every card of a folder. Paths in cards are relative to the folder's parent."""
    tasks = Path(tasks)
    tests: dict[Path, TestSet] = {}
    gold = {}
    for card in load_cards(tasks):
        path = tasks.resolve().parent / card.test if card.test else None
        gold[card.name] = Gold(card, tests.setdefault(path, TestSet(path)) if path else None)
    return gold


def squeeze(text: str) -> str:
    """The text without any white space."""
    return "".join(text.split())


def read_answers(run: Run, gold: Gold) -> Iterator[Answer]:
    """The run's answers in order, each with its record; constant memory.

    Raises EtlchError naming file and line: a line that is not JSON (cut, say), a key that is missing or not a string, a
    prompt that is not the row's, too few or too many rows, an empty file.
    """
    for _, group in groupby(_joined(run, gold), key=lambda joined: joined[1].id):
        joined = list(group)
        yield Answer(joined[0][1], tuple(row for row, _, _ in joined), tuple(text for _, _, text in joined))


def _joined(run: Run, gold: Gold) -> Iterator[tuple[Row, Record, str]]:
    asked = islice(gold.asked(run), run.samples)
    count = 0
    for line, found in read_jsonl(run.file):
        where = f"{run.file}:{line}"
        prompt, text = _strings(found, where)
        row, record = next(asked, (None, None))
        if row is None:
            known = f"samples is {run.samples} in {RUN}" if run.samples else f"{_source(run, gold)} has no more"
            raise EtlchError(f"{where}: row {count + 1} is one too many (expected {count} rows: {known})")
        if not same_prompt(prompt, row.turns):
            raise EtlchError(f"{where}: {_other_prompt(prompt, row, run, gold)}")
        count += 1
        yield row, record, text
    missing = sum(1 for _ in asked)
    if missing:
        found = "no rows" if count == 0 else f"{count} rows"
        first = count or 30
        hint = "" if run.samples else f'; if only the first {first} were asked, say "samples": {first} in {RUN}'
        source = _source(run, gold)
        raise EtlchError(f"{run.file}: {found} (expected {count + missing}, one for each row of {source}){hint}")
    if run.samples is not None and count < run.samples:
        raise EtlchError(
            f"{run.file.parent / RUN}: samples: found {run.samples} (expected at most {count}, the rows of {_source(run, gold)})"
        )
    if count == 0:
        raise EtlchError(f"{run.file}: no rows, and {_source(run, gold)} has none (expected at least one)")


def _source(run: Run, gold: Gold) -> str:
    """The file whose rows or records were asked."""
    file = (run.info.get("data") or {}).get("file")
    return str(file if file and Path(file).is_file() else gold.test and gold.test.path)


def check_answers(runs: Sequence[Run], gold: dict[str, Gold]) -> list[int]:
    """Read every run once; how many samples each has. Raises ManyErrors with the first problem of each run."""
    problems: list[str] = []
    counts = []
    for run in runs:
        try:
            if run.card not in gold:
                names = ", ".join(sorted(gold))
                raise EtlchError(f"{run.file.parent}: no card for task {run.card!r} (expected {names})")
            counts.append(sum(1 for _ in read_answers(run, gold[run.card])))
        except EtlchError as error:
            problems.append(str(error))
    if problems:
        raise ManyErrors(list(dict.fromkeys(problems)))  # a test set that cannot be read is told once
    return counts


def same_prompt(prompt: str, turns: Sequence[str]) -> bool:
    """Does a prompt contain these turns in order, white space aside? The chat template's words stand around them.

    Some tokenizers decode to NFKC, which is accepted.
    """
    return any(_in_order(plain(prompt), [plain(turn) for turn in turns]) for plain in (str, squeeze, _nfkc))


def _in_order(text: str, parts: Sequence[str]) -> bool:
    position = 0
    for part in parts:
        position = text.find(part, position)
        if position < 0:
            return False
        position += len(part)
    return True


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


def _other_prompt(prompt: str, row: Row, run: Run, gold: Gold) -> str:
    """What is wrong with a prompt: another row's, one without its history, a cut one, or one that is not known."""
    start = f"prompt: not that of record {row.record!r}, which stands at this place of {_source(run, gold)}"
    for other, _ in gold.asked(run):
        if same_prompt(prompt, other.turns):
            return f"{start}: it is that of {other.record!r} (expected the test set's order)"
    if row.history and same_prompt(prompt, [row.prompt]):
        return f"{start}: the {len(row.history)} turns before the question are not there"
    found, expected = squeeze(prompt), squeeze(row.prompt)
    for share in (0.9, 0.5, 0.2):
        if expected[: int(len(expected) * share)] in found:
            return f"{start}: only about {share:.0%} of it is there (was it cut, by cutoff_len say?)"
    return f"{start} (found {found[:40]!r}, expected {expected[:40]!r})"

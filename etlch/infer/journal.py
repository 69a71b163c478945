"""Answers as they come, one JSON line each, so that a run that is killed goes on where it was.

The first line says what the answers are of (model, adapter, prompts, decoding); a file of something else is refused. Every
line is on the disk before the next answer is waited for; a last line that was cut is taken off.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from etlch.errors import EtlchError
from etlch.linefile import LineFile
from etlch.records import dump_json


@dataclass(frozen=True, slots=True)
class Made:
    """An answer to prompt number `row`. seconds: since the run began, over all its starts."""

    row: int
    answer: str
    tokens: int
    ended: bool
    seconds: float = 0.0


class Journal:
    """An open file of answers; `made` has those of earlier starts. Raises EtlchError for a file of another run."""

    def __init__(self, path: Path, about: dict) -> None:
        self.path = path
        self.made: dict[int, Made] = {}
        self._file = LineFile(path)
        try:
            whole = self._read(path.read_bytes(), about)
            self._file.cut(whole)
            if not whole:
                self._save(about)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def seconds(self) -> float:
        """How long the run has taken until its last answer."""
        return max((made.seconds for made in self.made.values()), default=0.0)

    def append(self, made: Made) -> None:
        """Keep one answer. Raises EtlchError when the disk is full; what was there stays."""
        self.made[made.row] = made
        self._save(asdict(made))

    def _save(self, row: dict) -> None:
        try:
            self._file.add(dump_json(row).encode() + b"\n")
        except OSError as error:
            raise EtlchError(
                f"{self.path}: an answer cannot be saved ({error.strerror or error}); the same command goes on from here"
            ) from None

    def _read(self, data: bytes, about: dict) -> int:
        """Take in what stands in the file; returns the length of its whole lines in bytes."""
        lines = data.split(b"\n")[:-1]
        for number, row in enumerate(_rows(lines), start=1):
            if number == 1:
                _refuse_other(self.path, row, json.loads(dump_json(about)))
            elif row is None or set(row) != {"row", "answer", "tokens", "ended", "seconds"}:
                raise EtlchError(
                    f"{self.path}:{number}: found {lines[number - 1][:40]!r} (expected an answer); start over with --force"
                )
            else:
                self.made[row["row"]] = Made(**row)
        return sum(len(line) + 1 for line in lines)


def _rows(lines: list[bytes]) -> Iterator[dict | None]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        yield row if isinstance(row, dict) else None


def _refuse_other(path: Path, before: dict | None, now: dict) -> None:
    if before is None:
        raise EtlchError(f"{path}:1: not the beginning of a file of answers; start over with --force")
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        shown = "; ".join(f"{key}: {before.get(key)!r} then, {now.get(key)!r} now" for key in changed[:3])
        raise EtlchError(f"{path} holds answers of another run ({shown}). Start over with --force (FORCE=1)")

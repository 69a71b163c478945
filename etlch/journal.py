"""Answers as they come, one JSON line each, on the disk before the next is waited for: what a killed run goes on from.

The entries of a journal are dataclasses of one kind, whose fields are strings and numbers.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from etlch.errors import EtlchError
from etlch.records import dump_json

Entry = TypeVar("Entry")


def read(path: Path, kind: type[Entry], about: dict[str, Any] | None = None) -> tuple[list[Entry], bytes]:
    """The entries of a journal (none where there is no file) and what stands after its last whole line.

    Raises EtlchError with file and line for a line that is no entry, and for a file whose first line is not `about`.
    """
    try:
        *lines, tail = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], b""
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error})") from None
    entries = []
    for number, line in enumerate(lines, start=1):
        if number == 1 and about is not None:
            _refuse_other(path, line, json.loads(dump_json(about)))
            continue
        entry = _entry(line, kind)
        if entry is None:
            raise EtlchError(f"{path}:{number}: found {line[:40]!r} (expected an answer; delete the line to go on)")
        entries.append(entry)
    return entries, tail


class Journal(Generic[Entry]):
    """An open journal, made with its folder where it is missing, locked against a second run.

    about: what the answers are of; it stands in the first line, and a file of something else is refused. reserve: so many
    bytes are held back on the disk, and given to the answers under way when it is full; `full` then says so.
    """

    def __init__(self, path: Path, kind: type[Entry], about: dict[str, Any] | None = None, reserve: int = 0) -> None:
        self.path = path
        self.full = ""
        self._reserve = path.with_name(f".{path.name}.reserve")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise EtlchError(f"{error.filename or path}: cannot be written ({error.strerror or error})") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise EtlchError(f"{path}: another run is at work there (expected one at a time)") from None
        try:
            self.entries, tail = read(path, kind, about)
            self._mend(tail, kind, about)
            if reserve:
                self._hold(reserve)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal[Entry]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the held space back and unlock."""
        self._reserve.unlink(missing_ok=True)
        os.close(self._file)

    def append(self, entry: Entry) -> None:
        """Save one entry. Raises EtlchError when it cannot be saved; the file then ends with its last whole line."""
        said = {f.name: getattr(entry, f.name) for f in fields(entry) if getattr(entry, f.name) != f.default}
        line = dump_json(said).encode() + b"\n"
        try:
            self._add(line)
        except EtlchError:
            self._reserve.unlink(missing_ok=True)
            self._add(line)
        self.entries.append(entry)

    def _mend(self, tail: bytes, kind: type[Entry], about: dict[str, Any] | None) -> None:
        """A last line without its end is completed where only the line break lacks, else cut off."""
        size = os.fstat(self._file).st_size
        if (last := _entry(tail, kind)) is not None:
            self._add(b"\n")
            self.entries.append(last)
        elif tail:
            os.ftruncate(self._file, size - len(tail))
        if about is not None and size == len(tail):
            self._add(dump_json(about).encode() + b"\n")

    def _add(self, line: bytes) -> None:
        """Add bytes that end a line, and sync them to the disk; or leave the file as it was and raise EtlchError."""
        size = os.fstat(self._file).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            self.full = error.strerror or str(error)
            raise EtlchError(f"{self.path}: an answer cannot be saved ({self.full})") from None

    def _hold(self, size: int) -> None:
        try:
            with self._reserve.open("wb") as handle:
                handle.write(bytes(size))
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            why = f"cannot be written ({error.strerror or error}); nothing was asked yet"
            raise EtlchError(f"{self._reserve}: {why}") from None


def _entry(line: bytes, kind: type[Entry]) -> Entry | None:
    try:
        entry = kind(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    return entry if all(type(getattr(entry, f.name)).__name__ == f.type for f in fields(entry)) else None


def _refuse_other(path: Path, line: bytes, now: dict[str, Any]) -> None:
    try:
        before = dict(json.loads(line))
    except (ValueError, TypeError):
        raise EtlchError(f"{path}:1: not the beginning of a file of answers; start over with --force") from None
    if changed := [key for key in {**before, **now} if before.get(key) != now.get(key)]:
        shown = "; ".join(f"{key}: {before.get(key)!r} then, {now.get(key)!r} now" for key in changed[:3])
        raise EtlchError(f"{path} holds answers of another run ({shown}). Start over with --force (FORCE=1)")

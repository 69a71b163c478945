"""The journal: every answer that was paid for, one JSON line each, synced to disk before anything is made of it.

A request is known by its content, so a run that is started again finds the answers it already has.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from etlch.endpoint.budget import Usage
from etlch.errors import EtlchError
from etlch.linefile import LineFile
from etlch.records import dump_json

_NUMBERS = ("prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one model. `attempt` counts the answers that were rejected before.

    prompt: for raw completion, text or token ids; `messages` is then empty.
    """

    stage: str
    article: str
    model: str
    messages: tuple[dict[str, str], ...]
    sampling: dict[str, Any]
    attempt: int = 0
    prompt: str | tuple[int, ...] = ""

    @property
    def key(self) -> str:
        """sha256 of model, messages or prompt, sampling parameters and attempt."""
        content = [self.model, self.messages or self.prompt, self.sampling, self.attempt]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: an answer, or (with `lost`) a request that may have been paid for though no answer came."""

    key: str
    stage: str
    article: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    id: str = ""
    finish: str = ""
    answer: str = ""
    lost: str = ""

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.completion_tokens)


def read(path: Path) -> tuple[list[Entry], bytes]:
    """The entries of a journal (none when there is no file) and what stands after its last whole line.

    Raises EtlchError with file and line for a line that is not of a journal.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], b""
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error})") from None
    *lines, tail = data.split(b"\n")
    entries = []
    for number, line in enumerate(lines, start=1):
        entry = _entry(line)
        if entry is None:
            raise EtlchError(
                f"{path}:{number}: found {line[:40]!r} (expected an answer that was paid for; delete the line to go on)"
            )
        entries.append(entry)
    return entries, tail


def _entry(line: bytes) -> Entry | None:
    try:
        row = json.loads(line)
        entry = Entry(**row)
    except (ValueError, TypeError, RecursionError):
        return None
    right = all(type(value) is (int if name in _NUMBERS else str) for name, value in asdict(entry).items())
    return entry if right else None


class Journal:
    """An open journal, locked against a second run.

    Some space on the disk is held back: when it is full, the answers under way can still be saved.
    """

    def __init__(self, path: Path, reserve: int) -> None:
        self.path = path
        self.full = ""
        self._reserve = path.with_name(f".{path.name}.reserve")
        self._file = LineFile(path)
        try:
            self.entries = list(self._mended())
            self._hold_space(reserve)
        except BaseException:
            self.close()
            raise
        self.answers = {entry.key: entry for entry in self.entries if not entry.lost}

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the held space back and unlock."""
        self._reserve.unlink(missing_ok=True)
        self._file.close()

    def append(self, entry: Entry) -> None:
        """Save one entry. On a full disk it is saved into the space held back, and `full` says so.

        Raises EtlchError when it cannot be saved at all; the file then ends with its last whole line.
        """
        row = {name: value for name, value in asdict(entry).items() if value != "" or name == "answer"}
        line = dump_json(row).encode() + b"\n"
        try:
            self._file.add(line)
        except OSError as error:
            self.full = error.strerror or str(error)
            self._reserve.unlink(missing_ok=True)
            self._add_or_raise(line)
        self.entries.append(entry)
        if not entry.lost:
            self.answers[entry.key] = entry

    def _add_or_raise(self, line: bytes) -> None:
        try:
            self._file.add(line)
        except OSError as error:
            raise EtlchError(f"{self.path}: an answer cannot be saved ({error.strerror or error})") from None

    def _mended(self) -> Iterator[Entry]:
        """The entries; a last line without its end is completed where only the line break lacks, else cut off."""
        entries, tail = read(self.path)
        yield from entries
        last = _entry(tail) if tail else None
        if last is not None:
            self._add_or_raise(b"\n")
            yield last
        elif tail:
            self._file.cut(self.path.stat().st_size - len(tail))

    def _hold_space(self, size: int) -> None:
        try:
            with self._reserve.open("wb") as handle:
                handle.write(bytes(size))
                handle.flush()
                os.fsync(handle.fileno())
        except OSError as error:
            why = f"cannot be written ({error.strerror or error}); nothing was asked yet"
            raise EtlchError(f"{self._reserve}: {why}") from None

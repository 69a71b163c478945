"""Every source format by name, guessing the format of a file, and reading and writing whole files.

A new format is one more module in this package with a tuple `READERS` of etlch.sources.base.Reader.
"""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import shutil
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

import etlch.sources
from etlch.errors import EtlchError
from etlch.records import Record, write_text
from etlch.sources.base import Options, Reader, Report, Sample, Written, open_text, settle
from etlch.sources.json_rows import read_rows
from etlch.sources.spans import UNITS
from etlch.sources.text_files import unknown_encoding

_HEAD = 65_536  # bytes looked at to guess a format
_ALWAYS = {"encoding", "lang", "id_prefix", "strict"}
_ROWS = 50


@functools.cache
def readers() -> dict[str, Reader]:
    """Every reader of this package's modules, by name."""
    found: dict[str, Reader] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(etlch.sources.__path__)):
        for reader in getattr(importlib.import_module(f"etlch.sources.{module}"), "READERS", ()):
            found[reader.name] = reader
    return found


def sample_of(path: Path, options: Options) -> Sample:
    """Look at the beginning of a file; never raises for what it holds."""
    if path.is_dir():
        return Sample(path)
    with path.open("rb") as handle:
        data = handle.read(_HEAD)
    whole = data if len(data) < _HEAD else data[: data.rfind(b"\n") + 1]
    try:
        head = whole.decode(options.encoding, "replace").removeprefix("\ufeff")
    except LookupError:
        raise unknown_encoding(options.encoding) from None
    rows: list[Any] = []
    if path.suffix in (".json", ".jsonl", ".jsonlines", ".ndjson"):
        rows = [row for _, row in islice(read_rows(path, options, Report()), _ROWS)]
    return Sample(path, head, data[:4], rows)


def guess(path: Path, options: Options) -> tuple[Reader, str]:
    """The reader for a file and why. Raises EtlchError when none or more than one would do."""
    sample = sample_of(path, options)
    found = [(reader, why) for reader in readers().values() if (why := reader.sniff(sample))]
    if len(found) == 1:
        return found[0]
    if path.is_file():
        open_text(path, options, Report())  # an empty file or a wrong encoding is the likelier trouble
    names = ", ".join(reader.name for reader, _ in found)
    state = f"its format could be {names}" if found else "its format cannot be told"
    raise EtlchError(f"{path}: {state} (expected --format with one of {', '.join(readers())})")


@dataclass(slots=True)
class Reading:
    """A source read: its records and the report."""

    path: Path
    reader: Reader
    guessed: str
    records: list[Record]
    report: Report

    def lines(self) -> list[str]:
        """The format, whether it was guessed, and the report."""
        why = f" (guessed: {self.guessed}; --format NAME otherwise)" if self.guessed else ""
        return [f"format    {self.reader.name}{why}", *self.report.lines()]


def read(path: Path, name: str, options: Options, to: str = "records") -> Reading:
    """Read a source into Records. Raises EtlchError when nothing could be read, and with `strict` at the first refusal.

    `to` is the format to be written afterwards: its options and its ability to write are checked before the reading.
    """
    if not path.exists():
        raise EtlchError(f"{path}: no such file or folder")
    reader, guessed = (_reader(name), "") if name else guess(path, options)
    _check_options(reader, _writer(to), options)
    if path.is_dir() and not reader.folder:
        inside = ", ".join(sorted(p.name for p in path.iterdir())[:8])
        raise EtlchError(f"{path}: a folder (expected one file for {reader.name}, such as one of {inside})")
    report = Report(strict=options.strict)
    drafts = reader.read(path, options, report)
    seen: dict[str, str] = {}
    records = [record for draft in drafts if (record := settle(draft, reader, options, report, seen))]
    if not records:
        raise EtlchError("\n".join([f"{path}: no record could be read as {reader.name}", *report.lines()]))
    return Reading(path, reader, guessed, records, report)


def _reader(name: str) -> Reader:
    if name not in readers():
        raise EtlchError(f"unknown format {name!r} (expected one of {', '.join(readers())})")
    return readers()[name]


def _writer(name: str) -> Reader:
    writers = {reader.name: reader for reader in readers().values() if reader.write}
    if name not in writers:
        raise EtlchError(f"--to: cannot write {name!r} (expected one of {', '.join(writers)})")
    return writers[name]


def _check_options(reader: Reader, writer: Reader, options: Options) -> None:
    if options.offset_unit and options.offset_unit not in UNITS:
        raise EtlchError(f"--offset-unit: found {options.offset_unit!r} (expected one of {', '.join(UNITS)})")
    for option in fields(Options):
        given = getattr(options, option.name) != option.default
        if given and option.name not in {*_ALWAYS, *reader.options, *writer.options}:
            own = ", ".join(f"--{o}" for o in reader.options).replace("_", "-") or "none"
            name = option.name.replace("_", "-")
            raise EtlchError(f"--{name} means nothing to {reader.name} (its own options: {own})")


def write(reading: Reading, name: str, options: Options, out: Path) -> list[str]:
    """Write records in a format, whole or not at all; returns lines that say what came of it."""
    written = _writer(name).write(reading.records, options)
    put(written, out)
    lines = [f"left out  {count:,} {what}: {name} has no place for them" for what, count in written.left_out.items()]
    return [*lines, f"written   {out}"]


def put(written: Written, out: Path) -> None:
    """Write one file, or a folder of files, whole or not at all. A folder must be new or empty."""
    if "" in written.files:
        write_text(out, written.files[""])
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EtlchError(f"{out}: is there already (expected a new or empty folder)")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        for name, text in written.files.items():
            write_text(temporary / name, text)
        if out.exists():
            out.rmdir()
        temporary.replace(out)
    except OSError as error:
        raise EtlchError(f"{out}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def table() -> str:
    """The formats, one a line, for `etlch import --formats`."""
    width = max(map(len, readers()))
    return "\n".join(f"{r.name:<{width}}  {r.what}\n{'':<{width}}  {r.example}" for r in readers().values())

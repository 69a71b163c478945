"""The documents of a user: texts, files, folders, standard input, tables with a text column; one at a time."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError
from etlch.records import read_jsonl

TABLES = (".csv", ".tsv", ".parquet", ".jsonl")
DEFAULT_COLUMN = "text"


@dataclass(frozen=True, slots=True)
class Document:
    """A text with a name. problem: why it cannot be read (then there is no text)."""

    id: str
    text: str
    problem: str = ""


def read(sources: Sequence[str | Path], column: str = "", encoding: str = "utf-8") -> Iterator[Document]:
    """The documents of files, folders (all files in them, sorted, hidden ones left out) and `-`, standard input.

    A file with a table's ending has a document a row; any other file is one document. Raises EtlchError, before anything
    is read, for a source that does not exist, and for a table without the column; a single document that cannot be read
    comes with its problem.
    """
    for source in sources:
        if str(source) != "-" and not Path(source).exists():
            raise EtlchError(f"{source}: no such file or folder (a text itself is given with --text)")
    for source in sources:
        if str(source) == "-":
            yield _document("stdin", sys.stdin.buffer.read(), encoding)
        else:
            for path in _files(Path(source)):
                yield from _table(path, column, encoding) if path.suffix.lower() in TABLES else [_file(path, encoding)]


def _files(source: Path) -> list[Path]:
    if not source.is_dir():
        return [source]
    found = (path for path in source.rglob("*") if path.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(source).parts))


def _file(path: Path, encoding: str) -> Document:
    try:
        return _document(path.as_posix(), path.read_bytes(), encoding)
    except OSError as error:
        return Document(path.as_posix(), "", f"cannot be read ({error.strerror or error})")


def _document(name: str, data: bytes, encoding: str) -> Document:
    if b"\0" in data[:65536] and not encoding.lower().startswith(("utf-16", "utf-32")):
        return Document(name, "", "a binary file (expected text; for PDF or Word, convert it to text first)")
    try:
        return Document(name, data.decode("utf-8-sig" if encoding.lower() == "utf-8" else encoding))
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02X} at {error.start}"
        return Document(
            name, "", f"not {encoding}: found {found} (expected text; --encoding names another, such as big5)"
        )
    except LookupError:
        raise EtlchError(f"--encoding: found {encoding!r} (expected one that Python knows, such as big5)") from None


def _table(path: Path, column: str, encoding: str) -> Iterator[Document]:
    column = column or DEFAULT_COLUMN
    try:
        for number, row in _rows(path, column, encoding):
            if not isinstance(row, dict):
                raise EtlchError(f"{path}:{number}: found {type(row).__name__} (expected an object with a text)")
            if column not in row:
                shown = ", ".join(map(str, row)) or "none"
                expected = f"expected one of its columns with --text-column: {shown}"
                raise EtlchError(f"{path}: no column {column!r} ({expected})")
            name, text = str(row.get("id") or f"{path.as_posix()}:{number}"), row[column]
            if text is None or isinstance(text, str):
                yield Document(name, text or "")
            else:
                yield Document(name, "", f"found {type(text).__name__} in the text column (expected a text)")
    except (OSError, ValueError, LookupError, csv.Error) as error:  # pyarrow's are ValueErrors, too
        raise EtlchError(f"{path}: cannot be read as a table ({error})") from None


def _rows(path: Path, column: str, encoding: str) -> Iterator[tuple[int, Any]]:
    """(line or number, row), one at a time."""
    if path.suffix.lower() == ".jsonl":
        yield from read_jsonl(path)
    elif path.suffix.lower() == ".parquet":
        import pyarrow.parquet

        file = pyarrow.parquet.ParquetFile(path)
        names = file.schema_arrow.names
        wanted = [name for name in ("id", column) if name in names] if column in names else names
        batches = file.iter_batches(256, columns=wanted)
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)
    else:
        csv.field_size_limit(2**31 - 1)
        with path.open(encoding="utf-8-sig" if encoding.lower() == "utf-8" else encoding, newline="") as handle:
            reader = csv.DictReader(handle, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            yield from ((reader.line_num, row) for row in reader)

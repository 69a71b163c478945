"""A GGUF file's metadata, and a copy of the file without its tokenizer.

The layout is https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The package gguf reads it, too, and transformers reads
tensors with it; but the 262,144 tokens of Gemma with their scores and types take it half a minute, and transformers reads a
file twice. Here they take a second, and transformers is given the copy.
"""

from __future__ import annotations

import contextlib
import mmap
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError

MAGIC, VERSIONS = b"GGUF", (2, 3)
TOKENIZER = "tokenizer."
_NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}  # as struct has them
_STRING, _ARRAY = 8, 9


@dataclass(slots=True)
class _Cursor:
    """A place in a file. What lies behind its end raises struct.error."""

    data: mmap.mmap
    at: int = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        """The little-endian values of a struct layout."""
        found = struct.unpack_from(f"<{layout}", self.data, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return found

    def text(self) -> str:
        (size,) = self.take("Q")
        (found,) = self.take(f"{size}s")
        return found.decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.take(_NUMBERS[kind])[0]
        item, size = self.take("IQ")
        if item in _NUMBERS:
            return list(self.take(f"{size}{_NUMBERS[item]}"))
        return [self.value(item) for _ in range(size)]


@dataclass(frozen=True, slots=True)
class _Pair:
    """One entry of the metadata, and where it stands in the file."""

    key: str
    value: Any
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class _Head:
    """What comes before the tensors: the cursor is left behind it."""

    version: int
    tensors: int
    pairs: list[_Pair]


def read_metadata(path: Path) -> dict[str, Any]:
    """The key-value part of a GGUF file. Raises EtlchError for a file that is none, or is cut."""
    with _opened(path) as cursor:
        return {pair.key: pair.value for pair in _head(cursor, path).pairs}


def copy_without_tokenizer(path: Path, target: Path) -> None:
    """Write the file without the metadata of its tokenizer; tensors stay as they are, byte by byte. Raises EtlchError."""
    with _opened(path) as cursor:
        head = _head(cursor, path)
        kept = [pair for pair in head.pairs if not pair.key.startswith(TOKENIZER)]
        alignment = next((pair.value for pair in kept if pair.key == "general.alignment"), 32)
        names = cursor.at
        for _ in range(head.tensors):  # name, dimensions, type, offset from where the tensors begin
            cursor.text()
            (dimensions,) = cursor.take("I")
            cursor.take(f"{dimensions}QIQ")
        with target.open("wb") as file:
            file.write(MAGIC + struct.pack("<IQQ", head.version, head.tensors, len(kept)))
            for pair in kept:
                file.write(cursor.data[pair.begin : pair.end])
            file.write(cursor.data[names : cursor.at])
            file.write(bytes(-file.tell() % alignment))
            with path.open("rb") as whole:
                whole.seek(cursor.at + -cursor.at % alignment)
                shutil.copyfileobj(whole, file, 2**22)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Cursor]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield _Cursor(data)
    except (struct.error, ValueError, KeyError, OverflowError, MemoryError):  # ValueError: nothing in it, or no UTF-8
        raise EtlchError(
            f"{path}: ends within its metadata, or is damaged there (expected a whole GGUF file)"
        ) from None


def _head(cursor: _Cursor, path: Path) -> _Head:
    magic = cursor.data[: len(MAGIC)]
    if magic != MAGIC:
        raise EtlchError(f"{path}: begins with {magic!r} (expected a GGUF file, which begins with {MAGIC!r})")
    cursor.at = len(MAGIC)
    version, tensors, pairs = cursor.take("IQQ")
    if version not in VERSIONS:
        raise EtlchError(f"{path}: found GGUF version {version} (expected {' or '.join(map(str, VERSIONS))})")
    return _Head(version, tensors, [_pair(cursor) for _ in range(pairs)])


def _pair(cursor: _Cursor) -> _Pair:
    begin = cursor.at
    key = cursor.text()
    (kind,) = cursor.take("I")
    return _Pair(key, cursor.value(kind), begin, cursor.at)

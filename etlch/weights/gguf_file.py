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
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError

MAGIC, VERSIONS = b"GGUF", (2, 3)
TOKENIZER = "tokenizer."
_NUMBERS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}  # as struct has them
_STRING, _ARRAY = 8, 9


class GgufFile:
    """The metadata, and a place in the file, which is behind them at first. What lies behind the file's end raises struct.error."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self.data, self.at = data, len(MAGIC)
        if (magic := data[: self.at]) != MAGIC:
            raise EtlchError(f"{path}: begins with {magic!r} (expected a GGUF file, which begins with {MAGIC!r})")
        self.version, self.tensors, pairs = self.take("IQQ")
        if self.version not in VERSIONS:
            raise EtlchError(f"{path}: found GGUF version {self.version} (expected {' or '.join(map(str, VERSIONS))})")
        self.metadata: dict[str, Any] = {}
        self.places: dict[str, tuple[int, int]] = {}
        for _ in range(pairs):
            begin, key = self.at, self.text()
            self.metadata[key] = self.value(*self.take("I"))
            self.places[key] = begin, self.at

    def take(self, layout: str) -> tuple[Any, ...]:
        """The little-endian values of a struct layout."""
        found = struct.unpack_from(f"<{layout}", self.data, self.at)
        self.at += struct.calcsize(f"<{layout}")
        return found

    def text(self) -> str:
        (size,) = self.take("Q")
        return self.take(f"{size}s")[0].decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.take(_NUMBERS[kind])[0]
        item, size = self.take("IQ")
        if item in _NUMBERS:
            return list(self.take(f"{size}{_NUMBERS[item]}"))
        return [self.value(item) for _ in range(size)]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[GgufFile]:
    """Raises EtlchError for a file that is none, or is cut."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield GgufFile(data, path)
    except (struct.error, ValueError, KeyError, OverflowError, MemoryError):  # ValueError: nothing in it, or no UTF-8
        raise EtlchError(
            f"{path}: ends within its metadata, or is damaged there (expected a whole GGUF file)"
        ) from None


def read_metadata(path: Path) -> dict[str, Any]:
    """The key-value part of a GGUF file. Raises EtlchError for a file that is none, or is cut."""
    with opened(path) as file:
        return file.metadata


def copy_without_tokenizer(path: Path, target: Path) -> None:
    """Write the file without the metadata of its tokenizer; tensors stay as they are, byte by byte. Raises EtlchError."""
    with opened(path) as file:
        kept = [place for key, place in file.places.items() if not key.startswith(TOKENIZER)]
        alignment, names = file.metadata.get("general.alignment", 32), file.at
        for _ in range(file.tensors):  # name, dimensions, type, offset from where the tensors begin
            file.text()
            (dimensions,) = file.take("I")
            file.take(f"{dimensions}QIQ")
        with target.open("wb") as copy, path.open("rb") as whole:
            copy.write(MAGIC + struct.pack("<IQQ", file.version, file.tensors, len(kept)))
            copy.writelines(file.data[begin:end] for begin, end in [*kept, (names, file.at)])
            copy.write(bytes(-copy.tell() % alignment))
            whole.seek(file.at + -file.at % alignment)
            shutil.copyfileobj(whole, copy, 2**22)

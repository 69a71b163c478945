"""A file to which one process at a time adds whole lines: what a journal of answers stands on."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from etlch.errors import EtlchError


class LineFile:
    """An open file, made with its folder where it is missing, locked until it is closed.

    Raises EtlchError when it cannot be written or another process has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise EtlchError(f"{error.filename or path}: cannot be written ({error.strerror or error})") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise EtlchError(f"{path}: another run is at work there (expected one at a time)") from None

    def close(self) -> None:
        """Unlock the file."""
        os.close(self._file)

    def cut(self, size: int) -> None:
        """Keep the first `size` bytes. Raises EtlchError when the file cannot be written."""
        try:
            os.ftruncate(self._file, size)
        except OSError as error:
            raise EtlchError(f"{self.path}: cannot be written ({error.strerror or error})") from None

    def add(self, line: bytes) -> None:
        """Add bytes that end a line, and sync them to the disk; or leave the file as it was and raise OSError."""
        size = os.fstat(self._file).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, size)
            raise

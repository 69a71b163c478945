"""Checksums of files: what was made from the same bytes is not made again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from etlch.errors import EtlchError


def of_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises EtlchError where it cannot be read."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error})") from None

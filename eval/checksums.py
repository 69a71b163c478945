"""Checksums of files and of the code that makes the numbers: what was made from the same bytes is not made again."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import etlch
from etlch.errors import EtlchError


def of_file(path: Path) -> str:
    """SHA-256 of a file. Raises EtlchError where it cannot be read."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error})") from None


@cache
def of_code() -> str:
    """One checksum over the code that answers as the floors, reads answers and scores them."""
    here = Path(__file__).resolve().parent
    package = Path(etlch.__file__).resolve().parent
    files = [here / name for name in ("answers.py", "scores.py", "floors.py", "experiment.py")]
    files += [package / name for name in ("records.py", "tasks.py")]
    files += [*sorted(here.glob("metrics/*.py")), *sorted(package.glob("formats/*.py"))]
    return hashlib.sha256("".join(map(of_file, files)).encode()).hexdigest()

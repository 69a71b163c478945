"""The checksum of the code that makes the numbers: what the same code made of the same files is not made again."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import etlch
from etlch.checksums import of_file


@cache
def of_code() -> str:
    """One checksum over the code that answers as the floors, reads answers and scores them."""
    here = Path(__file__).resolve().parent
    package = Path(etlch.__file__).resolve().parent
    files = [here / name for name in ("answers.py", "scores.py", "floors.py", "experiment.py")]
    files += [package / name for name in ("records.py", "tasks.py")]
    files += [*sorted(here.glob("metrics/*.py")), *sorted(package.glob("formats/*.py"))]
    return hashlib.sha256("".join(map(of_file, files)).encode()).hexdigest()

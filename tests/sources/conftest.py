"""Shared by the tests of the readers: write a small file and read it as the command line would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from etlch.sources import registry
from etlch.sources.base import Options
from etlch.sources.registry import Reading


@pytest.fixture
def importing(tmp_path: Path) -> Callable[..., Reading]:
    """`importing(content, name="a.tsv", format="bio", **options)`; content is text, bytes, or a dict of files."""

    def run(content: str | bytes | dict[str, str | bytes], name: str = "a.tsv", format: str = "", **options) -> Reading:
        target = tmp_path / name
        files = {name: content} if not isinstance(content, dict) else {f"{name}/{n}": c for n, c in content.items()}
        for file, data in files.items():
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return registry.read(target, format, Options(**options))

    return run


@pytest.fixture
def found() -> Callable[[Reading], list[list[tuple]]]:
    """The mentions of a reading, by record: (type, text, spans)."""
    return lambda reading: [[(e.type, e.text, e.spans) for e in record.entities] for record in reading.records]

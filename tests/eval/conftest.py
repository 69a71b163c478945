"""A small experiment in a temporary folder, and the way to the golden files that stand beside the repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from experiment_files import Made


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Five test records, three cards, no runs yet."""
    return Made(tmp_path)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Path]:
    """A folder of shared/data/golden, which stands beside the repository; the test is skipped where it does not."""

    def find(name: str) -> Path:
        for parent in Path(__file__).resolve().parents:
            folder = parent / "shared" / "data" / "golden" / name
            if folder.is_dir():
                return folder
        pytest.skip(f"shared/data/golden/{name} is not beside the repository")

    return find

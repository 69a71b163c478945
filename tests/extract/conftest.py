"""An extractor whose engine is scripted."""

from __future__ import annotations

import pytest
from scripted_engine import Scripted

from etlch.extract.extractor import Extractor


@pytest.fixture
def scripted(root, tiny, monkeypatch):
    """Makes an extractor whose engine answers by a function; run from the repository's root."""
    monkeypatch.chdir(root)

    def make(answer, task="ner", **options) -> Extractor:
        return Extractor(task, **{"model": tiny, "engine": Scripted(answer)} | options)

    return make

"""Shared fixtures: the repository's root, the real corpora beside it, and small records."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault(
    "HF_HUB_OFFLINE", "1"
)  # before anything imports huggingface_hub: no test may fetch, or wait for, the Hub

import pytest
import tiny_model
from hypothesis import settings

from etlch.records import Entity, Record, Triple

settings.register_profile("etlch", deadline=None)  # a busy machine is no failure
settings.load_profile("etlch")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> str:
    """The folder of a language model of random weights, for `template: llama3`."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model.make(folder)
    return str(folder)


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora; tests that need it are skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real corpora are not at {folder}")
    return folder


@pytest.fixture
def record() -> Record:
    """One article with a nested entity, two triples and two fields."""
    text = "臺灣大學醫學院位於台北市。杜聰明在1945年擔任院長。"
    return Record(
        id="r1",
        lang="zh-TW",
        text=text,
        entities=(
            Entity("臺灣大學醫學院", "組織", ((0, 7),)),
            Entity("臺灣大學", "組織", ((0, 4),)),
            Entity("台北市", "地理地區", ((9, 12),)),
            Entity("杜聰明", "人物", ((13, 16),)),
            Entity("1945年", "時間", ((17, 22),)),
            Entity("院長", "專業", ((24, 26),)),
        ),
        triples=(Triple("臺灣大學醫學院", "位於", "台北市"), Triple("杜聰明", "擔任", "院長")),
        fields={"人物": ["杜聰明"], "運輸": []},
    )

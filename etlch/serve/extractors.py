"""The extractors that the service asks: one model a system, whatever the task and the keys."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from etlch.extract.extractor import Extractor
from etlch.extract.models import config_of
from etlch.extract.values import Extraction
from etlch.infer.loading import Loaded
from etlch.infer.local import LocalEngine
from etlch.serve.systems import System

_KEPT = 32  # extractors for different keys that a task keeps


class Extractors:
    """A `Factory`: loads the model of each system once. schema, lang, config: as for `Extractor`."""

    def __init__(self, schema: bool = False, lang: str = "", config: str | None = None) -> None:
        self.schema, self.lang, self.config = schema, lang, config
        self._engines: dict[System, LocalEngine] = {}

    def __call__(self, system: System, task: str) -> TaskExtractor:
        return TaskExtractor(self, system, task)

    def engine(self, system: System) -> LocalEngine:
        """The system's model, loaded. Raises EtlchError when it is not there or does not fit its adapter."""
        if system not in self._engines:
            loaded = Loaded(config_of(system.model, system.adapter, config=self.config))
            with contextlib.redirect_stdout(sys.stderr):  # LlamaFactory logs there
                loaded.model  # noqa: B018 - loads
            self._engines[system] = LocalEngine(loaded)
        return self._engines[system]


class TaskExtractor:
    """Extracts for one task of a system; the keys come with each call."""

    def __init__(self, extractors: Extractors, system: System, task: str) -> None:
        self._all, self._system, self._task = extractors, system, task
        self._engine = extractors.engine(system)
        self._with_keys = lru_cache(_KEPT)(self._made)

    def extract_many(self, texts: Iterable[str], keys: Sequence[str] | None = None) -> Iterator[Extraction]:
        """Extractions in the texts' order; a text that cannot be asked about comes as `failed`. Raises EtlchError."""
        return self._with_keys(tuple(keys or ())).extract_many(texts)

    def _made(self, keys: tuple[str, ...]) -> Extractor:
        made = Extractor(
            self._task,
            self._system.model,
            self._system.adapter,
            config=self._all.config,
            keys=keys,
            schema=self._all.schema,
            lang=self._all.lang,
            engine=self._engine,
        )
        made.loaded = self._engine.loaded  # the same, and its tokenizer is there already
        return made

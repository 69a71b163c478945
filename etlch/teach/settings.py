"""The options of `etlch teach`, checked together before anything is read or asked."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from etlch.endpoint.budget import Prices
from etlch.endpoint.client import completion_limit, is_address
from etlch.errors import ManyErrors


@dataclass(frozen=True, slots=True)
class Settings:
    """One field an option, under its name on the command line."""

    base_url: str
    model: list[str]
    key_env: str
    topics: Path | None
    articles: int
    out: Path
    tasks: Path
    prompts: Path | None
    length: int
    temperature: float
    max_tokens: int
    request: str
    concurrency: int
    retries: int
    backoff: float
    timeout: float
    budget_tokens: int | None
    budget_cost: float | None
    price_in: list[float]
    price_out: list[float]
    seed: int
    dry_run: bool

    @classmethod
    def of(cls, options: Namespace) -> Settings:
        """The settings among parsed arguments. Raises ManyErrors with each that cannot be."""
        settings = cls(**{f.name: getattr(options, f.name) for f in fields(cls)})
        if problems := list(settings._problems()):
            raise ManyErrors(problems)
        return settings

    def _problems(self) -> Iterable[str]:
        if not is_address(self.base_url):
            yield f"--base-url: found {self.base_url!r} (expected an address such as http://127.0.0.1:8123/v1)"
        for model in sorted({m for m in self.model if self.model.count(m) > 1}):
            yield f"--model: {model!r} is named twice (expected different teachers)"
        for name in ("articles", "length", "max_tokens", "concurrency", "timeout", "backoff"):
            if not 0 < getattr(self, name) < float("inf"):
                yield f"--{name.replace('_', '-')}: found {getattr(self, name)} (expected a number above 0)"
        for name in ("retries", "temperature", "budget_tokens", "budget_cost"):
            if not 0 <= (getattr(self, name) or 0) < float("inf"):
                yield f"--{name.replace('_', '-')}: found {getattr(self, name)} (expected 0 or more)"
        yield from self._problems_of_prices()
        yield from self._problems_of_request()

    def _problems_of_prices(self) -> Iterable[str]:
        for name, prices in (("--price-in", self.price_in), ("--price-out", self.price_out)):
            if len(prices) not in (0, 1, len(self.model)):
                yield f"{name}: found {len(prices)} (expected one for all models or one for each of {len(self.model)})"
            if not all(0 <= price < float("inf") for price in prices):
                yield f"{name}: found {prices} (expected money per million tokens, 0 or more)"
        if bool(self.price_in) != bool(self.price_out) or (self.budget_cost is not None and not self.price_in):
            yield "--price-in and --price-out: expected both, and with --budget-cost"

    def _problems_of_request(self) -> Iterable[str]:
        try:
            more = json.loads(self.request)
        except ValueError:
            more = None
        if not isinstance(more, dict) or {"model", "messages", "stream", "n"} & set(more):
            yield f"--request: found {self.request!r} (expected a JSON object without model, messages, stream and n)"
            return
        limited = self.budget_tokens is not None or self.budget_cost is not None
        if limited and not completion_limit(self.sampling(0)):
            yield "--request: takes max_tokens away (a budget needs it, or max_completion_tokens)"

    def sampling(self, temperature: float) -> dict[str, Any]:
        """The body parameters besides model and messages; null in --request takes one away."""
        body = {"temperature": temperature, "max_tokens": self.max_tokens} | json.loads(self.request)
        return {name: value for name, value in body.items() if value is not None}

    @property
    def prices(self) -> Prices:
        count = len(self.model)
        price_in, price_out = (p * count if len(p) == 1 else p for p in (self.price_in, self.price_out))
        return Prices({m: (i, o) for m, i, o in zip(self.model, price_in, price_out, strict=False)})

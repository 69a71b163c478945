"""The options of whatever asks an endpoint (`add_endpoint` in etlch/commands/options.py), checked together before anything is asked."""

from __future__ import annotations

import json
import os
import urllib.parse
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from etlch.endpoint.budget import Prices
from etlch.errors import EtlchError, ManyErrors

_ABOVE_ZERO = ("articles", "length", "max_tokens", "concurrency", "timeout", "backoff")
_NOT_NEGATIVE = ("retries", "temperature", "budget_tokens", "budget_cost")
_NOT_IN_REQUEST = {"model", "messages", "prompt", "stream", "n"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go, how many at once and how patiently, and what they may take. seed: for the jitter of waits."""

    base_url: str
    key_env: str = "OPENAI_API_KEY"
    key: str = ""
    timeout: float = 180.0
    concurrency: int = 8
    retries: int = 6
    backoff: float = 1.0
    seed: int = 42
    prices: Prices = field(default_factory=Prices)
    budget_tokens: int | None = None
    budget_cost: float | None = None


def endpoint_of(
    options: Namespace, models: Sequence[str], body: dict[str, Any], seed: int, problems: Iterable[str] = ()
) -> Endpoint:
    """The endpoint among parsed arguments.

    body: the parameters that requests have. Raises ManyErrors with each option that cannot be, after the `problems` of the
    caller, and EtlchError for a key that is none.
    """
    if found := [*problems, *_problems(options, models, body)]:
        raise ManyErrors(found)
    key = os.environ.get(options.key_env, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise EtlchError(f"${options.key_env}: found characters that no key has (expected printable ASCII)")
    names = ("base_url", "key_env", "timeout", "concurrency", "retries", "backoff", "budget_tokens", "budget_cost")
    prices_in, prices_out = (
        prices * len(models) if len(prices) == 1 else prices for prices in (options.price_in, options.price_out)
    )
    prices = Prices({model: (i, o) for model, i, o in zip(models, prices_in, prices_out, strict=False)})
    return Endpoint(key=key, seed=seed, prices=prices, **{name: getattr(options, name) for name in names})


def body_of(options: Namespace, body: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a request's body: these and those of --request, where null takes one away."""
    return {name: value for name, value in (body | json.loads(options.request)).items() if value is not None}


def completion_limit(body: dict[str, Any]) -> int | None:
    """The bound of an answer in tokens, under either of its two names."""
    return body.get("max_completion_tokens") or body.get("max_tokens")


def _problems(options: Namespace, models: Sequence[str], body: dict[str, Any]) -> Iterator[str]:
    if not _is_address(options.base_url):
        yield f"--base-url: found {options.base_url!r} (expected an address such as http://127.0.0.1:8123/v1)"
    for model in sorted({model for model in models if models.count(model) > 1}):
        yield f"--model: {model!r} is named twice (expected different teachers)"
    for names, expected in ((_ABOVE_ZERO, "a number above 0"), (_NOT_NEGATIVE, "0 or more")):
        for name in names:
            value = getattr(options, name, None)
            if value is not None and not (0 <= value < float("inf") and (value or names is _NOT_NEGATIVE)):
                yield f"--{name.replace('_', '-')}: found {value} (expected {expected})"
    for name, prices in (("--price-in", options.price_in), ("--price-out", options.price_out)):
        if len(prices) not in (0, 1, len(models)):
            yield f"{name}: found {len(prices)} (expected one for all models or one for each of {len(models)})"
        if not all(0 <= price < float("inf") for price in prices):
            yield f"{name}: found {prices} (expected money per million tokens, 0 or more)"
    if bool(options.price_in) != bool(options.price_out) or (options.budget_cost is not None and not options.price_in):
        yield "--price-in and --price-out: expected both, and with --budget-cost"
    try:
        more = json.loads(options.request)
    except ValueError:
        more = None
    if not isinstance(more, dict) or _NOT_IN_REQUEST & set(more):
        unwanted = ", ".join(sorted(_NOT_IN_REQUEST))
        yield f"--request: found {options.request!r} (expected a JSON object without {unwanted})"
    elif (options.budget_tokens, options.budget_cost) != (None, None) and not completion_limit(body_of(options, body)):
        yield "--request: takes max_tokens away (a budget needs it, or max_completion_tokens)"


def _is_address(url: str) -> bool:
    try:
        address = urllib.parse.urlsplit(url)
        return address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        return False

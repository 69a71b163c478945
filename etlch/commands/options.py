"""Options that several commands have."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable


def add_config(parser: argparse.ArgumentParser) -> None:
    """A config with its overrides, for whatever runs LlamaFactory on it."""
    parser.add_argument("config", help="a YAML file of llamafactory_configs/")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides, for example max_steps=10")
    parser.add_argument("--force", action="store_true", help="start over even if a finished run is there")


def add_endpoint(option: Callable[..., object]) -> None:
    """The options of whatever asks an OpenAI-compatible endpoint."""
    url = os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    option("--base-url", default=url, metavar="URL", help="the endpoint (default: $OPENAI_BASE_URL, else OpenAI)")
    option(
        "--key-env", default="OPENAI_API_KEY", metavar="VAR", help="environment variable with the key (OPENAI_API_KEY)"
    )
    option("--request", default="{}", metavar="JSON", help="more parameters of the body; null takes one away")
    option("--concurrency", type=int, default=8, metavar="N", help="requests at once (8)")
    option("--retries", type=int, default=6, metavar="N", help="after 429, 5xx, time-out, dropped connection (6)")
    option("--backoff", type=float, default=1.0, metavar="S", help="first wait; doubles, or Retry-After (1)")
    option("--timeout", type=float, default=180.0, metavar="S", help="seconds for one answer (180)")
    option(
        "--budget-tokens", type=int, metavar="N", help="never take more tokens than this, all starts of a run together"
    )
    option("--budget-cost", type=float, metavar="X", help="never spend more than this, all starts of a run together")
    for name in ("in", "out"):
        about = f"price of a million tokens {name}; with several --model one for all or one for each"
        option(f"--price-{name}", type=float, action="append", default=[], metavar="X", help=about)


def add_server(parser: argparse.ArgumentParser) -> None:
    """The options of the engine `endpoint`."""
    group = parser.add_argument_group("--engine endpoint", "any OpenAI-compatible server; see docs/engines.md")
    group.add_argument("--served-as", default="", metavar="NAME", help="the model's name there (model_name_or_path)")
    send = "the prompt as token ids or text (raw completion), or its turns, for the server's own template"
    group.add_argument("--send", choices=("tokens", "text", "chat"), default="tokens", help=f"{send} (tokens)")
    add_endpoint(group.add_argument)

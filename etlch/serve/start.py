"""`etlch serve`: check what is asked for, take the port, say where the service is, and serve."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import uvicorn

from etlch.errors import EtlchError
from etlch.extract.extractor import Extractor
from etlch.extract.models import config_of
from etlch.infer.loading import Loaded
from etlch.infer.local import LocalEngine
from etlch.serve import app
from etlch.serve.worker import ExtractorOf, Worker
from etlch.tasks import Card, load_cards
from etlch.weights import recipe

MOST_CONNECTIONS = 512
_KEPT = 256  # extractors: one for each system, task and choice of keys

System = dict[str, str]
"""The model, or the adapter, which names its own model: arguments of `Extractor` and `config_of`."""


def load(systems: dict[str, System], options: argparse.Namespace) -> ExtractorOf:
    """Load the model of each system; (system, task, keys) -> its extractor. Raises EtlchError."""
    engines = {}
    for name, system in systems.items():
        loaded = Loaded(config_of(**system, config=options.config))
        with contextlib.redirect_stdout(sys.stderr):  # LlamaFactory logs there
            loaded.model  # noqa: B018 - loads
        engines[name] = LocalEngine(loaded)

    @lru_cache(_KEPT)
    def extractor(name: str, task: str, keys: tuple[str, ...]) -> Extractor:
        how = {"config": options.config, "schema": options.schema, "lang": options.lang}
        made = Extractor(task, **systems[name], **how, keys=keys, engine=engines[name])
        made.loaded = engines[name].loaded  # the same, and its tokenizer is there already
        return made

    return extractor


def run(
    options: argparse.Namespace, load: Callable[[dict[str, System], argparse.Namespace], ExtractorOf] = load
) -> None:
    """Serve until SIGTERM or Ctrl-C; a second Ctrl-C does not wait. Raises EtlchError."""
    for name in ("max_body", "max_chars", "max_texts", "max_queue", "batch", "timeout"):
        if (found := getattr(options, name)) <= 0:
            raise EtlchError(f"--{name.replace('_', '-')}: found {found:g} (expected more than 0)")
    if options.max_queue < options.max_texts:
        expected = f"at least --max-texts, {options.max_texts}: a batch waits whole"
        raise EtlchError(f"--max-queue: found {options.max_queue} (expected {expected})")
    systems, cards, key = read_systems(options.system), chosen_cards(options.task), key_of(options.key_env)
    taken = take_port(options.host, options.port)
    worker = Worker(lambda: load(systems, options), options.max_queue, options.batch)
    server = uvicorn.Server(
        uvicorn.Config(
            app.create_app(list(systems), cards, worker, options, key),
            ws="none",
            log_level="info" if options.log else "warning",
            access_log=options.log,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=round(options.timeout + app.UPLOAD_SECONDS + 5),
        )
    )
    _greet(taken, list(systems), cards, key)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises the signal again when all is answered
        signal.signal(number, lambda *_: sys.exit(0))
    worker.start(failed=lambda: setattr(server, "should_exit", True))
    server.run(sockets=[taken])
    if worker.failure:
        raise worker.failure


def _greet(taken: socket.socket, systems: Sequence[str], cards: Sequence[Card], key: str | None) -> None:
    """Say where the service is and what it offers, and warn where anyone on the network may use it."""
    host, port = taken.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    tasks = ", ".join(card.name for card in cards)
    print(f"http://{shown}:{port}/  ({', '.join(systems)}; tasks {tasks}; Ctrl-C ends it)", flush=True)
    if not key and not ipaddress.ip_address(host).is_loopback:
        print("anyone who reaches this address may use it: no API key is set (ETLCH_API_KEY)", flush=True)


def take_port(host: str, port: int) -> socket.socket:
    """A listening socket. Raises EtlchError when that cannot be (another program has the port)."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EtlchError(f"{host}:{port} cannot be listened on ({reason}); another port: --port") from None


def chosen_cards(tasks: Sequence[str]) -> list[Card]:
    """The task cards of these names; without names, of every task that asks one question a text.

    Raises EtlchError for a name without such a card.
    """
    cards = {card.name: card for card in load_cards() if card.format.can.types != "one a turn"}
    for name in tasks:
        if name not in cards:
            raise EtlchError(f"--task: found {name!r} (expected some of {', '.join(cards)})")
    return [cards[name] for name in tasks or cards]


def key_of(variable: str) -> str | None:
    """The API key that an environment variable holds; None when it is not set or empty. Raises EtlchError."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise EtlchError(f"{variable}: holds a character that no HTTP header can carry (expected printable ASCII)")
    return key or None


def read_systems(given: Sequence[str]) -> dict[str, System]:
    """Systems by name, of the form `NAME=FOLDER`, `FOLDER` or a Hub name. Raises EtlchError."""
    systems: dict[str, System] = {}
    for item in given:
        name, system = read_system(item)
        if name in systems:
            raise EtlchError(f"--system {item}: the name {name!r} again (expected NAME=FOLDER with its own)")
        systems[name] = system
    return systems


def read_system(item: str) -> tuple[str, System]:
    """One system: its folder in runs/, an adapter's folder, a model's folder, or a model on the Hub.

    Raises EtlchError for a folder that is none of them.
    """
    name, equals, place = item.partition("=")
    if not equals:
        name, place = "", item
    folder = Path(place)
    for adapter in (folder, folder / "adapter"):
        if (adapter / "adapter_config.json").is_file():
            default = adapter.parent.name if adapter.name == "adapter" else adapter.name
            return name or default, {"adapter": str(adapter)}
    if (folder / recipe.RECIPE).is_file():  # its ready adapter, taken above, is not there: the model as it is
        return name or folder.resolve().name, {"model": place}
    if (folder / "config.json").is_file():
        return name or recipe.label(place), {"model": place}
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", place) and not place.startswith(("models/", "runs/", "."))
    if on_hub and not folder.exists():
        return name or place.split("/")[1], {"model": place}
    what = "holds neither adapter nor model" if folder.exists() else "is not there"
    raise EtlchError(
        f"--system {item}: {place} {what} (expected a system such as runs/gemma/gemma_300, made by `make train-300`, a "
        "model's folder or a Hub name)"
    )

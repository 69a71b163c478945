"""`etlch serve`: check what is asked for, take the port, say where the service is, and serve."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
from collections.abc import Sequence

from etlch.errors import EtlchError
from etlch.serve.app import Service, create_app
from etlch.serve.extractors import Extractors
from etlch.serve.server import serve, take_port
from etlch.serve.systems import Limits, System, read_systems
from etlch.serve.worker import Factory, Worker
from etlch.tasks import Card, load_cards

_OPTIONS = {
    "body": "max-body",
    "texts": "max-texts",
    "chars": "max-chars",
    "queue": "max-queue",
    "batch": "batch",
    "seconds": "timeout",
}


def run(options: argparse.Namespace) -> None:
    """`etlch serve` with its options. Raises EtlchError."""
    limits = Limits(
        body=options.max_body,
        texts=options.max_texts,
        chars=options.max_chars,
        queue=options.max_queue,
        batch=options.batch,
        seconds=options.timeout,
    )
    address = (options.host, options.port)
    extractors = Extractors(options.schema, options.lang, options.config)
    start(extractors, options.system, options.task, address, limits, key_of(options.key_env), options.log)


def start(
    factory: Factory,
    given: list[str],
    tasks: Sequence[str],
    address: tuple[str, int],
    limits: Limits,
    key: str | None,
    log: bool = False,
) -> None:
    """Serve systems (`NAME=FOLDER`) and tasks (none: all of tasks/) at (host, port). Raises EtlchError."""
    check_limits(limits)
    systems = read_systems(given)
    cards = chosen_cards(tasks)
    taken = take_port(*address)
    worker = Worker(factory, systems, [card.name for card in cards], limits.queue, limits.batch)
    app = create_app(Service(systems, cards, worker, limits), key)
    print("\n".join(greeting(taken, systems, cards, key)), flush=True)
    serve(app, worker, taken, limits, log)


def chosen_cards(tasks: Sequence[str]) -> list[Card]:
    """The task cards of these names; without names, of every task that asks one question a text.

    Raises EtlchError for a name without such a card.
    """
    cards = {card.name: card for card in load_cards() if card.format.can.types != "one a turn"}
    for name in tasks:
        if name not in cards:
            raise EtlchError(f"--task: found {name!r} (expected some of {', '.join(cards)})")
    return [cards[name] for name in tasks or cards]


def check_limits(limits: Limits) -> None:
    """Raises EtlchError for a limit that would refuse everything."""
    for name, option in (
        ("chars", "max-chars"),
        ("texts", "max-texts"),
        ("queue", "max-queue"),
        ("seconds", "timeout"),
    ):
        if getattr(limits, name) <= 0:
            raise EtlchError(f"--{option}: found {getattr(limits, name):g} (expected more than 0)")
    if limits.queue < limits.texts:
        raise EtlchError(
            f"--max-queue: found {limits.queue} (expected at least --max-texts, {limits.texts}: a batch waits whole)"
        )


def greeting(taken: socket.socket, systems: Sequence[System], cards: Sequence[Card], key: str | None) -> list[str]:
    """Where the service is and what it offers; a warning where anyone on the network may use it."""
    host, port = taken.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    tasks = ", ".join(card.name for card in cards)
    lines = [f"http://{shown}:{port}/  ({', '.join(system.name for system in systems)}; tasks {tasks}; Ctrl-C ends it)"]
    if not key and not ipaddress.ip_address(host).is_loopback:
        lines.append("anyone who reaches this address may use it: no API key is set (ETLCH_API_KEY)")
    return lines


def key_of(variable: str) -> str | None:
    """The API key that an environment variable holds; None when it is not set or empty. Raises EtlchError."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise EtlchError(f"{variable}: holds a character that no HTTP header can carry (expected printable ASCII)")
    return key or None

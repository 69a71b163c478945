"""`etlch serve`: check what is asked for, take the port, say where the service is, and serve."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import uvicorn

from etlch.errors import EtlchError
from etlch.extract import models
from etlch.extract.extractor import Extractor, find_card
from etlch.infer.loading import Loaded
from etlch.infer.local import LocalEngine
from etlch.serve import app
from etlch.serve.worker import ExtractorOf, Worker
from etlch.tasks import Card, load_cards
from etlch.weights import recipe

MOST_CONNECTIONS = 512
_KEPT = 256  # extractors: one for each system, task and choice of keys


def load(systems: dict[str, str], cards: dict[str, Card], options: argparse.Namespace) -> ExtractorOf:
    """Load the model of each system; (system, task, keys) -> its extractor. Raises EtlchError."""
    engines = {}
    for name, system in systems.items():
        loaded = Loaded(models.config_of(system=system, config=options.config))
        with contextlib.redirect_stdout(sys.stderr):  # LlamaFactory logs there
            loaded.model  # noqa: B018 - loads
        engines[name] = LocalEngine(loaded)

    @lru_cache(_KEPT)
    def extractor(name: str, task: str, keys: tuple[str, ...]) -> Extractor:
        how = {"config": options.config, "schema": options.schema, "lang": options.lang}
        made = Extractor(cards[task], system=systems[name], **how, keys=keys, engine=engines[name])
        made.loaded = engines[name].loaded  # the same, and its tokenizer is there already
        return made

    return extractor


def run(options: argparse.Namespace, load: Callable[..., ExtractorOf] = load) -> None:
    """Serve until SIGTERM or Ctrl-C; a second Ctrl-C does not wait. Raises EtlchError."""
    for name in ("max_body", "max_chars", "max_texts", "max_queue", "batch", "timeout"):
        if (found := getattr(options, name)) <= 0:
            raise EtlchError(f"--{name.replace('_', '-')}: found {found:g} (expected more than 0)")
    if options.max_queue < options.max_texts:
        expected = f"at least --max-texts, {options.max_texts}: a batch waits whole"
        raise EtlchError(f"--max-queue: found {options.max_queue} (expected {expected})")
    key = os.environ.get(options.key_env, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise EtlchError(
            f"{options.key_env}: holds a character that no HTTP header can carry (expected printable ASCII)"
        )
    systems = read_systems(options.system)
    every = (card for card in load_cards() if card.format.can.types != "one a turn")
    cards = {card.name: card for card in (map(find_card, options.task) if options.task else every)}
    taken = take_port(options.host, options.port)
    worker = Worker(lambda: load(systems, cards, options), options.max_queue, options.batch)
    server = uvicorn.Server(
        uvicorn.Config(
            app.create_app(list(systems), cards, worker, options, key),
            ws="none",
            lifespan="off",
            log_level="info" if options.log else "warning",
            access_log=options.log,
            server_header=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=round(options.timeout + app.UPLOAD_SECONDS + 5),
        )
    )
    host, port = taken.getsockname()[:2]
    where = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    print(f"{where}  ({', '.join(systems)}; tasks {', '.join(cards)}; Ctrl-C ends it)", flush=True)
    if not key and not ipaddress.ip_address(host).is_loopback:
        print("anyone who reaches this address may use it: no API key is set (ETLCH_API_KEY)", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises the signal again when all is answered
        signal.signal(number, lambda *_: sys.exit(0))
    worker.start(failed=lambda: setattr(server, "should_exit", True))
    server.run(sockets=[taken])
    if worker.failure:
        raise worker.failure


def take_port(host: str, port: int) -> socket.socket:
    """A listening socket. Raises EtlchError when that cannot be (another program has the port)."""
    try:
        taken = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EtlchError(f"{host}:{port} cannot be listened on ({reason}); another port: --port") from None
    taken.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
    )  # else the body of an answer waits 40 ms behind its head
    return taken


def read_systems(given: Sequence[str]) -> dict[str, str]:
    """Systems by name, of the form `NAME=FOLDER`, `FOLDER` or a Hub name. Raises EtlchError for one that is not there."""
    systems: dict[str, str] = {}
    for item in given:
        name, _, place = item.rpartition("=")
        path = Path(place).absolute()
        name = name or (path.parent.name if path.name in ("adapter", recipe.WEIGHTS) else path.name)
        if name in systems:
            raise EtlchError(f"--system {item}: the name {name!r} again (expected NAME=FOLDER with its own)")
        try:
            models.of_system(place)
        except EtlchError as error:
            raise EtlchError(f"--system {item}: {error}") from None
        systems[name] = place
    return systems

"""Run the service: take the port, load the models while /health answers already, end on SIGTERM when all is answered."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from etlch.errors import EtlchError
from etlch.serve.systems import Limits
from etlch.serve.worker import Worker

MOST_CONNECTIONS = 512


def take_port(host: str, port: int) -> socket.socket:
    """A bound socket. Raises EtlchError when that cannot be (another program has the port)."""
    if not 0 <= port <= 65535:
        raise EtlchError(f"--port: found {port} (expected 0 to 65535)")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        taken = socket.socket(family, kind, protocol)
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(address)
            taken.listen(128)
        except OSError:
            taken.close()
            raise
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EtlchError(f"{host}:{port} cannot be listened on ({reason}); another port: --port") from None
    return taken


def serve(app: FastAPI, worker: Worker, taken: socket.socket, limits: Limits, log: bool = False) -> None:
    """Serve until SIGTERM or Ctrl-C; a second Ctrl-C does not wait. Raises EtlchError when the models cannot be loaded.

    log: print a line for each request (never what it held).
    """
    config = uvicorn.Config(
        app,
        http=partial(_Protocol, limits.upload_seconds),
        ws="none",
        log_level="info" if log else "warning",
        access_log=log,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=round(limits.seconds + limits.upload_seconds + 5),
    )
    server = _Server(config)

    def failed() -> None:
        server.should_exit = True

    worker.start(failed)
    with taken:
        asyncio.run(server.serve(sockets=[taken]))
    if worker.failure:
        raise worker.failure


class _Server(uvicorn.Server):
    """Uvicorn, but a signal that ended it well is not raised again, so that the exit status is 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Protocol(H11Protocol):
    """Closes a connection on which a request's head does not arrive in time (uvicorn waits for ever)."""

    def __init__(self, seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self._seconds = seconds

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._late = self.loop.call_later(self._seconds, self._close_when_late, None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._late.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._late.cancel()
        self._late = self.loop.call_later(self._seconds, self._close_when_late, self.cycle)
        super().on_response_complete()

    def _close_when_late(self, last: object) -> None:
        """Close if since then no other request has begun."""
        if self.cycle is last:
            self.timeout_keep_alive_handler()

"""What stands before the application: the API key, the limits on a body's size and on how long it may take to arrive."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.responses import JSONResponse

from etlch.serve.systems import Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PROTECTED = "/v1/"
HEADERS = (
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
     b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)  # fmt: skip


class Guard:
    """ASGI middleware: refuses with 401, 408 or 413, and gives the application a body that has arrived whole."""

    def __init__(self, app: App, limits: Limits, key: str | None) -> None:
        self.app, self.limits, self.key = app, limits, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send)
        refusal = self._refusal(scope)
        if refusal and _header(scope, b"expect"):  # the client waits for leave to send its body
            await refusal(scope, receive, send)
            return
        body = await self._body(receive, refusal)
        if isinstance(body, JSONResponse):
            await body(scope, receive, send)
        elif body is not None:
            await self.app(scope, _replay(body, receive), send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """The answer to a request whose head says that it cannot be served."""
        if self.key and scope["path"].startswith(PROTECTED) and not self._knows_key(scope):
            refusal = _error(401, "the API key is missing or wrong (expected the header Authorization: Bearer KEY)")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        length = _header(scope, b"content-length")
        return self._too_large() if length.isdigit() and int(length) > self.limits.body else None

    def _too_large(self) -> JSONResponse:
        return _error(413, f"the body is too large (expected at most {self.limits.body:,} bytes)")

    def _knows_key(self, scope: Scope) -> bool:
        given = _header(scope, b"authorization")
        scheme, _, key = given.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(key.strip(), str(self.key).encode())

    async def _body(self, receive: Receive, refusal: JSONResponse | None) -> bytes | JSONResponse | None:
        """The whole body; the refusal of one that is too large or too slow; None when the client has gone.

        A body that is refused is read to its end and thrown away: most clients read no answer before they have sent all.
        """
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.limits.upload_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    size += len(message.get("body", b""))
                    if size > self.limits.body:
                        refusal = refusal or self._too_large()
                    if refusal:
                        parts.clear()
                    else:
                        parts.append(message.get("body", b""))
                    if not message.get("more_body"):
                        return refusal or b"".join(parts)
        except TimeoutError:
            return refusal or _error(408, f"the body did not arrive within {self.limits.upload_seconds:g} s")


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")


def _error(status: int, message: str) -> JSONResponse:
    """An answer after which the connection ends."""
    return JSONResponse({"error": message}, status, {"Connection": "close"})


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, then what the server says (that the client has gone)."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *HEADERS]
        await send(message)

    return sending

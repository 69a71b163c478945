"""The HTTP service as a FastAPI application: what it offers, what it refuses, and how it waits for the worker."""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import etlch
from etlch.errors import EtlchError
from etlch.extract.values import Extraction
from etlch.extract.writers import PAGE
from etlch.serve import bodies
from etlch.serve.worker import Kind, Worker
from etlch.tasks import Card

UPLOAD_SECONDS = 10.0
_ERRORS = (400, 401, 408, 413, 422, 500, 503, 504)


class BodyLimit:
    """ASGI middleware: 413 for a body that is too large, 408 for one that takes too long to arrive."""

    def __init__(self, app: ASGIApp, most: int, seconds: float) -> None:
        self.app, self.most, self.seconds = app, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size, whole = 0, False
        deadline = asyncio.get_running_loop().time() + self.seconds

        async def limited() -> Message:
            nonlocal size, whole
            if whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
                    size += len(message.get("body", b""))
                    while size > self.most and message.get(
                        "more_body"
                    ):  # most clients read no answer before all is sent
                        message = await receive()
            except TimeoutError:
                if size <= self.most:
                    raise _refusal(408, f"the body did not arrive within {self.seconds:g} s") from None
            if size > self.most:
                raise _refusal(413, f"the body is too large (expected at most {self.most:,} bytes)")
            whole = not message.get("more_body")
            return message

        await self.app(scope, limited, send)


def _refusal(status: int, message: str) -> HTTPException:
    """An error after which the connection ends."""
    return HTTPException(status, message, {"Connection": "close"})


def create_app(
    systems: Sequence[str], cards: dict[str, Card], worker: Worker, options: argparse.Namespace, key: str = ""
) -> FastAPI:
    """The application. options: those of `etlch serve`, for its limits. key: what `/v1/` wants, if anything."""
    app = FastAPI(
        title="etlch",
        version=etlch.__version__,
        description="Structured information extraction: texts in; entities, triples or fields out, with their offsets.",
        docs_url=None,  # these two pages load scripts from a CDN
        redoc_url=None,
        exception_handlers={RequestValidationError: _misunderstood, AnyHTTPException: _failed},
    )
    app.add_middleware(BodyLimit, most=options.max_body, seconds=UPLOAD_SECONDS)
    responses = {status: {"model": bodies.Problem} for status in _ERRORS}
    v1 = APIRouter(prefix="/v1", responses=responses, dependencies=[Security(_lock(key))] if key else [])
    most, seconds = options.max_chars, options.timeout
    limits = {"body": options.max_body, "texts": options.max_texts, "chars": most, "seconds": seconds}

    async def answers(request: Request, body: bodies._Asked, texts: dict[str, str]) -> list[bodies.Reply]:
        """Answer texts (where they stand in the body -> text), all or none."""
        body.system = systems[0] if body.system is None else body.system
        for problem in _problems(body, texts, systems, cards, most):
            raise HTTPException(422, problem)
        kind = (body.system, body.task, tuple(body.keys))
        made = await _wait(request, worker.submit(kind, list(texts.values())), seconds)
        return [_reply(kind, extraction) for extraction in made]

    @v1.post("/extract", summary="Extract from one text")
    async def extract(request: Request, body: bodies.Request) -> bodies.Reply:
        (made,) = await answers(request, body, {"text": body.text})
        if made.status == "failed":
            raise HTTPException(422, f"text: {made.problems[0]}")
        return made

    @v1.post("/extract/batch", summary="Extract from several texts")
    async def extract_batch(request: Request, body: bodies.BatchRequest) -> bodies.BatchReply:
        if len(body.texts) > options.max_texts:
            raise HTTPException(422, f"texts: {len(body.texts)} (expected at most {options.max_texts})")
        texts = {f"texts[{number}]": text for number, text in enumerate(body.texts)}
        return bodies.BatchReply(results=await answers(request, body, texts))

    @v1.get("/tasks", summary="Systems, tasks and limits")
    async def tasks() -> bodies.About:
        return bodies.About(systems=list(systems), tasks=list(map(_about, cards.values())), limits=limits)

    @app.get("/health", summary="The process runs")
    async def health() -> bodies.State:
        return bodies.State(status="ok", waiting=worker.waiting)

    @app.get("/ready", responses={503: responses[503]}, summary="The models are loaded")
    async def ready() -> bodies.State:
        worker.demand_ready()
        return bodies.State(status="ready", waiting=worker.waiting)

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=headers)

    html = PAGE.read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": _policy(html), "X-Content-Type-Options": "nosniff"}
    app.include_router(v1)
    return app


def _lock(key: str):
    """The dependency that wants the key."""

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))]) -> None:
        if not given or not secrets.compare_digest(given.credentials.encode(), key.encode()):
            message = "the API key is missing or wrong (expected the header Authorization: Bearer KEY)"
            raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})

    return check


def _policy(html: str) -> str:
    """A content security policy under which nothing runs but the page's own script."""
    allowed = {}
    for tag in ("script", "style"):
        text = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[1]
        allowed[tag] = f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    return (
        f"default-src 'none'; script-src {allowed['script']}; style-src {allowed['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _problems(
    body: bodies._Asked, texts: dict[str, str], systems: Sequence[str], cards: dict[str, Card], most: int
) -> Iterator[str]:
    """What is wrong with a request, beyond its shape."""
    if body.system not in systems:
        yield f"system: found {body.system!r} (expected one of {', '.join(systems)})"
    if body.task not in cards:
        yield f"task: found {body.task!r} (expected one of {', '.join(cards)})"
    for where, text in texts.items():
        if not text.strip():
            yield f"{where}: empty (expected a text of 1 to {most:,} characters)"
        if len(text) > most:
            yield f"{where}: {len(text):,} characters (expected at most {most:,})"


async def _wait(request: Request, futures: Sequence[Future], seconds: float) -> list[Extraction]:
    """All results. When one fails, time is over or the client goes, what still waits in the queue is cancelled."""

    async def all_of_them() -> list[Extraction]:
        return [await asyncio.wrap_future(future) for future in futures]

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    results, gone = asyncio.create_task(all_of_them()), asyncio.create_task(disconnected())
    try:
        await asyncio.wait((results, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not results.done():  # if the client has gone, nobody reads this
            raise HTTPException(504, f"no answer within {seconds:g} s")
        return results.result()
    except HTTPException:
        raise
    except EtlchError as error:
        raise HTTPException(422, str(error)) from None
    except Exception as error:  # its traceback is on the service's stderr
        raise HTTPException(500, f"the extraction failed ({type(error).__name__})") from None
    finally:
        for cancelled in (gone, results, *futures):
            cancelled.cancel()


def _reply(kind: Kind, made: Extraction) -> bodies.Reply:
    told = {name: getattr(made, name) for name in ("status", "problems", "values", "triples")}
    return bodies.Reply(system=kind[0], task=kind[1], record=made.record.to_json(), **told)


def _about(card: Card) -> bodies.Task:
    about = {name: getattr(card, name) for name in ("name", "title", "language")}
    return bodies.Task(**about, part=card.format.part, needs_keys=card.format.part == "fields")


async def _failed(_: Request, error: AnyHTTPException) -> JSONResponse:
    detail = str(error.detail)
    if error.status_code == 400:  # FastAPI's, for bytes that are not UTF-8 and JSON that is nested too deeply
        detail = "the body cannot be read (expected JSON in UTF-8)"
    return JSONResponse({"error": detail}, error.status_code, error.headers)


async def _misunderstood(_: Request, error: RequestValidationError) -> JSONResponse:
    """The first problem of a body, without what was found in it (a lone surrogate could not be sent back)."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"] if part != "body")
    message = f"{where}: {problem['msg']}"
    if problem["type"] == "json_invalid":
        message = f"the body is not JSON ({problem['ctx']['error']} at character {where})"
    elif not where:
        message = "the body is no JSON object (expected one, and Content-Type: application/json)"
    return JSONResponse({"error": message.encode("utf-8", "replace").decode("utf-8")}, 422)

"""The HTTP service as a FastAPI application: what it offers, what it refuses, and how it waits for the worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException as AnyHTTPException

import etlch
from etlch.errors import EtlchError
from etlch.extract.values import Extraction, Value
from etlch.serve import bodies
from etlch.serve.guard import Guard
from etlch.serve.systems import Limits, System
from etlch.serve.worker import Kind, QueueFull, Worker
from etlch.tasks import Card

PAGE = {"/": "page.html", "/page.js": "page.js", "/graph.js": "graph.js", "/page.css": "page.css"}
GONE = 499  # nginx's number for a client that did not wait; nobody receives it
_ERRORS = {
    400: "The body cannot be read.",
    401: "The API key is missing or wrong.",
    408: "The body took too long to arrive.",
    413: "The body is too large.",
    422: "The request is not understood, or goes beyond a limit.",
    500: "The model failed on this text.",
    503: "The queue is full or the model still loads; see Retry-After.",
    504: "The answer took too long.",
}


class Service:
    """What the routes share: the systems, the tasks, the limits and the worker."""

    def __init__(self, systems: Sequence[System], cards: Sequence[Card], worker: Worker, limits: Limits) -> None:
        self.systems = [system.name for system in systems]
        self.cards = {card.name: card for card in cards}
        self.worker, self.limits = worker, limits

    def about(self) -> bodies.About:
        """What GET /v1/tasks says."""
        limits = {name: getattr(self.limits, name) for name in ("body", "texts", "chars", "seconds")}
        tasks = [
            bodies.TaskAbout(
                name=card.name,
                title=card.title,
                language=card.language,
                part=card.format.part,
                needs_keys=needs_keys(card),
            )
            for card in self.cards.values()
        ]
        return bodies.About(systems=self.systems, tasks=tasks, limits=limits)

    async def extract(
        self, request: Request, body: bodies.Request | bodies.BatchRequest, texts: dict[str, str]
    ) -> list[bodies.Reply]:
        """Answer texts (where they stand in the body -> text), all or none. Raises HTTPException."""
        kind = self._kind(body)
        for where, text in texts.items():
            self._check_text(where, text)
        if not self.worker.ready:
            raise HTTPException(503, "the model still loads", {"Retry-After": "5"})
        try:
            futures = self.worker.submit(kind, list(texts.values()))
        except QueueFull as full:
            raise HTTPException(503, str(full), {"Retry-After": str(full.retry_after)}) from None
        made = await self._wait(request, futures)
        return [_reply(kind, extraction) for extraction in made]

    def _kind(self, body: bodies.Request | bodies.BatchRequest) -> Kind:
        system = self.systems[0] if body.system is None else body.system
        if system not in self.systems:
            raise HTTPException(422, f"system: found {system!r} (expected one of {', '.join(self.systems)})")
        if body.task not in self.cards:
            raise HTTPException(422, f"task: found {body.task!r} (expected one of {', '.join(self.cards)})")
        wanted = needs_keys(self.cards[body.task])
        if wanted and not body.keys:
            raise HTTPException(422, f"keys: none (task {body.task} expects the names of the values wanted)")
        if body.keys and not wanted:
            raise HTTPException(422, f"keys: task {body.task} takes none")
        if len(set(body.keys)) < len(body.keys):
            raise HTTPException(422, "keys: a key stands twice")
        return Kind(system, body.task, tuple(body.keys))

    def _check_text(self, where: str, text: str) -> None:
        most = self.limits.chars
        if not text.strip():
            raise HTTPException(422, f"{where}: empty (expected a text of 1 to {most:,} characters)")
        if len(text) > most:
            raise HTTPException(422, f"{where}: {len(text):,} characters (expected at most {most:,})")

    async def _wait(self, request: Request, futures: Sequence[Future]) -> list[Extraction]:
        """All results. When one fails, time is over or the client goes, what still waits in the queue is cancelled."""
        results = asyncio.gather(*map(asyncio.wrap_future, futures))
        results.add_done_callback(_seen)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            done, _ = await asyncio.wait(
                (results, gone), timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if results in done:
                return results.result()
            if gone in done:
                raise HTTPException(GONE, "the client has gone")
            raise HTTPException(504, f"no answer within {self.limits.seconds:g} s")
        except EtlchError as error:
            raise HTTPException(422, str(error)) from None
        except HTTPException:
            raise
        except Exception as error:  # its traceback is on the service's stderr
            raise HTTPException(500, f"the extraction failed ({type(error).__name__})") from None
        finally:
            gone.cancel()
            results.cancel()
            for future in futures:
                future.cancel()


def needs_keys(card: Card) -> bool:
    """Must a request name the values it wants?"""
    return card.format.part == "fields"


def _seen(results: asyncio.Future) -> None:
    """Look at an outcome that nobody waits for any more, or asyncio reports it on stderr."""
    if not results.cancelled():
        results.exception()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _reply(kind: Kind, extraction: Extraction) -> bodies.Reply:
    return bodies.Reply(
        system=kind.system,
        task=kind.task,
        status=extraction.status,
        problems=list(extraction.problems),
        values=[_value(value) for value in extraction.values],
        triples=[
            bodies.Relation(head=_value(t.head), relation=t.relation, tail=_value(t.tail)) for t in extraction.triples
        ],
        record=extraction.record.to_json(),
    )


def _value(value: Value) -> bodies.Value:
    return bodies.Value(
        label=value.label, text=value.text, span=value.span, fragments=list(value.fragments), answer=value.answer
    )


def create_app(service: Service, key: str | None = None) -> FastAPI:
    """The application; the worker is started by whoever serves it and stopped here, after the last answer."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.worker.stop)

    app = FastAPI(
        title="etlch",
        version=etlch.__version__,
        description="Structured information extraction: texts in; entities, triples or fields out, with their offsets.",
        docs_url=None,  # these two pages load scripts from a CDN
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Guard, limits=service.limits, key=key)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(AnyHTTPException, _failed)
    _add_extraction(app, service, key)
    _add_state(app, service)
    for path, name in PAGE.items():
        app.add_api_route(path, _file(Path(__file__).with_name(name)), include_in_schema=False)
    return app


def _add_extraction(app: FastAPI, service: Service, key: str | None) -> None:
    lock = [Security(HTTPBearer(auto_error=False))] if key else []  # documents what Guard has checked
    responses = {status: {"model": bodies.Problem, "description": text} for status, text in _ERRORS.items()}

    @app.post("/v1/extract", responses=responses, dependencies=lock, summary="Extract from one text")
    async def extract(request: Request, body: bodies.Request) -> bodies.Reply:
        made = (await service.extract(request, body, {"text": body.text}))[0]
        if made.status == "failed":
            raise HTTPException(422, f"text: {made.problems[0]}")
        return made

    @app.post("/v1/extract/batch", responses=responses, dependencies=lock, summary="Extract from several texts")
    async def extract_batch(request: Request, body: bodies.BatchRequest) -> bodies.BatchReply:
        if len(body.texts) > service.limits.texts:
            raise HTTPException(422, f"texts: {len(body.texts)} (expected at most {service.limits.texts})")
        texts = {f"texts[{number}]": text for number, text in enumerate(body.texts)}
        return bodies.BatchReply(results=await service.extract(request, body, texts))

    @app.get("/v1/tasks", responses={401: responses[401]}, dependencies=lock, summary="Systems, tasks and limits")
    async def tasks() -> bodies.About:
        return service.about()


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health", summary="The process runs")
    async def health() -> bodies.State:
        return bodies.State(status="ok", waiting=service.worker.waiting)

    @app.get("/ready", responses={503: {"model": bodies.Problem}}, summary="The models are loaded")
    async def ready() -> bodies.State:
        if not service.worker.ready:
            raise HTTPException(503, "the model still loads", {"Retry-After": "5"})
        return bodies.State(status="ready", waiting=service.worker.waiting)


def _file(path: Path) -> Any:
    async def page() -> FileResponse:
        return FileResponse(path)

    return page


async def _failed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AnyHTTPException)
    detail = str(error.detail)
    if error.status_code == 400:  # FastAPI's, for bytes that are not UTF-8 and JSON that is nested too deeply
        detail = "the body cannot be read (expected JSON in UTF-8)"
    return JSONResponse({"error": detail}, error.status_code, error.headers)


async def _misunderstood(_: Request, error: Exception) -> JSONResponse:
    """The first problem of a body, without what was found in it (a lone surrogate could not be sent back)."""
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    place = [part for part in problem["loc"] if part != "body"]
    if problem["type"] == "json_invalid":
        reason = problem.get("ctx", {}).get("error", "")
        return JSONResponse({"error": f"the body is not JSON ({reason} at character {place[0] if place else 0})"}, 422)
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    if not where:
        return JSONResponse(
            {"error": "the body is no JSON object (expected one, and Content-Type: application/json)"}, 422
        )
    message = f"{where}: {problem['msg']}".encode("utf-8", "replace").decode("utf-8")
    return JSONResponse({"error": message}, 422)

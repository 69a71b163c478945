"""One request to an OpenAI-compatible endpoint, and what each way of failing means for the run."""

from __future__ import annotations

import asyncio
import random
import time
import urllib.parse
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import openai

from etlch.endpoint.budget import Usage, most_prompt_tokens
from etlch.endpoint.halt import Halt
from etlch.endpoint.journal import Entry, Request

LONGEST_BACKOFF = 60.0
LONGEST_PAUSE = 600.0  # a longer Retry-After (a daily quota) ends the run instead


class PassingError(Exception):
    """A failure that may pass: ask again. `lost` when the request may have been paid for."""

    def __init__(self, reason: str, lost: bool = False, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lost = lost
        self.after = after


class UnansweredError(Exception):
    """No answer to this one request: refused by the endpoint, or every try failed."""


@dataclass(frozen=True, slots=True)
class Where:
    """An endpoint: its address, the key, and the name of the environment variable that holds the key."""

    base_url: str
    key: str
    key_env: str
    timeout: float


class Endpoint:
    """An open client; its own retries are off."""

    def __init__(self, where: Where, halt: Halt) -> None:
        self.where = where
        self._halt = halt
        self._reached = False
        self._client = openai.AsyncOpenAI(
            base_url=where.base_url, api_key=where.key or "none", max_retries=0, timeout=None
        )

    async def __aenter__(self) -> Endpoint:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def send(self, request: Request) -> Entry:
        """The answer to one request.

        Raises PassingError, UnansweredError for a request that the endpoint refuses, or StopError for what no further request can mend.
        """
        try:
            async with asyncio.timeout(self.where.timeout):
                completion = await self._ask(request)
        except TimeoutError:
            raise PassingError(f"no answer within {self.where.timeout:g} s", lost=True) from None
        except openai.APIStatusError as error:
            self._reached = True
            raise self._of_status(error, request.model) from None
        except openai.APIConnectionError as error:
            raise self._of_connection(error) from None
        except (openai.APIError, ValueError) as error:
            raise PassingError(f"an answer that is no chat completion ({_line(error)})", lost=True) from None
        self._reached = True
        return _entry(request, completion)

    async def _ask(self, request: Request) -> Any:
        if not request.prompt:
            return await self._client.chat.completions.create(
                model=request.model, messages=list(request.messages), extra_body=request.sampling
            )
        prompt = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
        return await self._client.completions.create(model=request.model, prompt=prompt, extra_body=request.sampling)

    def _of_connection(self, error: openai.APIConnectionError) -> Exception:
        if type(error.__cause__).__name__ != "ConnectError":
            return PassingError("the connection was dropped", lost=True)
        if self._reached:
            return PassingError("the endpoint cannot be reached")
        return self._halt.stop(f"no endpoint at {self.where.base_url} ({_line(error.__cause__)})")

    def _of_status(self, error: openai.APIStatusError, model: str) -> Exception:
        said, url = _said(error), self.where.base_url
        status = error.status_code
        if status in (401, 403):
            state = "is not set" if not self.where.key else "is not accepted"
            return self._halt.stop(f"invalid key: ${self.where.key_env} {state} by {url} ({status}: {said})")
        if status == 404 and model in said:
            return self._halt.stop(f"unknown model {model!r} at {url} (404: {said})")
        if status == 404:
            return self._halt.stop(f"unknown model {model!r}, or no such path under {url} (404: {said})")
        if error.code == "insufficient_quota":
            return self._halt.stop(f"the account at {url} has no quota left ({status}: {said})")
        if status in (408, 409, 425, 429) or status >= 500:
            return self._of_overload(status, said, retry_after(error.response.headers.get("retry-after"), time.time()))
        return UnansweredError(f"the endpoint refuses the request ({status}: {said})")

    def _of_overload(self, status: int, said: str, after: float | None) -> Exception:
        if after is not None and after > LONGEST_PAUSE:
            return self._halt.stop(f"the endpoint asks for a pause of {after:,.0f} s ({status}: {said})")
        return PassingError(f"{status}: {said}", after=after)


def backoff(seed: str, number: int, first: float, after: float | None) -> float:
    """Seconds to wait before try `number` + 1 (from 0): doubling from `first`, with jitter that the seed decides.

    A Retry-After is never undercut: the jitter comes on top.
    """
    jitter = random.Random(f"{seed}/{number}").random()
    if after is not None:
        return after + jitter * first
    return min(LONGEST_BACKOFF, first * 2**number) * (0.5 + 0.5 * jitter)


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds of a Retry-After header, which holds seconds or an HTTP date; None for none or another thing."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - now
        except ValueError:
            return None
    return max(0.0, seconds) if seconds < float("inf") else None


def most_usage(request: Request) -> Usage:
    """What a request may take at most; the answer is bounded where the sampling parameters bound it."""
    if isinstance(request.prompt, tuple) and request.prompt:
        return Usage(len(request.prompt), completion_limit(request.sampling) or 0)
    prompt = most_prompt_tokens([request.prompt, *(message["content"] for message in request.messages)])
    return Usage(prompt, completion_limit(request.sampling) or 0)


def completion_limit(sampling: dict[str, Any]) -> int | None:
    """The bound of an answer in tokens, under either of its two names."""
    return sampling.get("max_completion_tokens") or sampling.get("max_tokens")


def _entry(request: Request, completion: Any) -> Entry:
    """Raises PassingError for a body without choices (an error page sent with status 200)."""
    choices = getattr(completion, "choices", None)
    if not choices:
        raise PassingError("an answer that is no chat completion", lost=True)
    first = choices[0]
    text = first.text if request.prompt else first.message.content if first.message else ""
    text = (text or "").encode("utf-8", "replace").decode()
    used = completion.usage
    most = most_usage(request)
    return Entry(
        key=request.key,
        stage=request.stage,
        article=request.article,
        model=request.model,
        prompt_tokens=used.prompt_tokens if used else most.prompt,
        completion_tokens=used.completion_tokens if used else len(text.encode()),
        id=str(completion.id or ""),
        finish=str(first.finish_reason or ""),
        answer=text,
    )


def _said(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        body = body.get("message") or body.get("detail") or body
    return _line(body or error.message)


def _line(value: object) -> str:
    return " ".join(str(value).split())[:200]


def is_address(url: str) -> bool:
    """Is this the address of an endpoint?"""
    try:
        address = urllib.parse.urlsplit(url)
        return address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        return False

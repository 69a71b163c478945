"""One request to an OpenAI-compatible endpoint, and what each way of failing means for the run.

The client's own retries are off: each try is held against the budget, and one that may have been paid for is written down.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import openai

from etlch.endpoint.budget import Usage, most_prompt_tokens
from etlch.endpoint.halt import Halt
from etlch.endpoint.settings import Endpoint, completion_limit

LONGEST_BACKOFF = 60.0
LONGEST_PAUSE = 600.0  # a longer Retry-After (a daily quota) ends the run instead


class PassingError(Exception):
    """A failure that may pass: ask again. `lost` when the request may have been paid for; `after`: seconds that it asks for."""

    def __init__(self, reason: str, lost: bool = False, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.lost, self.after = reason, lost, after


class UnansweredError(Exception):
    """No answer to this one request: refused by the endpoint, or every try failed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal: an answer, or (with `lost`) a request that may have been paid for though no answer came."""

    key: str
    stage: str
    article: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    id: str = ""
    finish: str = ""
    answer: str = ""
    lost: str = ""

    @property
    def usage(self) -> Usage:
        return Usage(self.prompt_tokens, self.completion_tokens)


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one model. `attempt` counts the answers that were rejected before.

    prompt: for raw completion, text or token ids; `messages` is then empty.
    """

    stage: str
    article: str
    model: str
    messages: tuple[dict[str, str], ...]
    sampling: dict[str, Any]
    attempt: int = 0
    prompt: str | tuple[int, ...] = ""

    @property
    def key(self) -> str:
        """sha256 of model, messages or prompt, sampling parameters and attempt: a request is known by its content, so a run
        that is started again finds the answers it already has."""
        content = [self.model, self.messages or self.prompt, self.sampling, self.attempt]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def most(self) -> Usage:
        """What it may take at most; the answer is bounded where the sampling parameters bound it."""
        limit = completion_limit(self.sampling) or 0
        if isinstance(self.prompt, tuple) and self.prompt:
            return Usage(len(self.prompt), limit)
        return Usage(most_prompt_tokens([self.prompt, *(message["content"] for message in self.messages)]), limit)

    def entry(self, used: Usage, **more: str) -> Entry:
        """What the journal is told of it."""
        return Entry(self.key, self.stage, self.article, self.model, used.prompt, used.completion, **more)


class Client:
    """An open connection to an endpoint."""

    def __init__(self, endpoint: Endpoint, halt: Halt) -> None:
        self._endpoint, self._halt, self._reached = endpoint, halt, False
        self._client = openai.AsyncOpenAI(
            base_url=endpoint.base_url, api_key=endpoint.key or "none", max_retries=0, timeout=None
        )

    async def close(self) -> None:
        await self._client.close()

    async def send(self, request: Request) -> Entry:
        """The answer to one request.

        Raises PassingError, UnansweredError for a request that the endpoint refuses, or StopError for what no further request can mend.
        """
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                completion = await self._ask(request)
        except TimeoutError:
            raise PassingError(f"no answer within {self._endpoint.timeout:g} s", lost=True) from None
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
        fixed = {"model": request.model, "extra_body": request.sampling}
        if request.messages:
            return await self._client.chat.completions.create(messages=list(request.messages), **fixed)
        prompt = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
        return await self._client.completions.create(prompt=prompt, **fixed)

    def _of_connection(self, error: openai.APIConnectionError) -> Exception:
        if type(error.__cause__).__name__ != "ConnectError":
            return PassingError("the connection was dropped", lost=True)
        if self._reached:
            return PassingError("the endpoint cannot be reached")
        return self._halt.stop(f"no endpoint at {self._endpoint.base_url} ({_line(error.__cause__)})")

    def _of_status(self, error: openai.APIStatusError, model: str) -> Exception:
        status, url, body = error.status_code, self._endpoint.base_url, error.body
        if isinstance(body, dict):
            body = body.get("message") or body.get("detail") or body
        said = _line(body or error.message)
        if status in (401, 403):
            state = "is not accepted" if self._endpoint.key else "is not set"
            return self._halt.stop(f"invalid key: ${self._endpoint.key_env} {state} by {url} ({status}: {said})")
        if status == 404:
            place = " at" if model in said else ", or no such path under"
            return self._halt.stop(f"unknown model {model!r}{place} {url} (404: {said})")
        if error.code == "insufficient_quota":
            return self._halt.stop(f"the account at {url} has no quota left ({status}: {said})")
        if status not in (408, 409, 425, 429) and status < 500:
            return UnansweredError(f"the endpoint refuses the request ({status}: {said})")
        after = retry_after(error.response.headers.get("retry-after"), time.time())
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


def _entry(request: Request, completion: Any) -> Entry:
    """Raises PassingError for a body without choices (an error page sent with status 200)."""
    choices = getattr(completion, "choices", None)
    if not choices:
        raise PassingError("an answer that is no chat completion", lost=True)
    first, used = choices[0], completion.usage
    text = first.text if not request.messages else first.message.content if first.message else ""
    text = (text or "").encode("utf-8", "replace").decode()
    usage = (
        Usage(used.prompt_tokens, used.completion_tokens) if used else Usage(request.most.prompt, len(text.encode()))
    )
    return request.entry(usage, id=str(completion.id or ""), finish=str(first.finish_reason or ""), answer=text)


def _line(value: object) -> str:
    return " ".join(str(value).split())[:200]

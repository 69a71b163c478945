"""The `endpoint` engine: an OpenAI-compatible server that has the model loaded answers, many prompts at once.

The prompt is sent raw, as token ids or as text, so that the server's own chat template plays no part; `chat` is for servers
that know nothing else (LlamaFactory's api, most hosted ones), which then apply their own.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import threading
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlch.endpoint.budget import Budget, Prices
from etlch.endpoint.client import Endpoint, UnansweredError, Where, is_address
from etlch.endpoint.halt import Halt, StopError
from etlch.endpoint.journal import Entry, Journal, Request
from etlch.endpoint.sender import Patience, Sender
from etlch.errors import EtlchError, ManyErrors
from etlch.infer.journal import Made
from etlch.infer.loading import Prompt
from etlch.infer.local import DEFAULT_NEW_TOKENS
from etlch.infer.shapes import Shape
from etlch.trainer.configs import Config

FINISHED = ("stop", "eos", "")
PAID = "paid.jsonl"


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the model is served, under which name, how prompts are sent, and how much a run may take.

    sampling: parameters of every request's body. paid: the file that records each answer that was paid for.
    """

    where: Where
    model: str
    send: str
    sampling: dict[str, Any]
    patience: Patience
    prices: Prices
    most_tokens: int | None
    most_cost: float | None
    paid: Path


class RemoteEngine:
    """Answers from a server. Raises EtlchError when it cannot be reached, refuses, or the budget is spent."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def answers(self, todo: Sequence[tuple[int, Prompt]]) -> Iterator[Made]:
        """Answers in the order in which they arrive."""
        arrived: queue.Queue[Made | Exception | None] = queue.Queue()
        halts: list[Halt] = []

        def work() -> None:
            try:
                asyncio.run(self._ask_all(todo, arrived.put, halts))
                arrived.put(None)
            except Exception as error:  # handed on to the thread that reads
                arrived.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while (made := arrived.get()) is not None:
                if isinstance(made, Exception):
                    raise made
                yield made
        finally:
            for halt in halts:
                halt.stop("interrupted")
            thread.join(timeout=1)

    async def _ask_all(self, todo: Sequence[tuple[int, Prompt]], arrived, halts: list[Halt]) -> None:
        remote, halt = self.remote, Halt()
        halts.append(halt)
        budget = Budget(remote.prices, remote.most_tokens, remote.most_cost, halt)
        waiting, refused = iter(todo), []
        with Journal(remote.paid, remote.patience.concurrency * 65_536) as book:
            for entry in book.entries:
                budget.charge(entry.model, entry.usage)
            async with Endpoint(remote.where, halt) as endpoint:
                sender = Sender(endpoint, book, budget, halt, remote.patience)

                async def work() -> None:
                    for row, prompt in waiting:
                        try:
                            arrived(_made(row, await sender.answer(self._request(row, prompt))))
                        except UnansweredError as error:
                            refused.append(f"prompt {row + 1}: {error}")
                        except StopError:
                            return

                await asyncio.gather(*(work() for _ in range(remote.patience.concurrency)))
        if halt.reason or refused:
            raise EtlchError(
                halt.reason or f"{len(refused)} of {len(todo)} prompts have no answer; the first: {refused[0]}"
            )

    def _request(self, row: int, prompt: Prompt) -> Request:
        remote = self.remote
        sampling = remote.sampling | ({"response_format": response_format(prompt.shape)} if prompt.shape else {})
        if remote.send == "chat":
            messages = tuple({"role": role, "content": text} for role, text in prompt.turns)
            if odd := {role for role, _ in prompt.turns} - {"system", "user", "assistant"}:
                raise EtlchError(
                    f"prompt {row + 1}: a turn of {', '.join(odd)} (--send chat has none; use --send tokens)"
                )
            return Request("answer", str(row), remote.model, messages, sampling)
        raw = prompt.ids if remote.send == "tokens" else prompt.text
        return Request("answer", str(row), remote.model, (), sampling, prompt=raw)


def response_format(shape: Shape) -> dict[str, Any]:
    """A shape as OpenAI's `response_format`, which vLLM, SGLang and llama.cpp read as well."""
    strings = {"type": "array", "items": {"type": "string"}}
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False if shape.keys else strings}
    if shape.keys:
        schema["properties"] = dict.fromkeys(shape.keys, strings)
        schema["required"] = [] if shape.optional else list(shape.keys)
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": not shape.optional}}


def remote_of(options: Namespace, config: Config, paid: Path) -> Remote:
    """What the command line and a predict config say; answers are kept in the file `paid`. Raises ManyErrors with each option that cannot be."""
    if problems := list(_problems(options, config)):
        raise ManyErrors(problems)
    body = {"temperature": 0, "max_tokens": int(config.get("max_new_tokens") or DEFAULT_NEW_TOKENS)}
    if float(config.get("repetition_penalty") or 1.0) != 1.0:
        body["repetition_penalty"] = float(config["repetition_penalty"])
    if config.get("frequency_penalty"):
        body["frequency_penalty"] = float(config["frequency_penalty"])
    body |= json.loads(options.request)
    model = options.served_as or str(config["model_name_or_path"])
    prices = Prices({model: (options.price_in, options.price_out)} if options.price_in is not None else {})
    return Remote(
        Where(options.base_url, os.environ.get(options.key_env, "").strip(), options.key_env, options.timeout),
        model,
        options.send,
        {name: value for name, value in body.items() if value is not None},
        Patience(options.concurrency, options.retries, options.backoff, int(config.get("seed") or 42)),
        prices,
        options.budget_tokens,
        options.budget_cost,
        paid,
    )


def _problems(options: Namespace, config: Config) -> Iterator[str]:
    if not is_address(options.base_url):
        yield f"--base-url: found {options.base_url!r} (expected an address such as http://127.0.0.1:8000/v1)"
    if config.get("do_sample") or int(config.get("num_beams") or 1) > 1:
        yield "do_sample, num_beams: all engines are asked for the same greedy answers (expected neither)"
    if min(options.concurrency, options.timeout, options.backoff) <= 0 or options.retries < 0:
        yield "--concurrency, --timeout, --backoff: expected numbers above 0, and --retries 0 or more"
    if (options.price_in is None) != (options.price_out is None):
        yield "--price-in and --price-out: expected both"
    if options.budget_cost is not None and options.price_in is None:
        yield "--budget-cost: expected --price-in and --price-out with it"
    try:
        more = json.loads(options.request)
    except ValueError:
        more = None
    if not isinstance(more, dict) or {"model", "messages", "prompt", "stream", "n"} & set(more):
        yield f"--request: found {options.request!r} (expected a JSON object without model, messages, prompt, stream, n)"


def _made(row: int, entry: Entry) -> Made:
    return Made(row, entry.answer, entry.completion_tokens, entry.finish in FINISHED)

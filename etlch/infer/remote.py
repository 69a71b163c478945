"""The `endpoint` engine: an OpenAI-compatible server that has the model loaded answers, many prompts at once.

The prompt is sent raw, as token ids or as text, so that the server's own chat template plays no part; `chat` is for servers
that know nothing else (LlamaFactory's api, most hosted ones): they are sent all turns and apply their own.
"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlch.endpoint.client import Entry, Request, UnansweredError
from etlch.endpoint.halt import StopError
from etlch.endpoint.sender import Sender
from etlch.endpoint.settings import Endpoint, body_of, endpoint_of
from etlch.errors import EtlchError
from etlch.infer.loading import Made, Prompt
from etlch.infer.local import DEFAULT_NEW_TOKENS
from etlch.infer.shapes import Shape, json_schema
from etlch.journal import Journal
from etlch.trainer.configs import Config

FINISHED = ("stop", "eos", "")
PAID = "paid.jsonl"


@dataclass(frozen=True, slots=True)
class RemoteEngine:
    """Answers from a model that an endpoint serves under a name.

    send: tokens, text or chat. body: the parameters of every request. paid: the file that records each answer that was paid
    for. Raises EtlchError when the endpoint cannot be reached, refuses, or the budget is spent.
    """

    endpoint: Endpoint
    model: str
    send: str
    body: dict[str, Any]
    paid: Path

    def answers(self, todo: Sequence[tuple[int, Prompt]]) -> Iterator[Made]:
        """Answers in the order in which they arrive."""
        requests = ((row, self._request(row, prompt)) for row, prompt in todo)
        refused: list[str] = []
        with Journal(self.paid, Entry, reserve=self.endpoint.concurrency * 65_536) as book, asyncio.Runner() as runner:
            sender = Sender(self.endpoint, book)
            under_way: set[asyncio.Task[Made | None]] = set()

            async def ask(row: int, request: Request) -> Made | None:
                try:
                    entry = await sender.answer(request)
                except UnansweredError as error:
                    refused.append(f"prompt {row + 1}: {error}")
                except StopError:
                    pass  # sender.halt.reason says why; what is under way still arrives
                else:
                    return Made(row, entry.answer, entry.completion_tokens, entry.finish in FINISHED)

            async def arrived() -> set[asyncio.Task[Made | None]]:
                nonlocal under_way
                while len(under_way) < self.endpoint.concurrency and not sender.halt.reason:
                    if (following := next(requests, None)) is None:
                        break
                    under_way.add(asyncio.create_task(ask(*following)))
                done, under_way = (
                    await asyncio.wait(under_way, return_when="FIRST_COMPLETED") if under_way else (set(), set())
                )
                return done

            while done := runner.run(arrived()):
                yield from (made for task in done if (made := task.result()))
            runner.run(sender.close())
        if sender.halt.reason or refused:
            raise EtlchError(
                sender.halt.reason or f"{len(refused)} of {len(todo)} prompts have no answer; the first: {refused[0]}"
            )

    def _request(self, row: int, prompt: Prompt) -> Request:
        body = self.body | ({"response_format": response_format(prompt.shape)} if prompt.shape else {})
        if self.send == "chat":
            if odd := {role for role, _ in prompt.turns} - {"system", "user", "assistant"}:
                raise EtlchError(
                    f"prompt {row + 1}: a turn of {', '.join(odd)} (--send chat has none; use --send tokens)"
                )
            messages = tuple({"role": role, "content": text} for role, text in prompt.turns)
            return Request("answer", str(row), self.model, messages, body)
        return Request(
            "answer", str(row), self.model, (), body, prompt=prompt.ids if self.send == "tokens" else prompt.text
        )


def response_format(shape: Shape) -> dict[str, Any]:
    """A shape as OpenAI's `response_format`, which vLLM, SGLang and llama.cpp read as well."""
    schema = json_schema(shape)
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": not shape.optional}}


def remote_engine(options: Namespace, config: Config, paid: Path) -> RemoteEngine:
    """The engine that the command line and a predict config ask for; answers are kept in the file `paid`. Raises ManyErrors
    with each option that cannot be."""
    sampled = config.get("do_sample") or int(config.get("num_beams") or 1) > 1
    body = {"temperature": 0, "max_tokens": int(config.get("max_new_tokens") or DEFAULT_NEW_TOKENS)}
    for name, nothing in (("repetition_penalty", 1.0), ("frequency_penalty", 0.0)):
        if (penalty := float(config.get(name) or nothing)) != nothing:
            body[name] = penalty
    model = options.served_as or str(config["model_name_or_path"])
    endpoint = endpoint_of(
        options,
        [model],
        body,
        int(config.get("seed") or 42),
        ["do_sample, num_beams: all engines are asked for the same greedy answers (expected neither)"]
        if sampled
        else [],
    )
    return RemoteEngine(endpoint, model, options.send, body_of(options, body), paid)

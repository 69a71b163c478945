"""LlamaFactory's rows: alpaca (instruction, input, output) and sharegpt or OpenAI conversations.

The answer is read with one of this project's output formats (`--answer-format`), so an invalid answer is refused here
as it would be in scoring. A conversation of several turns is read as UniversalNER and RA-IT write them: the text, then
one question a type, each answered with a JSON list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError
from etlch.formats import FORMATS, Format, Schema
from etlch.formats.literals import exactly
from etlch.sources.base import Draft, Options, Reader, Report, Sample, make_id
from etlch.sources.json_rows import Row, object_at, read_rows
from etlch.sources.spans import Mention

_ALPACA = ("instruction", "input", "output")
_CONVERSATIONS = ("conversations", "messages")
_HUMAN, _MODEL = ("human", "user"), ("gpt", "assistant", "model")
_QUESTION = re.compile(r"What describes (.+?) in the text\?")
_TRIED = 50  # rows on which each answer format is tried


@dataclass(frozen=True, slots=True)
class Exchange:
    """One row: prompts and answers in turn; `text` when the row keeps it apart from the instruction."""

    where: str
    id: str
    turns: list[tuple[str, str]]
    text: str = ""


def _read(path: Path, options: Options, report: Report) -> Iterator[Draft]:
    if len(options.columns) not in (0, 1, 3):
        found = ",".join(options.columns)
        raise EtlchError(f"--columns: found {found} (expected those of prompt, query and response, or of the messages)")
    exchanges = list(_exchanges(path, options, report))
    single = [exchange for exchange in exchanges if len(exchange.turns) == 1]
    chosen = _answer_format(path, single, options, report)
    prefix = _common_instruction([e.turns[0][0] for e in single if not e.text], path, report)
    for exchange in exchanges:
        try:
            draft = _single(exchange, chosen, prefix, report) if len(exchange.turns) == 1 else _several(exchange)
        except EtlchError as error:
            report.refuse([(exchange.where, str(error))])
            continue
        if missing := sum(m.text not in draft.text for m in draft.mentions):
            report.note("mentions that do not stand in their text", exchange.where, missing)
        yield draft


def _exchanges(path: Path, options: Options, report: Report) -> Iterator[Exchange]:
    for number, (where, value) in enumerate(read_rows(path, options, report), start=1):
        try:
            row = object_at(value, "an alpaca or sharegpt row")
            yield Exchange(where, make_id(options, path, number, row.get("id")), *_turns(row, options))
        except EtlchError as error:
            report.refuse([(where, str(error))])


def _turns(row: Row, options: Options) -> tuple[list[tuple[str, str]], str]:
    """The prompts and answers of a row, and its text where it keeps that apart."""
    name = next((n for n in (*options.columns[:1], *_CONVERSATIONS) if isinstance(row.get(n), list)), None)
    if name is not None:
        return _conversation(row[name], name), ""
    prompt, query, response = options.columns if len(options.columns) == 3 else _ALPACA
    for key in (prompt, response):
        if not isinstance(row.get(key), str):
            expected = f"a string; the row has {', '.join(row)}: --columns names those of prompt, query and response"
            raise EtlchError(f"{key}: found {row.get(key)!r:.60} (expected {expected})")
    if row.get("history"):
        expected = "a row of one question; use a sharegpt file for conversations"
        raise EtlchError(f"history: found earlier turns (expected {expected})")
    return [(row[prompt], row[response])], row.get(options.text_column or query) or ""


def _conversation(messages: list[Any], name: str) -> list[tuple[str, str]]:
    said: list[str] = []
    for number, message in enumerate(messages):
        message = object_at(message, f"{name}[{number}]: an object with from and value, or role and content")
        role, content = message.get("from", message.get("role")), message.get("value", message.get("content"))
        if not isinstance(content, str):
            raise EtlchError(f"{name}[{number}]: found {content!r:.60} (expected a string)")
        if role == "system":
            continue
        if role not in (_MODEL if len(said) % 2 else _HUMAN):
            expected = "human and gpt, or user and assistant, in turn"
            raise EtlchError(f"{name}[{number}]: found the role {role!r} (expected {expected})")
        said.append(content)
    if not said or len(said) % 2:
        raise EtlchError(f"{name}: found {len(said)} messages (expected a question and an answer each turn)")
    return list(zip(said[::2], said[1::2], strict=True))


def _answer_format(path: Path, rows: list[Exchange], options: Options, report: Report) -> Format | None:
    """The format of the answers: as asked for, else the one that reads most of the first rows without a problem."""
    if options.answer_format:
        if options.answer_format not in FORMATS:
            raise EtlchError(f"--answer-format: found {options.answer_format!r} (expected one of {', '.join(FORMATS)})")
        return FORMATS[options.answer_format]
    if not rows:
        return None
    scores = {}
    for name, form in FORMATS.items():
        statuses = [form.parse(row.turns[0][1], Schema(), row.text).status for row in rows[:_TRIED]]
        scores[name] = statuses.count("ok"), statuses.count("repaired")
    best = max(scores, key=scores.get)
    if not any(scores[best]):
        expected = f"one of {', '.join(FORMATS)}: --answer-format"
        raise EtlchError(f"{path}: no answer is in a format known here (expected {expected})")
    also = [name for name in FORMATS if name != best and scores[name] == scores[best]]
    fits = f"; {' and '.join(also)} would fit as well" if also else ""
    report.note(f"answers read as {best} (guessed{fits}; --answer-format NAME otherwise)", f"{path}:1")
    return FORMATS[best]


def _common_instruction(prompts: list[str], path: Path, report: Report) -> str:
    """What all prompts begin with, up to a line break or a colon: the instruction before the text."""
    first, last = (min(prompts), max(prompts)) if len(prompts) > 1 else ("", "")  # all between begin as both do
    shared = first[: next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
    shared = shared[: max((shared.rfind(mark) for mark in "\n:："), default=-1) + 1]
    if prompts:
        behind = f"prompts begin alike; the text was taken from behind {shared.strip()[-30:]!r}"
        what = behind if shared else "no common instruction found: the whole prompt was taken for the text"
        report.note(what, f"{path}:1", len(prompts))
    return shared


def _single(exchange: Exchange, chosen: Format, prefix: str, report: Report) -> Draft:
    prompt, answer = exchange.turns[0]
    text = exchange.text or prompt[len(prefix) :].strip()
    parsed = chosen.parse(answer, Schema(), text)
    if parsed.status == "invalid":
        raise EtlchError(f"the answer {answer[:60]!r} is not {chosen.name} ({parsed.problems[0]})")
    if parsed.status == "repaired":
        report.repair(f"answers not {chosen.name} to the letter", exchange.where)
    mentions = [
        Mention(entity.type, entity.spans, entity.text, exchange.where) for entity in dict.fromkeys(parsed.entities)
    ]
    fields = {key: list(values) for key, values in parsed.fields}
    return Draft(
        exchange.where, exchange.id, text, mentions, triples=list(dict.fromkeys(parsed.triples)), fields=fields
    )


def _several(exchange: Exchange) -> Draft:
    """The text, then `What describes TYPE in the text?` with a JSON list as the answer, a turn each."""
    first = exchange.turns[0][0]
    text = first.removeprefix("Text: ") if first.startswith("Text: ") else first.rpartition("\nText: ")[2]
    draft = Draft(exchange.where, exchange.id, text)
    for number, (question, answer) in enumerate(exchange.turns[1:], start=2):
        match = _QUESTION.search(question)
        if not match:
            expected = "'What describes TYPE in the text?'"
            raise EtlchError(f"turn {number}: found the question {question[:60]!r} (expected {expected})")
        surfaces = exactly(answer)
        if not isinstance(surfaces, list) or not all(isinstance(item, str) for item in surfaces):
            raise EtlchError(f"turn {number}: found the answer {answer[:60]!r} (expected a JSON list of strings)")
        draft.mentions += [Mention(match[1], (), surface, exchange.where) for surface in surfaces]
    return draft


def _sniff(sample: Sample) -> str:
    row = sample.rows[0] if sample.rows and isinstance(sample.rows[0], dict) else {}
    if {"instruction", "output"} <= set(row):
        return "rows with instruction and output"
    name = next((n for n in _CONVERSATIONS if isinstance(row.get(n), list)), "")
    return f"rows with {name}" if name else ""


LLAMAFACTORY = Reader(
    name="llamafactory",
    what="LlamaFactory's alpaca and sharegpt rows, OpenAI messages, UniversalNER conversations",
    example="etlch import ner.json --format llamafactory --answer-format json_entities --out records.jsonl",
    sniff=_sniff,
    read=_read,
    options=("columns", "text_column", "answer_format"),
)
READERS = (LLAMAFACTORY,)

"""The answers that the report's sample browser shows: shortened and packed so that 10,000 stay small and open at once.

A task is packed as an index (names, scores: what is needed to sort and list its samples) and parts of some samples each
(texts and items), which the page unpacks when one of their samples is looked at.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.names import order_metrics, order_tasks

MOST_ANSWERS = 12_000
MOST_BYTES = 11_000_000
_ANSWERS_A_PART = 400
_LIMITS = (6000, 3000, 1500, 700, 300, 100)
_SHOWN = ("rougeL", "cosine", "json_parse_ok", "schema_ok", "entity_f1", "triple_f1", "field_f1", "faithfulness")


@dataclass(frozen=True, slots=True)
class Packed:
    """task -> its index and its parts, each base64 of zlib-compressed JSON; answers kept; where texts were cut."""

    blobs: dict[str, list[str]]
    kept: int
    limit: int


def every_how_many(answers: int) -> int:
    """Of so many answers the page shows those of every how many-th sample: all up to MOST_ANSWERS, then evenly spread."""
    return max(1, -(-answers // MOST_ANSWERS))


def pack(samples: Iterable[Mapping[str, Any]], systems: Sequence[str]) -> Packed:
    """Pack answers (see eval.scores.read_samples) for the page; `samples` is read once.

    Texts longer than a limit are cut, the limit being the largest with which everything fits into MOST_BYTES.
    """
    tasks: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = {}
    kept = 0
    for row in samples:
        tasks.setdefault(row["task"], {}).setdefault(row["sample"], {})[row["system"]] = row
        kept += 1
    for limit in _LIMITS:
        blobs = {task: list(_blobs(task, tasks[task], systems, limit)) for task in order_tasks(tasks)}
        if sum(len(blob) for parts in blobs.values() for blob in parts) <= MOST_BYTES:
            break
    return Packed(blobs, kept, limit)


def _blobs(
    task: str, samples: dict[str, dict[str, Mapping[str, Any]]], systems: Sequence[str], limit: int
) -> Iterator[str]:
    """The index of a task, then its parts; strings that repeat are stored once."""
    there = {name for answers in samples.values() for name in answers}
    names = [name for name in systems if name in there] + sorted(there - set(systems))
    metrics = order_metrics(m for answers in samples.values() for row in answers.values() for m in _scores(row))
    questions: dict[str, int] = {}
    listed, rows = [], []
    for sample, answers in samples.items():
        first = next(iter(answers.values()))
        question = questions.setdefault(_question(first), len(questions))
        listed.append([sample, [_listed(answers.get(name), metrics) for name in names]])
        rows.append(
            [
                question,
                _cut(first["source_text"], 4 * limit),
                _cut(first["gold_answer"], limit),
                first["gold"],
                [_answer(answers.get(name), limit) for name in names],
            ]
        )
    size = max(1, _ANSWERS_A_PART // len(names))
    index = {
        "task": task,
        "systems": names,
        "metrics": metrics,
        "questions": [_cut(question, limit) for question in questions],
        "samples": listed,
        "size": size,
    }
    yield blob(index)
    for start in range(0, len(rows), size):
        yield blob(rows[start : start + size])


def _question(row: Mapping[str, Any]) -> str:
    """The prompt without the text that it asks about."""
    text, prompt = row["source_text"], row["prompt"]
    return prompt.replace(text, "", 1).strip() if text else prompt


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    scores = ((name, row["scores"].get(name)) for name in _SHOWN)
    return {name: round(value, 3) for name, value in scores if value is not None and value == value}


def _listed(row: Mapping[str, Any] | None, metrics: Sequence[str]) -> list[Any] | int:
    """[scores, number of invented values] of an answer, 0 where there is none."""
    if row is None:
        return 0
    scores = _scores(row)
    return [[scores.get(metric) for metric in metrics], len(row["hallucinated"])]


def _answer(row: Mapping[str, Any] | None, limit: int) -> list[Any] | int:
    """[text, items, invented values, readable] of an answer, 0 where there is none."""
    if row is None:
        return 0
    text, items, invented = row["answer"], row["parsed"], [value for _, value in row["hallucinated"]]
    if len(text) > limit:
        items = [[_cut(part, limit) for part in item] for item in items[: limit // 4]]
        invented = [_cut(value, limit) for value in invented[: limit // 4]]
    return [_cut(text, limit), items, invented, int(row["scores"].get("readable", 1.0) != 0)]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} … [{len(text) - limit:,} more characters cut]"


def blob(value: Any) -> str:
    """JSON, compressed and in base64, as the page's script unpacks it."""
    # lone surrogates, which an answer may hold, cannot be written as UTF-8
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return base64.b64encode(zlib.compress(text, 6)).decode("ascii")

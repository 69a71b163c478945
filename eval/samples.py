"""The answers that the report's sample browser shows: shortened and packed so that 10,000 stay small."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.names import order_metrics, order_tasks

MOST_ANSWERS = 12_000
MOST_BYTES = 11_000_000
_LIMITS = (6000, 3000, 1500, 700, 300, 100)
_SHOWN = ("rougeL", "cosine", "json_parse_ok", "schema_ok", "entity_f1", "triple_f1", "field_f1", "faithfulness")


@dataclass(frozen=True, slots=True)
class Packed:
    """base64 of zlib-compressed JSON {tasks, pairs}; answers kept; where texts were cut."""

    blob: str
    kept: int
    limit: int


def every_how_many(answers: int) -> int:
    """Of so many answers the page shows those of every how many-th sample: all up to MOST_ANSWERS, then evenly spread."""
    return max(1, -(-answers // MOST_ANSWERS))


def pack(samples: Iterable[Mapping[str, Any]], systems: Sequence[str], pairs: Sequence[Any] = ()) -> Packed:
    """Pack answers (see eval.scores.read_samples) and rows of comparisons for the page; `samples` is read once.

    Texts longer than a limit are cut, the limit being the largest with which everything fits into MOST_BYTES.
    """
    tasks: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = {}
    kept = 0
    for row in samples:
        tasks.setdefault(row["task"], {}).setdefault(row["sample"], {})[row["system"]] = row
        kept += 1
    for limit in _LIMITS:
        data = {"tasks": {task: _task(tasks[task], systems, limit) for task in order_tasks(tasks)}, "pairs": pairs}
        # lone surrogates, which an answer may hold, cannot be written as UTF-8
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        blob = base64.b64encode(zlib.compress(text, 6)).decode("ascii")
        if len(blob) <= MOST_BYTES:
            break
    return Packed(blob, kept, limit)


def _task(samples: dict[str, dict[str, Mapping[str, Any]]], systems: Sequence[str], limit: int) -> dict[str, Any]:
    """A task's systems and metrics, its distinct questions, and of each sample: id, number of its question, text, gold
    answer, gold items, answers in the order of systems (0 where there is none)."""
    there = {name for answers in samples.values() for name in answers}
    names = [name for name in systems if name in there] + sorted(there - set(systems))
    metrics = order_metrics(m for answers in samples.values() for row in answers.values() for m in _scores(row))
    questions: dict[str, int] = {}
    rows = []
    for sample, answers in samples.items():
        first = next(iter(answers.values()))
        question = questions.setdefault(_question(first), len(questions))
        texts = _cut(first["source_text"], 4 * limit), _cut(first["gold_answer"], limit)
        made = [_answer(answers[name], metrics, limit) if name in answers else 0 for name in names]
        rows.append([sample, question, *texts, first["gold"], made])
    shown = [_cut(question, limit) for question in questions]
    return {"systems": names, "metrics": metrics, "questions": shown, "samples": rows}


def _question(row: Mapping[str, Any]) -> str:
    """The prompt without the text that it asks about."""
    text, prompt = row["source_text"], row["prompt"]
    return prompt.replace(text, "", 1).strip() if text else prompt


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    scores = ((name, row["scores"].get(name)) for name in _SHOWN)
    return {name: round(value, 3) for name, value in scores if value is not None and value == value}


def _answer(row: Mapping[str, Any], metrics: Sequence[str], limit: int) -> list[Any]:
    """[scores, text, items, invented values, readable] of an answer."""
    scores = _scores(row)
    text, items, invented = row["answer"], row["parsed"], [value for _, value in row["hallucinated"]]
    if len(text) > limit:
        items = [[_cut(part, limit) for part in item] for item in items[: limit // 4]]
        invented = [_cut(value, limit) for value in invented[: limit // 4]]
    readable = int(row["scores"].get("readable", 1.0) != 0)
    return [[scores.get(metric) for metric in metrics], _cut(text, limit), items, invented, readable]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} … [{len(text) - limit:,} more characters cut]"

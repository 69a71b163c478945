"""The answers that the report's sample browser shows, as JSON that stands in the page, shortened where there are too many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.names import PARTS, order_metrics, order_tasks

MOST_ANSWERS = 12_000
MOST_BYTES = 12_000_000
LONGEST = 6000
"""Characters of an answer, a gold answer or a question in the page; a text may have four times as many."""
_SHOWN = ("rougeL", "cosine", "json_parse_ok", "schema_ok", *(f"{part}_f1" for part in PARTS), "faithfulness")


@dataclass(frozen=True, slots=True)
class Packed:
    """JSON {tasks, pairs} that can stand in an HTML script element; how many answers it holds."""

    json: str
    kept: int


def every_how_many(answers: int) -> int:
    """Of so many answers the page shows those of every how many-th sample: all up to MOST_ANSWERS, then evenly spread."""
    return max(1, -(-answers // MOST_ANSWERS))


def pack(samples: Iterable[Mapping[str, Any]], systems: Sequence[str], pairs: Sequence[Any] = ()) -> Packed:
    """Pack answers (see eval.scores.read_samples) and rows of comparisons for the page; `samples` is read once.

    Where they take more than MOST_BYTES, samples are left out, evenly spread.
    """
    tasks: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = {}
    for row in samples:
        tasks.setdefault(row["task"], {}).setdefault(row["sample"], {})[row["system"]] = row
    data = {task: _task(tasks[task], systems) for task in order_tasks(tasks)}
    text = _dump({"tasks": data, "pairs": pairs})
    every = -(-len(text.encode()) // MOST_BYTES)
    if every > 1:
        for task in data.values():
            task["samples"] = task["samples"][::every]
        text = _dump({"tasks": data, "pairs": pairs})
    return Packed(text, sum(map(bool, (a for task in data.values() for row in task["samples"] for a in row[-1]))))


def _dump(data: Any) -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    # lone surrogates, which an answer may hold, cannot be written as UTF-8
    return text.encode("utf-8", "replace").decode("utf-8")


def _task(samples: dict[str, dict[str, Mapping[str, Any]]], systems: Sequence[str]) -> dict[str, Any]:
    """A task's systems and metrics, its distinct questions, and of each sample: id, number of its question, text, gold
    answer, gold items, answers in the order of systems (0 where there is none)."""
    there = {name for answers in samples.values() for name in answers}
    names = [name for name in systems if name in there] + sorted(there - set(systems))
    metrics = order_metrics(m for answers in samples.values() for row in answers.values() for m in _scores(row))
    questions: dict[str, int] = {}
    rows = []
    for sample, answers in samples.items():
        first = next(iter(answers.values()))
        # the prompt without the text that it asks about
        question = _cut(first["prompt"].replace(first["source_text"] or "\0", "", 1).strip())
        texts = _cut(first["source_text"], 4 * LONGEST), _cut(first["gold_answer"])
        made = [_answer(answers[name], metrics) if name in answers else 0 for name in names]
        rows.append([sample, questions.setdefault(question, len(questions)), *texts, first["gold"], made])
    return {"systems": names, "metrics": metrics, "questions": list(questions), "samples": rows}


def _scores(row: Mapping[str, Any]) -> dict[str, float]:
    scores = ((name, row["scores"].get(name)) for name in _SHOWN)
    return {name: round(value, 3) for name, value in scores if value is not None and value == value}


def _answer(row: Mapping[str, Any], metrics: Sequence[str]) -> list[Any]:
    """[scores, text, items, invented values, readable] of an answer."""
    scores, most = _scores(row), LONGEST // 4
    items = [[_cut(part) for part in item] for item in row["parsed"][:most]]
    invented = [_cut(value) for _, value in row["hallucinated"][:most]]
    readable = int(row["scores"].get("readable", 1.0) != 0)
    return [[scores.get(metric) for metric in metrics], _cut(row["answer"]), items, invented, readable]


def _cut(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … [{len(text) - longest:,} more characters cut]"

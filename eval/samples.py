"""The answers that the report's sample browser shows: chosen, shortened and packed so that 10,000 stay small."""

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
    """task -> base64 of zlib-compressed JSON, how many answers are in, how many there were, where texts were cut."""

    blobs: dict[str, str]
    kept: int
    total: int
    limit: int


def pack(samples: Iterable[Mapping[str, Any]], expected: int, systems: Sequence[str]) -> Packed:
    """Pack answers for the page; `samples` is read once, `expected` is about how many there are.

    Above MOST_ANSWERS evenly spread samples are kept, each with all its systems. Texts longer than a limit are cut, the
    limit being the largest with which everything fits into MOST_BYTES; the page says so where it happens.
    """
    every = max(1, -(-expected // MOST_ANSWERS))
    total = 0
    kept = 0
    numbers: dict[tuple[str, str], int] = {}
    seen: dict[str, int] = {}
    tasks: dict[str, dict[str, dict[str, Any]]] = {}
    for row in samples:
        total += 1
        key = (str(row["task"]), str(row["sample"]))
        if key not in numbers:
            numbers[key] = seen.get(key[0], 0)
            seen[key[0]] = numbers[key] + 1
        if numbers[key] % every:
            continue
        kept += 1
        entry = tasks.setdefault(key[0], {}).setdefault(key[1], _sample(row))
        entry["a"][str(row["system"])] = _answer(row)
    for limit in _LIMITS:
        blobs = {task: _blob(task, tasks[task], systems, limit) for task in order_tasks(tasks)}
        if sum(map(len, blobs.values())) <= MOST_BYTES:
            break
    return Packed(blobs, kept, total, limit)


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    text, prompt = str(row["source_text"]), str(row["prompt"])
    question = prompt.replace(text, "", 1).strip() if text else prompt
    return {"q": question, "t": text, "g": str(row["gold_answer"]), "G": _items(row["gold"]), "a": {}}


def _items(items: Iterable[Sequence[Any]]) -> list[list[str]]:
    return [[str(part) for part in item] for item in items]


def _answer(row: Mapping[str, Any]) -> dict[str, Any]:
    scores = {name: row["scores"][name] for name in _SHOWN if name in row["scores"]}
    return {
        "x": str(row["answer"]),
        "p": _items(row["parsed"]),
        "h": [str(item[-1]) for item in row["hallucinated"]],
        "s": {name: round(float(v), 3) for name, v in scores.items() if v is not None and v == v},
        "n": 0 if row["scores"].get("readable", 1.0) == 0 else 1,
    }


def _blob(task: str, samples: dict[str, dict[str, Any]], systems: Sequence[str], limit: int) -> str:
    """systems, metrics, questions and samples of one task; strings that repeat are stored once."""
    questions: dict[str, int] = {}
    there = {name for entry in samples.values() for name in entry["a"]}
    names = [name for name in systems if name in there] + sorted(there - set(systems))
    metrics = order_metrics(m for entry in samples.values() for answer in entry["a"].values() for m in answer["s"])
    rows = []
    for sample, entry in samples.items():
        answers = []
        for name in names:
            answer = entry["a"].get(name)
            answers.append(
                0
                if answer is None
                else [
                    _cut(answer["x"], limit),
                    [[_cut(part, limit) for part in item] for item in answer["p"][: limit // 4]],
                    [_cut(value, limit) for value in answer["h"][: limit // 4]],
                    [answer["s"].get(metric) for metric in metrics],
                    answer["n"],
                ]
            )
        question = questions.setdefault(entry["q"], len(questions))
        rows.append([sample, question, _cut(entry["t"], 4 * limit), _cut(entry["g"], limit), entry["G"], answers])
    data = {
        "task": task,
        "systems": names,
        "metrics": metrics,
        "questions": [_cut(q, limit) for q in questions],
        "samples": rows,
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 6)).decode("ascii")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} … [{len(text) - limit:,} more characters cut]"

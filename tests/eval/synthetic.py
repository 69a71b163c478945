"""Made-up scores and answers of the report's shape: systems that improve with scale, with known effects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

SYSTEMS = (
    ("skeleton", "", 0, 0.00),
    ("dictionary", "", 0, 0.30),
    ("gemma_untuned", "gemma", 0, 0.02),
    ("qwen2.5-7b", "Qwen/Qwen2.5-7B-Instruct", 0, 0.60),
    ("gemma_100", "gemma", 100, 0.45),
    ("gemma_300", "gemma", 300, 0.66),
    ("gemma_500", "gemma", 500, 0.70),
    ("gemma_1000", "gemma", 1000, 0.71),
)
PART = {"json": "field", "kge": "triple", "ner": "entity"}
NAMES = (
    "王小明",
    "林美玲",
    "陳志豪",
    "黃淑芬",
    "台北",
    "高雄",
    "量子力學",
    "黃金比例",
    "植物基飲食",
    "人工智慧",
    "清華大學",
    "光合作用",
)
LABELS = {"json": ("人物", "地點", "概念"), "kge": ("位於", "研究", "包含"), "ner": ("人名", "地名", "術語")}


def tidy_table(
    samples: int = 300,
    systems: Sequence[tuple[str, str, int, float]] = SYSTEMS,
    seed: int = 7,
    cosine: bool = True,
    topics: int = 0,
) -> pd.DataFrame:
    """A tidy table in which a system's skill drives every metric and each sample has its own difficulty.

    topics: how many sources the samples are of, each with a difficulty of its own for each system; none are named for 0.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for task, part in PART.items():
        names = [f"{task}-{number:04d}" for number in range(samples)]
        difficulty = rng.normal(0, 0.12, samples)
        gold = rng.integers(4, 14, samples)
        for system, base, scale, skill in systems:
            topic = rng.normal(0, 0.16, topics)[np.arange(samples) % topics] if topics else 0
            ease = np.clip(skill + topic + difficulty + rng.normal(0, 0.08, samples), 0, 1)
            tp = rng.binomial(gold, ease)
            pred = tp + rng.poisson(gold * (1 - ease) * 0.5)
            readable = (rng.random(samples) < 0.15 + 1.2 * ease).astype(float)
            tp, pred = tp * readable, pred * readable
            found = np.minimum(pred, tp + rng.binomial(np.maximum(pred - tp, 0).astype(int), 0.6))
            columns: dict[str, Any] = {
                "rouge1": np.clip(0.5 * ease + 0.45, 0, 1),
                "rouge2": np.clip(0.6 * ease + 0.25, 0, 1),
                "rougeL": np.clip(0.55 * ease + 0.38, 0, 1),
                "answered": np.ones(samples),
                "readable": readable,
                f"{part}_tp": tp,
                f"{part}_pred": pred,
                f"{part}_gold": gold,
                f"{part}_f1": 2 * tp / (pred + gold),
                "faithful_found": found,
                "faithful_total": pred,
                "faithfulness": found / np.maximum(pred, 1),
                "answer_chars": rng.integers(40, 400, samples),
            }
            if cosine:
                columns["cosine"] = np.clip(0.4 * ease + 0.55, 0, 1)
            if task != "kge":
                columns["json_parse_ok"] = readable
                columns["json_fence_ok"] = readable
                columns["json_repair_ok"] = np.maximum(readable, rng.random(samples) < 0.5)
                columns["schema_ok"] = readable * (rng.random(samples) < 0.9)
            for metric, values in columns.items():
                frames.append(
                    pd.DataFrame(
                        {
                            "system": system,
                            "base_model": base,
                            "scale": scale,
                            "task": task,
                            "sample": names,
                            "metric": metric,
                            "value": np.asarray(values, dtype=float),
                        }
                    )
                )
    table = pd.concat(frames, ignore_index=True)
    if topics:
        table["source"] = [f"knowledge/topic{int(name[-4:]) % topics}" for name in table["sample"]]
    return table


def summary_table(tidy: pd.DataFrame) -> pd.DataFrame:
    """One row a (system, scale, task): means, micro precision, recall and F1 from the counts, unreadable answers."""
    rows = []
    for (system, base, scale, task), part in tidy.groupby(["system", "base_model", "scale", "task"], sort=False):
        wide = part.pivot(index="sample", columns="metric", values="value")
        row: dict[str, Any] = {"system": system, "base_model": base, "scale": scale, "task": task, "samples": len(wide)}
        row["unanswered"] = int((wide["answered"] == 0).sum())
        row["invalid"] = int((wide["readable"] == 0).sum())
        for metric in wide:
            row[f"{metric}_macro" if metric.endswith("_f1") else metric] = wide[metric].mean()
        name = PART[task]
        tp, pred, gold = (wide[f"{name}_{end}"].sum() for end in ("tp", "pred", "gold"))
        row[f"{name}_precision"] = tp / pred if pred else 0.0
        row[f"{name}_recall"] = tp / gold
        row[f"{name}_f1"] = 2 * tp / (pred + gold)
        rows.append(row)
    return pd.DataFrame(rows)


def answers(tidy: pd.DataFrame, seed: int = 3, chars: int = 300, payload: str = "") -> Iterator[dict[str, Any]]:
    """One sample dict for each (task, sample, system) of a tidy table, with answers as good as its scores."""
    rng = np.random.default_rng(seed)
    scores = {
        key: dict(zip(part["metric"], part["value"], strict=True))
        for key, part in tidy.groupby(["task", "sample", "system"], sort=False)
    }
    texts: dict[tuple[str, str], tuple[str, list[list[str]]]] = {}
    for (task, sample, system), values in scores.items():
        if (task, sample) not in texts:
            words = [NAMES[i] for i in rng.permutation(len(NAMES))[:8]]
            sentences = [f"第{n + 1}段談到{word}，並說明它為何重要。" for n, word in enumerate(words)]
            text = (payload + "".join(sentences) * (1 + chars // 120))[:chars]
            gold = [[LABELS[task][i % 3], word] for i, word in enumerate(words) if word in text]
            texts[task, sample] = (text, gold)
        text, gold = texts[task, sample]
        kept = [pair for pair in gold if rng.random() < values[f"{PART[task]}_f1"]]
        invented = [[LABELS[task][0], "不存在的人"]] if rng.random() < 0.2 else []
        parsed = (kept + invented) if values["readable"] else []
        answer = _json(parsed) if values["readable"] else '{"人物": ["王小明", ' * 3
        yield {
            "system": system,
            "task": task,
            "sample": sample,
            "prompt": f"請為下文執行 NER 任務。\n{text}",
            "source_text": text,
            "gold_answer": _json(gold),
            "answer": answer + payload,
            "gold": gold,
            "parsed": parsed,
            "hallucinated": invented if values["readable"] else [],
            "scores": values,
        }


def _json(pairs: list[list[str]]) -> str:
    grouped: dict[str, list[str]] = {}
    for label, value in pairs:
        grouped.setdefault(label, []).append(value)
    return json.dumps(grouped, ensure_ascii=False)

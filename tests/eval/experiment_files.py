"""A small experiment written to a folder: five articles, three cards, and runs as a test wants them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from etlch.records import Entity, Record, Triple, dump_json, write_records, write_text
from etlch.tasks import Card, load_card

CARD = """\
name: {name}
family: made
title: {name}
language: zh-TW
format: {format}
instruction: 請做 {name}。{keys}
metrics: [rougeL, {metric}, faithfulness]
wins: [rougeL]
train: train.jsonl
test: test.jsonl
scales: [100]
"""
FORMATS = {
    "json": ("json_fields", "鍵為 {keys}", "field_f1"),
    "kge": ("triple_lines", "", "triple_f1"),
    "ner": ("json_entities", "", "entity_f1"),
}


def record(number: int) -> Record:
    """王明<n>在台北研究光學<n>。"""
    person, subject = f"王明{number}", f"光學{number}"
    text = f"{person}在台北研究{subject}。"
    at = text.index(subject)
    return Record(
        f"r-{number}",
        text,
        "zh-TW",
        entities=(
            Entity(person, "人物", ((0, len(person)),)),
            Entity("台北", "地點", ((len(person) + 1, len(person) + 3),)),
            Entity(subject, "學科", ((at, at + len(subject)),)),
        ),
        triples=(Triple(person, "研究", subject), Triple(person, "位於", "台北")),
        fields={"人物": [person], "學科": [subject], "獎項": []},
    )


class Made:
    """Cards, test and training records under one folder; `run` writes a run folder."""

    def __init__(self, root: Path, size: int = 5):
        self.root = root
        self.tasks = root / "tasks"
        self.runs = root / "runs" / "exp"
        self.records = [record(number) for number in range(size)]
        write_records(root / "test.jsonl", self.records)
        write_records(root / "train.jsonl", [record(number) for number in range(3, 9)])
        for name, (form, keys, metric) in FORMATS.items():
            text = CARD.format(name=name, format=form, keys=keys, metric=metric)
            write_text(self.tasks / f"{name}.yaml", text)

    def card(self, task: str) -> Card:
        return load_card(self.tasks / f"{task}.yaml")

    def gold(self, task: str) -> list[str]:
        return [self.card(task).answer(r) for r in self.records]

    def rows(self, task: str, answers: Sequence[str] | None = None) -> list[dict[str, str]]:
        """LlamaFactory's rows: the prompt as decoded from the chat template, the answer, the label."""
        card = self.card(task)
        texts = self.gold(task) if answers is None else answers
        return [
            {"prompt": f"system\n\nuser\n\n{card.prompt(r)}assistant\n\n", "predict": text, "label": card.answer(r)}
            for r, text in zip(self.records, texts, strict=False)
        ]

    def run(
        self,
        system: str,
        task: str,
        answers: Sequence[str] | None = None,
        lines: Sequence[str] | None = None,
        folder: str | None = None,
        **info: Any,
    ) -> Path:
        """Write a run, the gold answers unless others are given; `lines` are raw lines of the answers file."""
        target = self.runs / (folder or system) / task
        if lines is None:
            lines = [dump_json(row) for row in self.rows(task, answers)]
        write_text(target / "generated_predictions.jsonl", "".join(f"{line}\n" for line in lines))
        write_text(target / "run.json", dump_json({"system": system, "task": task, "base_model": "gemma", **info}))
        return target / "generated_predictions.jsonl"

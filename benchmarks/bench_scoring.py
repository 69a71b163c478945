"""How fast scoring is: ROUGE-L against rouge_score, a whole evaluation with its report, and many answers.

    python benchmarks/bench_scoring.py [--pairs 5] [--systems 8] [--samples 300] [--answers 10000 100000] [--jobs 1]

Prints a table. The values of both ROUGE implementations are compared to 1e-12 in the same run; a difference is an error.
Everything else is `python -m eval ...` in a process of its own, imports included, on made-up answers without embeddings.
`--answers 1000000` shows that time grows with the number of answers and memory does not.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from rouge_score.rouge_scorer import RougeScorer

from etlch.records import Entity, Record, Triple, dump_json, write_records, write_text
from etlch.tasks import Card, load_cards
from eval.metrics.rouge import char_tokens, rouge
from eval.tables import to_text

HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
LABELS = ("人物", "地點", "時間", "組織", "概念", "作品")
BASE = 300
PARTS = {"json": "json_fields", "kge": "triple_lines", "ner": "json_entities"}


class Characters:
    """The `char` tokenizer in the shape rouge_score asks for."""

    def tokenize(self, text: str) -> list[str]:
        return char_tokens(text)


def made_up_record(rng: random.Random, number: int) -> Record:
    """An article of about 600 characters with 24 entities, 14 triples and 6 fields."""
    names = ["".join(rng.choices(HAN, k=rng.randint(2, 6))) for _ in range(24)]
    pieces, entities, at = [], [], 0
    for name in names:
        filler = "".join(rng.choices(HAN, k=rng.randint(12, 28))) + "，"
        at += len(filler)
        entities.append(Entity(name, rng.choice(LABELS), ((at, at + len(name)),)))
        pieces += [filler, name]
        at += len(name)
    triples = tuple(Triple(names[n], "".join(rng.choices(HAN, k=3)), names[n + 1]) for n in range(14))
    fields = {label: names[n * 4 : n * 4 + 4] for n, label in enumerate(LABELS)}
    return Record(
        f"made-{number:06d}", "".join(pieces), "zh-TW", entities=tuple(entities), triples=triples, fields=fields
    )


def spoiled(rng: random.Random, answer: str, skill: float) -> str:
    """The gold answer with characters changed, or cut, the more often the lower the skill."""
    characters = [c if c in '{}[]",: \n' or rng.random() < skill else rng.choice(HAN) for c in answer]
    return "".join(characters)[: len(answer) if rng.random() < skill else rng.randint(0, len(answer))]


def write_experiment(folder: Path, systems: int, samples: int, seed: int) -> float:
    """Cards, records and runs; returns the mean length of an answer. Beyond BASE samples their texts repeat."""
    rng = random.Random(seed)
    for name, form in PARTS.items():
        text = f"name: {name}\nfamily: made\ntitle: {name}\nlanguage: zh-TW\nformat: {form}\ninstruction: 請擷取{{keys}}。\n"
        text += "metrics: [rougeL, faithfulness]\nwins: [rougeL]\ntrain: train.jsonl\ntest: test.jsonl\nscales: [100]\n"
        write_text(folder / "tasks" / f"{name}.yaml", text)
    records = [made_up_record(rng, number) for number in range(min(samples, BASE))]
    write_records(folder / "train.jsonl", records)
    write_records(
        folder / "test.jsonl", (replace(r, id=f"made-{n:07d}") for n, r in enumerate(_again(records, samples)))
    )
    length = 0
    cards: list[Card] = load_cards(folder / "tasks")
    for number in range(systems):
        skill = 0.5 + 0.5 * number / max(systems - 1, 1)
        for card in cards:
            lines = []
            for record in records:
                gold = card.answer(record)
                answer = spoiled(rng, gold, skill)
                length += len(answer)
                lines.append(dump_json({"prompt": card.prompt(record), "predict": answer, "label": gold}) + "\n")
            target = folder / "runs" / f"system-{number:03d}" / card.name
            write_text(target / "generated_predictions.jsonl", "".join(_again(lines, samples)))
            info = {"system": target.parent.name, "task": card.name, "base_model": "made", "scale": 100 * number}
            write_text(target / "run.json", dump_json(info))
    return length / (systems * len(records) * len(cards))


def _again(items: list, count: int) -> Iterator:
    return islice(cycle(items), count)


def timed(*arguments: str) -> tuple[float, float, float]:
    """Run `python -m eval` with arguments; seconds, seconds of CPU, and peak memory in MB of the largest process."""
    root = str(Path(__file__).resolve().parents[1])
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-m", "eval", *arguments], cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"python -m eval {' '.join(arguments)}: exit status {status}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def bench_rouge(pairs: int, seed: int) -> list[list[str]]:
    """ROUGE-L of pairs with 1,200 tokens a side, both ways; the rows of the table."""
    rng = random.Random(seed)
    left = ["".join(rng.choices(HAN[:400], k=1200)) for _ in range(pairs)]
    right = ["".join(c if rng.random() < 0.6 else rng.choice(HAN[:400]) for c in text) for text in left]
    scorer = RougeScorer(["rougeL"], tokenizer=Characters())
    slow, slow_seconds = [], []
    for reference, answer in zip(left, right, strict=True):
        start = time.perf_counter()
        slow.append(scorer.score(reference, answer)["rougeL"])
        slow_seconds.append(time.perf_counter() - start)
    fast_seconds = []
    for _ in range(100):
        start = time.perf_counter()
        fast = rouge(left, right, kinds=("rougeL",))["rougeL"]
        fast_seconds.append((time.perf_counter() - start) / pairs)
    slow_best, fast_best = min(slow_seconds), min(fast_seconds)
    worst = max(
        abs(a - b) for ours, theirs in zip(fast.tolist(), slow, strict=True) for a, b in zip(ours, theirs, strict=True)
    )
    if worst > 1e-12:
        sys.exit(f"the values differ by {worst} (expected at most 1e-12)")
    return [
        ["rouge_score, ROUGE-L, 1,200 tokens a side, fastest pair", f"{slow_best * 1e3:,.1f} ms a pair"],
        ["eval.metrics.rouge, the same pairs, fastest round", f"{fast_best * 1e3:,.3f} ms a pair"],
        ["ratio (largest difference of a value)", f"{slow_best / fast_best:,.0f} times ({worst:.0e})"],
    ]


def bench_report(systems: int, samples: int, jobs: int, seed: int) -> list[list[str]]:
    """A whole evaluation with its report, cold and again; the rows of the table."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        length = write_experiment(folder, systems, samples, seed)
        rows = []
        for command, label in (("score", "scored"), ("report", "report, cold"), ("report", "report, again")):
            out = folder / command
            arguments = ("--tasks", str(folder / "tasks"), "--out", str(out), "--jobs", str(jobs), "--no-cosine")
            seconds, _, memory = timed(command, str(folder / "runs"), *arguments)
            what = f"{systems * samples * len(PARTS):,} answers of {length:.0f} characters, {label}"
            rows.append([what, f"{seconds:.1f} s, {memory:,.0f} MB"])
    return rows


def bench_many(answers: int, jobs: int, seed: int) -> list[str]:
    """Scoring so many answers of ten systems; a row of the table."""
    systems = 10
    with TemporaryDirectory() as name:
        folder = Path(name)
        samples = max(1, answers // (systems * len(PARTS)))
        write_experiment(folder, systems, samples, seed)
        arguments = ("--tasks", str(folder / "tasks"), "--out", str(folder / "out"), "--jobs", str(jobs), "--no-cosine")
        seconds, cpu, memory = timed("score", str(folder / "runs"), *arguments)
    count = systems * samples * len(PARTS)
    return [f"{count:,} answers scored", f"{seconds:,.1f} s, {1e3 * cpu / count:.2f} ms of CPU each, {memory:,.0f} MB"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="pairs for ROUGE-L (default: %(default)s)")
    parser.add_argument("--systems", type=int, default=8, help="systems, three tasks each (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=300, help="test records a task (default: %(default)s)")
    many = {"type": int, "nargs": "*", "default": [10_000, 100_000], "metavar": "N"}
    parser.add_argument("--answers", **many, help="how many answers to score at once (default: 10000 100000)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up texts (default: %(default)s)")
    options = parser.parse_args(arguments)
    rows = bench_rouge(options.pairs, options.seed)
    rows += bench_report(options.systems, options.samples, options.jobs, options.seed)
    rows += [bench_many(count, options.jobs, options.seed) for count in options.answers]
    print(to_text(["what", json.dumps(vars(options))], rows))


if __name__ == "__main__":
    main()

"""How fast scoring is: ROUGE-L against rouge_score on the same pairs, and a whole evaluation of made-up answers.

    python benchmarks/bench_scoring.py [--pairs 5] [--systems 8] [--samples 300] [--jobs 1] [--seed 1]

Prints a table. The values of both ROUGE implementations are compared to 1e-12 in the same run; a difference is an error.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rouge_score.rouge_scorer import RougeScorer

from etlch.records import Entity, Record, Triple, dump_json, write_records, write_text
from etlch.tasks import Card, load_cards
from eval.experiment import Settings, open_experiment, score
from eval.metrics.rouge import char_tokens, rouge
from eval.terminal import table

HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
LABELS = ("人物", "地點", "時間", "組織", "概念", "作品")
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
    """Cards, records and runs; returns the mean length of an answer."""
    rng = random.Random(seed)
    for name, form in PARTS.items():
        text = f"name: {name}\nfamily: made\ntitle: {name}\nlanguage: zh-TW\nformat: {form}\ninstruction: 請擷取{{keys}}。\n"
        text += "metrics: [rougeL, faithfulness]\nwins: [rougeL]\ntrain: test.jsonl\ntest: test.jsonl\nscales: [100]\n"
        write_text(folder / "tasks" / f"{name}.yaml", text)
    records = [made_up_record(rng, number) for number in range(samples)]
    write_records(folder / "test.jsonl", records)
    length = 0
    cards: list[Card] = load_cards(folder / "tasks")
    for number in range(systems):
        skill = 0.5 + 0.5 * number / max(systems - 1, 1)
        for card in cards:
            rows = []
            for record in records:
                gold = card.answer(record)
                answer = spoiled(rng, gold, skill)
                length += len(answer)
                rows.append({"prompt": card.prompt(record), "predict": answer, "label": gold})
            target = folder / "runs" / f"system-{number:03d}" / card.name / "generated_predictions.jsonl"
            write_text(target, "".join(dump_json(row) + "\n" for row in rows))
    return length / (systems * samples * len(cards))


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


def bench_scoring(systems: int, samples: int, jobs: int, seed: int) -> list[list[str]]:
    """A whole evaluation without embeddings, cold and again; the rows of the table."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        length = write_experiment(folder, systems, samples, seed)
        rows = []
        for label in ("cold", "again, unchanged"):
            start = time.perf_counter()
            experiment = open_experiment(folder / "runs", folder / "tasks")
            score(experiment, folder / "report", Settings(jobs=jobs))
            seconds = time.perf_counter() - start
            count = sum(experiment.counts)
            rows.append([f"{count:,} answers of {length:.0f} characters, {jobs} job(s), {label}", f"{seconds:.2f} s"])
        rows.append(["peak memory", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both benchmarks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5, help="pairs for ROUGE-L (default: %(default)s)")
    parser.add_argument("--systems", type=int, default=8, help="systems, three tasks each (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=300, help="test records a task (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up texts (default: %(default)s)")
    options = parser.parse_args(arguments)
    rows = bench_rouge(options.pairs, options.seed)
    rows += bench_scoring(options.systems, options.samples, options.jobs, options.seed)
    print(table(["what", json.dumps(vars(options))], rows))


if __name__ == "__main__":
    main()

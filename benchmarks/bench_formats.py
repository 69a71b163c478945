"""How fast answers are read, by format, beside json.loads.

    python benchmarks/bench_formats.py [--records 200] [--seed 1] [--rounds 5]

Prints a table. Each record (a sentence of some forty words, eight mentions of four types, one in four within another) is
rendered in every format, and what comes back is compared with what was given: a difference is an error. `json.loads`
reads the same text as one JSON string, which is the only way it can read any text; the last column is a whole megabyte
of such answers in one, as a model that cannot stop would write it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence

from etlch.formats import FORMATS, Format, Schema
from etlch.formats.round_trip import difference
from etlch.records import Entity, Record, Triple
from eval.tables import to_text

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TYPES = ("protein", "cell_type", "cell_line", "disease")
MEGABYTE = 1_000_000


def made_up_record(rng: random.Random, number: int) -> Record:
    """A sentence of forty words with eight mentions, two of them within others, and as many triples and fields."""
    words = ["".join(rng.choices(LETTERS, k=rng.randint(2, 11))) for _ in range(40)]
    starts = [sum(len(word) + 1 for word in words[:n]) for n in range(41)]
    text = " ".join(words)
    entities = []
    for n in sorted(rng.sample(range(0, 39, 3), 6)):
        pair = (starts[n], starts[n + 2] - 1)
        entities.append(Entity(text[slice(*pair)], rng.choice(TYPES), (pair,)))
        if len(entities) % 4 == 1:
            inner = (starts[n + 1], starts[n + 2] - 1)
            entities.append(Entity(text[slice(*inner)], rng.choice(TYPES), (inner,)))
    names = [entity.text for entity in entities]
    triples = tuple(Triple(names[n], "binds", names[n + 1]) for n in range(len(names) - 1))
    fields = {kind: [e.text for e in entities if e.type == kind] for kind in TYPES}
    return Record(f"made-{number:06d}", text, "en", entities=tuple(entities), triples=triples, fields=fields)


def schema_of(form: Format) -> Schema:
    """The prompt: all four types, the first alone for a format that asks for one, none for triples."""
    if form.part == "triples":
        return Schema()
    return Schema(TYPES[:1] if form.can.types == "one" else TYPES)


def fastest(run: Callable[[], object], rounds: int) -> float:
    """CPU seconds of the fastest round (another process on the machine does not count)."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def bench(form: Format, records: Sequence[Record], rounds: int) -> list[str]:
    """The row of one format. Ends the program when an answer does not come back as it was given."""
    schema = schema_of(form)
    for record in records:
        trouble, _ = difference(form, record, schema)
        if trouble:
            sys.exit(f"{form.name}, record {record.id}: {trouble}")
    answers = [(form.render(record, schema), record.text) for record in records]
    quoted = [json.dumps(answer) for answer, _ in answers]
    ours = fastest(lambda: [form.parse(answer, schema, text) for answer, text in answers], rounds)
    theirs = fastest(lambda: [json.loads(answer) for answer in quoted], rounds)
    joined = "\n".join(answer for answer, _ in answers)
    endless = (joined * (MEGABYTE // len(joined) + 1))[:MEGABYTE]
    megabyte = fastest(lambda: form.parse(endless, schema, answers[0][1]), 1)
    return [
        form.name,
        f"{sum(len(answer) for answer, _ in answers) / len(answers):,.0f}",
        f"{len(answers) / ours:,.0f}",
        f"{len(answers) / theirs:,.0f}",
        f"{ours / theirs:,.1f}",
        f"{megabyte:.2f} s",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark over all formats and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=200, help="made-up sentences (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up texts (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="the fastest of so many counts (default: %(default)s)")
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)
    records = [made_up_record(rng, number) for number in range(options.records)]
    head = ["format", "characters", "answers a second", "json.loads, same text", "times slower", "1 MB answer"]
    print(to_text(head, [bench(form, records, options.rounds) for form in FORMATS.values()]))


if __name__ == "__main__":
    main()

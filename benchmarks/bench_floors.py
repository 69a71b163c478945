"""Entity F1 of the floors `dictionary` and `crf` by scale: how many training samples buy what without a language model.

    python benchmarks/bench_floors.py data/etlch/train.jsonl data/etlch/test.jsonl [--scales 100 300 500 1000]
    python benchmarks/bench_floors.py data/etlch/train.jsonl [--set c1=0.3]     # a fifth of the training sources held out

Records as `etlch import` writes them. F1 is micro F1 of the distinct (surface, type) of each text, as the card `ner` is scored.
Without a test file nothing of it is looked at: this is how the settings of etlch/infer/crf.py were chosen; `--set` tries
another. Seconds are of one core's time, training and answering.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

from etlch.infer import crf
from etlch.infer.floors import Crf, Dictionary
from etlch.records import Record, read_records
from eval.tables import to_text


def held_out(records: list[Record], seed: int) -> tuple[list[Record], list[Record]]:
    """(training, validation): a fifth of the sources, and the records that are made of them alone; no source is on both sides."""
    sources = {record.id: set(record.source.split("+")) if record.source else {record.id} for record in records}
    every = sorted(set().union(*sources.values()))
    kept = set(random.Random(seed).sample(every, len(every) // 5))
    training = [record for record in records if not sources[record.id] & kept]
    return training, [record for record in records if sources[record.id] <= kept]


def scores(floor: Dictionary, records: list[Record]) -> list[str]:
    """Precision, recall and F1 in percent."""
    found = [
        [{(e.text, e.type) for e in entities} for entities in (floor.mentions(record.text), record.entities)]
        for record in records
    ]
    hits, answered, gold = (sum(map(len, sets)) for sets in zip(*((a & b, a, b) for a, b in found), strict=True))
    rates = (hits / max(answered, 1), hits / max(gold, 1), 2 * hits / max(answered + gold, 1))
    return [f"{100 * rate:.1f}" for rate in rates]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path, nargs="?")
    parser.add_argument("--scales", type=int, nargs="+", default=[100, 300, 500, 1000])
    parser.add_argument("--seed", type=int, default=0, help="of the sources that are held out (default: %(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="another setting of CRFsuite")
    options = parser.parse_args()
    crf.SETTINGS.update((key, float(value)) for key, value in (setting.split("=") for setting in options.set))
    train, test = list(read_records(options.train)), options.test and list(read_records(options.test))
    if test is None:
        train, test = held_out(train, options.seed)
    print(f"{len(train):,} training records, {len(test):,} answered")
    rows = []
    for scale in sorted({min(scale, len(train)) for scale in options.scales}):
        for floor in (Dictionary, Crf):
            start = time.process_time()
            result = scores(floor(train[:scale]), test)
            rows.append([f"{scale:,}", floor.__name__.lower(), *result, f"{time.process_time() - start:.1f}"])
    print(to_text(["samples", "floor", "precision", "recall", "F1", "seconds"], rows))


if __name__ == "__main__":
    main()

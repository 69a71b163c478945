"""Corpora -> the LlamaFactory datasets of one draw of an experiment, in a folder that git ignores: corpora may not be ours.

    train[_<card>][_<variant>][_<scale>].json   dev...json   test_<test>.json     rows (etlch/examples/rows.py)
    records.jsonl                                                                the gold of dev and test
    dataset_info.json   plan.json                                                the registry; what was drawn, and what left out

The same draw of the same corpora gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from etlch.corpora import SPLITS, FoundCorpus
from etlch.errors import EtlchError
from etlch.examples import asking, context, deal, rows
from etlch.examples.rows import Row
from etlch.experiments import Cell, Experiment, Variant
from etlch.formats import Format
from etlch.records import Record, dump_json, write_text
from etlch.tasks import Card

PLAN, RECORDS, REGISTRY = "plan.json", "records.jsonl", "dataset_info.json"


def set_name(split: str, variant: str, scale: int = 0) -> str:
    """The registry name of a training (or validation) set."""
    return "_".join(filter(None, (split, variant, str(scale or ""))))


def test_name(experiment: Experiment, card: Card, form: Format, variant: str) -> str:
    """The name of a test: what its run folders are called."""
    parts = [card.name.replace("/", "-")] if len(experiment.cards) > 1 or len(card.formats) == 1 else []
    return "_".join([*parts, *([form.name] if len(card.formats) > 1 else []), *([variant] if variant else [])])


def tests_of(cell: Cell) -> list[str]:
    """The registry names of the test sets that a cell is asked, as far as they were drawn."""
    experiment = cell.experiment
    known = json.loads((experiment.data(cell.draw) / REGISTRY).read_text(encoding="utf-8"))
    names = [
        f"test_{test_name(experiment, card, form, variant)}"
        for card in experiment.load_cards()
        for form in cell.formats(card)
        for variant in experiment.test_with or {"": Variant()}
    ]
    return [name for name in names if name in known]


@dataclass(frozen=True, slots=True)
class Taken:
    """What one draw takes of a corpus."""

    name: str
    types: tuple[str, ...]
    discontinuous: bool
    splits: dict[str, list[Record]]


def draw(experiment: Experiment, corpora: Sequence[FoundCorpus], number: int) -> dict[str, str]:
    """Every file of a draw: name -> text. Raises EtlchError for a training set that none of the corpora gives a row."""
    drawn = [_sampled(experiment, loaded, number) for loaded in corpora]
    cards = experiment.load_cards()
    made: dict[str, list[Row]] = {}
    counts: dict[str, dict[str, Counter[str]]] = {}
    for split in ("train", "dev") if experiment.choose else ("train",):
        for name in experiment.variants if any(system.train for system in experiment.systems.values()) else ():
            for scale in (experiment.scales if split == "train" else ()) or (0,):
                stem = set_name(split, name, scale)
                made[stem] = [
                    row for card in cards for row in _mixed(experiment, card, drawn, number, name, split, scale, counts)
                ]
                if not made[stem]:
                    here = ", ".join(corpus.name for corpus in drawn)
                    raise EtlchError(f"{stem}: nothing of {here} can be written in it (discontinuous mentions?)")
    for card in cards:
        wanted = {name for variant in experiment.variants.values() for name in variant.formats}
        for form in (form for form in card.formats if not wanted or form.name in wanted):
            for variant, how in (experiment.test_with or {"": Variant()}).items():
                stem = f"test_{test_name(experiment, card, form, variant)}"
                made[stem] = _asked(experiment, card, form, how, drawn, number)
    made = {stem: _with_history(found) for stem, found in made.items() if found}
    files = {f"{stem}.json": rows.to_text(found) for stem, found in made.items()}
    gold = [record for split in ("dev", "test") for corpus in drawn for record in corpus.splits.get(split, ())]
    _demand_ids(gold)
    files[RECORDS] = "".join(dump_json(record.to_json()) + "\n" for record in gold)
    entries = {
        stem: rows.entry(f"{stem}.json", found[0].history is not None, _test_of(stem)) for stem, found in made.items()
    }
    files[REGISTRY] = json.dumps(entries, indent=2) + "\n"
    files[PLAN] = dump_json(_plan(experiment, cards, drawn, number, counts, files), indent=2) + "\n"
    return files


def _test_of(stem: str) -> str:
    split, _, name = stem.partition("_")
    return {"test": name, "dev": "dev"}.get(split, "")


def _with_history(found: list[Row]) -> list[Row]:
    """The rows of one file: where one has a history, all have the column."""
    if all(row.history is None for row in found):
        return found
    return [replace(row, history=row.history or ()) for row in found]


def _sampled(experiment: Experiment, loaded: FoundCorpus, number: int) -> Taken:
    corpus, limits = loaded.corpus, experiment.limits
    most = {"train": limits.train or (max(experiment.scales) if experiment.scales else None)}
    most |= {"dev": limits.dev, "test": limits.test}
    splits = {
        split: deal.sample(loaded.splits[split], most[split], f"{experiment.seed}/{number}/{corpus.name}/{split}")
        for split in SPLITS
        if split in loaded.splits
    }
    lacking = [scale for scale in experiment.scales if scale > len(splits.get("train", ()))]
    if lacking:
        raise EtlchError(
            f"{corpus.name}: found {len(splits.get('train', ()))} training records (expected {lacking[0]})"
        )
    return Taken(corpus.name, corpus.types, corpus.discontinuous, splits)


def _mixed(
    experiment: Experiment,
    card: Card,
    drawn: Sequence[Taken],
    number: int,
    name: str,
    split: str,
    scale: int,
    counts: dict[str, dict[str, Counter[str]]],
) -> list[Row]:
    """The rows of a training set; validation rows of a conversation are expanded to one a type, as its test rows are."""
    variant = experiment.variants[name]
    made: list[Row] = []
    for corpus in drawn:
        formats = deal.compatible(_formats(card, variant), corpus.discontinuous)
        if not formats:
            continue
        key = f"{experiment.seed}/{number}/{corpus.name}/{split}/{name}"
        records = corpus.splits.get(split, [])[: scale or None]
        found: list[Row] = []
        for record, row in deal.dealt(records, card, formats, corpus.types, corpus.name, experiment.seed, key):
            counts.setdefault(f"{split}_{name}", {}).setdefault(corpus.name, Counter())[row.format] += 1
            if split == "dev" and row.form.can.types == "one a turn":
                found += asking.testing(card, record, row.form, corpus.types, corpus.name, experiment.seed)
            else:
                found.append(row)
        made += context.with_examples(found, variant, corpus.splits["train"], card, corpus.types, key)
    return made


def _formats(card: Card, variant: Variant) -> list[Format]:
    """A variant's formats of a card, in its order; all of the card's where it names none."""
    known = {form.name: form for form in card.formats}
    return [known[name] for name in variant.formats if name in known] if variant.formats else list(card.formats)


def _asked(
    experiment: Experiment, card: Card, form: Format, how: Variant, drawn: Sequence[Taken], number: int
) -> list[Row]:
    made: list[Row] = []
    for corpus in drawn:
        if not deal.compatible((form,), corpus.discontinuous):
            continue
        found = [
            row
            for record in corpus.splits.get("test", ())
            for row in asking.testing(
                card, record, form, card.keys(record, corpus.types, experiment.seed), corpus.name, experiment.seed
            )
        ]
        key = f"{experiment.seed}/{number}/{corpus.name}/test"
        made += context.with_examples(found, how, corpus.splits.get("train", ()), card, corpus.types, key)
    return made


def _demand_ids(records: Sequence[Record]) -> None:
    again = [name for name, count in Counter(record.id for record in records).items() if count > 1]
    if again:
        raise EtlchError(f"found {again[0]!r} in {len(again)} places of the corpora (expected ids of their own)")


def _plan(
    experiment: Experiment,
    cards: Sequence[Card],
    drawn: Sequence[Taken],
    number: int,
    counts: dict[str, dict[str, Counter[str]]],
    files: dict[str, str],
) -> dict[str, object]:
    formats = dict.fromkeys(form for card in cards for form in card.formats)
    return {
        "made_by": "etlch run",
        "seed": experiment.seed,
        "draw": number,
        "corpora": {
            corpus.name: {"types": list(corpus.types), "discontinuous": corpus.discontinuous}
            | {split: len(records) for split, records in corpus.splits.items()}
            for corpus in drawn
        },
        "excluded": [
            [corpus.name, form.name]
            for corpus in drawn
            for form in formats
            if not deal.compatible((form,), corpus.discontinuous)
        ],
        "examples": counts,
        "sha256": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(files.items())},
    }


def write(files: dict[str, str], folder: Path) -> int:
    """Write what differs; returns how many files that were."""
    written = 0
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)
            written += 1
    return written

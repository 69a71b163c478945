"""Corpora -> LlamaFactory datasets of one draw, in a folder of its own that git ignores: the corpora are not ours.

train_<mix>.json   dev_<mix>.json   test_<format>.json     LlamaFactory rows
test.jsonl   dev.jsonl                                      the gold, as Records whose theme names the corpus
dataset_info.json   plan.json                               the registry; what was drawn, and what was left out
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from etlch import corpora
from etlch.errors import EtlchError
from etlch.mfner import mixes, prompts
from etlch.mfner.mixes import Dataset
from etlch.mfner.prompts import Row
from etlch.records import dump_json, write_text

SEED = 20260327
PLAN = "plan.json"
COLUMNS = {"prompt": "instruction", "query": "input", "response": "output"}
KNOWLEDGE = Path("data/knowledge")


@dataclass(frozen=True, slots=True)
class Limits:
    """The most records of a corpus in each split (section 4.4)."""

    train: int = 10_000
    dev: int = 200
    test: int = 300


def knowledge(folder: Path = KNOWLEDGE) -> Dataset:
    """The offline corpus: `corpora/knowledge_biomedical.yaml`."""
    (corpus,) = corpora.find(["knowledge_biomedical"])
    loaded = corpora.load(replace(corpus, folder=str(folder)))
    return Dataset(corpus.name, corpus.types, corpus.discontinuous, loaded.splits)


def from_corpora(names: Sequence[str], root: Path) -> tuple[list[Dataset], list[str]]:
    """The corpora below the root that have all three splits, and a line about each that has not.

    Raises EtlchError when one that was named is not there or not whole, and when there is none at all.
    """
    found: list[Dataset] = []
    lacking: list[str] = []
    for corpus in corpora.find(names):
        if corpus.folder and not names:  # this repository's own
            continue
        if not corpus.is_there(root):
            lacking.append(f"{corpus.name}: not in {corpus.place(root)}")
            continue
        loaded = corpora.load(corpus, root)
        if loaded.missing:
            lacking.append(f"{corpus.name}: {loaded.missing[0]}")
            continue
        found.append(Dataset(corpus.name, corpus.types, corpus.discontinuous, loaded.splits))
    if not found or (names and lacking):
        reasons = "; ".join(lacking)
        raise EtlchError(
            f"no corpus to train on ({reasons}); `etlch corpora` says where to get them, --corpora knowledge needs none"
        )
    return found, lacking


def draw(datasets: Sequence[Dataset], number: int, names: Sequence[str], limits: Limits) -> dict[str, str]:
    """Every file of a draw: name -> text. The same draw of the same corpora gives the same bytes.

    Raises EtlchError for a mix none of whose formats goes with any of the corpora.
    """
    drawn = [_sampled(dataset, number, limits) for dataset in datasets]
    formats = [name for name in prompts.TWELVE if any(name in mixes.mix(mix) for mix in names)]
    rows: dict[str, list[Row]] = {}
    counts: dict[str, dict[str, Counter[str]]] = {}
    for mix in names:
        for split in ("train", "dev"):
            rows[f"{split}_{mix}"] = _mixed(drawn, number, mix, split, counts)
            if not rows[f"{split}_{mix}"]:
                corpora_here = ", ".join(dataset.name for dataset in drawn)
                raise EtlchError(
                    f"mix {mix!r}: nothing of {corpora_here} can be written in it ({split}; discontinuous mentions?)"
                )
    for name in formats:
        rows[f"test_{name}"] = [
            prompts.row(question, name, record, history=False)
            for dataset in drawn
            if mixes.compatible((name,), dataset)
            for record in dataset.splits["test"]
            for question in prompts.asked(name, record, dataset.name, dataset.types)
        ]
    files = {f"{name}.json": _json(content) for name, content in rows.items() if content}
    for split in ("dev", "test"):
        gold = (replace(r, theme=dataset.name) for dataset in drawn for r in dataset.splits[split])
        files[f"{split}.jsonl"] = "".join(dump_json(record.to_json()) + "\n" for record in gold)
    registry = {registered(name): _entry(name, content[0]) for name, content in rows.items() if content}
    files["dataset_info.json"] = json.dumps(registry, indent=2) + "\n"
    files[PLAN] = dump_json(_plan(drawn, number, names, formats, limits, counts, files), indent=2) + "\n"
    return files


def registered(stem: str) -> str:
    """`test_multi_term` -> `mfner_multi-term_test`, a name that etlch.infer.predict can take apart; others stay."""
    split, _, rest = stem.partition("_")
    task = rest.replace("_", "-")
    return {"test": f"mfner_{task}_test", "dev": f"mfner_dev-{task}_test"}.get(split, stem)


def _entry(name: str, row: Row) -> dict[str, object]:
    columns = COLUMNS | ({"history": "history"} if "history" in row else {})
    return {"file_name": f"{name}.json", "columns": columns}


def _sampled(dataset: Dataset, number: int, limits: Limits) -> Dataset:
    splits = {
        split: mixes.sample(dataset.splits[split], getattr(limits, split), f"{SEED}/{number}/{dataset.name}/{split}")
        for split in corpora.SPLITS
    }
    return replace(dataset, splits=splits)


def _mixed(
    drawn: Sequence[Dataset], number: int, mix: str, split: str, counts: dict[str, dict[str, Counter[str]]]
) -> list[Row]:
    """The rows of a mix; validation rows of conv_term are expanded to one a type, as its test rows are."""
    rows: list[Row] = []
    history = split == "train" and prompts.CONVERSATION in mixes.mix(mix)
    for dataset in drawn:
        formats = mixes.compatible(mixes.mix(mix), dataset)
        if not formats:
            continue
        key = f"{SEED}/{number}/{dataset.name}/{split}/{mix}"
        for name, record, question in mixes.dealt(dataset.splits[split], formats, dataset, key):
            counts.setdefault(f"{split}_{mix}", {}).setdefault(dataset.name, Counter())[name] += 1
            questions = [question]
            if split == "dev" and name == prompts.CONVERSATION:
                questions = prompts.asked(name, record, dataset.name, dataset.types)
            rows += [prompts.row(q, name, record, history) for q in questions]
    return rows


def _json(rows: Sequence[Row]) -> str:
    return "[\n" + ",\n".join(map(dump_json, rows)) + "\n]\n"


def _plan(
    drawn: Sequence[Dataset],
    number: int,
    names: Sequence[str],
    formats: Sequence[str],
    limits: Limits,
    counts: dict[str, dict[str, Counter[str]]],
    files: dict[str, str],
) -> dict[str, object]:
    return {
        "made_by": "etlch mfner build",
        "seed": SEED,
        "draw": number,
        "limits": {split: getattr(limits, split) for split in corpora.SPLITS},
        "mixes": {mix: list(mixes.mix(mix)) for mix in names},
        "formats": list(formats),
        "corpora": {
            d.name: {"types": list(d.types), "discontinuous": d.discontinuous}
            | {split: len(d.splits[split]) for split in corpora.SPLITS}
            for d in drawn
        },
        "excluded": [[d.name, f] for d in drawn for f in formats if not mixes.compatible((f,), d)],
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

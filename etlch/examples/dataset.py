"""`make data`: knowledge base and task cards -> records, LlamaFactory rows, dataset_info.json, data card, manifest.

The same input gives the same bytes. Everything is made in memory and compared with, or written over, what is there.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from etlch.errors import EtlchError, ManyErrors
from etlch.examples import deal, rows
from etlch.examples.deal import SEED
from etlch.knowledge import datacard, leakage
from etlch.knowledge.compose import compose
from etlch.knowledge.paragraphs import paragraphs
from etlch.knowledge.topics import load_topics
from etlch.records import Record, dump_json, read_records, write_text
from etlch.tasks import Card, load_cards

TRAIN_RECORDS, TEST_RECORDS = 1000, 300
KNOWLEDGE = Path("data/knowledge")
ETLCH_TRAIN, ETLCH_TEST = Path("data/etlch/train.jsonl"), Path("data/etlch/test.jsonl")
SHORT = {"zh-TW": ("", 300, 150), "en": ("_en", 100, 75)}  # language -> name, paragraphs for training and for the test
REGISTRY = Path("dataset_info.json")
MANIFEST = Path("data/manifest.json")
DATA_CARD = Path("data/README.md")

Files = dict[Path, str]


def build(root: Path, tasks: Path | None = None) -> Files:
    """Every file that `make data` writes, as path (relative to root) -> text. Reads only; raises EtlchError."""
    files: Files = {}
    topics = load_topics(root / KNOWLEDGE)
    train = compose(topics, "train", TRAIN_RECORDS, "etlch-train", SEED)
    test = compose(topics, "test", TEST_RECORDS, "etlch-test", SEED)
    records = {ETLCH_TRAIN: train, ETLCH_TEST: test}
    for lang, (name, trained, tested) in SHORT.items():
        for split, count in (("train", trained), ("test", tested)):
            records[Path(f"data/short/{split}{name}.jsonl")] = paragraphs(
                topics, split, lang, count, f"short-{split}{name}", SEED
            )
    for path, those in records.items():
        files[path] = "".join(dump_json(record.to_json()) + "\n" for record in those)
    leak = _demand_no_leak(records)
    cards = load_cards(tasks or root / "tasks", built=True)
    registry: dict[str, dict] = {}
    for card in cards:
        files |= task_files(card, root, records, registry)
    files[REGISTRY] = json.dumps(registry, indent=2, ensure_ascii=True) + "\n"
    files[DATA_CARD] = datacard.write(topics, records, cards, leak)
    files[MANIFEST] = _manifest(files)
    return files


def _demand_no_leak(records: dict[Path, list[Record]]) -> leakage.Leakage:
    """Compare each test set with the training set beside it; returns what the largest one shares: nothing. Raises ManyErrors."""
    for path, those in records.items():
        if path.name.startswith("test"):
            found = leakage.measure(records[path.with_name(path.name.replace("test", "train"))], those)
            if not found.clean:
                raise ManyErrors([f"{path}: the test set leaks into the training set:", *found.examples])
    return leakage.measure(records[ETLCH_TRAIN], records[ETLCH_TEST])


def task_files(card: Card, root: Path, made: dict[Path, list[Record]], registry: dict[str, dict]) -> Files:
    """The LlamaFactory files of one card, one a scale and one for the test set; registers them."""
    train = _records(card.train, root, made)
    test = _records(card.test, root, made)
    if card.scales and len(train) < card.scales[-1]:
        raise EtlchError(f"{card.train}: found {len(train)} records (task {card.name!r} wants scale {card.scales[-1]})")
    parts: list[tuple[int | str, list[Record]]] = [(scale, train[:scale]) for scale in card.scales]
    parts.append(("test", test))
    lines = {record.id: dump_json(deal.one(card, record).to_json()) for record in (*train, *test)}
    files: Files = {}
    for part, subset in parts:
        path = Path("data") / card.family / f"{card.stem}_{part}.json"
        files[path] = rows.as_file(lines[record.id] for record in subset)
        registry[card.dataset(part)] = rows.entry(
            path.as_posix(), test=card.name.replace("/", "-") if part == "test" else ""
        )
    return files


def _records(path: Path, root: Path, made: dict[Path, list[Record]]) -> list[Record]:
    if path not in made:
        made[path] = list(read_records(root / path))
    return made[path]


def _manifest(files: Files) -> str:
    sums = {
        path.as_posix(): {"sha256": hashlib.sha256(text.encode()).hexdigest(), "bytes": len(text.encode())}
        for path, text in sorted(files.items())
    }
    return json.dumps({"made_by": "make data", "seed": SEED, "files": sums}, indent=2) + "\n"


def stale(files: Files, root: Path) -> list[str]:
    """The files that are missing or differ from what would be written."""
    out = []
    for path, text in files.items():
        try:
            if (root / path).read_bytes() != text.encode():
                out.append(f"{path}: differs from what `make data` writes")
        except OSError:
            out.append(f"{path}: missing")
    return out


def write(files: Files, root: Path) -> list[Path]:
    """Write what differs, and print what the data is like; returns the paths written."""
    print(datacard.digest(files[DATA_CARD]))
    written = []
    for path, text in files.items():
        target = root / path
        if not target.is_file() or target.read_bytes() != text.encode():
            write_text(target, text)
            written.append(path)
    return written

"""`make data`: knowledge base and task cards -> records, LlamaFactory rows, dataset_info.json, data card, manifest.

The same input gives the same bytes. Everything is made in memory and compared with, or written over, what is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from etlch.errors import EtlchError, ManyErrors
from etlch.examples import deal, rows
from etlch.examples.deal import SEED
from etlch.knowledge import content, datacard, leakage, relations
from etlch.knowledge.compose import MAX_USES, compose
from etlch.knowledge.paragraphs import paragraphs
from etlch.knowledge.topics import TYPES_OF, Topic, load_topics
from etlch.records import Record, dump_json, read_records, write_text
from etlch.tasks import Card, load_cards

KNOWLEDGE = Path("data/knowledge")
ARTICLES = {  # folder -> language, articles for training, validation and the test
    "etlch": ("zh-TW", {"train": 1000, "validation": 100, "test": 300}),
    "etlch_en": ("en", {"train": 300, "validation": 40, "test": 100}),
}
SHORT = {"zh-TW": ("", 300, 150), "en": ("_en", 100, 75)}  # language -> name, paragraphs for training and for the test
GROWTH = {100: 4, 500: 1.4}  # how many times as many distinct triples as a smaller set the largest has
TYPE_KEYS = 0.25  # at most this share of the JSON keys are entity types
REGISTRY = Path("dataset_info.json")
MANIFEST = Path("data/manifest.json")
DATA_CARD = Path("data/README.md")

Files = dict[Path, str]


@dataclass(frozen=True, slots=True)
class Base:
    """The knowledge base and the records that are made of it, by file."""

    topics: list[Topic]
    known: relations.Relations
    records: dict[Path, list[Record]]
    leak: leakage.Leakage


def base(root: Path) -> Base:
    """Compose every set of records. Raises EtlchError, and ManyErrors where two splits share something."""
    topics, known = load_topics(root / KNOWLEDGE), relations.load(root / KNOWLEDGE)
    records: dict[Path, list[Record]] = {}
    for folder, (lang, counts) in ARTICLES.items():
        for split, count in counts.items():
            name = f"{folder.replace('_', '-')}-{split}"
            records[Path(f"data/{folder}/{split}.jsonl")] = compose(topics, known, split, lang, count, name, SEED)
    for lang, (name, trained, tested) in SHORT.items():
        for split, count in (("train", trained), ("test", tested)):
            records[Path(f"data/short/{split}{name}.jsonl")] = paragraphs(
                topics, known, split, lang, count, f"short-{split}{name}", SEED
            )
    return Base(topics, known, records, _demand_no_leak(records))


def build(root: Path, tasks: Path | None = None, of: Base | None = None) -> Files:
    """Every file that `make data` writes, as path (relative to root) -> text. Reads only; raises EtlchError."""
    of = of or base(root)
    records = dict(of.records)
    files: Files = {
        path: "".join(dump_json(record.to_json()) + "\n" for record in those) for path, those in records.items()
    }
    cards = load_cards(tasks or root / "tasks", built=True)
    registry: dict[str, dict] = {}
    for card in cards:
        files |= task_files(card, root, records, registry)
    files[REGISTRY] = json.dumps(registry, indent=2, ensure_ascii=True) + "\n"
    files[DATA_CARD] = datacard.write(of.topics, of.known, records, cards, of.leak, root / KNOWLEDGE)
    files[MANIFEST] = _manifest(files)
    return files


def _demand_no_leak(records: dict[Path, list[Record]]) -> leakage.Leakage:
    """Compare the splits of each family and language pair by pair; returns what those of the first share: nothing. Raises
    ManyErrors."""
    found = []
    for (one, these), (other, those) in combinations(records.items(), 2):
        if one.parent == other.parent and ("_en" in one.name) == ("_en" in other.name):
            found.append(leakage.measure(these, those))
            if not found[-1].clean:
                raise ManyErrors([f"{other}: leaks into {one}:", *found[-1].examples])
    return found[0]


def broken(of: Base) -> list[str]:
    """The promises of the data card that do not hold: gold against the table of relations, content by scale, JSON keys."""
    return [*relations.problems(of.topics, of.known), *_broken(of)]


def _broken(of: Base) -> Iterator[str]:
    if (share := of.known.share(of.topics)) < relations.SHARE:
        yield f"{KNOWLEDGE}: {share:.1%} of the triples are of a theme's schema (expected {relations.SHARE:.0%})"
    topics = {topic.slug: topic for topic in of.topics}
    for folder, (lang, _) in ARTICLES.items():
        path = Path(f"data/{folder}/train.jsonl")
        train = of.records[path]
        found = content.measure(train, topics)
        if found.uses > MAX_USES:
            yield f"{path}: a wording stands in {found.uses} articles (expected at most {MAX_USES})"
        for scale, times in GROWTH.items() if lang == "zh-TW" else ():
            few = content.measure(train[:scale], topics).distinct
            if found.distinct < times * few:
                yield f"{path}: {found.distinct} distinct triples, {few} in the first {scale} (expected {times} times)"
        keys = [key for record in train for key in record.fields]
        if sum(key in TYPES_OF[lang] for key in keys) > TYPE_KEYS * len(keys):
            yield f"{path}: too many keys are entity types (expected at most {TYPE_KEYS:.0%})"


def task_files(card: Card, root: Path, made: dict[Path, list[Record]], registry: dict[str, dict]) -> Files:
    """The LlamaFactory files of one card, one a scale, for validation and for the test; registers them."""
    train = _records(card.train, root, made)
    if card.scales and len(train) < card.scales[-1]:
        raise EtlchError(f"{card.train}: found {len(train)} records (task {card.name!r} wants scale {card.scales[-1]})")
    parts: dict[int | str, list[Record]] = {scale: train[:scale] for scale in card.scales}
    if card.validation:
        parts["validation"] = _records(card.validation, root, made)
    parts["test"] = _records(card.test, root, made)
    lines = {r.id: dump_json(deal.one(card, r).to_json()) for subset in list(parts.values())[::-1] for r in subset}
    files: Files = {}
    for part, subset in parts.items():
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

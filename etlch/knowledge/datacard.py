"""The data card (data/README.md), computed from what was built."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from etlch.knowledge.leakage import NGRAM, Leakage, sentences
from etlch.knowledge.topics import THEMES, TYPES, Topic, by_language
from etlch.records import Record
from etlch.tasks import Card

Row = tuple[object, ...]


def write(topics: list[Topic], records: dict[Path, list[Record]], cards: list[Card], leak: Leakage) -> str:
    """The whole card as Markdown."""
    etlch = {path.stem: rows for path, rows in records.items() if path.parent.name == "etlch"}
    sets = _scales(etlch["train"], cards) | etlch
    short = {f"short/{path.stem}": rows for path, rows in records.items() if path.parent.name == "short"}
    parts = [
        INTRODUCTION,
        "## Knowledge base\n",
        _table(("", *by_language(topics)), _summaries(topics)),
        _table(("theme", "train topics", "test topics"), _themes(topics)),
        "The articles are composed from the Chinese topics, the short texts from both.\n",
        "## Articles\n",
        ARTICLES,
        _table(
            ("set", "articles", "characters: least", "quartile", "median", "quartile", "most", "sentences"),
            _lengths(sets | short),
        ),
        SHORT,
        "## Overlap between articles of a set\n",
        OVERLAP,
        _table(
            ("set", "different sentences", "repeated", "nearest: quartile", "median", "quartile"),
            _overlaps(sets | short),
        ),
        "## Gold\n",
        _table(("entity type", *etlch), _type_counts(etlch)),
        _table(("relation (the 25 most frequent)", *etlch), _relation_counts(etlch)),
        _table(("JSON key (the 25 most frequent)", *etlch), _key_counts(etlch)),
        "## Tasks\n",
        _table(
            ("task", "format", "question, characters (median)", "answer, characters (median)", "answer (most)"),
            _tasks(cards, records),
        ),
        "## Leakage\n",
        f"Training against test, checked by `make data` on every build for each pair of sets, which fails unless all are 0: shared topics {leak.topics}, "
        f"shared sentences {leak.sentences}, the same after normalisation {leak.normalised}, shared {NGRAM}-grams of characters "
        f"{leak.ngrams}.\n",
        LIMITS,
    ]
    return "\n".join(parts)


def digest(card: str) -> str:
    """What a build reports, out of the card it wrote: lengths, overlap, frequencies, leakage."""
    sections = re.split(r"(?m)^(?=## )", card)
    return "".join(section for section in sections if section.startswith(REPORTED)).rstrip()


REPORTED = ("## Articles", "## Overlap", "## Gold", "## Leakage")

INTRODUCTION = """# Data card

Made by `make data` from `data/knowledge/` (topics written for this project) and `tasks/*.yaml`; deterministic, checksums
in `manifest.json`. Licence: CC-BY-4.0. Languages: Traditional Chinese (Taiwan); English in the files with `en` in their names.

| file | what |
|---|---|
| `knowledge/*.yaml` | one topic each: sentences, some with a second wording, entities marked inline, triples |
| `etlch/train.jsonl`, `etlch/test.jsonl` | Records: article, entities with offsets, triples, and the fields the JSON task asks for |
| `etlch/<task>_<scale>.json` | LlamaFactory alpaca rows; the set of 100 is the beginning of the set of 300, and so on |
| `etlch/<task>_test.json` | the same for the test set |
| `short/train.jsonl`, `short/test.jsonl`; `short/train_en.jsonl`, `short/test_en.jsonl` | Records: two or three neighbouring sentences |
| `short/<task>_<scale>.json`, `short/<task>_test.json` | the rows of the tasks on short texts, `entities`, `triples`, `fields` and `-en` |
"""

ARTICLES = """An article keeps sentences of one topic (or of two of the same theme) in reading order and takes one wording of each. Topics
are dealt out evenly. The three tasks share the articles, as views of the same record. Train and validation together are the
sizes of the paper; a config takes its validation rows from them with `val_size`.
"""

SHORT = """A short text is a piece of one topic: the topic's sentences are cut in neighbouring twos and threes, each in one wording, and topics are
dealt out in turn. Chinese pieces share no sentence; English topics are too few for a hundred, so that some of their sentences come twice.
"""

OVERLAP = """Repeated: the share of the sentences that stand, in the same wording, in another article of the same set too. Nearest: the
share of an article's sentences that one other article has as well, for the article with which it shares most. Articles are
composed from a finite base, so a larger set repeats more: it adds combinations and wordings, not only facts.
"""

LIMITS = """## Limits

- The texts are encyclopaedic and written in one style; scores here say little about chat, forms, tables or noisy scans.
- Facts were written from general knowledge and not checked against sources one by one: train extraction on them, do not
  quote them.
- The JSON task's keys are entity types and relations that recur in the knowledge base, so that every value list is complete;
  the paper's keys were free.
- A relation that a sentence states but its author did not list is missing from the gold of KGE.
- The paper's own data is not public; nothing here is taken from it except the prompts printed in it.
"""


def _table(head: tuple[str, ...], rows: list[Row]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(f"{c:,}" if isinstance(c, int) else str(c) for c in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _summaries(topics: list[Topic]) -> list[Row]:
    counts = by_language(topics)
    return [(name, *(of_one[name] for of_one in counts.values())) for name in counts["zh-TW"]]


def _themes(topics: list[Topic]) -> list[Row]:
    counts = Counter((t.theme, t.split) for t in topics if t.lang == "zh-TW")
    return [(theme, counts[theme, "train"], counts[theme, "test"]) for theme in THEMES]


def _scales(train: list[Record], cards: list[Card]) -> dict[str, list[Record]]:
    """The beginnings of the training set that tasks train on."""
    scales = {scale for card in cards if card.family == "etlch" for scale in card.scales if scale < len(train)}
    return {f"train, first {scale}": train[:scale] for scale in sorted(scales)}


def _lengths(sets: dict[str, list[Record]]) -> list[Row]:
    rows: list[Row] = []
    for name, records in sets.items():
        sizes = sorted(len(r.text) for r in records)
        quartiles = [round(q) for q in _quartiles(sizes)]
        mean = statistics.mean(len(sentences(r.text)) for r in records)
        rows.append((name, len(sizes), sizes[0], *quartiles, sizes[-1], f"{mean:.1f}"))
    return rows


def _overlaps(sets: dict[str, list[Record]]) -> list[Row]:
    rows: list[Row] = []
    for name, records in sets.items():
        counts = Counter(s for r in records for s in sentences(r.text))
        repeated = sum(count for count in counts.values() if count > 1) / counts.total()
        quartiles = _quartiles(nearest_shares(records))
        rows.append((name, len(counts), f"{repeated:.0%}", *(f"{share:.0%}" for share in quartiles)))
    return rows


def nearest_shares(records: list[Record]) -> list[float]:
    """For each article, the share of its different sentences that one other article has too: the largest such share."""
    articles = [set(sentences(record.text)) for record in records]
    holders: dict[str, list[int]] = {}
    for number, article in enumerate(articles):
        for sentence in article:
            holders.setdefault(sentence, []).append(number)
    shares = []
    for number, article in enumerate(articles):
        common = Counter(other for sentence in article for other in holders[sentence] if other != number)
        shares.append(max(common.values(), default=0) / len(article))
    return shares


def _quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values if len(values) > 1 else values * 2, n=4)


def _counts(
    sets: dict[str, list[Record]],
    labels: Callable[[Record], Iterable[str]],
    names: Callable[[dict[str, Counter[str]]], Iterable[str]],
) -> list[Row]:
    """A row a label, a column a set; `names` chooses the labels out of the counts."""
    counters = {name: Counter(label for r in rows for label in labels(r)) for name, rows in sets.items()}
    return [(label, *(counters[name][label] for name in sets)) for label in names(counters)]


def _top(counters: dict[str, Counter[str]]) -> list[str]:
    total = sum(counters.values(), Counter())
    return sorted(total, key=lambda label: (-total[label], label))[:25]


def _type_counts(sets: dict[str, list[Record]]) -> list[Row]:
    return _counts(sets, lambda r: (e.type for e in r.entities), lambda _: TYPES)


def _relation_counts(sets: dict[str, list[Record]]) -> list[Row]:
    return _counts(sets, lambda r: (t.relation for t in r.triples), _top)


def _key_counts(sets: dict[str, list[Record]]) -> list[Row]:
    return _counts(sets, lambda r: r.fields, _top)


def _tasks(cards: list[Card], records: dict[Path, list[Record]]) -> list[Row]:
    rows = []
    for card in cards:
        test = records[card.test]
        answers = [len(card.answer(r)) for r in test]
        questions = [len(card.prompt(r)) for r in test]
        rows.append(
            (
                card.name,
                card.format.name,
                round(statistics.median(questions)),
                round(statistics.median(answers)),
                max(answers),
            )
        )
    return rows

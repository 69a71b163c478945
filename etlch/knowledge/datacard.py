"""The data card (data/README.md), computed from what was built."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from etlch import yamlfile
from etlch.knowledge import content, relations
from etlch.knowledge.leakage import NGRAM, Leakage
from etlch.knowledge.relations import Relations
from etlch.knowledge.topics import THEMES, TYPES, TYPES_OF, Topic, by_language
from etlch.records import Record
from etlch.tasks import Card

REVIEW = "review.yaml"
Row = tuple[object, ...]


def write(
    topics: list[Topic],
    known: Relations,
    records: dict[Path, list[Record]],
    cards: list[Card],
    leak: Leakage,
    folder: Path,
) -> str:
    """The whole card as Markdown; folder: of the knowledge base."""
    sets = _scales(records, cards)
    etlch = {name: rows for name, rows in sets.items() if name in ("etlch/train", "etlch/validation", "etlch/test")}
    listed = len(relations.problems(topics, known))
    parts = [
        INTRODUCTION,
        "## Knowledge base\n",
        _table(("", *by_language(topics)), _summaries(topics)),
        _table(("theme", *(f"{lang} {split}" for lang in TYPES_OF for split in SPLITS)), _themes(topics)),
        GOLD,
        f"{known.share(topics):.1%} of the triples are of a schema, {_own(topics, known):.1%} of that of their own theme; "
        f"the check lists {listed} errors.\n",
        "## Review\n",
        REVIEWED,
        _table(("what", "count"), list(yamlfile.read(folder / REVIEW, "counts").data.items())),
        "## Content by scale\n",
        CONTENT,
        _table(
            ("set", *CONTENT_HEAD),
            _contents(sets, topics),
        ),
        "## Articles\n",
        ARTICLES,
        _table(("set", "articles", "characters: least", "quartile", "median", "quartile", "most"), _lengths(sets)),
        SHORT,
        "## Gold\n",
        _table(("entity type", *etlch), _type_counts(etlch)),
        _table(("relation (the 25 most frequent)", *etlch), _relation_counts(etlch)),
        KEYS,
        _table(
            ("set", "keys an article", "of its subject", "naming one", "entity types", "without an answer"), _keys(sets)
        ),
        "## Tasks\n",
        _table(
            ("task", "format", "question, characters (median)", "answer, characters (median)", "answer (most)"),
            _tasks(cards, records),
        ),
        "## Leakage\n",
        f"Training, validation and test against each other, checked by `make data` on every build for each pair of sets, which fails unless all are 0: "
        f"shared topics {leak.topics}, shared sentences {leak.sentences}, the same after normalisation {leak.normalised}, shared {NGRAM}-grams of "
        f"characters {leak.ngrams}.\n",
        LIMITS,
    ]
    return "\n".join(parts)


def digest(card: str) -> str:
    """What a build reports, out of the card it wrote: content, lengths, frequencies, leakage."""
    sections = re.split(r"(?m)^(?=## )", card)
    return "".join(section for section in sections if section.startswith(REPORTED)).rstrip()


REPORTED = ("## Content", "## Articles", "## Gold", "## Leakage")
SPLITS = ("train", "validation", "test")

INTRODUCTION = """# Data card

Made by `make data` from `data/knowledge/` (topics written for this project) and `tasks/*.yaml`; deterministic, checksums
in `manifest.json`. Licence: CC-BY-4.0. Languages: Traditional Chinese (Taiwan); English in the files with `en` in their names.

| file | what |
|---|---|
| `knowledge/*.yaml` | one topic each: sentences, some with a second wording, entities marked inline, triples; `relations.yaml`: their table |
| `etlch/train.jsonl`, `validation.jsonl`, `test.jsonl` | Records: article, entities with offsets, triples, and the fields the JSON task asks for |
| `etlch/<task>_<scale>.json` | LlamaFactory alpaca rows; the set of 100 is the beginning of the set of 300, and so on |
| `etlch/<task>_validation.json`, `etlch/<task>_test.json` | the same for validation and test, whose topics no training article holds |
| `etlch_en/` | the same three tasks in English |
| `short/train.jsonl`, `short/test.jsonl`; `short/train_en.jsonl`, `short/test_en.jsonl` | Records: two or three neighbouring sentences |
| `short/<task>_<scale>.json`, `short/<task>_test.json` | the rows of the tasks on short texts, `entities`, `triples`, `fields` and `-en` |
"""

GOLD = """Every triple is checked against `knowledge/relations.yaml`: the types of its ends (a direction error shows there), its relation
(one of the table, one known to mean one of it, or words of the sentence), and the parts of a coordination (`A、B與C`), which are all marked
and have all the facts that one of them has. `etlch data --check` fails where one does not hold. Schema: of InstructIE's twelve themes.
"""

REVIEWED = """Every topic was read once more by another pair of eyes than wrote it, against a checklist; what was mended there. Then thirty
articles, drawn by a seed, were read in full by two others: one item in 26 of the entities is missing or wrong (half of them names within
names), one in 13 of the triples. Those are still to be mended.
"""

CONTENT = """Topics open one after the other over the training articles, so that a larger set has more topics, facts and entities, and not only
more combinations. Different sentences: whatever their wording. Different triples and entities: by their text, relation and types.
Elsewhere: the share of an article's 13-grams (characters; words in English) that stand in another article of the set too, the mean over
articles. `etlch data --check` fails unless the distinct triples at 1000 are four times those at 100 and 1.4 times those at 500, and
unless a wording stands in three training articles of a task at most.
"""

CONTENT_HEAD = (
    "articles",
    "topics",
    "sentences an article",
    "different sentences",
    "articles a wording, most",
    "entities, different",
    "triples",
    "different triples",
    f"{NGRAM}-grams elsewhere",
)

ARTICLES = """An article keeps sentences of one topic (or of several of one theme) in reading order and takes one wording of each. One in seventeen is
long, from 1,100 characters on. The three tasks share the articles, as views of the same record. A scale counts training articles alone;
the paper's sizes are training and validation together.
"""

SHORT = """A short text is a piece of one topic: the topic's sentences are cut in neighbouring twos and threes, each in one wording, and topics are
dealt out in turn. Pieces share no sentence.
"""

KEYS = """A JSON key is a relation of what the article is about (`職業`), or names its subject (`莫內的職業`), as all do in an article of several
topics; at most a quarter are entity types. Its values are complete: inverse relations are read from both ends, names joined by 別名 are one
subject. A key without an answer is told in other sentences of the topic.
"""

LIMITS = """## Limits

- The texts are encyclopaedic and written in one style; scores here say little about chat, forms, tables or noisy scans.
- Facts were written from general knowledge and not checked against sources one by one: train extraction on them, do not
  quote them.
- The JSON task's keys are relations of the table and entity types; the paper's keys were free.
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
    counts = Counter((t.theme, t.lang, t.split) for t in topics)
    return [(theme, *(counts[theme, lang, split] for lang in TYPES_OF for split in SPLITS)) for theme in THEMES]


def _own(topics: list[Topic], known: Relations) -> float:
    """The share of triples that the schema of their own theme holds."""
    own = [t.theme in known.schema(triple, t.lang) for t in topics for s in t.sentences for triple in s.triples]
    return sum(own) / len(own)


def _scales(records: dict[Path, list[Record]], cards: list[Card]) -> dict[str, list[Record]]:
    """Every set of the knowledge base by folder and name, and before a training set its beginnings that tasks train on."""
    sets: dict[str, list[Record]] = {}
    for path, rows in records.items():
        if not rows or not rows[0].source.startswith("knowledge/"):
            continue  # of a user's own card
        name = f"{path.parent.name}/{path.stem}"
        scales = {scale for card in cards if card.train == path for scale in card.scales if scale < len(rows)}
        sets |= {f"{name}, first {scale}": rows[:scale] for scale in sorted(scales)} | {name: rows}
    return sets


def _contents(sets: dict[str, list[Record]], topics: list[Topic]) -> list[Row]:
    by_slug = {topic.slug: topic for topic in topics}
    rows: list[Row] = []
    for name, records in sets.items():
        c = content.measure(records, by_slug)
        mean = f"{c.sentences / c.articles:.1f}"
        rows.append(
            (name, c.articles, c.topics, mean, c.facts, c.uses, c.entities, c.triples, c.distinct, f"{c.overlap:.0%}")
        )
    return rows


def _lengths(sets: dict[str, list[Record]]) -> list[Row]:
    rows: list[Row] = []
    for name, records in sets.items():
        sizes = sorted(len(r.text) for r in records)
        rows.append((name, len(sizes), sizes[0], *map(round, statistics.quantiles(sizes, n=4)), sizes[-1]))
    return rows


def _keys(sets: dict[str, list[Record]]) -> list[Row]:
    rows: list[Row] = []
    for name, records in sets.items():
        asked = [(key, values, TYPES_OF[r.lang]) for r in records for key, values in r.fields.items()]
        named = sum("的" in key or key.endswith(")") for key, _, _ in asked)
        kinds = sum(key in types for key, _, types in asked)
        shares = (len(asked) - named - kinds, named, kinds, sum(not values for _, values, _ in asked))
        rows.append((name, f"{len(asked) / len(records):.1f}", *(f"{count / len(asked):.0%}" for count in shares)))
    return rows


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

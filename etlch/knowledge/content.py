"""How much a set of articles says: topics, sentences, entities and triples, and how often it says them again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from etlch.knowledge.leakage import ngrams, topics_of
from etlch.knowledge.topics import Topic
from etlch.records import Record


@dataclass(frozen=True, slots=True)
class Content:
    """Counts of one set. facts: different sentences, whatever their wording; a wording stands in at most `uses` articles.
    overlap: the share of an article's 13-grams that stand in another article too, the mean over articles."""

    articles: int
    topics: int
    sentences: int
    facts: int
    uses: int
    entities: int
    triples: int
    distinct: int
    overlap: float


def measure(records: Sequence[Record], topics: dict[str, Topic]) -> Content:
    """Count a set; topics by slug."""
    wordings = Counter(used for record in records for used in _wordings(record, topics))
    grams = [ngrams(record) for record in records]
    holders = Counter(gram for own in grams for gram in own)
    shared = [sum(holders[gram] > 1 for gram in own) / max(1, len(own)) for own in grams]
    return Content(
        articles=len(records),
        topics=len(set().union(*map(topics_of, records))),
        sentences=wordings.total(),
        facts=len({used[:2] for used in wordings}),
        uses=max(wordings.values(), default=0),
        entities=len({(e.text, e.type) for record in records for e in record.entities}),
        triples=sum(len(record.triples) for record in records),
        distinct=len({triple for record in records for triple in record.triples}),
        overlap=sum(shared) / max(1, len(shared)),
    )


def _wordings(record: Record, topics: dict[str, Topic]) -> Iterator[tuple[str, int, int]]:
    """The sentences of a record as topic, number and wording."""
    for slug in topics_of(record):
        for number, sentence in enumerate(topics[slug].sentences):
            for version, wording in enumerate(sentence.wordings):
                if wording.text in record.text:
                    yield slug, number, version

"""Does anything of a test set stand in a training set? Exact sentences, normalised sentences, shared 13-grams, topics."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from etlch.records import Record

NGRAM = 13
_END = re.compile(r"(?<=[。！？])|(?<=[.!?])(?<!\b[A-Z]\.)\s+")  # J. R. R. Tolkien is no three sentences
_NOISE = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Leakage:
    """Counts over the test records; `examples` shows the first few of each kind."""

    topics: int
    sentences: int
    normalised: int
    ngrams: int
    records_with_ngram: int
    examples: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """No shared topic, sentence or normalised sentence, and no shared 13-gram."""
        return not (self.topics or self.sentences or self.normalised or self.ngrams)


def normalise(text: str) -> str:
    """NFKC, lower case, nothing but letters and digits."""
    return _NOISE.sub("", unicodedata.normalize("NFKC", text).lower())


def sentences(text: str) -> list[str]:
    """The sentences of an article."""
    return [s for s in _END.split(text) if s]


def topics_of(record: Record) -> set[str]:
    """The topics that an article was made of, by name of their files."""
    return set(record.source.removeprefix("knowledge/").split("+")) - {""}


def ngrams(record: Record) -> set[str]:
    """Thirteen characters of a normalised text, or thirteen words where the language is English."""
    if record.lang == "en":
        words = _NOISE.split(unicodedata.normalize("NFKC", record.text).lower())
        return {" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)}
    text = normalise(record.text)
    return {text[i : i + NGRAM] for i in range(len(text) - NGRAM + 1)}


def measure(train: Iterable[Record], test: Iterable[Record]) -> Leakage:
    """Compare every test record with all training records.

    13-grams are of characters in the whole normalised article, across the ends of sentences, and of words in English, where
    that is the usual measure (thirteen Chinese characters are about eight words, so they are stricter).
    """
    topics: set[str] = set()
    exact: set[str] = set()
    grams: set[str] = set()
    for record in train:
        topics |= topics_of(record)
        exact |= set(sentences(record.text))
        grams |= ngrams(record)
    loose = {normalise(sentence) for sentence in exact}
    found: dict[str, set[str]] = {"topic": set(), "sentence": set(), "normalised sentence": set(), "13-gram": set()}
    touched = 0
    for record in test:
        own = set(sentences(record.text))
        shared = ngrams(record) & grams
        touched += bool(shared)
        found["topic"] |= topics_of(record) & topics
        found["sentence"] |= own & exact
        found["normalised sentence"] |= set(map(normalise, own)) & loose
        found["13-gram"] |= shared
    examples = tuple(f"{kind}: {text}" for kind, texts in found.items() for text in sorted(texts)[:5])
    return Leakage(*(len(texts) for texts in found.values()), touched, examples)

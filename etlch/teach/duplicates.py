"""Near-duplicate articles: Jaccard similarity of character shingles, exact, by an inverted index."""

from __future__ import annotations

import unicodedata
from collections import Counter

SIZE = 5
THRESHOLD = 0.8


def shingles(text: str) -> frozenset[str]:
    """The runs of five letters and digits of a text, which is made NFKC and lower case first."""
    plain = "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())
    return frozenset(plain[i : i + SIZE] for i in range(max(1, len(plain) - SIZE + 1)))


class NearDuplicates:
    """The articles kept so far."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        self._threshold = threshold
        self._sizes: dict[str, int] = {}
        self._holders: dict[str, list[str]] = {}

    def add(self, name: str, text: str) -> str:
        """Keep an article, or return the name of the most similar kept one when that is too similar."""
        own = shingles(text)
        common = Counter(holder for shingle in own for holder in self._holders.get(shingle, ()))
        nearest = max(common, key=lambda other: self._jaccard(common[other], len(own), other), default="")
        if nearest and self._jaccard(common[nearest], len(own), nearest) >= self._threshold:
            return nearest
        self._sizes[name] = len(own)
        for shingle in own:
            self._holders.setdefault(shingle, []).append(name)
        return ""

    def _jaccard(self, common: int, size: int, other: str) -> float:
        return common / (size + self._sizes[other] - common)

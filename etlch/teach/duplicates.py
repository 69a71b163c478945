"""Near-duplicate articles: Jaccard similarity of character shingles, exact, by an inverted index."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict

SIZE, THRESHOLD = 5, 0.8


def shingles(text: str) -> frozenset[str]:
    """The runs of five letters and digits of a text, which is made NFKC and lower case first."""
    plain = "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())
    return frozenset(plain[i : i + SIZE] for i in range(max(1, len(plain) - SIZE + 1)))


class NearDuplicates:
    """The articles kept so far."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._holders: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, name: str, text: str) -> str:
        """Keep an article, or return the name of the most similar kept one when that is too similar."""
        own = shingles(text)
        common = Counter(holder for shingle in own for holder in self._holders[shingle])
        similar = {other: count / (len(own) + self._sizes[other] - count) for other, count in common.items()}
        nearest = max(similar, key=similar.__getitem__, default="")
        if nearest and similar[nearest] >= THRESHOLD:
            return nearest
        self._sizes[name] = len(own)
        for shingle in own:
            self._holders[shingle].append(name)
        return ""

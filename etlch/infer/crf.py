"""A linear-chain conditional random field over characters and words: how names were found before language models.

A text is cut into sentences, and these into tokens: a Chinese or Japanese character stands alone, letters make a word,
digits a number; so the same features serve all languages. Each token has a tag, BIO over the types (Ramshaw and Marcus,
1995); of nested mentions the outermost is learned, one of several fragments is not. CRFsuite (Okazaki, 2007) trains it,
with the same result every time.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path

from etlch.formats.base import outermost_first
from etlch.records import Entity, Record

SETTINGS = {"c1": 0.1, "c2": 0.01, "max_iterations": 100, "feature.possible_transitions": True}
"""Penalties (L1, L2) and steps of L-BFGS; chosen on a split of training records (docs/floors.md)."""

_ALONE = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHARACTER = re.compile(f"[{_ALONE}]")
_TOKEN = re.compile(rf"[{_ALONE}]|\d+|[^\W\d_{_ALONE}]+|\S")
_SENTENCE = re.compile(r"[^。！？!?；;\n]*[。！？!?；;\n]*")

Span = tuple[int, int]


class Tagger:
    """Trained on records with entities; finds mentions in a text. A sentence that comes again with the same tags is learned once."""

    def __init__(self, train: Iterable[Record]):
        import pycrfsuite

        trainer = pycrfsuite.Trainer(algorithm="lbfgs", params=SETTINGS, verbose=False)
        learned = dict.fromkeys(sentence for record in train for sentence in _tagged(record))
        self._tagger = pycrfsuite.Tagger() if learned else None
        if self._tagger:
            for words, tags in learned:
                trainer.append(_features(words), tags)
            with tempfile.TemporaryDirectory() as folder:
                file = str(Path(folder) / "model")
                trainer.train(file)
                self._tagger.open(file)

    def mentions(self, text: str) -> Iterator[Entity]:
        """Entities with their spans, from left to right, none within another."""
        for tokens in _sentences(text) if self._tagger else ():
            tags = self._tagger.tag(_features([text[start:end] for start, end in tokens]))
            spans: list[tuple[int, int, str]] = []
            before = "O"
            for (start, end), tag in zip(tokens, tags, strict=True):
                if tag[0] == "I" and before[2:] == tag[2:] and before != "O":
                    spans[-1] = (spans[-1][0], end, tag[2:])
                elif tag != "O":
                    spans.append((start, end, tag[2:]))
                before = tag
            yield from (Entity(text[start:end], kind, ((start, end),)) for start, end, kind in spans)


def _sentences(text: str) -> Iterator[list[Span]]:
    """The tokens of each sentence that has any."""
    for sentence in _SENTENCE.finditer(text):
        if tokens := [token.span() for token in _TOKEN.finditer(text, *sentence.span())]:
            yield tokens


def _tagged(record: Record) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Words and tags of each sentence. A mention that begins or ends within a token has the whole token."""
    owner: list[Entity | None] = [None] * len(record.text)
    for entity in outermost_first(e for e in record.entities if len(e.spans) == 1):
        start, end = entity.spans[0]
        if owner[start] is None:
            owner[start:end] = [entity] * (end - start)
    for tokens in _sentences(record.text):
        tags: list[str] = []
        before: Entity | None = None
        for start, end in tokens:
            entity = next(filter(None, owner[start:end]), None)
            tags.append(f"{'I' if entity is before else 'B'}-{entity.type}" if entity else "O")
            before = entity
        yield tuple(record.text[start:end] for start, end in tokens), tuple(tags)


def _features(words: Sequence[str]) -> list[list[str]]:
    """Of each word: itself and two neighbours on either side, alone and in pairs; its shape and its neighbours'; where it has
    several characters, its beginnings and ends of up to four."""
    words = [word.encode("utf-8", "replace").decode() for word in words]  # CRFsuite reads UTF-8: no lone surrogates
    around = ["<", "<", *map(str.lower, words), ">", ">"]
    shapes = ["", *map(_shape, words), ""]
    features = []
    for at, word in enumerate(around[2:-2]):
        window, forms = around[at : at + 5], shapes[at : at + 3]
        made = [f"{place}={near}" for place, near in enumerate(window)]
        made += [f"{place}+={a}|{b}" for place, (a, b) in enumerate(pairwise(window))]
        made += [f"shape{place}={form}" for place, form in enumerate([*forms, "|".join(forms)])]
        if len(word) > 1:
            made += [
                f"{side}={part}" for k in range(1, 5) for side, part in (("begins", word[:k]), ("ends", word[-k:]))
            ]
        features.append(made)
    return features


def _shape(word: str) -> str:
    """`Covid19` is `Xx0`; runs count once, other signs stand for themselves."""
    return "".join(kind for kind, _ in groupby(map(_kind, word)))


def _kind(sign: str) -> str:
    if _CHARACTER.match(sign):
        return "c"
    return "0" if sign.isdigit() else "X" if sign.isupper() else "x" if sign.isalpha() else sign

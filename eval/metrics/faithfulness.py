"""Faithfulness: which share of the answered values stands in the source text at all, and which values do not.

faithfulness = values found / values answered. A value is an entity's surface, a triple's head or tail, or a field's value,
counted as often as it is answered. It is found when it is a substring of the source after NFKC with all white space and
invisible signs removed and all middle dots one sign on both sides; letter case counts. (A short value can stand in the
source by accident, and a value found may still be the wrong one: this measures invention, not truth.) A value that names
nothing is not found: an empty one, punctuation, a single function word (`的`, `the`; etlch/formats/surface.py).

Rules, the same for every system: a sample without answered values scores 0, whether there is no answer, an unreadable one
or one that names nothing, except that a readable answer that names nothing scores 1 when the gold names nothing either.
In the ratio over all samples (found and answered summed) such samples have no weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from etlch.formats import Parsed
from etlch.formats.surface import names, one_sign


def squeeze(text: str) -> str:
    """NFKC without any white space or invisible sign, middle dots one sign."""
    return "".join(one_sign(text).split())


_squeezed_source = lru_cache(maxsize=1024)(squeeze)


def values_of(parsed: Parsed) -> list[str]:
    """The values that can be looked up in the source: surfaces, heads and tails, field values, in the answer's order."""
    values = [entity.text for entity in parsed.entities]
    for triple in parsed.triples:
        values += (triple.head, triple.tail)
    for _, found in parsed.fields:
        values += found
    return values


def hallucinated(values: Sequence[str], source_text: str) -> list[str]:
    """The values that do not stand in the source, in order, each as often as it was answered."""
    source = _squeezed_source(source_text)
    known: dict[str, bool] = {}
    missing = []
    for value in values:
        if value not in known:
            known[value] = names(value) and squeeze(value) in source
        if not known[value]:
            missing.append(value)
    return missing


def faithful_counts(values: Sequence[Sequence[str]], source_texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Values found and values answered, one number a sample each."""
    total = np.array([len(sample) for sample in values], dtype=float)
    missing = [len(hallucinated(sample, text)) for sample, text in zip(values, source_texts, strict=True)]
    return total - np.array(missing, dtype=float), total


def faithfulness(
    found: np.ndarray, total: np.ndarray, gold_total: np.ndarray, readable: np.ndarray | None = None
) -> np.ndarray:
    """The share of each sample. `gold_total`: how many values its gold has; `readable`: all True when left out."""
    silent = (total == 0) & (gold_total == 0)
    if readable is not None:
        silent &= np.asarray(readable, dtype=bool)
    return np.where(total == 0, silent, np.divide(found, total, out=np.zeros_like(found), where=total > 0))

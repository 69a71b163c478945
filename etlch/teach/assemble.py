"""From checked and voted parts to a Record: spans at every occurrence, types of heads and tails, values in text order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from etlch.records import Entity, Record, Triple
from etlch.teach.checks import occurrences


def assemble(
    draft: Record,
    keys: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    triples: Sequence[Triple],
    entities: Sequence[Entity],
) -> Record:
    """The draft (id, text, language, source) with fields, triples and entities; a function of these and nothing else."""
    kinds = {entity.text: entity.type for entity in reversed(entities)}
    return replace(
        draft,
        entities=tuple(mentions(entities, draft.text)),
        triples=tuple(replace(t, head_type=kinds.get(t.head, ""), tail_type=kinds.get(t.tail, "")) for t in triples),
        fields={key: _in_order([value for name, value in pairs if name == key], draft.text) for key in keys},
    )


def mentions(entities: Sequence[Entity], text: str) -> list[Entity]:
    """One entity with one span for each occurrence of each surface, in text order, outer before inner."""
    found = [Entity(e.text, e.type, (span,)) for e in entities for span in occurrences(e.text, text)]
    return sorted(found, key=lambda e: (e.spans[0][0], -e.spans[0][1], e.type))


def _in_order(values: Sequence[str], text: str) -> list[str]:
    """Each value once, by first occurrence, the longer first among those that start together."""
    return sorted(dict.fromkeys(values), key=lambda value: (occurrences(value, text)[0][0], -len(value)))

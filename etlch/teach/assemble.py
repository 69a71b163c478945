"""From what the teachers said to a Record: what most of them said, at every occurrence, in text order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TypeVar

from etlch.records import Entity, Record, Triple
from etlch.teach.checks import occurrences

Item = TypeVar("Item", bound=Hashable)


def majority(ballots: Sequence[Sequence[Item]]) -> tuple[list[Item], list[Item]]:
    """Items named by more than half of the ballots, and those named by exactly half: a tie, which is not a majority
    (RA-IT, appendix C, "ensemble distillation").

    An item counts once a ballot. Both lists are in the order in which the ballots, one after the other, name the items.
    """
    counts = Counter(item for ballot in ballots for item in dict.fromkeys(ballot))
    kept = [item for item, count in counts.items() if 2 * count > len(ballots)]
    tied = [item for item, count in counts.items() if 2 * count == len(ballots)]
    return kept, tied


def assemble(
    draft: Record,
    keys: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    triples: Sequence[Triple],
    entities: Sequence[Entity],
) -> Record:
    """The draft (id, text, language, source) with fields, triples and entities; a function of these and nothing else.

    An entity has one mention an occurrence, outer before inner; heads and tails get the types of entities; each value of a
    field comes once, by first occurrence, the longer first among those that start together.
    """
    text, kinds = draft.text, {entity.text: entity.type for entity in reversed(entities)}
    mentions = [Entity(e.text, e.type, (span,)) for e in entities for span in occurrences(e.text, text)]
    ordered = sorted(dict.fromkeys(pairs), key=lambda pair: (occurrences(pair[1], text)[0][0], -len(pair[1])))
    return replace(
        draft,
        entities=tuple(sorted(mentions, key=lambda e: (e.spans[0][0], -e.spans[0][1], e.type))),
        triples=tuple(replace(t, head_type=kinds.get(t.head, ""), tail_type=kinds.get(t.tail, "")) for t in triples),
        fields={key: [value for name, value in ordered if name == key] for key in keys},
    )

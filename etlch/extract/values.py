"""What was extracted from a document, each value with its place in the text; and the parts of a long document put together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from etlch.formats import Parsed
from etlch.formats.align import align
from etlch.formats.surface import names
from etlch.records import Entity, Record, Triple

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Value:
    """A value with its label (entity type, key; empty for the ends of a triple without types).

    span: where it stands in the document, code points, end-exclusive; the text is then that stretch of the document, and
    `answer` what the model wrote where it wrote it otherwise (case, width). None: it does not stand there. fragments: the
    stretches of a value that others interrupt; the text is these with blanks between, the span reaches over all.
    """

    label: str
    text: str
    span: Span | None = None
    fragments: tuple[Span, ...] = ()
    answer: str = ""

    def to_dict(self) -> dict[str, Any]:
        row: dict[str, Any] = {"label": self.label} if self.label else {}
        row |= {"text": self.text, "span": list(self.span) if self.span else None}
        if self.fragments:
            row["fragments"] = [list(span) for span in self.fragments]
        return row | ({"answer": self.answer} if self.answer else {})


@dataclass(frozen=True, slots=True)
class Relation:
    """A triple: its ends are values with places, the relation is a name."""

    head: Value
    relation: str
    tail: Value

    def to_dict(self) -> dict[str, Any]:
        return {"head": self.head.to_dict(), "relation": self.relation, "tail": self.tail.to_dict()}


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was extracted from one document.

    status: `ok`, `repaired` (something was read, see problems), `invalid` (no answer could be read) or `failed` (the
    document could not be asked about). values: entities or fields, or the ends of the triples. tokens: of the answers.
    """

    id: str
    task: str
    text: str
    lang: str = ""
    status: str = "ok"
    problems: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()
    triples: tuple[Relation, ...] = ()
    part: str = "entities"
    keys: tuple[str, ...] = ()
    tokens: int = 0

    @property
    def record(self) -> Record:
        """The same as a Record: entities with spans, triples, or fields."""
        base = Record(id=self.id, text=self.text, lang=self.lang)
        if self.part == "fields":
            fields: dict[str, list[str]] = {key: [] for key in self.keys}
            for value in self.values:
                fields.setdefault(value.label, []).append(value.text)
            return replace(base, fields=fields)
        if self.part == "triples":
            triples = [Triple(t.head.text, t.relation, t.tail.text, t.head.label, t.tail.label) for t in self.triples]
            return replace(base, triples=tuple(triples))
        spans = [v.fragments or ((v.span,) if v.span else ()) for v in self.values]
        entities = [Entity(v.text, v.label, s) for v, s in zip(self.values, spans, strict=True)]
        return replace(base, entities=tuple(entities))

    def found_only(self) -> Extraction:
        """Without the values that do not stand in the text, and the triples that have one."""
        triples = tuple(t for t in self.triples if t.head.span and t.tail.span)
        values = _ends(triples) if self.part == "triples" else tuple(v for v in self.values if v.span)
        return replace(self, values=values, triples=triples)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that is written; the text itself is left out."""
        row: dict[str, Any] = {"id": self.id, "task": self.task, "status": self.status}
        if self.problems:
            row["problems"] = list(self.problems)
        if self.part == "triples":
            return row | {"triples": [triple.to_dict() for triple in self.triples]}
        return row | {"values": [value.to_dict() for value in self.values]}


def naming(parsed: Parsed) -> Parsed:
    """An answer without the values that name nothing (punctuation, a single function word) and the triples that have
    one, which is a problem."""
    texts = [entity.text for entity in parsed.entities] + [text for _, values in parsed.fields for text in values]
    texts += [end for triple in parsed.triples for end in (triple.head, triple.tail)]
    nothing = list(dict.fromkeys(text for text in texts if not names(text)))
    if not nothing:
        return parsed
    return replace(
        parsed,
        status="repaired" if parsed.status == "ok" else parsed.status,
        problems=(*parsed.problems, f"left out, for it names nothing: {', '.join(map(repr, nothing))[:40]}"),
        entities=tuple(entity for entity in parsed.entities if names(entity.text)),
        fields=tuple((key, tuple(filter(names, values))) for key, values in parsed.fields),
        triples=tuple(triple for triple in parsed.triples if names(triple.head) and names(triple.tail)),
    )


def placed(parsed: Parsed, text: str, start: int) -> tuple[list[Value], list[Relation]]:
    """The values and triples of an answer to the piece of a document that begins at `start`."""
    entities = [*parsed.entities, *(Entity(text, key) for key, texts in parsed.fields for text in texts)]
    values = [
        _value(found, entity.text, text, start) for found, entity in zip(align(entities, text), entities, strict=True)
    ]
    names = dict.fromkeys(name for t in parsed.triples for name in ((t.head, t.head_type), (t.tail, t.tail_type)))
    ends = [Entity(name, kind) for name, kind in names]
    places = {
        (e.text, e.type): _value(found, e.text, text, start) for found, e in zip(align(ends, text), ends, strict=True)
    }
    triples = [Relation(places[t.head, t.head_type], t.relation, places[t.tail, t.tail_type]) for t in parsed.triples]
    return values, triples


def _value(found: Entity, answer: str, text: str, start: int) -> Value:
    if not found.spans:
        return Value(found.type, answer)
    stands = " ".join(text[a:b] for a, b in found.spans)
    spans = tuple((a + start, b + start) for a, b in found.spans)
    whole = (min(a for a, _ in spans), max(b for _, b in spans))
    return Value(found.type, stands, whole, spans if len(spans) > 1 else (), "" if stands == answer else answer)


def merged_values(values: Iterable[Value], once: bool) -> tuple[Value, ...]:
    """The values of all pieces of a document, in order: each place once, and what was found nowhere once, unless it was
    found elsewhere under the same label. once: keep only the first of equal texts under a label (fields)."""
    values = list(values)
    placed_somewhere = {(v.label, v.text) for v in values if v.span} | {(v.label, v.answer) for v in values if v.answer}
    kept: dict[tuple, Value] = {}
    for value in values:
        if value.span is None and (value.label, value.text) in placed_somewhere:
            continue
        place = () if once or value.span is None else (value.span, value.fragments)
        kept.setdefault((value.label, value.text, place), value)
    return tuple(kept.values())


def merged_triples(triples: Iterable[Relation]) -> tuple[tuple[Relation, ...], tuple[Value, ...]]:
    """Each triple once, with the first places of its ends, and all the ends."""
    kept: dict[tuple[str, ...], Relation] = {}
    for triple in triples:
        name = (triple.head.text, triple.head.label, triple.relation, triple.tail.text, triple.tail.label)
        known = kept.get(name)
        if known is None or (not (known.head.span and known.tail.span) and triple.head.span and triple.tail.span):
            kept[name] = triple
    return tuple(kept.values()), _ends(kept.values())


def _ends(triples: Iterable[Relation]) -> tuple[Value, ...]:
    return merged_values((end for triple in triples for end in (triple.head, triple.tail)), once=False)

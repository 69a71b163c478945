"""Lists of strings and of spans: conv_term, single_term, multi_term, single_span, multi_span.

All five are JSON, so any text can stand in them as JSON writes it. The paper's single_span listing ends in a brace that
nothing opens (`[[48,69],[58,69]]}`); here it is the list alone, written without blanks as there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from etlch.formats.align import align
from etlch.formats.base import (
    Can,
    Codec,
    Problems,
    Schema,
    after_opening,
    asked_for,
    mention_format,
)
from etlch.formats.escapes import EDGES, escape, unescape
from etlch.formats.literals import Item, exactly, first_string, items
from etlch.records import Entity, Record

TERMS = Can("one", nested=True, crossing=True, discontinuous=True, repeats=True)
TYPED_TERMS = Can("many", nested=True, crossing=True, discontinuous=True, repeats=True)
TURNS = Can("one a turn", nested=True, crossing=True, discontinuous=True, repeats=True)
SPANS = Can("one", nested=True, crossing=True, offsets=True, repeats=True)
TYPED_SPANS = Can("many", nested=True, crossing=True, offsets=True, repeats=True)

_EMPTY = re.compile(r"\s*\[\s*\]")
_EDGES = re.compile(EDGES)
_TURN = re.compile(r"^[ \t]*+(?:user[ \t]*+::)?[ \t]*+Type:(.*)$", re.M)
_SPEAKER = re.compile(r"\s*+assistant[ \t]*+:: ?")

_T = TypeVar("_T")


# --- terms ---


def _write_terms(entities: Sequence[Entity], source: str, schema: Schema) -> str:
    return json.dumps([entity.text for entity in entities], ensure_ascii=False)


def _read_terms(body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
    kind = schema.keys[0]
    terms, readable = _listed(body, problems, _term, lambda item: _loose_terms(item, kind))
    return align([Entity(term, kind) for term in _not_empty(terms, problems)], source), readable


def _term(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _loose_terms(item: Item, kind: str) -> Iterator[str]:
    """The strings of a list; of an object those under `text`, or under the type that was asked for."""
    for key in ("", "text", kind):
        yield from (value for value in item.pop(key, ()) if isinstance(value, str))


def _write_typed_terms(entities: Sequence[Entity], source: str, schema: Schema) -> str:
    return json.dumps([{"text": entity.text, "type": entity.type} for entity in entities], ensure_ascii=False)


def _read_typed_terms(body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
    pairs, readable = _listed(body, problems, typed_term, loose_typed_term)
    return align(typed(pairs, schema, problems), source), readable


def typed_term(value: object) -> tuple[str, str] | None:
    """Text and type of an object that holds just these two."""
    if type(value) is dict and len(value) == 2:
        text, kind = value.get("text"), value.get("type")
        if isinstance(text, str) and isinstance(kind, str):
            return text, kind
    return None


def loose_typed_term(item: Item) -> Iterator[tuple[str, str]]:
    """Text and type out of an object that may hold more, or lack the type."""
    if item.get("text"):
        yield first_string(item["text"]), first_string(item.get("type"))


def typed(pairs: Iterable[tuple[str, str]], schema: Schema, problems: Problems) -> Iterator[Entity]:
    """Entities of (text, type); where the type is missing and the prompt asked for one only, it is that one."""
    for text, kind in pairs:
        if not kind and len(schema.keys) == 1:
            kind = schema.keys[0]
        if text and kind:
            yield Entity(text, kind)
        else:
            problems.add("an item without text or type", text or kind)


# --- conversations ---


def turns(record: Record, schema: Schema) -> list[tuple[str, str]]:
    """(question, answer) for each type of the schema: the turns of a conv_term conversation, for chat training data.

    Raises FormatError as `render` does.
    """
    entities = asked_for(record, schema, CONV_TERM.name, TURNS)
    return [(f"Type: {escape(kind, _EDGES)}", _answer(entities, kind)) for kind in schema.keys]


def _answer(entities: Sequence[Entity], kind: str) -> str:
    return "Answer: " + json.dumps([e.text for e in entities if e.type == kind], ensure_ascii=False)


def _write_conversation(entities: Sequence[Entity], source: str, schema: Schema) -> str:
    """With one type the answer alone (its question stands in the prompt), else all the turns as the listing has them."""
    if len(schema.keys) == 1:
        return _answer(entities, schema.keys[0])
    return "\n".join(
        f"user :: Type: {escape(kind, _EDGES)}\nassistant :: {_answer(entities, kind)}" for kind in schema.keys
    )


def _read_conversation(body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
    questions = list(_TURN.finditer(body))
    if not questions:
        if len(schema.keys) != 1:
            problems.add("no turn names its type (expected `Type: ...` before each answer)")
            return (), False
        return _read_terms(after_opening(body, problems), schema, source, problems)
    if body[: questions[0].start()].strip():
        problems.add("text before the first question", body[: questions[0].start()])
    found: list[Entity] = []
    asked: set[str] = set()
    for question, following in zip(questions, [*questions[1:], None], strict=True):
        kind = unescape(question[1].strip())
        if kind in asked:
            problems.add("the same type is asked for again", kind)
        asked.add(kind)
        found += _read_turn(body[question.end() : following.start() if following else len(body)], kind, problems)
    for kind in schema.keys:
        if kind not in asked:
            problems.add("no turn asks for the type", kind)
    return align(found, source), True


def _read_turn(said: str, kind: str, problems: Problems) -> list[Entity]:
    speaker = _SPEAKER.match(said)
    if not kind or not speaker:
        problems.add("a turn without type or without `assistant ::`", said.strip())
    answer = after_opening((said[speaker.end() :] if speaker else said).strip(), problems)
    terms, _ = _listed(answer, problems, _term, lambda item: _loose_terms(item, kind))
    return [Entity(term, kind) for term in _not_empty(terms, problems)] if kind else []


# --- spans ---


def _write_spans(entities: Sequence[Entity], source: str, schema: Schema) -> str:
    return json.dumps([entity.spans[0] for entity in entities], separators=(",", ":"))


def _read_spans(body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
    found, readable = _listed(body, problems, _span, lambda item: _pairs(item.get("") or item.get("span"), problems))
    return _cut_out(((span, schema.keys[0]) for span in found), source, problems), readable


def _span(value: object) -> tuple[int, int] | None:
    if isinstance(value, list) and len(value) == 2 and type(value[0]) is int and type(value[1]) is int:
        return value[0], value[1]
    return None


def _pairs(values: list[str | int] | None, problems: Problems) -> Iterator[tuple[int, int]]:
    """Numbers two by two; a last one without a partner is no span."""
    numbers = [value for value in values or () if isinstance(value, int)]
    if len(numbers) % 2:
        problems.add("an offset without its partner", str(numbers[-1]))
    yield from zip(numbers[::2], numbers[1::2], strict=False)


def _write_typed_spans(entities: Sequence[Entity], source: str, schema: Schema) -> str:
    return json.dumps([{"span": entity.spans[0], "type": entity.type} for entity in entities], ensure_ascii=False)


def _read_typed_spans(body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
    def loose(item: Item) -> Iterator[tuple[tuple[int, int], str]]:
        kind = first_string(item.get("type")) or (schema.keys[0] if len(schema.keys) == 1 else "")
        for span in _pairs(item.get("span"), problems):
            if kind:
                yield span, kind
            else:
                problems.add(f"a span without type: {list(span)}")

    found, readable = _listed(body, problems, _typed_span, loose)
    return _cut_out(found, source, problems), readable


def _typed_span(value: object) -> tuple[tuple[int, int], str] | None:
    if type(value) is dict and len(value) == 2:
        span, kind = _span(value.get("span")), value.get("type")
        if span and isinstance(kind, str) and kind:
            return span, kind
    return None


def _cut_out(found: Iterable[tuple[tuple[int, int], str]], source: str, problems: Problems) -> Iterator[Entity]:
    """The entities at these offsets; offsets beyond the text, empty or the wrong way round give none."""
    beyond = f"not a span of the text (expected 0 <= start < end <= {len(source)})"
    for span, kind in found:
        start, end = span
        if 0 <= start < end <= len(source):
            yield Entity(source[start:end], kind, (span,))
        else:
            problems.add(beyond, span)


# --- all five ---


def _listed(
    body: str, problems: Problems, exact: Callable[[object], _T | None], loose: Callable[[Item], Iterable[_T]]
) -> tuple[list[_T], bool]:
    """The values of a JSON list: all of the `exact` shape, or else what `loose` makes of each item that is there."""
    value = exactly(body)
    if isinstance(value, list):
        found = [exact(element) for element in value]
        if None not in found:
            return found, True
    problems.add("not the JSON list of this format; items were read from what is there")
    found = [thing for item in items(body) for thing in loose(item)]
    return found, bool(found) or _EMPTY.match(body) is not None


def _not_empty(terms: Iterable[str], problems: Problems) -> Iterator[str]:
    for term in terms:
        if term:
            yield term
        else:
            problems.add("an empty term")


CONV_TERM = mention_format(Codec("conv_term", TURNS, _write_conversation, _read_conversation, ""))
SINGLE_TERM = mention_format(Codec("single_term", TERMS, _write_terms, _read_terms))
MULTI_TERM = mention_format(Codec("multi_term", TYPED_TERMS, _write_typed_terms, _read_typed_terms))
SINGLE_SPAN = mention_format(Codec("single_span", SPANS, _write_spans, _read_spans))
MULTI_SPAN = mention_format(Codec("multi_span", TYPED_SPANS, _write_typed_spans, _read_typed_spans))

"""Lists of strings and of spans: conv_term, single_term, multi_term, single_span, multi_span.

All five are JSON, so any text can stand in them as JSON writes it. The paper's single_span listing ends in a brace that
nothing opens (`[[48,69],[58,69]]}`); here it is the list alone, written without blanks as there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from etlch.formats.align import Span, align
from etlch.formats.base import Can, Codec, Problems, Schema, after_opening, asked_for
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

Found = tuple[str | Span, str]
"""Text or span of a mention, and its type; empty where it is missing."""


class Terms:
    """A mention as its text, or as an object of text and type."""

    key = "text"

    def __init__(self, typed: bool):
        self.typed = typed

    def value(self, entity: Entity) -> object:
        """What stands for a mention."""
        return {self.key: self.part(entity), "type": entity.type} if self.typed else self.part(entity)

    def part(self, entity: Entity) -> object:
        return entity.text

    def exact(self, value: object, kind: str) -> Found | None:
        """Of a value that is just of this shape; `kind` is the one type that was asked for."""
        if self.typed:
            whole = type(value) is dict and len(value) == 2 and isinstance(value.get("type"), str)
            value, kind = (value.get(self.key), value["type"] or kind) if whole else (None, "")
        part = self.whole(value)
        return None if part is None else (part, kind)

    def whole(self, value: object) -> str | Span | None:
        return value if isinstance(value, str) else None

    def loose(self, item: Item, kind: str, problems: Problems) -> Iterator[Found]:
        """Of an object that may hold more or less, or of the values of a list; of an object without type `kind`."""
        if not self.typed:
            keys = dict.fromkeys(("", "text", kind))
            yield from ((value, kind) for key in keys for value in item.get(key, ()) if isinstance(value, str))
        elif item.get("text"):
            yield first_string(item["text"]), first_string(item.get("type")) or kind

    def entities(self, found: Iterable[Found], source: str, problems: Problems) -> Iterable[Entity]:
        """The mentions that have text and type, with the places where they stand."""
        good = []
        for text, kind in found:
            if text and kind:
                good.append(Entity(text, kind))
            else:
                problems.add("an item without text or type", text or kind)
        return align(good, source)


class Spans(Terms):
    """A mention as the span of its characters, or as an object of span and type."""

    key = "span"

    def part(self, entity: Entity) -> object:
        return entity.spans[0]

    def whole(self, value: object) -> str | Span | None:
        pair = isinstance(value, list) and len(value) == 2 and type(value[0]) is int and type(value[1]) is int
        return (value[0], value[1]) if pair else None

    def exact(self, value: object, kind: str) -> Found | None:
        found = super().exact(value, "" if self.typed else kind)
        return found if found and found[1] else None

    def loose(self, item: Item, kind: str, problems: Problems) -> Iterator[Found]:
        """Numbers two by two; a last one without a partner is no span."""
        values = item.get("span") if self.typed else item.get("") or item.get("span")
        numbers = [value for value in values or () if isinstance(value, int)]
        if len(numbers) % 2:
            problems.add("an offset without its partner", str(numbers[-1]))
        kind = (first_string(item.get("type")) if self.typed else "") or kind
        for span in zip(numbers[::2], numbers[1::2], strict=False):
            if kind:
                yield span, kind
            else:
                problems.add(f"a span without type: {list(span)}")

    def entities(self, found: Iterable[Found], source: str, problems: Problems) -> Iterable[Entity]:
        """The mentions at these offsets; offsets beyond the text, empty or the wrong way round give none."""
        for span, kind in found:
            start, end = span
            if 0 <= start < end <= len(source):
                yield Entity(source[start:end], kind, (span,))
            else:
                problems.add(f"not a span of the text (expected 0 <= start < end <= {len(source)})", span)


def only_type(schema: Schema) -> str:
    """The type that a prompt asks for, when it is one."""
    return schema.keys[0] if len(schema.keys) == 1 else ""


def listed(shape: Terms, body: str, kind: str, problems: Problems) -> tuple[list[Found], bool]:
    """The values of a JSON list: all of just this shape, or else whatever can be read out of each item."""
    value = exactly(body)
    if isinstance(value, list):
        found = [shape.exact(element, kind) for element in value]
        if None not in found:
            return found, True
    problems.add("not the JSON list of this format; items were read from what is there")
    found = [thing for item in items(body) for thing in shape.loose(item, kind, problems)]
    return found, bool(found) or _EMPTY.match(body) is not None


class ListOf(Codec):
    """A JSON list of mentions of some shape."""

    def __init__(self, name: str, can: Can, shape: Terms, separators: tuple[str, str] = (", ", ": ")):
        super().__init__(name, can)
        self.shape = shape
        self.separators = separators

    def write(self, entities: Sequence[Entity], source: str, schema: Schema) -> str:
        return json.dumps([self.shape.value(e) for e in entities], ensure_ascii=False, separators=self.separators)

    def read(self, body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
        found, readable = listed(self.shape, body, only_type(schema), problems)
        return self.shape.entities(found, source, problems), readable


# --- conversations ---


def turns(record: Record, schema: Schema) -> list[tuple[str, str]]:
    """(question, answer) for each type of the schema: the turns of a conv_term conversation, for chat training data.

    Raises FormatError as `render` does.
    """
    return _turns(asked_for(record, schema, CONV_TERM.name, TURNS), schema)


def _turns(entities: Sequence[Entity], schema: Schema) -> list[tuple[str, str]]:
    texts = {kind: [e.text for e in entities if e.type == kind] for kind in schema.keys}
    answers = {kind: f"Answer: {json.dumps(found, ensure_ascii=False)}" for kind, found in texts.items()}
    return [(f"Type: {escape(kind, _EDGES)}", answers[kind]) for kind in schema.keys]


class Conversation(Codec):
    """A question and an answer a type; with one type the answer alone, its question standing in the prompt."""

    shape = Terms(typed=False)

    def write(self, entities: Sequence[Entity], source: str, schema: Schema) -> str:
        said = _turns(entities, schema)
        if len(said) == 1:
            return said[0][1]
        return "\n".join(f"user :: {question}\nassistant :: {answer}" for question, answer in said)

    def read(self, body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
        questions = list(_TURN.finditer(body))
        if not questions and len(schema.keys) != 1:
            problems.add("no turn names its type (expected `Type: ...` before each answer)")
            return (), False
        if not questions:
            found, readable = listed(self.shape, after_opening(body, problems), schema.keys[0], problems)
            return self.shape.entities(found, source, problems), readable
        if body[: questions[0].start()].strip():
            problems.add("text before the first question", body[: questions[0].start()])
        found: list[Found] = []
        asked: set[str] = set()
        for question, following in zip(questions, [*questions[1:], None], strict=True):
            kind = unescape(question[1].strip())
            if kind in asked:
                problems.add("the same type is asked for again", kind)
            asked.add(kind)
            found += self._turn(body[question.end() : following.start() if following else len(body)], kind, problems)
        for kind in schema.keys:
            if kind not in asked:
                problems.add("no turn asks for the type", kind)
        return self.shape.entities(found, source, problems), True

    def _turn(self, said: str, kind: str, problems: Problems) -> list[Found]:
        speaker = _SPEAKER.match(said)
        if not kind or not speaker:
            problems.add("a turn without type or without `assistant ::`", said.strip())
        answer = after_opening((said[speaker.end() :] if speaker else said).strip(), problems)
        found, _ = listed(self.shape, answer, kind, problems)
        return found if kind else []


CONV_TERM = Conversation("conv_term", TURNS, "").format()
SINGLE_TERM = ListOf("single_term", TERMS, Terms(typed=False)).format()
MULTI_TERM = ListOf("multi_term", TYPED_TERMS, Terms(typed=True)).format()
SINGLE_SPAN = ListOf("single_span", SPANS, Spans(typed=False), (",", ":")).format()
MULTI_SPAN = ListOf("multi_span", TYPED_SPANS, Spans(typed=True)).format()

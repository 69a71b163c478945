"""What every output format offers: `render` a Record to an answer, `parse` an answer back, never raising.

A format for mentions is a `Codec`: what it can represent, as data, and two methods that need to know nothing but its
notation. Choosing the mentions a prompt asks for, refusing what the format cannot hold, the words `Answer:` in front,
unknown types, repeated mentions and the status are done here, once for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from etlch.errors import EtlchError
from etlch.records import Entity, Record, Triple


class FormatError(EtlchError):
    """A record that a format cannot represent; raised by `render`, never by `parse`. `reason` is the kind of trouble
    in a few words, the same for all records that have it, so that refusals can be counted."""

    def __init__(self, message: str, reason: str = "not representable"):
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Schema:
    """What a prompt asks for: entity types, field keys or relations, in the order in which the prompt names them.

    Empty means "whatever is there" (the paper's NER and KGE prompts name no label).
    """

    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """What could be read from an answer.

    status: `ok` (the format to the letter), `repaired` (items were read, see problems) or `invalid` (it is not this
    format at all). problems: one short line each. An entity's text is what the answer says; its spans, where they are
    known, are where it stands in the source (the two differ in case or width where it was aligned loosely).
    """

    status: str
    problems: tuple[str, ...] = ()
    entities: tuple[Entity, ...] = ()
    triples: tuple[Triple, ...] = ()
    fields: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Can:
    """Which mentions a format can represent.

    types: `none` (it carries no mentions), `one` (a prompt asks for one type and the answer names none), `one a turn`
    (a conversation), `many` (the answer names the types). nested: a mention within another. crossing: two that overlap,
    neither holding the other. discontinuous: of several fragments. offsets: the answer says where a mention stands;
    without them terms are aligned (etlch/formats/align.py). repeats: the same surface and type at two places.
    """

    types: str = "none"
    nested: bool = False
    crossing: bool = False
    discontinuous: bool = False
    offsets: bool = False
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """A named pair of functions. `part` says which part of the Record it carries: entities, triples or fields; `can`
    which mentions."""

    name: str
    part: str
    render: Callable[[Record, Schema], str]
    parse: Callable[[str, Schema, str], Parsed]
    is_json: bool = False
    can: Can = Can()


MAX_PROBLEMS = 20


class Problems:
    """The first problems of an answer in words, the others as a number: a broken answer of a megabyte has thousands."""

    def __init__(self) -> None:
        self.count = 0
        self._lines: list[str] = []

    def add(self, what: str, found: str | tuple[int, ...] | None = None) -> None:
        """Note a problem; `found` is the piece of the answer that shows it, cut to 40 characters."""
        self.count += 1
        if self.count <= MAX_PROBLEMS:
            self._lines.append(what if found is None else f"{what}: {found[:40]!r}")

    def status(self, readable: bool) -> str:
        """`invalid` when the answer could not be read at all, else `ok` without problems and `repaired` with some."""
        return "invalid" if not readable else "repaired" if self.count else "ok"

    def lines(self) -> tuple[str, ...]:
        """At most MAX_PROBLEMS lines; the last says how many more there were."""
        if self.count <= MAX_PROBLEMS:
            return tuple(self._lines)
        return (*self._lines[:-1], f"and {self.count - MAX_PROBLEMS + 1:,} more problems")


class Codec:
    """A notation for mentions. `opening`: what an answer begins with (`Answer: `, `Answer:` and a line break, nothing)."""

    def __init__(self, name: str, can: Can, opening: str = "Answer: "):
        self.name = name
        self.can = can
        self.opening = opening

    def write(self, entities: Sequence[Entity], source: str, schema: Schema) -> str:
        """An answer without its opening, for mentions of a source text."""
        raise NotImplementedError

    def read(self, body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
        """The mentions of an answer without its opening, and whether it is of this format."""
        raise NotImplementedError

    def format(self) -> Format:
        """The Format of this notation."""
        return Format(self.name, "entities", self._render, self._parse, can=self.can)

    def _render(self, record: Record, schema: Schema) -> str:
        entities = asked_for(record, schema, self.name, self.can)
        try:
            body = self.write(entities, record.text, schema)
        except FormatError as error:
            raise FormatError(f"record {record.id!r}: {error}", error.reason) from None
        return self.opening + body if body else self.opening.rstrip()

    def _parse(self, text: str, schema: Schema, source_text: str = "") -> Parsed:
        problems = Problems()
        if self.can.types == "one" and len(schema.keys) != 1:
            problems.add(f"{self.name} is asked for one type at a time (the schema names {len(schema.keys)})")
            return Parsed("invalid", problems.lines())
        body = after_opening(text, problems) if self.opening else text
        found, readable = self.read(body, schema, source_text, problems)
        entities = _checked(found, schema, self.can, problems)
        return Parsed(problems.status(readable or bool(entities)), problems.lines(), entities)


def asked_for(record: Record, schema: Schema, name: str, can: Can) -> list[Entity]:
    """The mentions of a record that a prompt with this schema asks for.

    Raises FormatError for the first that the format cannot represent. Where answers have offsets, a mention that the
    record has twice (same place, same type) counts once.
    """
    if can.types == "one" and len(schema.keys) != 1:
        raise FormatError(f"{name} needs a schema of one type (found {list(schema.keys)})", "not one type a prompt")
    if can.types == "one a turn" and not schema.keys:
        raise FormatError(f"{name} asks type by type, so its schema must name them (found none)", "no types to ask for")
    entities = [e for e in record.entities if can.types != "one" or e.type == schema.keys[0]]
    for entity in entities:
        trouble = _trouble(entity, schema, can)
        if trouble:
            mention = f"{entity.text[:60]!r} ({entity.type})"
            raise FormatError(f"record {record.id!r}: {name} cannot hold {mention}: {trouble}", trouble)
    if can.offsets:
        entities = list(dict.fromkeys(entities))
    if not can.crossing:
        _refuse_crossing(record, entities, name)
    return entities


def _trouble(entity: Entity, schema: Schema, can: Can) -> str:
    if not entity.text:
        return "an empty mention"
    if not entity.type:
        return "an empty type"
    if schema.keys and entity.type not in schema.keys:
        return "a type that is not in the schema"
    if can.offsets and not entity.spans:
        return "a mention without offsets"
    if not can.discontinuous and len(entity.spans) > 1:
        return "a discontinuous mention"
    return ""


def _refuse_crossing(record: Record, entities: Iterable[Entity], name: str) -> None:
    around: list[Entity] = []
    for entity in outermost_first(entities):
        start, end = entity.spans[0]
        while around and around[-1].spans[0][1] <= start:
            around.pop()
        if around and end > around[-1].spans[0][1]:
            both = f"{around[-1].text[:60]!r} and {entity.text[:60]!r}"
            raise FormatError(f"record {record.id!r}: {name} cannot hold {both}, which cross", "crossing mentions")
        around.append(entity)


def outermost_first(entities: Iterable[Entity]) -> list[Entity]:
    """By first character, the longest first among those that start together (each has one span)."""
    return sorted(entities, key=lambda entity: (entity.spans[0][0], -entity.spans[0][1]))


_OPENING = re.compile(r"(?:[\s*_]*+(?:answer|答案)[\s*_]*+[:：][*_]*+)++", re.I)


def after_opening(text: str, problems: Problems) -> str:
    """An answer without `Answer:` and the one blank or line break behind it; its absence is a problem."""
    if text.startswith("Answer:"):
        start = 7
    else:
        problems.add("`Answer:` is missing or not at the beginning")
        match = _OPENING.match(text)
        if not match:
            return text
        start = match.end()
    return text[start + (text[start : start + 1] in (" ", "\n")) :]


def _checked(found: Iterable[Entity], schema: Schema, can: Can, problems: Problems) -> tuple[Entity, ...]:
    """Report types that were not asked for and, where an answer says where, the same mention again. All are kept: what
    was answered is scored."""
    entities = tuple(found)
    if schema.keys:
        known = set(schema.keys)
        for entity in entities:
            if entity.type not in known:
                problems.add("type that was not asked for", entity.type)
    if can.offsets:
        again(entities, problems)
    return entities


def again(items: Sequence[object], problems: Problems) -> None:
    """Report items that stand once more; they are kept: what is answered often is counted often."""
    more = len(items) - len(set(items))
    if more:
        problems.add(f"the same again ({more:,} in all)")

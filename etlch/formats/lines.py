r"""One mention a line: multi_triple (`BCL6; is a; protein`) and multi_brat (`T1 protein 27 31 BCL6`).

Both escape the backslash and line breaks (`\\`, `\n`) and blanks at the ends (`\u0020`); multi_triple also its own mark
(`\;`) and what would be taken for a list mark (`\•`), multi_brat in a type also digits at its beginning and blanks before digits, which would be read as offsets.

multi_brat is written with blanks, as the paper's listing is printed, and read with BRAT's tabs as well. A discontinuous
mention has its fragments as in BRAT: `T1 symptom 0 4;10 15 high fever`. Its offsets win: the text of a mention is what
they cut out of the source, and another text in the answer is a problem. Only where they lie outside of the source is
the text aligned instead, as terms are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from etlch.formats.align import align
from etlch.formats.base import Can, Codec, Problems, Schema
from etlch.formats.escapes import EDGES, escape, unescape
from etlch.formats.surface import without_end, without_mark
from etlch.formats.terms import TYPED_TERMS
from etlch.records import Entity

BRAT = Can("many", nested=True, crossing=True, discontinuous=True, offsets=True, repeats=True)

_PREDICATE = "is a"
_IN_TRIPLE = re.compile(EDGES + "|;")
_FIRST = re.compile(r"\A.", re.S)
_CUT = re.compile(r"\\.|;", re.S)

_EDGES = re.compile(EDGES)
_IN_BRAT_TYPE = re.compile(EDGES + r"|\A[0-9]|\t|\s(?=[0-9])")
_ID = re.compile(r"T([0-9]{1,9})[ \t]")
_OFFSETS = re.compile(r"(?<=[ \t])[0-9]{1,9} [0-9]{1,9}(?:;[0-9]{1,9} [0-9]{1,9})*+(?=[ \t]|\Z)")


def _lines(body: str, problems: Problems, read: Callable[[str, int], Entity | None]) -> tuple[list[Entity], bool]:
    """The mentions of the lines that are not blank; the others are problems. An answer without lines has none."""
    found: list[Entity] = []
    lines = [line for line in body.split("\n") if line.strip()]
    for number, line in enumerate(lines, start=1):
        entity = read(line, number)
        if entity:
            found.append(entity)
        else:
            problems.add("not a line of the format", line)
    return found, not lines and not problems.count


class Triples(Codec):
    """`surface; is a; type` a line."""

    def write(self, entities: Sequence[Entity], source: str, schema: Schema) -> str:
        return "\n".join(f"{_surface(e.text, source)}; {_PREDICATE}; {escape(e.type, _IN_TRIPLE)}" for e in entities)

    def read(self, body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
        def read(line: str, number: int) -> Entity | None:
            parts = _split(line)
            if len(parts) == 2 and parts[1] in schema.keys:  # the predicate left out
                problems.add("a line without predicate", line)
                return Entity(parts[0], parts[1]) if parts[0] else None
            text, kind = "; ".join(parts[:-2]), parts[-1]
            bare = text if line.lstrip().startswith("\\") else without_mark(text, source.__contains__)
            if bare != text:
                problems.add("a list mark before a line", line)
                text = bare
            if kind not in schema.keys and without_end(kind).rstrip(".") in schema.keys:
                problems.add("a full stop behind a line", line)
                kind = without_end(kind).rstrip(".")
            if len(parts) > 3:
                problems.add("more than three parts; the last two were taken for predicate and type", line)
            elif len(parts) == 3 and parts[1] != _PREDICATE:
                problems.add(f"another predicate than {_PREDICATE!r}", parts[1])
            return Entity(text, kind) if text and kind else None

        found, readable = _lines(body, problems, read)
        return align(found, source), readable


def _split(line: str) -> list[str]:
    """The parts between semicolons that are not escaped, without blanks around them and unescaped."""
    if "\\" not in line:
        return [part.strip() for part in line.split(";" if ";" in line else "；")]
    cuts = [match.start() for match in _CUT.finditer(line) if match[0] == ";"]
    pairs = zip([-1, *cuts], [*cuts, len(line)], strict=True)
    return [unescape(line[start + 1 : end].strip()) for start, end in pairs]


def _surface(text: str, source: str) -> str:
    """A text as it is written in a line: so that what looks like a list mark stays, where the source does not tell."""
    written = escape(text, _IN_TRIPLE)
    if written[0] == "\\" or without_mark(text, source.__contains__) == text:
        return written
    return escape(text[0], _FIRST) + written[1:]


class Brat(Codec):
    """`T1 type 27 31 surface` a line."""

    def write(self, entities: Sequence[Entity], source: str, schema: Schema) -> str:
        lines = []
        for number, entity in enumerate(entities, start=1):
            places = ";".join(f"{start} {end}" for start, end in entity.spans)
            lines.append(f"T{number} {escape(entity.type, _IN_BRAT_TYPE)} {places} {escape(entity.text, _EDGES)}")
        return "\n".join(lines)

    def read(self, body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
        def read(line: str, number: int) -> Entity | None:
            name = _ID.match(line)
            offsets = _OFFSETS.search(line, name.end()) if name else None
            if not name or not offsets:
                return None
            if int(name[1]) != number:
                problems.add(f"T{name[1]} where T{number} was expected")
            kind = unescape(line[name.end() : offsets.start()].strip())
            said = unescape(line[offsets.end() :].strip())
            pairs = [pair.split(" ") for pair in offsets[0].split(";")]
            spans = tuple((int(start), int(end)) for start, end in pairs)
            if not all(0 <= start < end <= len(source) for start, end in spans):
                problems.add("offsets outside the text", offsets[0])
                return Entity(said, kind) if said and kind else None
            text = " ".join(source[start:end] for start, end in spans)
            if text != said:
                problems.add("another text than its offsets have", said)
            return Entity(text, kind, spans) if kind else None

        found, readable = _lines(body, problems, read)
        return align(found, source), readable


MULTI_TRIPLE = Triples("multi_triple", TYPED_TERMS, "Answer:\n").format()
MULTI_BRAT = Brat("multi_brat", BRAT, "Answer:\n").format()

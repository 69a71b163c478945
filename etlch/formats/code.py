r'''A Python function that appends its findings to a list: single_code and multi_code, after CodeIE.

    Answer:
    ```py
    def named_entity_recognition(input_text):
        """ extract entities from the input_text. """
        input_text = "... BCL6 ..."
        entity_list = []
        # extracted entities for protein types.
        entity_list.append({"text": "BCL6", "type": "protein"})
    ```

The paper's single_code listing repeats that of multi_tag; the text describes code, so single_code is this function with
its one type in the comment and a string for each mention: `entity_list.append("BCL6")`. The listing lost its
indentation, which Python needs; it is four blanks here. Strings are written as JSON writes them, which Python reads too;
in the comment line breaks and backslashes of a type are `\n` and `\\`.
'''

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from etlch.formats.base import Can, Codec, Problems, Schema
from etlch.formats.escapes import EDGES, escape
from etlch.formats.literals import exactly, items
from etlch.formats.terms import TERMS, TYPED_TERMS, Found, Terms, only_type
from etlch.records import Entity

_EDGES = re.compile(EDGES)
_STATEMENT = re.compile(r"    entity_list\.append\((.*)\)")
_APPEND = re.compile(r"append\s*+\(")
_ASIDE = re.compile(r"\s*+(?:#|input_text\b)")
_FENCE = "```"


def _head(schema: Schema, source: str) -> list[str]:
    """The lines before the first mention."""
    kinds = ", ".join(escape(kind, _EDGES) for kind in schema.keys)
    wanted = f" for {kinds} {'type' if len(schema.keys) == 1 else 'types'}" if kinds else ""
    return [
        _FENCE + "py",
        "def named_entity_recognition(input_text):",
        '    """ extract entities from the input_text. """',
        f"    input_text = {json.dumps(source, ensure_ascii=False)}",
        "    entity_list = []",
        f"    # extracted entities{wanted}.",
    ]


class Code(Codec):
    """The function, with a line for each mention of some shape."""

    def __init__(self, name: str, can: Can, shape: Terms):
        super().__init__(name, can, "Answer:\n")
        self.shape = shape

    def write(self, entities: Sequence[Entity], source: str, schema: Schema) -> str:
        values = (json.dumps(self.shape.value(entity), ensure_ascii=False) for entity in entities)
        return "\n".join([*_head(schema, source), *(f"    entity_list.append({v})" for v in values), _FENCE])

    def read(self, body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
        """A line of the format is read exactly; in any other, whatever stands behind each `append(`."""
        lines = body.split("\n")
        head = _head(schema, source)
        size = len(head) if lines[: len(head)] == head else 0
        if not size:
            problems.add("the lines before the mentions are not those of the format")
        if lines[-1] == _FENCE and size < len(lines):
            lines.pop()
        else:
            problems.add("the code has no end")
        found: list[Found] = []
        kind = only_type(schema)
        for line in lines[size:]:
            statement = _STATEMENT.fullmatch(line)
            pair = self.shape.exact(exactly(statement[1]), kind) if statement else None
            if pair:
                found.append(pair)
            elif line not in head and line.strip():
                found += self._loose_line(line, kind, problems)
        return self.shape.entities(found, source, problems), bool(size) or "entity_list" in body

    def _loose_line(self, line: str, kind: str, problems: Problems) -> Iterator[Found]:
        """What a line that is not of the format appends; comments and the input append nothing."""
        arguments = [] if _ASIDE.match(line) else _APPEND.split(line)[1:]
        if not line.strip().startswith(_FENCE):
            problems.add("not a line of the format", line.strip())
        for argument in arguments:
            things = (pair for item in items(argument) for pair in self.shape.loose(item, kind, problems))
            yield from (pair for pair in [next(things, ("", ""))] if pair[0])


SINGLE_CODE = Code("single_code", TERMS, Terms(typed=False)).format()
MULTI_CODE = Code("multi_code", TYPED_TERMS, Terms(typed=True)).format()

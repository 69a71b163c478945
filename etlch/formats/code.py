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
from collections.abc import Callable, Iterable, Iterator, Sequence

from etlch.formats.align import align
from etlch.formats.base import Codec, Problems, Schema, mention_format
from etlch.formats.escapes import EDGES, escape
from etlch.formats.literals import exactly, first_string, items
from etlch.formats.terms import TERMS, TYPED_TERMS, loose_typed_term, typed, typed_term
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


def _write(values: Iterable[object], schema: Schema, source: str) -> str:
    lines = [f"    entity_list.append({json.dumps(value, ensure_ascii=False)})" for value in values]
    return "\n".join([*_head(schema, source), *lines, _FENCE])


def _write_single(entities: Sequence[Entity], source: str, schema: Schema) -> str:
    return _write((entity.text for entity in entities), schema, source)


def _write_multi(entities: Sequence[Entity], source: str, schema: Schema) -> str:
    return _write(({"text": entity.text, "type": entity.type} for entity in entities), schema, source)


def _read_single(body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
    def loose(argument: str) -> tuple[str, str]:
        item = next(items(argument), {})
        return first_string(item.get("")) or first_string(item.get("text")), schema.keys[0]

    def exact(value: object) -> tuple[str, str] | None:
        return (value, schema.keys[0]) if isinstance(value, str) else None

    pairs, readable = _arguments(body, schema, source, problems, exact, loose)
    return align(typed(pairs, schema, problems), source), readable


def _read_multi(body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
    def loose(argument: str) -> tuple[str, str]:
        return next((pair for item in items(argument) for pair in loose_typed_term(item)), ("", ""))

    pairs, readable = _arguments(body, schema, source, problems, typed_term, loose)
    return align(typed(pairs, schema, problems), source), readable


def _arguments(
    body: str,
    schema: Schema,
    source: str,
    problems: Problems,
    exact: Callable[[object], tuple[str, str] | None],
    loose: Callable[[str], tuple[str, str]],
) -> tuple[list[tuple[str, str]], bool]:
    """(text, type) of each append, and whether the function is there at all.

    A line of the format is read exactly; in any other, whatever stands behind each `append(`.
    """
    lines = body.split("\n")
    head = _head(schema, source)
    size = len(head) if lines[: len(head)] == head else 0
    if not size:
        problems.add("the lines before the mentions are not those of the format")
    if lines[-1] == _FENCE and size < len(lines):
        lines.pop()
    else:
        problems.add("the code has no end")
    pairs = []
    for line in lines[size:]:
        statement = _STATEMENT.fullmatch(line)
        pair = exact(exactly(statement[1])) if statement else None
        if pair:
            pairs.append(pair)
        elif line not in head and line.strip():
            pairs += _loose_line(line, loose, problems)
    return pairs, bool(size) or "entity_list" in body


def _loose_line(line: str, loose: Callable[[str], tuple[str, str]], problems: Problems) -> Iterator[tuple[str, str]]:
    """What a line that is not of the format appends; comments and the input append nothing."""
    arguments = [] if _ASIDE.match(line) else _APPEND.split(line)[1:]
    if not line.strip().startswith(_FENCE):
        problems.add("not a line of the format", line.strip())
    yield from (pair for argument in arguments if (pair := loose(argument))[0])


SINGLE_CODE = mention_format(Codec("single_code", TERMS, _write_single, _read_single, "Answer:\n"))
MULTI_CODE = mention_format(Codec("multi_code", TYPED_TERMS, _write_multi, _read_multi, "Answer:\n"))

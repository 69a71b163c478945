"""The ETLCH paper's knowledge-graph layout: a header, then one `主詞－關係－受詞` a line."""

from __future__ import annotations

import re
from itertools import combinations

from etlch.formats.base import Format, FormatError, Parsed, Problems, Schema
from etlch.records import Record, Triple

HEADER = "【一、三元組格式（主詞－關係－受詞）】"
SEPARATOR = "－"
_HEADER = re.compile(r"【[^【】\n]{0,40}】")
_LIST_MARK = re.compile(r"(?:[-*•・]|[(（]?\d{1,3}[.、)）．])\s+")
_DASH = re.compile(r"[－—–―─-]+")
# from the surest reading to the loosest: the paper's mark, a dash set off by blanks, a long dash, any dash
_CUTS = (re.compile(r"－"), re.compile(r"(?<=\s)[－—–―─-]+(?=\s)"), re.compile(r"[—–―─]+"), _DASH)
_MAX_DASHES = 12


def render(record: Record, schema: Schema) -> str:
    """The header and one triple a line, in the record's order, each triple once.

    Raises FormatError for a part that is empty, has blanks at its ends, or holds a line break or the mark itself.
    """
    lines = [HEADER]
    for triple in record.triples:
        for part in (triple.head, triple.relation, triple.tail):
            if not part or part != part.strip() or SEPARATOR in part or len(part.splitlines()) != 1:
                raise FormatError(
                    f"record {record.id!r}: {part!r} cannot stand in a line of {SEPARATOR}-separated triples"
                )
        lines.append(SEPARATOR.join((triple.head, triple.relation, triple.tail)))
    return "\n".join(dict.fromkeys(lines))


def parse(text: str, schema: Schema, source_text: str = "") -> Parsed:
    """Read triples line by line; never raises.

    Where dashes inside names make a line ambiguous, the reading whose head and tail stand in `source_text` wins. A list
    mark (`1. `, `- `) is dropped unless the source has the head with it.
    """
    problems = Problems()
    triples: dict[Triple, None] = {}
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    headed = lines[:1] == [HEADER]
    if not headed:
        problems.add("the header is missing or altered")
    for line in lines[headed:]:
        line = _HEADER.sub("", line).strip() if line.startswith("【") else line
        if not line:
            continue
        triple, exact = _read(line, source_text)
        if triple is None:
            problems.add("not a triple", line)
            continue
        if not exact:
            problems.add(f"another separator than {SEPARATOR}", line)
        if triple in triples:
            problems.add("the same triple again", line)
        triples[triple] = None
    return Parsed(problems.status(headed or bool(triples)), problems.lines(), triples=tuple(triples))


def _read(line: str, source: str) -> tuple[Triple | None, bool]:
    """The triple of one line and whether it was written to the letter."""
    parts = line.split(SEPARATOR)
    if len(parts) == 3 and all(part.strip() for part in parts):
        head, relation, tail = (part.strip() for part in parts)
        plain = _without_mark(head, source)
        return Triple(plain, relation, tail), plain == head and parts == [head, relation, tail]
    line = _without_mark(line, source)
    for cut in _CUTS:
        parts = [part.strip() for part in cut.split(line)]
        if len(parts) == 3 and all(parts):
            return Triple(*parts), False
    return _grounded(line, source), False


def _without_mark(text: str, source: str) -> str:
    match = _LIST_MARK.match(text)
    if not match or (source and text in source):
        return text
    return text[match.end() :] or text


def _grounded(line: str, source: str) -> Triple | None:
    """Try every pair of dashes as the separators: head and tail must stand in the source, the shortest relation wins."""
    dashes = list(_DASH.finditer(line))
    if not source or not 2 <= len(dashes) <= _MAX_DASHES:
        return None
    found = []
    for one, two in combinations(dashes, 2):
        head, relation, tail = line[: one.start()], line[one.end() : two.start()], line[two.end() :]
        triple = Triple(head.strip(), relation.strip(), tail.strip())
        if triple.head and triple.relation and triple.tail and triple.head in source and triple.tail in source:
            found.append(triple)
    return min(found, key=lambda t: len(t.relation), default=None)


TRIPLES = Format("triple_lines", "triples", render, parse)

"""The ETLCH paper's knowledge-graph layout: a header, then one `主詞－關係－受詞` a line.

A line that is not to the letter is read as far as it goes, and told: list marks before it (`1、`, `（1）`, `①`, `•`, `-`), a
full stop behind it, brackets or stars around it or its parts, other dashes and arrows, a table's bars, several triples
on one line. Whatever the source has as it stands is kept: `1. FC Köln`, `Inc.`.
"""

from __future__ import annotations

import re
from itertools import combinations

from etlch.formats.base import Format, FormatError, Parsed, Problems, Schema, again
from etlch.formats.surface import unwrapped, without_end, without_mark
from etlch.records import Record, Triple

HEADER = "【一、三元組格式（主詞－關係－受詞）】"
SEPARATOR = "－"
_HEADER = re.compile(r"【[^【】\n]{0,40}】")
_PLACEHOLDERS = re.compile(
    r"主[詞词語语].{0,3}[關关][係系].{0,3}[受賓宾][詞词語语]|\bhead.{1,3}relation.{1,3}tail\b", re.I
)
_DASHES = r"－—–―─\u2010-\u2012\u2212\ufe58\ufe63\-"
_ARROW = rf"(?<![{_DASHES}=])[{_DASHES}=]*+(?:[→⟶⇒➔➜➝]|(?<=[{_DASHES}=])>)"
_ANY = re.compile(rf"{_ARROW}|[{_DASHES}]+")
# from the surest reading to the loosest: the paper's mark, a dash set off by blanks, a long dash, any dash, arrows
_CUTS = (
    re.compile(SEPARATOR),
    re.compile(rf"(?<=\s)[{_DASHES}]+(?=\s)"),
    re.compile(r"[—–―─\u2212]++(?!>)"),
    re.compile(rf"(?<![{_DASHES}])[{_DASHES}]++(?!>)"),
    re.compile(_ARROW),
    _ANY,
)
_BARS, _COMMAS = re.compile(r"[|｜\t]"), re.compile(r"[,，;；、]")
_BETWEEN = (r"[;；]", "。", r"\s+(?=[(（]?[0-9]{1,3}[.、)）．])|(?=[①-⑳])", "[→⟶⇒]", "[,，]", "、", r"\s+")
_WORD = re.compile(r"\w")
_UP_TO_LAST = re.compile(rf".*[{_DASHES}→⟶⇒➔➜➝>]", re.S)
_LABEL = re.compile(r"[^:：]{1,12}[:：]\s*(?=\S)")
_FULL_STOP = re.compile(r"[a-z0-9]{4}\.\Z")
_MAX_MARKS = 12


def render(record: Record, schema: Schema) -> str:
    """The header and one triple a line, in the record's order, each triple once.

    Raises FormatError for a part that is empty, has blanks at its ends, or holds a line break or the mark itself, and for
    a triple that would be read otherwise: one whose parts begin with a list mark, say, and do not stand in the text.
    """
    lines = [HEADER]
    reader = _Reader(record.text)
    for triple in record.triples:
        for part in (triple.head, triple.relation, triple.tail):
            if not part or part != part.strip() or SEPARATOR in part or len(part.splitlines()) != 1:
                raise FormatError(
                    f"record {record.id!r}: {part!r} cannot stand in a line of {SEPARATOR}-separated triples"
                )
        line = SEPARATOR.join((triple.head, triple.relation, triple.tail))
        if reader.line(line) != ([(triple.head, triple.relation, triple.tail)], ""):
            raise FormatError(f"record {record.id!r}: {line!r} would be read as another triple", "not representable")
        lines.append(line)
    return "\n".join(dict.fromkeys(lines))


def parse(text: str, schema: Schema, source_text: str = "") -> Parsed:
    """Read triples line by line; never raises.

    Where signs inside names make a line ambiguous, the reading whose head and tail stand in `source_text` wins.
    """
    problems = Problems()
    triples: list[Triple] = []
    reader = _Reader(source_text)
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    headed = lines[:1] == [HEADER]
    if not headed:
        problems.add("the header is missing or altered")
    for line in lines[headed:]:
        found, problem = reader.line(line)
        if problem:
            problems.add(problem, line)
        triples += [Triple(*parts) for parts in found]
    again(triples, problems)
    return Parsed(problems.status(headed or bool(triples)), problems.lines(), triples=tuple(triples))


Parts = tuple[str, str, str]


class _Reader:
    """Reads lines beside a source text, in which each piece of an answer is looked up once."""

    def __init__(self, source: str):
        self._source = source
        self._known: dict[str, bool] = {"": False}

    def line(self, line: str) -> tuple[list[Parts], str]:
        """The triples of a line, and what is wrong with it (empty: it is to the letter)."""
        parts = _three(line.split(SEPARATOR))
        inner = unwrapped(line)
        within = _three(inner.split(SEPARATOR)) if inner != line else None
        kept = not (within and self._both(within)) and self._ended(line) == line
        if parts and self._both(parts) and kept:
            return [parts], "" if SEPARATOR.join(parts) == line else "blanks in a triple"
        heading = _HEADER.match(line)
        if heading:
            inside, rest = heading[0][1:-1], line[heading.end() :].strip()
            if not rest and (one := self._one(inside)) and self._both(one):
                return [one], "brackets around a triple"
            found, problem = self.line(rest) if rest and not rest.startswith("【") else ([], "")
            return found, problem or "a heading"
        if _PLACEHOLDERS.search(line):
            return [], "a heading"
        if parts:
            one = self._one(line)
            to_the_letter = one is not None and SEPARATOR.join(one) == line
            return [one or parts], "" if to_the_letter else f"not written as head{SEPARATOR}relation{SEPARATOR}tail"
        several, whole = self._several(line)
        if several:
            return several, "several triples on a line" + ("" if whole else ", and more that is none")
        one = self._one(line)
        return ([one], f"not written as head{SEPARATOR}relation{SEPARATOR}tail") if one else ([], "not a triple")

    def _stands(self, piece: str) -> bool:
        if piece not in self._known:
            self._known[piece] = piece in self._source
        return self._known[piece]

    def _both(self, parts: Parts) -> bool:
        return self._stands(parts[0]) and self._stands(parts[2])

    def _several(self, line: str) -> tuple[list[Parts], bool]:
        """Two or more triples of a line, and whether they are all that it holds. After `；` and `。` something else may
        stand between them; other signs part triples only where they part nothing else."""
        if len(_ANY.findall(line)) < 4:
            return [], False
        for number, between in enumerate(_BETWEEN):
            pieces = [piece.strip() for piece in re.split(between, line)]
            pieces = [piece for piece in pieces if _WORD.search(piece)]
            marked = [piece for piece in pieces if len(_ANY.findall(piece)) >= 2]
            if len(marked) < 2 or (number > 1 and len(marked) < len(pieces)):
                continue
            found = []
            for piece in marked:
                parts = self._one(piece)
                if parts:
                    found.append(parts)
                if number > 1 and not (parts and (number < len(_BETWEEN) - 1 or not self._source or self._both(parts))):
                    break
            else:
                if len(found) > 1:
                    return found, len(found) == len(pieces)
        return [], False

    def _one(self, line: str) -> Parts | None:
        """One triple of a line that is not to the letter."""
        bare = self._trimmed(line)
        inner = unwrapped(bare)
        listed = inner != bare and bare[0] in "（([［<【〔"
        if inner != bare:
            bare = self._trimmed(inner)
        exact = bare.count(SEPARATOR) == 2
        best: Parts | None = None
        for cut in _CUTS:
            parts = _three(cut.split(bare))
            if parts and (exact or all(map(_WORD.search, parts[::2]))):
                parts = self._plain(parts, exact)
                if exact or self._both(parts):
                    return parts
                best = best or parts
        if best is None:
            best = self._grounded(bare)
        if best is None and (parts := _three(_BARS.split(bare.strip("|｜ ")))):
            best = next(filter(self._both, [self._plain(parts, False)]), None)
        if best is None and listed and (parts := _three(_COMMAS.split(bare))):
            best = self._plain(parts, False)
        return best

    def _trimmed(self, line: str) -> str:
        """A line without list marks and labels before it and full stops behind it."""
        line = without_mark(line, lambda item: self._stands(_first(item)))
        label = _LABEL.match(line)
        if label and not self._stands(_first(line)) and self._stands(_first(line[label.end() :])):
            line = line[label.end() :]
        return self._ended(line)

    def _ended(self, line: str) -> str:
        """A line without full stops behind it; `Inc.` keeps the one that the source has."""
        line = without_end(line)
        last = _last(line) if line.endswith(".") else ""
        mark = last and self._stands(last[:-1]) and (_FULL_STOP.search(last, len(last) - 5) or not self._stands(last))
        return line[:-1] if mark else line

    def _plain(self, parts: Parts, exact: bool) -> Parts:
        """Parts without brackets, quotes and stars around them, where the source does not have these."""
        head, relation, tail = parts
        bare = [part if self._stands(part) else unwrapped(part) for part in (head, tail)]
        return bare[0], relation if exact and bare == [head, tail] else unwrapped(relation), bare[1]

    def _grounded(self, line: str) -> Parts | None:
        """Try every pair of marks as the separators: head and tail must stand in the source, the shortest relation wins."""
        marks = list(_ANY.finditer(line))
        if not self._source or not 2 <= len(marks) <= _MAX_MARKS:
            return None
        heads = [line[: mark.start()].strip() for mark in marks]
        tails = [line[mark.end() :].strip() for mark in marks]
        found = []
        for one, two in combinations(range(len(marks)), 2):
            if self._stands(heads[one]) and self._stands(tails[two]):
                relation = line[marks[one].end() : marks[two].start()].strip()
                found += [(heads[one], relation, tails[two])] if relation else []
        return min(found, key=lambda parts: len(parts[1]), default=None)


def _three(parts: list[str]) -> Parts | None:
    if len(parts) != 3:
        return None
    head, relation, tail = map(str.strip, parts)
    return (head, relation, tail) if head and relation and tail else None


def _first(line: str) -> str:
    """What stands before the first mark that is not at the very beginning."""
    mark = _ANY.search(line, 1)
    return line[: mark.start()].strip() if mark else line


def _last(line: str) -> str:
    """What stands behind the last mark."""
    mark = _UP_TO_LAST.match(line)
    return line[mark.end() :].strip() if mark else line


TRIPLES = Format("triple_lines", "triples", render, parse)

r"""The whole text with marks around its mentions: single_tag (`@@BCL6##`) and multi_tag (`<protein>BCL6</protein>`).

Offsets are those of the text without the marks. Where an answer's text is not the source letter for letter, mentions in
the part that agrees from the beginning, and in the part that agrees up to the end, keep their offsets; those between
are aligned as terms are. Mentions that cross, or that have several fragments, cannot be marked and are refused.

What the text itself holds of the notation is escaped, and only where it would be misread:

- single_tag: `\@`, `\#` where two of these meet each other or a mark; `\\` before one of them or a mark.
- multi_tag: `&lt;` where a `<` would begin a tag (`p < 0.05` stays as it is), `&amp;` where an `&` would begin such a
  reference. In type names also `>`, line breaks, a leading slash and blanks at the ends, as `&#47;`.

An unescaped tag in an answer is text when the schema has no such type but the source has the tag.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from etlch.formats.align import align
from etlch.formats.base import Can, Codec, Problems, Schema, mention_format, outermost_first
from etlch.records import Entity

SINGLE = Can("one", nested=True, offsets=True, repeats=True)
MULTI = Can("many", nested=True, offsets=True, repeats=True)


@dataclass(frozen=True, slots=True)
class Notation:
    """How marks and text are written. `marks` finds the marks in an answer: group `open` or `close` holds the type as
    written (or the mark itself, where marks are untyped), neither group an escape to be skipped."""

    opening: Callable[[str], str]
    closing: Callable[[str], str]
    escaped: Callable[[str], str]
    unescaped: Callable[[str], str]
    marks: re.Pattern[str]
    typed: bool


# --- single_tag: @@ and ## ---

_LOOSE_SIGN = re.compile(r"\\(?=[\\@#]|\Z)|[@#](?=[@#]|\Z)|(?<=[@#])[@#]|\A[@#]")
_ESCAPED_SIGN = re.compile(r"\\([\\@#])")


def _at(kind: str) -> str:
    return "@@"


def _hash(kind: str) -> str:
    return "##"


def _signs_escaped(text: str) -> str:
    return _LOOSE_SIGN.sub(r"\\\g<0>", text)


def _signs_unescaped(text: str) -> str:
    return _ESCAPED_SIGN.sub(r"\1", text) if "\\" in text else text


SIGNS = Notation(
    _at, _hash, _signs_escaped, _signs_unescaped, re.compile(r"\\[\\@#]|(?P<open>@@)|(?P<close>##)"), typed=False
)

# --- multi_tag: <type> and </type> ---

_NAME = r"[^<>\s/](?:[^<>\n]*[^<>\s])?"
_UP_TO_CLOSING = re.compile(r"[^>\n]++>?")
_LOOSE_BRACKET = re.compile(r"<(?=/?[^>\s/])")
_LOOSE_REFERENCE = re.compile(r"&(?=(?:lt|gt|amp|#[0-9]{1,7});)")
_REFERENCE = re.compile(r"&(?:(lt|gt|amp)|#([0-9]{1,7}));")
_LOOSE_IN_NAME = re.compile(r"\A[\s/]|\s\Z|[<>\n]|&(?=(?:lt|gt|amp|#[0-9]{1,7});)")
_REFERENCES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_CHARACTERS = {"lt": "<", "gt": ">", "amp": "&"}


def _reference(match: re.Match[str]) -> str:
    return _REFERENCES.get(match[0]) or f"&#{ord(match[0])};"


def _character(match: re.Match[str]) -> str:
    if match[1]:
        return _CHARACTERS[match[1]]
    return chr(int(match[2])) if int(match[2]) <= 0x10FFFF else match[0]


def _name(kind: str) -> str:
    return _LOOSE_IN_NAME.sub(_reference, kind)


def _open_tag(kind: str) -> str:
    return f"<{_name(kind)}>"


def _close_tag(kind: str) -> str:
    return f"</{_name(kind)}>"


def _brackets_escaped(text: str) -> str:
    text = _LOOSE_REFERENCE.sub(_reference, text)
    return _UP_TO_CLOSING.sub(_closed_brackets_escaped, text) if "<" in text else text


def _closed_brackets_escaped(match: re.Match[str]) -> str:
    """All that could begin a tag before one `>`: were only the last escaped, the one before it would reach the `>`."""
    piece = match[0]
    could_be_tag = piece[-1] == ">" and not piece[-2:-1].isspace()
    return _LOOSE_BRACKET.sub(_reference, piece) if could_be_tag else piece


def _brackets_unescaped(text: str) -> str:
    return _REFERENCE.sub(_character, text) if "&" in text else text


TAGS = Notation(
    _open_tag,
    _close_tag,
    _brackets_escaped,
    _brackets_unescaped,
    re.compile(rf"<(?:(?P<open>{_NAME})|/(?P<close>{_NAME}))>"),
    typed=True,
)


# --- both ---


def _write(notation: Notation, entities: Sequence[Entity], source: str) -> str:
    """The source with marks; of mentions that begin together the longest is the outer one."""
    out: list[str] = []
    around: list[tuple[int, str]] = []
    at = 0

    def text_up_to(place: int) -> None:
        nonlocal at
        out.append(notation.escaped(source[at:place]))
        at = place

    def close_up_to(place: int) -> None:
        while around and around[-1][0] <= place:
            end, kind = around.pop()
            text_up_to(end)
            out.append(notation.closing(kind))

    for entity in outermost_first(entities):
        start, end = entity.spans[0]
        close_up_to(start)
        text_up_to(start)
        out.append(notation.opening(entity.type))
        around.append((end, entity.type))
    close_up_to(len(source))
    text_up_to(len(source))
    return "".join(out)


Marked = tuple[int, int, str]
"""Start and end in the answer's own text without marks, and type."""


def _read(
    notation: Notation, body: str, schema: Schema, source: str, problems: Problems
) -> tuple[Iterable[Entity], bool]:
    plain, found = _without_marks(notation, body, schema, source, problems)
    found.sort(key=lambda mention: (mention[0], -mention[1]))
    same = plain.strip() == source.strip()
    if not same:
        cut = bool(plain) and source.startswith(plain)
        problems.add(
            f"the text stops after {len(plain)} characters of {len(source)}" if cut else "the text was altered"
        )
    return _ground(plain, found, source), same and bool(source)


def _without_marks(
    notation: Notation, body: str, schema: Schema, source: str, problems: Problems
) -> tuple[str, list[Marked]]:
    """The answer's text without marks, and what was between an opening mark and the next closing one of its type."""
    pieces: list[str] = []
    pairs = _Pairs(problems)
    literal = _Literals(notation, schema, source, problems)
    at = last = 0
    for match in notation.marks.finditer(body):
        opened, closed = match["open"], match["close"]
        if not opened and not closed:
            continue
        kind = notation.unescaped(opened or closed) if notation.typed else schema.keys[0]
        if notation.typed and literal(kind, match[0]):
            continue
        piece = notation.unescaped(body[last : match.start()])
        pieces.append(piece)
        at += len(piece)
        last = match.end()
        if opened:
            pairs.open(kind, at)
        else:
            pairs.close(kind, at)
    pieces.append(notation.unescaped(body[last:]))
    return "".join(pieces), pairs.finish()


class _Literals:
    """Tells tags that are text: the schema has no such type, but the source has the tag as it stands."""

    def __init__(self, notation: Notation, schema: Schema, source: str, problems: Problems):
        self._types = set(schema.keys)
        self._source = source
        self._problems = problems
        self._known: dict[str, bool] = {}

    def __call__(self, kind: str, tag: str) -> bool:
        if not self._types or kind in self._types:
            return False
        if tag not in self._known:
            self._known[tag] = tag in self._source
            if self._known[tag]:
                self._problems.add("a tag of the text was not escaped", tag)
        return self._known[tag]


class _Pairs:
    """Pairs closing marks with opening ones in linear time, whatever their order."""

    def __init__(self, problems: Problems):
        self._problems = problems
        self._found: list[Marked] = []
        self._order: list[list] = []  # [type, start, whether it was closed], in the order of opening
        self._open: dict[str, list[list]] = {}

    def open(self, kind: str, at: int) -> None:
        mark = [kind, at, False]
        self._order.append(mark)
        self._open.setdefault(kind, []).append(mark)

    def close(self, kind: str, at: int) -> None:
        if not self._open.get(kind):
            self._problems.add("a mark that closes nothing", kind)
            return
        mark = self._open[kind].pop()
        mark[2] = True
        if self._order[-1] is not mark:
            self._problems.add("marks that cross", kind)
        while self._order and self._order[-1][2]:
            self._order.pop()
        if mark[1] < at:
            self._found.append((mark[1], at, kind))
        else:
            self._problems.add("marks around nothing", kind)

    def finish(self) -> list[Marked]:
        for mark in self._order:
            if not mark[2]:
                self._problems.add("a mark that is never closed", mark[0])
        return self._found


def _ground(plain: str, found: list[Marked], source: str) -> Iterable[Entity]:
    """Entities with the source's offsets: those of the answer where it agrees with the source, else by alignment."""
    if plain == source:
        return [Entity(plain[start:end], kind, ((start, end),)) for start, end, kind in found]
    first = _agreement(plain, source, max(len(plain), len(source)))
    last = _agreement(plain[::-1], source[::-1], min(len(plain), len(source)) - first)
    shift = len(source) - len(plain)
    entities = []
    for start, end, kind in found:
        spans: tuple[tuple[int, int], ...] = ()
        if end <= first:
            spans = ((start, end),)
        elif start >= len(plain) - last:
            spans = ((start + shift, end + shift),)
        entities.append(Entity(plain[start:end], kind, spans))
    return align(entities, source)


def _agreement(one: str, other: str, limit: int) -> int:
    """How many characters two texts share at the beginning, at most `limit`; found by halving."""
    low, high = 0, min(len(one), len(other), limit)
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _write_single(entities: Sequence[Entity], source: str, schema: Schema) -> str:
    return _write(SIGNS, entities, source)


def _read_single(body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
    return _read(SIGNS, body, schema, source, problems)


def _write_multi(entities: Sequence[Entity], source: str, schema: Schema) -> str:
    return _write(TAGS, entities, source)


def _read_multi(body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
    return _read(TAGS, body, schema, source, problems)


SINGLE_TAG = mention_format(Codec("single_tag", SINGLE, _write_single, _read_single))
MULTI_TAG = mention_format(Codec("multi_tag", MULTI, _write_multi, _read_multi))

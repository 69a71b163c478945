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
from collections.abc import Iterable, Sequence

from etlch.formats.align import Spans, align
from etlch.formats.base import Can, Codec, Problems, Schema, outermost_first
from etlch.records import Entity

SINGLE = Can("one", nested=True, offsets=True, repeats=True)
MULTI = Can("many", nested=True, offsets=True, repeats=True)

Marked = tuple[int, int, str]
"""Start and end in the answer's own text without marks, and type."""


class Marks(Codec):
    """How marks and text are written, here those of single_tag: @@ and ##.

    `marks` finds the marks in an answer: group `open` or `close` holds the type as written (or the mark itself, where
    marks are untyped), neither group an escape to be skipped.
    """

    marks = re.compile(r"\\[\\@#]|(?P<open>@@)|(?P<close>##)")
    typed = False
    _loose = re.compile(r"\\(?=[\\@#]|\Z)|[@#](?=[@#]|\Z)|(?<=[@#])[@#]|\A[@#]")
    _escaped = re.compile(r"\\([\\@#])")

    def around(self, kind: str) -> tuple[str, str]:
        """The opening and the closing mark of a type."""
        return "@@", "##"

    def escape(self, text: str) -> str:
        """A piece of the text, so that nothing in it reads as a mark."""
        return self._loose.sub(r"\\\g<0>", text)

    def unescape(self, text: str) -> str:
        """The inverse of `escape`."""
        return self._escaped.sub(r"\1", text) if "\\" in text else text

    def write(self, entities: Sequence[Entity], source: str, schema: Schema) -> str:
        """The source with marks; of mentions that begin together the longest is the outer one."""
        out: list[str] = []
        waiting: list[tuple[int, str]] = []  # end and closing mark of the mentions that are open
        at = 0

        def text_up_to(place: int) -> None:
            nonlocal at
            out.append(self.escape(source[at:place]))
            at = place

        def close_up_to(place: int) -> None:
            while waiting and waiting[-1][0] <= place:
                end, mark = waiting.pop()
                text_up_to(end)
                out.append(mark)

        for entity in outermost_first(entities):
            start, end = entity.spans[0]
            close_up_to(start)
            text_up_to(start)
            opening, closing = self.around(entity.type)
            out.append(opening)
            waiting.append((end, closing))
        close_up_to(len(source))
        text_up_to(len(source))
        return "".join(out)

    def read(self, body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
        plain, found = self._without_marks(body, schema, source, problems)
        found.sort(key=lambda mention: (mention[0], -mention[1]))
        same = plain.strip() == source.strip()
        if not same and plain and source.startswith(plain):
            problems.add(f"the text stops after {len(plain)} characters of {len(source)}")
        elif not same:
            problems.add("the text was altered")
        return _ground(plain, found, source), same and bool(source)

    def _without_marks(self, body: str, schema: Schema, source: str, problems: Problems) -> tuple[str, list[Marked]]:
        """The answer's text without marks, and what was between an opening mark and the next closing one of its type."""
        pieces: list[str] = []
        pairs = _Pairs(problems)
        literal: dict[str, bool] = {}  # tags of no known type: whether they are text, which the source has as it stands
        at = last = 0
        for match in self.marks.finditer(body):
            written = match["open"] or match["close"]
            if not written:
                continue
            kind = self.unescape(written) if self.typed else schema.keys[0]
            if self.typed and schema.keys and kind not in schema.keys:
                if match[0] not in literal:
                    literal[match[0]] = match[0] in source
                    if literal[match[0]]:
                        problems.add("a tag of the text was not escaped", match[0])
                if literal[match[0]]:
                    continue
            pieces.append(self.unescape(body[last : match.start()]))
            at += len(pieces[-1])
            last = match.end()
            if match["open"]:
                pairs.open(kind, at)
            else:
                pairs.close(kind, at)
        pieces.append(self.unescape(body[last:]))
        return "".join(pieces), pairs.finish()


class Tags(Marks):
    """multi_tag: <type> and </type>."""

    _NAME = r"[^<>\s/](?:[^<>\n]*[^<>\s])?"
    _REFERENCE = r"&(?=(?:lt|gt|amp|#[0-9]{1,7});)"
    marks = re.compile(rf"<(?:(?P<open>{_NAME})|/(?P<close>{_NAME}))>")
    typed = True
    _up_to_closing = re.compile(r"[^>\n]++>?")
    _loose_bracket = re.compile(r"<(?=/?[^>\s/])")
    _loose_reference = re.compile(_REFERENCE)
    _loose_in_name = re.compile(rf"\A[\s/]|\s\Z|[<>\n]|{_REFERENCE}")
    _escaped = re.compile(r"&(?:(lt|gt|amp)|#([0-9]{1,7}));")

    def around(self, kind: str) -> tuple[str, str]:
        name = self._loose_in_name.sub(_reference, kind)
        return f"<{name}>", f"</{name}>"

    def escape(self, text: str) -> str:
        text = self._loose_reference.sub(_reference, text)
        return self._up_to_closing.sub(self._brackets, text) if "<" in text else text

    def _brackets(self, match: re.Match[str]) -> str:
        """All that could begin a tag before one `>`: were only the last escaped, the one before would reach the `>`."""
        piece = match[0]
        could_be_tag = piece[-1] == ">" and not piece[-2:-1].isspace()
        return self._loose_bracket.sub(_reference, piece) if could_be_tag else piece

    def unescape(self, text: str) -> str:
        return self._escaped.sub(_character, text) if "&" in text else text


_NAMED = {"<": "lt", ">": "gt", "&": "amp"}
_CHARACTERS = {name: character for character, name in _NAMED.items()}


def _reference(match: re.Match[str]) -> str:
    return f"&{_NAMED.get(match[0]) or f'#{ord(match[0])}'};"


def _character(match: re.Match[str]) -> str:
    if match[1]:
        return _CHARACTERS[match[1]]
    return chr(int(match[2])) if int(match[2]) <= 0x10FFFF else match[0]


class _Pairs:
    """Pairs closing marks with opening ones in linear time, whatever their order."""

    def __init__(self, problems: Problems):
        self._problems = problems
        self._found: list[Marked] = []
        self._order: list[list] = []  # [type, start, whether it was closed], in the order of opening
        self._open: dict[str, list[list]] = {}

    def open(self, kind: str, at: int) -> None:
        self._order.append([kind, at, False])
        self._open.setdefault(kind, []).append(self._order[-1])

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
        for kind, _, closed in self._order:
            if not closed:
                self._problems.add("a mark that is never closed", kind)
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
        spans: Spans = ()
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


SINGLE_TAG = Marks("single_tag", SINGLE).format()
MULTI_TAG = Tags("multi_tag", MULTI).format()

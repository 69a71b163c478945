r"""multi_bio: a tag for each token, one line a layer, so that mentions within mentions have a place.

    Layer 1: O O O O B-protein O O O O B-cell_type I-cell_type O O O O O
    Layer 2: O O O O O O O O O O B-cell_type O O O O O

Tokens are what stands between blanks: the listing has 16 tags for a sentence of 16 such words, its full stop not being
one. Han and kana are written without blanks, so each such character is a token. A mention that begins or ends inside a
token cannot be tagged and is refused, and so are discontinuous ones. Layers are filled outermost first: each mention
goes to the first layer that is free there, so crossing mentions and two types at one place have their layers too.

There is always a first layer. As in the listing, nothing stands before it. In types, white space and backslashes are
escaped (`\u0020`, `\\`). An `I-` that continues nothing begins a mention, as conlleval has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from etlch.formats.base import Can, Codec, FormatError, Problems, Schema, outermost_first
from etlch.formats.escapes import escape, unescape
from etlch.records import Entity

LAYERS = Can("many", nested=True, crossing=True, offsets=True, repeats=True)

_HAN_KANA = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_HAN_KANA}]|[^\s{_HAN_KANA}]+")
_IN_TAG = re.compile(r"[\s\\]")
_LAYER = re.compile(r"\s*+Layer ([0-9]{1,9}):(.*)", re.S)
_LOOSE = re.compile(r"\W*+(?:(?:answer|答案)\W++)*+layer\W*+([0-9]{1,9})[\s*_]*+[:：][*_]*+(.*)", re.S | re.I)


def tokens(source: str) -> list[tuple[int, int]]:
    """Where the tokens of a text stand."""
    return [match.span() for match in _TOKEN.finditer(source)]


class Layers(Codec):
    """A tag for each token, one line a layer."""

    def write(self, entities: Sequence[Entity], source: str, schema: Schema) -> str:
        places = tokens(source)
        first = {start: number for number, (start, _) in enumerate(places)}
        after = {end: number + 1 for number, (_, end) in enumerate(places)}
        layers: list[list[str]] = []
        ends: list[int] = []  # the token after the last mention of each layer
        for entity in outermost_first(entities):
            start, end = first.get(entity.spans[0][0]), after.get(entity.spans[0][1])
            if start is None or end is None:
                trouble = "a mention that begins or ends inside a token"
                raise FormatError(f"multi_bio cannot hold {entity.text[:60]!r}: {trouble}", trouble)
            layer = next((number for number, used in enumerate(ends) if used <= start), len(layers))
            if layer == len(layers):
                layers.append(["O"] * len(places))
                ends.append(0)
            kind = escape(entity.type, _IN_TAG)
            layers[layer][start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
            ends[layer] = end
        layers = layers or [["O"] * len(places)]
        return "\n".join(f"Layer {number}: {' '.join(tags)}".rstrip() for number, tags in enumerate(layers, start=1))

    def read(self, body: str, schema: Schema, source: str, problems: Problems) -> tuple[Iterable[Entity], bool]:
        places = tokens(source)
        found: list[Entity] = []
        number = 0
        for line in body.split("\n"):
            exact = _LAYER.fullmatch(line)
            match = exact or _LOOSE.fullmatch(line)
            if line.strip() and not exact:
                problems.add("not a layer" if not match else "something before or in `Layer 1:`", line)
            if not match:
                continue
            number += 1
            if int(match[1]) != number:
                problems.add(f"layer {match[1]} where layer {number} was expected")
            tags = match[2].split()
            if len(tags) != len(places):
                problems.add(f"{len(tags)} tags in layer {match[1]} (expected {len(places)}, one a token)")
            for start, end, kind in _chunks(tags[: len(places)], problems):
                span = (places[start][0], places[end - 1][1])
                found.append(Entity(source[slice(*span)], kind, (span,)))
        return found, number > 0


def _chunks(tags: list[str], problems: Problems) -> Iterator[tuple[int, int, str]]:
    """(first token, token after the last, type) of each mention of a layer."""
    begun = -1
    current = ""
    for number, tag in enumerate([*tags, "O"]):
        mark, kind = tag[:2], tag[2:]
        if mark == "I-" and begun >= 0 and kind == current:
            continue
        if begun >= 0:
            yield begun, number, unescape(current)
            begun = -1
        if mark in ("B-", "I-") and kind:
            begun, current = number, kind
            if mark == "I-":
                problems.add("an I- that continues nothing", tag)
        elif tag != "O":
            problems.add("not a tag", tag)


MULTI_BIO = Layers("multi_bio", LAYERS, "").format()

"""A self-contained HTML page: each document with its values highlighted where they stand, and its triples."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from html import escape

from etlch.extract.values import Extraction, Value

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>etlch extract</title>
<style>
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #d5dae0; --light: 88%; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --paper: #14171a; --line: #3a4148; --light: 28%; } }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.8 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
h1 { font-size: 1.3rem; } h2 { font-size: 1rem; overflow-wrap: anywhere; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
mark { color: inherit; background: hsl(var(--hue) 70% var(--light)); border-radius: .2em; padding: .1em 0; }
mark[data-label]::after, .label::before { content: attr(data-label); font-size: .68em; opacity: .75; margin: 0 .35em; }
table { border-collapse: collapse; } td, th { border: 1px solid var(--line); padding: .15rem .6rem; text-align: left; }
.absent { opacity: .7; font-style: italic; } .status { font-size: .85em; opacity: .8; }
</style></head><body>
<h1>Extracted values</h1>
"""


class Html:
    """The writer (etlch/extract/writers.py) of this page."""

    def head(self) -> str:
        return _HEAD

    def row(self, found: Extraction) -> str:
        parts = [f"<section><h2>{escape(found.id)}</h2>"]
        if found.status != "ok":
            parts.append(f'<p class="status">{escape(found.status)}: {escape("; ".join(found.problems))}</p>')
        parts.append(f'<div class="text" lang="{escape(found.lang)}">{"".join(_highlighted(found))}</div>')
        absent = [value for value in found.values if not value.span]
        if absent:
            items = " · ".join(_label(value) + escape(value.text) for value in absent)
            parts.append(f'<p class="absent">not found in the text: {items}</p>')
        parts += _table(found)
        return "\n".join([*parts, "</section>\n"])

    def foot(self) -> str:
        return "</body></html>\n"


def _highlighted(found: Extraction) -> Iterator[str]:
    """The text with marks; where values overlap, the shortest gives the colour and all are named in the tooltip."""
    stretches = sorted(
        (
            (start, end, value)
            for value in found.values
            if value.span
            for start, end in value.fragments or (value.span,)
        ),
        key=lambda item: item[:2],
    )
    bounds = sorted({0, len(found.text), *(edge for start, end, _ in stretches for edge in (start, end))})
    active: list[tuple[int, int, Value]] = []
    coming = 0
    for start, end in itertools.pairwise(bounds):
        while coming < len(stretches) and stretches[coming][0] <= start:
            active.append(stretches[coming])
            coming += 1
        active = [item for item in active if item[1] > start]
        piece = escape(found.text[start:end])
        yield _mark(piece, end, active) if active else piece


def _mark(piece: str, end: int, active: list[tuple[int, int, Value]]) -> str:
    by_size = sorted(active, key=lambda item: item[1] - item[0])
    title = "\n".join(f"{value.label}: {value.text}" if value.label else value.text for _, _, value in by_size)
    ending = " ".join(value.label for _, stop, value in by_size if stop == end and value.label)
    label = f' data-label="{escape(ending)}"' if ending else ""
    return f'<mark style="--hue: {_hue(by_size[0][2].label)}" title="{escape(title)}"{label}>{piece}</mark>'


def _hue(label: str) -> int:
    """A colour of its own for each label, the same on every page."""
    return zlib.crc32(label.encode("utf-8", "replace")) % 360


def _label(value: Value) -> str:
    return f'<span class="label" data-label="{escape(value.label)}"></span>' if value.label else ""


def _table(found: Extraction) -> Iterator[str]:
    if found.triples:
        yield "<table><tr><th>head</th><th>relation</th><th>tail</th></tr>"
        for triple in found.triples:
            cells = (_end(triple.head), escape(triple.relation), _end(triple.tail))
            yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        yield "</table>"


def _end(value: Value) -> str:
    return escape(value.text) if value.span else f'<span class="absent">{escape(value.text)}</span>'

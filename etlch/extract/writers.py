"""Extractions as JSONL, JSON, CSV, Turtle, GraphML and HTML: each writer is given one at a time and keeps none."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TextIO
from urllib.parse import quote
from xml.sax.saxutils import escape

from etlch.errors import EtlchError
from etlch.extract import page
from etlch.extract.values import Extraction, Span, Value
from etlch.records import dump_json


class Writer(Protocol):
    """Pieces of a file, in order: what comes before all extractions, each of them, what comes after."""

    def head(self) -> str: ...
    def row(self, found: Extraction) -> str: ...
    def foot(self) -> str: ...


class Jsonl:
    def head(self) -> str:
        return ""

    def row(self, found: Extraction) -> str:
        return dump_json(found.to_dict()) + "\n"

    def foot(self) -> str:
        return ""


class Json:
    def __init__(self) -> None:
        self._between = "\n"

    def head(self) -> str:
        return "["

    def row(self, found: Extraction) -> str:
        between, self._between = self._between, ",\n"
        return between + dump_json(found.to_dict(), indent=2)

    def foot(self) -> str:
        return "\n]\n"


class Csv:
    """A value a row; for tasks that ask for triples, a triple a row. Offsets are empty for what is not in the text."""

    def __init__(self, triples: bool) -> None:
        self.triples = triples

    def head(self) -> str:
        if not self.triples:
            return _cells("document", "label", "text", "start", "end")
        return _cells("document", "head", "relation", "tail", "head_start", "head_end", "tail_start", "tail_end")

    def row(self, found: Extraction) -> str:
        if not self.triples:
            return "".join(_cells(found.id, v.label, v.text, *(v.span or ("", ""))) for v in found.values)
        return "".join(
            _cells(
                found.id, t.head.text, t.relation, t.tail.text, *(t.head.span or ("", "")), *(t.tail.span or ("", ""))
            )
            for t in found.triples
        )

    def foot(self) -> str:
        return ""


class Turtle:
    """A statement a triple, with labels; where it was found is said of a reified copy of it."""

    def head(self) -> str:
        prefixes = {
            "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
            "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
            "dcterms": "http://purl.org/dc/terms/",
            "etlch": "urn:etlch:",
        }
        return "".join(f"@prefix {name}: <{iri}> .\n" for name, iri in prefixes.items())

    def row(self, found: Extraction) -> str:
        tag = f"@{found.lang}" if re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", found.lang) else ""
        lines = []
        for triple in found.triples:
            head, relation, tail = _iri("entity", triple.head.text), _iri("relation", triple.relation), triple.tail
            end = _iri("entity", tail.text)
            lines.append(f"\n{head} {relation} {end} .")
            names = ((head, triple.head.text), (relation, triple.relation), (end, tail.text))
            lines += (f"{iri} rdfs:label {_literal(name)}{tag} ." for iri, name in names)
            about = [f"[] a rdf:Statement ; rdf:subject {head} ; rdf:predicate {relation} ; rdf:object {end}"]
            about.append(f"dcterms:source {_literal(found.id)}")
            for name, value in (("head", triple.head), ("tail", tail)):
                if value.span:
                    about.append(f"etlch:{name}Start {value.span[0]} ; etlch:{name}End {value.span[1]}")
            lines.append(" ; ".join(about) + " .")
        return "\n".join(lines) + "\n" if lines else ""

    def foot(self) -> str:
        return ""


class GraphMl:
    """A node a name, the same in all documents; an edge a triple, with its document and offsets."""

    _FIELDS = (("relation", "string"), ("document", "string"), ("head", "string"), ("tail", "string"))

    def __init__(self) -> None:
        self._nodes: dict[str, int] = {}
        self._edges = 0

    def head(self) -> str:
        keys = [f'<key id="{name}" for="edge" attr.name="{name}" attr.type="{kind}"/>' for name, kind in self._FIELDS]
        return "\n".join(
            [
                '<?xml version="1.0" encoding="UTF-8"?>',
                '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
                '<key id="label" for="node" attr.name="label" attr.type="string"/>',
                *keys,
                '<graph id="etlch" edgedefault="directed">\n',
            ]
        )

    def row(self, found: Extraction) -> str:
        lines = []
        for triple in found.triples:
            for name in (triple.head.text, triple.tail.text):
                if name not in self._nodes:
                    self._nodes[name] = len(self._nodes)
                    lines.append(f'<node id="n{self._nodes[name]}"><data key="label">{_xml(name)}</data></node>')
            ends = f'source="n{self._nodes[triple.head.text]}" target="n{self._nodes[triple.tail.text]}"'
            told = (triple.relation, found.id, _offsets(triple.head), _offsets(triple.tail))
            data = "".join(
                f'<data key="{name}">{_xml(value)}</data>' for (name, _), value in zip(self._FIELDS, told, strict=True)
            )
            lines.append(f'<edge id="e{self._edges}" {ends}>{data}</edge>')
            self._edges += 1
        return "".join(f"{line}\n" for line in lines)

    def foot(self) -> str:
        return "</graph>\n</graphml>\n"


FORMATS: dict[str, tuple[tuple[str, ...], Callable[[bool], Writer]]] = {
    "jsonl": ((".jsonl",), lambda triples: Jsonl()),
    "json": ((".json",), lambda triples: Json()),
    "csv": ((".csv",), Csv),
    "html": ((".html", ".htm"), lambda triples: page.Html()),
    "turtle": ((".ttl",), lambda triples: Turtle()),
    "graphml": ((".graphml",), lambda triples: GraphMl()),
}
FOR_TRIPLES = ("turtle", "graphml")


def writer(name: str, out: Path | None, triples: bool) -> Writer:
    """The writer of a format, by its name or by the ending of the file. Raises EtlchError for one that does not fit."""
    if not name and out is not None:
        endings = {ending: known for known, (own, _) in FORMATS.items() for ending in own}
        if out.suffix.lower() not in endings:
            raise EtlchError(f"{out}: found the ending {out.suffix!r} (expected {', '.join(endings)}, or --format)")
        name = endings[out.suffix.lower()]
    if name in FOR_TRIPLES and not triples:
        raise EtlchError(
            f"--format {name} is for triples (expected a task such as kge, or one of jsonl, json, csv, html)"
        )
    return FORMATS[name or "jsonl"][1](triples)


@contextlib.contextmanager
def opened(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is written whole or not at all. Raises EtlchError when it cannot be written."""
    if out is None:
        with _explained("standard output"):
            yield sys.stdout
            sys.stdout.flush()
        return
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with _explained(str(out)):
            out.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8", newline="", errors="backslashreplace") as handle:
                yield handle
            temporary.replace(out)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EtlchError(f"{name}: cannot be written ({error.strerror or error})") from None


def _cells(*cells: object) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _iri(kind: str, name: str) -> str:
    """`<urn:etlch:entity:...>`: letters and digits of all scripts as they are, anything else escaped."""
    return f"<urn:etlch:{kind}:{''.join(c if c.isalnum() else quote(c, safe='', errors='replace') for c in name)}>"


def _literal(text: str) -> str:
    return dump_json(text)  # JSON's escapes are Turtle's


def _offsets(value: Value) -> str:
    span: Span | tuple[()] = value.span or ()
    return "-".join(map(str, span))


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))

"""Extractions as JSONL, JSON, CSV, Turtle, GraphML and HTML: each writer writes one at a time as it is given."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from etlch.errors import EtlchError
from etlch.extract.values import Extraction, Value
from etlch.records import dump_json

PAGE = Path(__file__).with_name("page.html")
Writer = Callable[[TextIO, Iterable[Extraction]], None]


def _jsonl(file: TextIO, found: Iterable[Extraction]) -> None:
    for one in found:
        file.write(dump_json(one.to_dict()) + "\n")


def _json(file: TextIO, found: Iterable[Extraction]) -> None:
    file.write("[")
    for number, one in enumerate(found):
        file.write((",\n" if number else "\n") + dump_json(one.to_dict(), indent=2))
    file.write("\n]\n")


def _values_csv(file: TextIO, found: Iterable[Extraction]) -> None:
    """A value a row; offsets are empty for what is not in the text."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["document", "label", "text", "start", "end"])
    for one in found:
        rows.writerows([one.id, v.label, v.text, *_span(v)] for v in one.values)


def _triples_csv(file: TextIO, found: Iterable[Extraction]) -> None:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["document", "head", "relation", "tail", "head_start", "head_end", "tail_start", "tail_end"])
    for one in found:
        rows.writerows(
            [one.id, t.head.text, t.relation, t.tail.text, *_span(t.head), *_span(t.tail)] for t in one.triples
        )


def _turtle(file: TextIO, found: Iterable[Extraction]) -> None:
    """A statement a triple, with labels; where it was found is said of a reified copy of it."""
    file.write(
        "@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .\n"
        "@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .\n"
        "@prefix dcterms: <http://purl.org/dc/terms/> .\n"
        "@prefix etlch: <urn:etlch:> .\n"
    )
    for one in found:
        tag = f"@{one.lang}" if re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*", one.lang) else ""
        for triple in one.triples:
            names = (triple.head.text, triple.relation, triple.tail.text)
            kinds = ("entity", "relation", "entity")
            head, relation, tail = iris = [_iri(kind, name) for kind, name in zip(kinds, names, strict=True)]
            file.write(f"\n{head} {relation} {tail} .\n")
            for iri, name in zip(iris, names, strict=True):
                file.write(f"{iri} rdfs:label {dump_json(name)}{tag} .\n")  # JSON's escapes are Turtle's
            about = [f"[] a rdf:Statement ; rdf:subject {head} ; rdf:predicate {relation} ; rdf:object {tail}"]
            about.append(f"dcterms:source {dump_json(one.id)}")
            for name, value in (("head", triple.head), ("tail", triple.tail)):
                if value.span:
                    about.append(f"etlch:{name}Start {value.span[0]} ; etlch:{name}End {value.span[1]}")
            file.write(" ; ".join(about) + " .\n")


def _graphml(file: TextIO, found: Iterable[Extraction]) -> None:
    """A node a name, the same in all documents; an edge a triple, with its document and offsets. Written when all are there."""
    import networkx

    graph = networkx.MultiDiGraph()
    for one in found:
        for triple in one.triples:
            ends = [_xml(triple.head.text), _xml(triple.tail.text)]
            graph.add_nodes_from((end, {"label": end}) for end in ends)
            places = {name: "-".join(map(str, _span(getattr(triple, name)))).strip("-") for name in ("head", "tail")}
            about = {"relation": _xml(triple.relation), "document": _xml(one.id)} | places
            graph.add_edge(*ends, key=f"e{graph.number_of_edges()}", **about)
    file.writelines(f"{line}\n" for line in networkx.generate_graphml(graph))


def _html(file: TextIO, found: Iterable[Extraction]) -> None:
    """The page of `etlch serve`, with the documents in it."""
    before, after = PAGE.read_text(encoding="utf-8").split("<!-- documents -->\n")
    file.write(before)
    for one in found:
        row = dump_json(asdict(one)).replace("<", "\\u003c")
        file.write(f'<script type="application/json">{row}</script>\n')
    file.write(after)


FORMATS: dict[str, tuple[tuple[str, ...], Writer | None, Writer | None]] = {
    "jsonl": ((".jsonl",), _jsonl, _jsonl),
    "json": ((".json",), _json, _json),
    "csv": ((".csv",), _values_csv, _triples_csv),
    "html": ((".html", ".htm"), _html, _html),
    "turtle": ((".ttl",), None, _turtle),
    "graphml": ((".graphml",), None, _graphml),
}
"""Name -> endings of files, the writer of values, the writer of triples."""


def writer(name: str, out: Path | None, triples: bool) -> Writer:
    """The writer of a format, by its name or by the ending of the file. Raises EtlchError for one that does not fit."""
    if not name and out is not None:
        endings = {ending: known for known, (own, *_) in FORMATS.items() for ending in own}
        if out.suffix.lower() not in endings:
            raise EtlchError(f"{out}: found the ending {out.suffix!r} (expected {', '.join(endings)}, or --format)")
        name = endings[out.suffix.lower()]
    found = FORMATS[name or "jsonl"][2 if triples else 1]
    if found is None:
        raise EtlchError(
            f"--format {name} is for triples (expected a task such as kge, or one of jsonl, json, csv, html)"
        )
    return found


@contextlib.contextmanager
def opened(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is written whole or not at all. Raises EtlchError when it cannot be written."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp") if out else None
    try:
        if not temporary:
            yield sys.stdout
            sys.stdout.flush()
            return
        temporary.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", newline="", errors="backslashreplace") as handle:
            yield handle
        temporary.replace(out)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise EtlchError(f"{out or 'standard output'}: cannot be written ({error.strerror or error})") from None
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def _span(value: Value) -> tuple[int | str, int | str]:
    return value.span or ("", "")


def _iri(kind: str, name: str) -> str:
    """`<urn:etlch:entity:...>`: letters and digits of all scripts as they are, anything else escaped."""
    return f"<urn:etlch:{kind}:{''.join(c if c.isalnum() else quote(c, safe='', errors='replace') for c in name)}>"


def _xml(text: str) -> str:
    """The text without what XML cannot hold."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)

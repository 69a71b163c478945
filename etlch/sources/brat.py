"""BRAT standoff: a folder of `name.txt` with `name.ann` beside it; nested and discontinuous mentions, binary relations.

Text-bound annotations (T) become entities, relations (R) between them triples. Events, attributes, notes and the like
have no place in a Record; they are counted, and kept for writing the file out again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from etlch.errors import EtlchError, ManyErrors
from etlch.records import Entity, Record, Triple
from etlch.sources import base
from etlch.sources.base import Draft, Options, Reader, Report, Sample, Written
from etlch.sources.spans import Mention, Span
from etlch.sources.text_files import BOM, line_ends, read_text, split_lines

_RELATION = re.compile(r"(\S+) \S+?:([^\s:]+) \S+?:([^\s:]+)\s*")
_OFFSETS = re.compile(r"\d+ \d+(?:;\d+ \d+)*")
_NAME = re.compile(r"[^\s/\\]+(?:/[^\s/\\]+)*")
_ASIDE = {
    "E": "events",
    "A": "attributes",
    "M": "modifications",
    "N": "normalisations",
    "#": "notes",
    "*": "equivalences",
}


@dataclass(slots=True)
class Line:
    """One line of an .ann file as written, and what it says: the number of its mention, or the ids it hangs on."""

    raw: str
    id: str
    mention: int | None = None
    needs: tuple[str, ...] = ()


@dataclass(slots=True)
class Annotated:
    """A document: its draft, its text file as it is, its annotation lines."""

    name: str
    text: str
    draft: Draft
    lines: list[Line] = field(default_factory=list)


Frame = dict[str, Annotated]
"""Documents by record id."""


def _read(path: Path, options: Options, report: Report) -> tuple[list[Draft], Frame]:
    folder, stems = _documents(path, report)
    frame: Frame = {}
    drafts = []
    for stem in stems:
        document = _document(folder, stem, options, report)
        drafts.append(document.draft)
        frame[document.draft.id] = document
    return drafts, frame


def _documents(path: Path, report: Report) -> tuple[Path, list[str]]:
    """The folder and the names of its documents; a .txt without .ann or the other way round is refused."""
    if path.is_file():
        return path.parent, [path.stem]
    found = {kind: {p.relative_to(path).as_posix()[:-4] for p in path.rglob(f"*.{kind}")} for kind in ("txt", "ann")}
    if not found["txt"] | found["ann"]:
        raise EtlchError(f"{path}: neither .txt nor .ann in it (expected pairs such as doc1.txt and doc1.ann)")
    for stem in sorted(found["txt"] - found["ann"]):
        report.refuse(
            [
                (
                    f"{path / stem}.txt",
                    "no .ann beside it (expected one; an empty .ann says that there is nothing to find)",
                )
            ]
        )
    for stem in sorted(found["ann"] - found["txt"]):
        mentions = sum(line.startswith(b"T") for line in (path / f"{stem}.ann").read_bytes().splitlines())
        report.refuse(
            [(f"{path / stem}.ann", "no .txt beside it (expected the text that its offsets count)")], mentions
        )
    return path, sorted(found["txt"] & found["ann"])


def _document(folder: Path, stem: str, options: Options, report: Report) -> Annotated:
    text_path, ann_path = folder / f"{stem}.txt", folder / f"{stem}.ann"
    file = read_text(text_path, options.encoding)
    whole = (BOM if file.bom else "") + file.text
    name = f"{options.id_prefix}-{stem}" if options.id_prefix else stem
    document = Annotated(stem, whole, Draft(f"{text_path}:1", name, file.text, source=f"{stem}.txt"))
    annotations = read_text(ann_path, options.encoding)
    for path, read in ((text_path, file), (ann_path, annotations)):
        if read.bom:
            report.note("byte order mark taken off", f"{path}:1")
    if ends := line_ends(annotations.text):
        report.note(f"annotations: {ends}", f"{ann_path}:1")
    for number, (body, end) in enumerate(split_lines((BOM if annotations.bom else "") + annotations.text), start=1):
        _add_line(document, body, end, f"{ann_path}:{number}", report)
    _choose_text(document, file.bom, options, report)
    return document


def _add_line(document: Annotated, body: str, end: str, where: str, report: Report) -> None:
    name, _, rest = body.removeprefix(BOM).partition("\t")
    draft = document.draft
    line = Line(body + end, name)
    document.lines.append(line)
    if not body.strip():
        return
    try:
        if name.startswith("T"):
            line.mention = len(draft.mentions)
            draft.mentions.append(_mention(name, rest, where))
            if any(name == other.key for other in draft.mentions[:-1]):
                raise EtlchError(f"found {name} again (expected each id once)")
        elif name.startswith("R"):
            line.needs = _add_relation(draft, name, rest, where, report)
        elif name[:1] in _ASIDE:
            line.needs = tuple(re.findall(r"(?:(?<=[ :])|^)[TREAM]\d+\b", rest.partition("\t")[0]))
            report.note(f"{_ASIDE[name[:1]]} have no place in a record", where)
        else:
            raise EtlchError(f"found {body[:60]!r} (expected a line that begins with T, R, E, A, M, N, # or *)")
    except EtlchError as error:
        draft.problems.append((where, str(error)))


def _mention(name: str, rest: str, where: str) -> Mention:
    head, _, text = rest.partition("\t")
    kind, _, offsets = head.partition(" ")
    if not kind or not _OFFSETS.fullmatch(offsets):
        raise EtlchError(
            f"found {head!r} after {name} (expected a type and offsets such as `Disease 10 18` or `Disease 10 14;20 24`)"
        )
    spans = tuple(_span(pair) for pair in offsets.split(";"))
    return Mention(kind, spans, text if "\t" in rest else None, where, name)


def _span(pair: str) -> Span:
    start, end = pair.split(" ")
    return int(start), int(end)


def _add_relation(draft: Draft, name: str, rest: str, where: str, report: Report) -> tuple[str, ...]:
    match = _RELATION.fullmatch(rest)
    if not match:
        raise EtlchError(f"found {rest!r} after {name} (expected a relation such as `treats Arg1:T1 Arg2:T2`)")
    if match[2].startswith("T") and match[3].startswith("T"):
        draft.relations.append((match[2], match[1], match[3]))
    else:
        report.note("relations with an event have no place in a record", where)
    return match[2], match[3]


def _choose_text(document: Annotated, bom: bool, options: Options, report: Report) -> None:
    """Where offsets do not fit the text as it is, try it with LF line ends, or with the byte order mark counted."""
    draft = document.draft
    where = draft.where
    variants = [(draft.text, 0, "")]
    if "\r\n" in draft.text:
        variants.append((draft.text.replace("\r\n", "\n"), 0, "CRLF in the text made LF, as its offsets count"))
    if bom:
        variants.append((draft.text, 1, "offsets that count the byte order mark"))
    mentions = draft.mentions
    for text, shift, what in variants:
        draft.text = text
        draft.mentions = [_shifted(mention, shift) for mention in mentions]
        if not base.grounded(draft, BRAT, options)[3]:
            if what:
                report.repair(what, where)
            return
    draft.text, draft.mentions = variants[0][0], mentions


def _shifted(mention: Mention, shift: int) -> Mention:
    spans = tuple((start - shift, end - shift) for start, end in mention.spans)
    return Mention(mention.type, spans, mention.text, mention.where, mention.key)


def write(records: list[Record], frame: Frame | None, options: Options) -> Written:
    """Two files a record. Raises ManyErrors for a name or type that BRAT cannot hold, or a mention without offsets.

    A document that was read from BRAT keeps its lines as they were, less those whose mention the record no longer
    has; new mentions and relations follow. Triples whose head or tail is no mention are left out and counted.
    """
    files: dict[str, str] = {}
    problems: list[str] = []
    left_out: Counter[str] = Counter(fields=sum(len(record.fields) for record in records))
    for record in records:
        problems += _unfit(record)
        document = (frame or {}).get(record.id) or Annotated(record.id, record.text, Draft("", record.id, record.text))
        if document.draft.text != record.text:
            problems.append(f"record {record.id!r}: its text is no longer that of {document.name}.txt")
        files[f"{document.name}.txt"] = document.text
        files[f"{document.name}.ann"] = "".join(_annotations(record, document, options, left_out))
    if problems:
        raise ManyErrors(problems)
    return Written(files, +left_out)


def _unfit(record: Record) -> Iterator[str]:
    if not _NAME.fullmatch(record.id) or ".." in record.id:
        yield f"record {record.id!r}: its id cannot name a file (expected no blanks and no '..')"
    for kind in {entity.type for entity in record.entities} | {triple.relation for triple in record.triples}:
        if re.search(r"\s", kind) or not kind:
            yield f"record {record.id!r}: the type {kind!r} holds a blank (BRAT cannot; expected something like {'_'.join(kind.split())!r})"
    for entity in record.entities:
        if not entity.spans:
            yield f"record {record.id!r}: {entity.text!r} is without offsets (expected spans)"


def _annotations(record: Record, document: Annotated, options: Options, left_out: Counter[str]) -> Iterator[str]:
    old = base.grounded(document.draft, BRAT, options)[1]
    wanted = set(record.entities)
    gone = _gone(record, document, old)
    ids: dict[Entity, str] = {}
    for line in document.lines:
        if line.id in gone:
            continue
        if line.mention is not None:
            ids.setdefault(old[line.mention], line.id)
        yield line.raw
    if document.lines and not document.lines[-1].raw.endswith(("\n", "\r")) and len(ids) < len(wanted):
        yield "\n"
    number = _highest(document, "T")
    for entity in record.entities:
        if entity not in ids:
            number += 1
            ids[entity] = f"T{number}"
            surface = re.sub(r"[\r\n]", " ", entity.text)
            yield f"T{number}\t{entity.type} {_written(entity)}\t{surface}\n"
    yield from _new_relations(record, document, old, ids, left_out)


def _written(entity: Entity) -> str:
    return ";".join(f"{start} {end}" for start, end in entity.spans)


def _relations(document: Annotated, old: dict[int, Entity]) -> dict[str, Triple]:
    """The triples of the R lines by their ids."""
    keys = {mention.key: number for number, mention in enumerate(document.draft.mentions)}
    found = {}
    for line in document.lines:
        match = _RELATION.fullmatch(line.raw.partition("\t")[2].rstrip("\r\n")) if line.id.startswith("R") else None
        if match and match[2] in keys and match[3] in keys:
            head, tail = old[keys[match[2]]], old[keys[match[3]]]
            found[line.id] = Triple(head.text, match[1], tail.text, head.type, tail.type)
    return found


def _gone(record: Record, document: Annotated, old: dict[int, Entity]) -> set[str]:
    """The ids of the lines whose mention or relation the record no longer has, and of those that hang on them."""
    entities, triples = set(record.entities), set(record.triples)
    gone = {line.id for line in document.lines if line.mention is not None and old[line.mention] not in entities}
    gone |= {name for name, triple in _relations(document, old).items() if triple not in triples}
    while more := {line.id for line in document.lines if gone.intersection(line.needs)} - gone:
        gone |= more
    return gone


def _new_relations(
    record: Record, document: Annotated, old: dict[int, Entity], ids: dict[Entity, str], left_out: Counter[str]
) -> Iterator[str]:
    there = set(_relations(document, old).values())
    number = _highest(document, "R")
    for triple in dict.fromkeys(record.triples):
        if triple in there:
            continue
        head = _named(triple.head, triple.head_type, ids)
        tail = _named(triple.tail, triple.tail_type, ids)
        if head and tail:
            number += 1
            yield f"R{number}\t{triple.relation} Arg1:{head} Arg2:{tail}\n"
        else:
            left_out["triples whose head or tail is no mention"] += 1


def _named(surface: str, kind: str, ids: dict[Entity, str]) -> str:
    """The id of the first mention with this surface, of this type where the triple has one."""
    return next((name for entity, name in ids.items() if entity.text == surface and kind in ("", entity.type)), "")


def _highest(document: Annotated, letter: str) -> int:
    return max((int(line.id[1:]) for line in document.lines if re.fullmatch(rf"{letter}\d+", line.id)), default=0)


def _sniff(sample: Sample) -> str:
    if sample.path.is_dir():
        return "a folder with .ann files" if next(sample.path.rglob("*.ann"), None) else ""
    if sample.path.suffix == ".ann" or (sample.path.suffix == ".txt" and sample.path.with_suffix(".ann").is_file()):
        return "an .ann file or a .txt with one beside it"
    return ""


BRAT = Reader(
    name="brat",
    what="BRAT standoff: a folder of .txt and .ann, nested and discontinuous mentions, relations",
    example="etlch import corpus/ --format brat --out records.jsonl",
    sniff=_sniff,
    read=_read,
    options=("offset_unit",),
    write=write,
    folder=True,
)
READERS = (BRAT,)

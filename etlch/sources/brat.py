"""BRAT standoff: a folder of `name.txt` with `name.ann` beside it; nested and discontinuous mentions, binary relations.

Text-bound annotations (T) become entities, relations (R) between them triples. Events, attributes, notes and the like
have no place in a Record and are counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from etlch.errors import EtlchError, ManyErrors
from etlch.records import Entity, Record
from etlch.sources.base import Draft, Options, Reader, Report, Sample, Written, grounded, read_noted
from etlch.sources.spans import Mention
from etlch.sources.text_files import split_lines

_RELATION = re.compile(r"(\S+) \S+?:([^\s:]+) \S+?:([^\s:]+)\s*")
_OFFSETS = re.compile(r"\d+ \d+(?:;\d+ \d+)*")
_NAME = re.compile(r"[^\s/\\]+(?:/[^\s/\\]+)*")
_ASIDE = {"E": "events", "A": "attributes", "M": "modifications", "N": "normalisations"}
_ASIDE |= {"#": "notes", "*": "equivalences"}


def _read(path: Path, options: Options, report: Report) -> list[Draft]:
    folder, stems = _documents(path, report)
    return [_draft(folder, stem, options, report) for stem in stems]


def _documents(path: Path, report: Report) -> tuple[Path, list[str]]:
    """The folder and the names of its documents; a .txt without .ann or the other way round is refused."""
    if path.is_file():
        return path.parent, [path.stem]
    txt, ann = ({p.relative_to(path).as_posix()[:-4] for p in path.rglob(f"*.{kind}")} for kind in ("txt", "ann"))
    if not txt | ann:
        raise EtlchError(f"{path}: neither .txt nor .ann in it (expected pairs such as doc1.txt and doc1.ann)")
    for stem in sorted(txt - ann):
        what = "no .ann beside it (expected one; an empty .ann says that there is nothing to find)"
        report.refuse([(f"{path / stem}.txt", what)])
    for stem in sorted(ann - txt):
        mentions = sum(line.startswith(b"T") for line in (path / f"{stem}.ann").read_bytes().splitlines())
        what = "no .txt beside it (expected the text that its offsets count)"
        report.refuse([(f"{path / stem}.ann", what)], mentions)
    return path, sorted(txt & ann)


def _draft(folder: Path, stem: str, options: Options, report: Report) -> Draft:
    text_path, ann_path = folder / f"{stem}.txt", folder / f"{stem}.ann"
    file = read_noted(text_path, options, report, ends=False)
    name = f"{options.id_prefix}-{stem}" if options.id_prefix else stem
    draft = Draft(f"{text_path}:1", name, file.text, source=f"{stem}.txt")
    for number, line in enumerate(split_lines(read_noted(ann_path, options, report).text), start=1):
        try:
            if line.strip():
                _add_line(draft, line, f"{ann_path}:{number}", report)
        except EtlchError as error:
            draft.problems.append((f"{ann_path}:{number}", str(error)))
    return _fitting(draft, file.bom, options, report)


def _add_line(draft: Draft, line: str, where: str, report: Report) -> None:
    name, _, rest = line.partition("\t")
    if name.startswith("T"):
        head, _, text = rest.partition("\t")
        kind, _, offsets = head.partition(" ")
        if not kind or not _OFFSETS.fullmatch(offsets):
            expected = "a type and offsets such as `Disease 10 18` or `Disease 10 14;20 24`"
            raise EtlchError(f"found {head!r} after {name} (expected {expected})")
        if any(name == other.key for other in draft.mentions):
            draft.problems.append((where, f"found {name} again (expected each id once)"))
        spans = [pair.split(" ") for pair in offsets.split(";")]
        places = tuple((int(start), int(end)) for start, end in spans)
        draft.mentions.append(Mention(kind, places, text if "\t" in rest else None, where, name))
    elif name.startswith("R"):
        match = _RELATION.fullmatch(rest)
        if not match:
            raise EtlchError(f"found {rest!r} after {name} (expected a relation such as `treats Arg1:T1 Arg2:T2`)")
        if match[2].startswith("T") and match[3].startswith("T"):
            draft.relations.append((match[2], match[1], match[3]))
        else:
            report.note("relations with an event have no place in a record", where)
    elif name[:1] in _ASIDE:
        report.note(f"{_ASIDE[name[:1]]} have no place in a record", where)
    else:
        raise EtlchError(f"found {line[:60]!r} (expected a line that begins with T, R, E, A, M, N, # or *)")


def _fitting(draft: Draft, bom: bool, options: Options, report: Report) -> Draft:
    """Where offsets do not fit the text as it is, try it with LF line ends, or with the byte order mark counted."""
    variants = [(draft, "")]
    if "\r\n" in draft.text:
        text = draft.text.replace("\r\n", "\n")
        variants.append((replace(draft, text=text), "CRLF in the text made LF, as its offsets count"))
    if bom:
        back = [replace(m, spans=tuple((s - 1, e - 1) for s, e in m.spans)) for m in draft.mentions]
        variants.append((replace(draft, mentions=back), "offsets that count the byte order mark"))
    for variant, what in variants:
        if not grounded(variant, BRAT, options)[3]:
            if what:
                report.repair(what, draft.where)
            return variant
    return draft


def _write(records: list[Record], options: Options) -> Written:
    """Two files a record. Raises ManyErrors for a name or type that BRAT cannot hold, or a mention without offsets.

    Triples whose head or tail is no mention are left out and counted.
    """
    files: dict[str, str] = {}
    problems: list[str] = []
    left_out: Counter[str] = Counter(fields=sum(len(record.fields) for record in records))
    for record in records:
        problems += _unfit(record)
        files[f"{record.id}.txt"] = record.text
        files[f"{record.id}.ann"] = "".join(_annotations(record, left_out))
    if problems:
        raise ManyErrors(problems)
    return Written(files, +left_out)


def _unfit(record: Record) -> Iterator[str]:
    if not _NAME.fullmatch(record.id) or ".." in record.id:
        yield f"record {record.id!r}: its id cannot name a file (expected no blanks and no '..')"
    for kind in {entity.type for entity in record.entities} | {triple.relation for triple in record.triples}:
        if re.search(r"\s", kind) or not kind:
            expected = f"BRAT cannot; expected something like {'_'.join(kind.split())!r}"
            yield f"record {record.id!r}: the type {kind!r} holds a blank ({expected})"
    for entity in record.entities:
        if not entity.spans:
            yield f"record {record.id!r}: {entity.text!r} is without offsets (expected spans)"


def _annotations(record: Record, left_out: Counter[str]) -> Iterator[str]:
    ids: dict[Entity, str] = {}
    for entity in dict.fromkeys(record.entities):
        ids[entity] = f"T{len(ids) + 1}"
        places = ";".join(f"{start} {end}" for start, end in entity.spans)
        surface = re.sub(r"[\r\n]", " ", entity.text)
        yield f"{ids[entity]}\t{entity.type} {places}\t{surface}\n"
    number = 0
    for triple in dict.fromkeys(record.triples):
        head, tail = _named(triple.head, triple.head_type, ids), _named(triple.tail, triple.tail_type, ids)
        if head and tail:
            number += 1
            yield f"R{number}\t{triple.relation} Arg1:{head} Arg2:{tail}\n"
        else:
            left_out["triples whose head or tail is no mention"] += 1


def _named(surface: str, kind: str, ids: dict[Entity, str]) -> str:
    """The id of the first mention with this surface, of this type where the triple has one."""
    return next((name for entity, name in ids.items() if entity.text == surface and kind in ("", entity.type)), "")


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
    write=_write,
    folder=True,
)
READERS = (BRAT,)

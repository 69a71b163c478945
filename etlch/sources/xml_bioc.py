"""BioC XML: documents of passages; annotations with an `infon key="type"` and one `location` a fragment.

A document becomes one Record: its passages stand at their own offsets, white space between them, so that the offsets of
the file count as they are. Annotations inside `sentence` elements are read too. Relations between concepts and annotations
without a location are left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from etlch.errors import EtlchError
from etlch.sources.base import Draft, Options, Reader, Report, Sample, make_id, open_text
from etlch.sources.spans import Mention


def _read(path: Path, options: Options, report: Report) -> Iterator[Draft]:
    text = open_text(path, options, report)
    if "<!ENTITY" in text:
        raise EtlchError(f"{path}: declares entities of its own (expected BioC XML, which has none)")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise EtlchError(f"{path}:{error.position[0]}: not XML ({error}; expected a BioC collection)") from None
    if root.tag != "collection":
        raise EtlchError(f"{path}: found the element <{root.tag}> (expected <collection>)")
    return _drafts(path, root, options, report)


def _drafts(path: Path, root: Element, options: Options, report: Report) -> Iterator[Draft]:
    for number, document in enumerate(root.iter("document"), start=1):
        own = (document.findtext("id") or "").strip()
        where = f"{path}: document {own or number}"
        draft = Draft(where, make_id(options, path, number, own), "")
        try:
            draft.text = _text(document)
        except EtlchError as error:
            draft.problems.append((where, str(error)))
        for annotation in document.iter("annotation"):
            _add(draft, annotation, where, report)
        if document.find(".//relation") is not None:
            report.note("relations between concepts have no place in a record", where)
        yield draft


def _text(document: Element) -> str:
    """The passages (or, where these have no text, their sentences), each at its offset."""
    text = ""
    for part in document.iter():
        words = part.findtext("text") if part.tag in ("passage", "sentence") else None
        if not words or (part.tag == "sentence" and text.endswith(words)):
            continue
        at = _whole(part.findtext("offset"), "offset")
        if at < len(text):
            raise EtlchError(f"a {part.tag} at offset {at} overlaps the text before it, which ends at {len(text)}")
        text = text.ljust(at) + words
    return text


def _add(draft: Draft, annotation: Element, where: str, report: Report) -> None:
    where = f"{where}: annotation {annotation.get('id') or len(draft.mentions) + 1}"
    infons = {infon.get("key"): (infon.text or "").strip() for infon in annotation.iter("infon")}
    places = list(annotation.iter("location"))
    if not places:
        report.note("annotations without a location left out", where)
        return
    try:
        if not infons.get("type"):
            raise EtlchError('no type (expected <infon key="type">)')
        draft.mentions.append(Mention(infons["type"], tuple(map(_span, places)), annotation.findtext("text"), where))
    except EtlchError as error:
        draft.problems.append((where, str(error)))


def _span(place: Element) -> tuple[int, int]:
    start = _whole(place.get("offset"), "location offset")
    return start, start + _whole(place.get("length"), "location length")


def _whole(written: str | None, name: str) -> int:
    if not written or not written.strip().isdecimal():
        raise EtlchError(f"{name}: found {written!r} (expected a whole number)")
    return int(written)


def _sniff(sample: Sample) -> str:
    return "XML with a <collection>" if sample.head.lstrip().startswith("<") and "<collection" in sample.head else ""


BIOC = Reader(
    name="bioc",
    what="BioC XML: passages with annotations and their locations, discontinuous ones too (BC5CDR, CHEMDNER)",
    example="etlch import CDR_TrainingSet.BioC.xml --format bioc --lang en --out records.jsonl",
    sniff=_sniff,
    read=_read,
    options=("offset_unit",),
)
READERS = (BIOC,)

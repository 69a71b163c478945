"""spaCy: JSONL with character offsets (Prodigy, `Doc.to_json`, training tuples) and `.spacy` files (DocBin).

Offsets are code points. Only `.spacy` files need spaCy itself, an extra that is imported when one is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError
from etlch.sources.base import Draft, Options, Reader, Report, Sample, make_id
from etlch.sources.json_rows import Row, each_row, label_of, list_at, object_at, span_of, text_of
from etlch.sources.spans import Mention
from etlch.sources.text_files import read_bytes

_LISTS = ("spans", "ents", "entities")


def _draft(value: Any, where: str, options: Options, report: Report) -> Draft | None:
    row = _row(value)
    if row.get("answer", "accept") != "accept":
        report.note(f"examples answered {row['answer']!r} left out", where)
        return None
    draft = Draft(where, row.get("id"), text_of(row, ("text",), options.text_column))
    for name in _LISTS:
        items = list_at({name: _ungrouped(row.get(name))}, name)
        draft.each(items, name, lambda item, place: draft.mentions.append(_mention(item, place)))
    draft.each(list_at(row, "relations"), "relations", lambda item, _: draft.relations.append(_relation(item)))
    return draft


def _row(value: Any) -> Row:
    """An object as it is; a training tuple `[text, {"entities": [...]}]` as one."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return {**object_at(value[1], "[text, {entities: [[start, end, label], ...]}]"), "text": value[0]}
    return object_at(value, "an object with text and spans, ents or entities, or [text, {entities: [...]}]")


def _ungrouped(value: Any) -> Any:
    """The items of all the groups, where there are some: Doc.to_json keeps span groups by name."""
    if isinstance(value, dict):
        return [item for group in value.values() if isinstance(group, list) for item in group]
    return value


def _mention(item: Any, where: str) -> Mention:
    if isinstance(item, dict):
        start, end, kind, text = item.get("start"), item.get("end"), item.get("label"), item.get("text")
    elif isinstance(item, list) and len(item) == 3:
        (start, end, kind), text = item, None
    else:
        raise EtlchError(f"found {item!r:.60} (expected start, end and label)")
    return Mention(label_of(kind), (span_of(start, end),), text, where, f"{start}:{end}:{kind}")


def _relation(item: Any) -> tuple[str, str, str]:
    """Prodigy's relations, between spans that they repeat."""
    ends = [item.get(side) for side in ("head_span", "child_span")] if isinstance(item, dict) else [None]
    if not all(isinstance(end, dict) for end in ends):
        raise EtlchError(f"found {item!r:.60} (expected head_span, child_span and label)")
    head, tail = (f"{end.get('start')}:{end.get('end')}:{end.get('label')}" for end in ends)
    return head, label_of(item.get("label")), tail


def _read_docbin(path: Path, options: Options, report: Report) -> Iterator[Draft]:
    try:
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab
    except ImportError:
        what = "spaCy is needed for .spacy files and is not installed (pip install 'etlch[spacy]')"
        raise EtlchError(f"{path}: {what}") from None
    try:
        docs = list(DocBin().from_bytes(read_bytes(path)).get_docs(Vocab()))
    except Exception as error:  # zlib, msgpack and spaCy itself each raise their own
        found = f"{type(error).__name__}: {error}"
        raise EtlchError(f"{path}: not a DocBin ({found}) (expected what `DocBin.to_disk` writes)") from None
    for number, doc in enumerate(docs, start=1):
        where = f"{path}: document {number}"
        spans = [*doc.ents, *(span for group in doc.spans.values() for span in group)]
        mentions = [Mention(span.label_, ((span.start_char, span.end_char),), span.text, where) for span in spans]
        yield Draft(where, make_id(options, path, number), doc.text, mentions, source=f"{path.name}:{number}")


def _sniff_jsonl(sample: Sample) -> str:
    for row in sample.rows:
        if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], dict):
            return "rows [text, {entities}]"
        if isinstance(row, dict) and "text" in row and any(_has_labels(row.get(name)) for name in _LISTS):
            return "rows with a text and spans of start, end and label"
    return ""


def _has_labels(value: Any) -> bool:
    items = _ungrouped(value)
    return isinstance(items, list) and any(
        len(item) == 3 if isinstance(item, list) else isinstance(item, dict) and {"start", "end", "label"} <= set(item)
        for item in items
    )


def _sniff_docbin(sample: Sample) -> str:
    return "the name ends in .spacy" if sample.path.suffix == ".spacy" else ""


JSONL = Reader(
    name="spacy-jsonl",
    what="JSONL with character offsets: Prodigy, Doc.to_json, training tuples",
    example="etlch import annotations.jsonl --format spacy-jsonl --out records.jsonl",
    sniff=_sniff_jsonl,
    read=partial(each_row, _draft),
    options=("text_column", "offset_unit"),
)
DOCBIN = Reader(
    name="spacy",
    what="spaCy's .spacy files (DocBin); needs the extra: pip install 'etlch[spacy]'",
    example="etlch import train.spacy --format spacy --out records.jsonl",
    sniff=_sniff_docbin,
    read=_read_docbin,
    units=("codepoint",),
)
READERS = (JSONL, DOCBIN)

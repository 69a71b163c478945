"""spaCy: JSONL with character offsets (Prodigy, `Doc.to_json`, training tuples) and `.spacy` files (DocBin).

Offsets are code points. Only `.spacy` files need spaCy itself, an extra that is imported when one is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError
from etlch.sources.base import Draft, Options, Reader, Report, Sample, make_id
from etlch.sources.json_rows import Row, label_of, list_at, object_at, read_rows, span_of, text_of
from etlch.sources.spans import Mention
from etlch.sources.text_files import read_bytes

_LISTS = ("spans", "ents", "entities")


def _read_jsonl(path: Path, options: Options, report: Report) -> tuple[Iterator[Draft], None]:
    return _drafts(path, options, report), None


def _drafts(path: Path, options: Options, report: Report) -> Iterator[Draft]:
    for number, (where, value) in enumerate(read_rows(path, options, report), start=1):
        try:
            row = _row(value)
            if row.get("answer", "accept") != "accept":
                report.note(f"examples answered {row['answer']!r} left out", where)
                continue
            draft = Draft(
                where, make_id(options, path, number, row.get("id")), text_of(row, ("text",), options.text_column)
            )
            _add_spans(draft, row)
            _add_relations(draft, row)
        except EtlchError as error:
            report.refuse([(where, str(error))])
            continue
        yield draft


def _row(value: Any) -> Row:
    """An object as it is; a training tuple `[text, {"entities": [...]}]` as one."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        return {**object_at(value[1], "[text, {entities: [[start, end, label], ...]}]"), "text": value[0]}
    return object_at(value, "an object with text and spans, ents or entities, or [text, {entities: [...]}]")


def _add_spans(draft: Draft, row: Row) -> None:
    for name in _LISTS:
        value = row.get(name)
        if isinstance(value, dict):  # Doc.to_json keeps span groups by name
            value = [item for group in value.values() for item in group]
        draft.read_mentions(list_at({name: value}, name), name, _mention)


def _mention(item: Any, where: str) -> Mention:
    if isinstance(item, dict):
        start, end, kind, text = item.get("start"), item.get("end"), item.get("label"), item.get("text")
    elif isinstance(item, list) and len(item) == 3:
        (start, end, kind), text = item, None
    else:
        raise EtlchError(f"found {item!r:.60} (expected start, end and label)")
    return Mention(label_of(kind), (span_of(start, end),), text, where, f"{start}:{end}:{kind}")


def _add_relations(draft: Draft, row: Row) -> None:
    """Prodigy's relations, between spans that they repeat."""
    for number, item in enumerate(list_at(row, "relations")):
        ends = [item.get(side) for side in ("head_span", "child_span")] if isinstance(item, dict) else []
        if not ends or not all(isinstance(end, dict) for end in ends):
            draft.problems.append(
                (
                    f"{draft.where}: relations[{number}]",
                    f"found {item!r:.60} (expected head_span, child_span and label)",
                )
            )
            continue
        head, tail = (f"{end.get('start')}:{end.get('end')}:{end.get('label')}" for end in ends)
        draft.relations.append((head, label_of(item.get("label")), tail))


def _read_docbin(path: Path, options: Options, report: Report) -> tuple[list[Draft], None]:
    try:
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab
    except ImportError:
        raise EtlchError(
            f"{path}: spaCy is needed for .spacy files and is not installed (pip install 'etlch[spacy]')"
        ) from None
    try:
        docs = list(DocBin().from_bytes(read_bytes(path)).get_docs(Vocab()))
    except Exception as error:  # zlib, msgpack and spaCy itself each raise their own
        raise EtlchError(
            f"{path}: not a DocBin ({type(error).__name__}: {error}) (expected what `DocBin.to_disk` writes)"
        ) from None
    drafts = []
    for number, doc in enumerate(docs, start=1):
        where = f"{path}: document {number}"
        spans = [*doc.ents, *(span for group in doc.spans.values() for span in group)]
        mentions = [Mention(span.label_, ((span.start_char, span.end_char),), span.text, where) for span in spans]
        drafts.append(Draft(where, make_id(options, path, number), doc.text, mentions, source=f"{path.name}:{number}"))
    return drafts, None


def _sniff_jsonl(sample: Sample) -> str:
    for row in sample.rows:
        if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], dict):
            return "rows [text, {entities}]"
        if isinstance(row, dict) and "text" in row and any(_has_labels(row.get(name)) for name in _LISTS):
            return "rows with a text and spans of start, end and label"
    return ""


def _has_labels(value: Any) -> bool:
    if isinstance(value, dict):
        value = [item for group in value.values() if isinstance(group, list) for item in group]
    return isinstance(value, list) and any(
        len(item) == 3 if isinstance(item, list) else isinstance(item, dict) and {"start", "end", "label"} <= set(item)
        for item in value
    )


def _sniff_docbin(sample: Sample) -> str:
    return "the name ends in .spacy" if sample.path.suffix == ".spacy" else ""


JSONL = Reader(
    name="spacy-jsonl",
    what="JSONL with character offsets: Prodigy, Doc.to_json, training tuples",
    example="etlch import annotations.jsonl --format spacy-jsonl --out records.jsonl",
    sniff=_sniff_jsonl,
    read=_read_jsonl,
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

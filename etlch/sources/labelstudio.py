"""Label Studio's exports, JSON and JSON-MIN: labelled stretches of a text, relations between them.

Since October 2021 Label Studio counts offsets in code points (pull request 1559), before in UTF-16 units; where the
export holds the labelled text, the unit that fits it is taken, and the report says so.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from etlch.errors import EtlchError
from etlch.sources.base import Draft, Options, Reader, Report, Sample
from etlch.sources.json_rows import Row, each_row, label_of, list_at, object_at, span_of, text_of
from etlch.sources.spans import Mention


def _draft(value: Any, where: str, options: Options, report: Report) -> Draft:
    row = object_at(value, "a task with data and annotations")
    data = object_at(row.get("data", row), "data: an object with the text")
    draft = Draft(where, row.get("id"), text_of(data, (_only_text(data), "text"), options.text_column))
    results = _results(row, where, report)
    draft.each(results, "result", lambda item, place: _add_result(draft, object_at(item, "a result"), place, report))
    return draft


def _only_text(data: Row) -> str:
    """`text` where there is one, else the only string of the task."""
    strings = [name for name, value in data.items() if isinstance(value, str)]
    return "text" if "text" in data or len(strings) != 1 else strings[0]


def _results(row: Row, where: str, report: Report) -> list[Any]:
    """The results of the first annotation that was not cancelled; of JSON-MIN, the lists of labels."""
    if "annotations" not in row and "completions" not in row:
        lists = [value for value in row.values() if isinstance(value, list)]
        return [item for value in lists for item in value if isinstance(item, dict) and "labels" in item]
    annotations = list_at(row, "annotations" if "annotations" in row else "completions")
    done = [a for a in annotations if isinstance(a, dict) and not a.get("was_cancelled")]
    if len(done) < len(annotations):
        report.note("cancelled annotations left out", where, len(annotations) - len(done))
    if not done:
        raise EtlchError("no annotation (expected a task that was annotated and not cancelled)")
    if len(done) > 1:
        report.note("further annotations of a task left out; the first was taken", where, len(done) - 1)
    return list_at(done[0], "result")


def _add_result(draft: Draft, item: Row, where: str, report: Report) -> None:
    if item.get("type") == "relation":
        _add_relation(draft, item)
        return
    value = object_at(item.get("value", item), "value: an object with start, end and labels")
    labels = next((value[name] for name in ("labels", "hypertextlabels", "paragraphlabels") if name in value), None)
    if labels is None:
        report.note(f"results of type {item.get('type', 'unknown')!r} have no place in a record", where)
        return
    offsets = object_at(value.get("globalOffsets", value), "globalOffsets: an object with start and end")
    span = span_of(offsets.get("start"), offsets.get("end"))
    for number, label in enumerate(list_at({"labels": labels}, "labels")):
        key = str(item.get("id", "")) if number == 0 else ""
        draft.mentions.append(Mention(label_of(label), (span,), value.get("text"), where, key))


def _add_relation(draft: Draft, item: Row) -> None:
    head, tail = str(item.get("from_id")), str(item.get("to_id"))
    if item.get("direction") == "left":
        head, tail = tail, head
    for label in list_at(item, "labels") or ["related"]:
        draft.relations.append((head, label_of(label), tail))
        if item.get("direction") == "bi":
            draft.relations.append((tail, label_of(label), head))


def _sniff(sample: Sample) -> str:
    rows = [row for row in sample.rows if isinstance(row, dict)]
    if any("data" in row and ("annotations" in row or "completions" in row) for row in rows):
        return "tasks with data and annotations"
    return "rows with label: [{start, end, labels}]" if any(_is_min(row) for row in rows) else ""


def _is_min(row: Row) -> bool:
    lists = [value for value in row.values() if isinstance(value, list)]
    return any(isinstance(item, dict) and {"start", "end", "labels"} <= set(item) for value in lists for item in value)


LABEL_STUDIO = Reader(
    name="labelstudio",
    what="Label Studio's JSON or JSON-MIN export of text labelling, with relations",
    example="etlch import project-1.json --format labelstudio --out records.jsonl",
    sniff=_sniff,
    read=partial(each_row, _draft),
    options=("text_column", "offset_unit"),
)
READERS = (LABEL_STUDIO,)

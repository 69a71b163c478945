"""PubTator: `id|t|title`, `id|a|abstract`, then a mention a line `id<TAB>start<TAB>end<TAB>text<TAB>type<TAB>concept`.

Offsets count characters of title, one blank, abstract. Composite mentions (`a|b` in a sixth column) stay one mention;
concept ids have no place in a Record, and relation lines (`id<TAB>CID<TAB>...`) name concepts, not mentions, so both are
left out and counted. Documents are parted by blank lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from etlch.sources.base import Draft, Options, Reader, Report, Sample, make_id, open_text
from etlch.sources.spans import Mention
from etlch.sources.text_files import split_lines

_TEXT = re.compile(r"([^|\t\s]+)\|([ta])\|(.*)", re.S)
_RELATION = re.compile(r"[A-Za-z_]+")


def _read(path: Path, options: Options, report: Report) -> Iterator[Draft]:
    block: list[tuple[str, str]] = []
    lines = split_lines(open_text(path, options, report))
    documents = 0
    for number, body in enumerate([*lines, ""], start=1):
        if body.strip():
            block.append((f"{path}:{number}", body))
        elif block:
            documents += 1
            yield _draft(path, documents, block, options, report)
            block = []


def _draft(path: Path, number: int, block: list[tuple[str, str]], options: Options, report: Report) -> Draft:
    parts = {match[2]: match for _, line in block if (match := _TEXT.fullmatch(line))}
    own = next((match[1] for match in parts.values()), None)
    text = " ".join(parts[part][3] for part in "ta" if part in parts)
    draft = Draft(block[0][0], make_id(options, path, number, own), text)
    if "t" not in parts:
        found = f"found {block[0][1][:60]!r} (expected a title line such as `123|t|Title`)"
        draft.problems.append((block[0][0], found))
    for where, line in block:
        if not _TEXT.fullmatch(line):
            _add(draft, own, where, line, report)
    return draft


def _add(draft: Draft, own: str | None, where: str, line: str, report: Report) -> None:
    cells = line.split("\t")
    if len(cells) >= 4 and cells[0] == own and _RELATION.fullmatch(cells[1]):
        report.note("relations between concepts have no place in a record", where)
    elif len(cells) < 5 or not (cells[1].isdecimal() and cells[2].isdecimal()):
        expected = "id, start, end, text and type, tabs between them"
        draft.problems.append((where, f"found {line[:60]!r} (expected {expected})"))
    elif cells[0] != own:
        draft.problems.append((where, f"found the id {cells[0]!r} (expected {own!r}, as in the title line above)"))
    else:
        draft.mentions.append(Mention(cells[4], ((int(cells[1]), int(cells[2])),), cells[3], where))
        if len(cells) > 5:
            report.note("concept ids have no place in a record", where)


def _sniff(sample: Sample) -> str:
    first: Iterable[str] = (line for line in sample.head.split("\n") if line.strip())
    match = _TEXT.fullmatch(next(iter(first), "").rstrip("\r"))
    return "its first line is a title such as 123|t|Title" if match and match[2] == "t" else ""


PUBTATOR = Reader(
    name="pubtator",
    what="PubTator: id|t|title, id|a|abstract, then a mention a line (NCBI Disease, BC5CDR)",
    example="etlch import NCBItrainset_corpus.txt --format pubtator --lang en --out records.jsonl",
    sniff=_sniff,
    read=_read,
    options=("offset_unit",),
)
READERS = (PUBTATOR,)

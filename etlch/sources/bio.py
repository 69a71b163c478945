"""BIO and CoNLL columns, one token a line, a blank line between sentences; flat, or layered for nested mentions.

Tags are read as conlleval and seqeval read them: an I- that continues nothing begins a mention. IOB1, IOB2, IO, BIOES,
BILOU and BMES are told apart by their tags; `TYPE-B` (seqeval's suffix style) too. A layered file has one tag column a
layer, the innermost mentions first. Written are B- and I-, tabs between the columns.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from etlch.errors import EtlchError, ManyErrors
from etlch.records import Entity, Record
from etlch.sources.base import Draft, Options, Reader, Report, Sample, Written, make_id, open_text
from etlch.sources.spans import Mention, Span
from etlch.sources.text_files import CJK, split_lines

Tag = tuple[str, str]  # mark (B, I, E, S or O) and type
Chunk = tuple[int, int, str]  # first token, token after the last, type
OUTSIDE: Tag = ("O", "")
UNTYPED = "_"  # the type of a bare B, as in seqeval
_MARKS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}
_PREFIX = re.compile(r"([BIESLUM])(?:-(.+))?")
_SUFFIX = re.compile(r"(.+)-([BIESLUM])")
_LETTER = re.compile(r"[^\W\d_]")
_SEGMENT = re.compile(r"(.|\D+)(\d+)", re.S)
_IN_SEQUENCE = 0.95  # of the digits must count up from 0 before they are taken for segment digits


@functools.cache
def parse_tag(written: str, suffix: bool = False) -> Tag | None:
    """Mark and type of a tag, or None when it is none. M counts as I, L as E, U as S; a bare B has the type `_`."""
    if written == "O":
        return OUTSIDE
    match = _SUFFIX.fullmatch(written) if suffix else None
    if match:
        return _MARKS[match[2]], match[1]
    match = _PREFIX.fullmatch(written)
    return (_MARKS[match[1]], match[2] or UNTYPED) if match else None


def _is_tag(cell: str) -> bool:
    return parse_tag(cell) is not None or parse_tag(cell, suffix=True) is not None


def begins(previous: Tag, tag: Tag) -> bool:
    """Whether a mention begins at `tag` (conlleval's startOfChunk with seqeval's S)."""
    if tag[0] in "BS":
        return True
    return tag[0] != "O" and (previous[0] in "OES" or previous[1] != tag[1])


def chunks(tags: list[Tag]) -> list[Chunk]:
    """(first token, token after the last, type) of each mention, in order."""
    found: list[Chunk] = []
    for position, (previous, tag) in enumerate(pairwise([OUTSIDE, *tags])):
        if begins(previous, tag):
            found.append((position, position + 1, tag[1]))
        elif tag[0] != "O":
            found[-1] = (found[-1][0], position + 1, tag[1])
    return found


# --- reading ---


@dataclass(slots=True)
class Sentence:
    """The token lines of a sentence: their numbers, tokens, tags as written (one a layer), and what is wrong."""

    id: str
    lines: list[int] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    tags: list[list[str]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def layers(self, suffix: bool) -> list[list[Tag]]:
        """The parsed tags, one list a layer; a tag that is none counts as O (its line has been refused)."""
        return [[parse_tag(t.strip(), suffix) or OUTSIDE for t in layer] for layer in zip(*self.tags, strict=True)]


@dataclass(frozen=True, slots=True)
class Columns:
    """Where token and tags stand, counted from 0 (tags: from the end when negative); tabs or blanks between them."""

    tab: bool
    token: int = 0
    tags: tuple[int, ...] = ()

    def cells(self, line: str) -> list[str]:
        """The cells of a line."""
        return line.split("\t") if self.tab else re.findall(r"[^ \t]+", line)


def _read(layered: bool, path: Path, options: Options, report: Report) -> list[Draft]:
    lines = split_lines(open_text(path, options, report))
    columns = _columns(path, lines, options.columns, layered)
    sentences = list(_sentences(path, lines, columns, options, report))
    if not sentences:
        raise EtlchError(f"{path}: no line with a token and a tag (expected columns such as `token<TAB>B-PER`)")
    scheme, suffix = _scheme(sentences)
    if scheme != "IOB2" or suffix:
        report.note(f"the tags are {scheme}{', written TYPE-B' if suffix else ''}", f"{path}:1")
    _take_off_segment_digits(sentences, path, report)
    joiner = options.joiner
    if joiner is None:
        joiner = guess_joiner(token for sentence in sentences for token in sentence.tokens)
        if not joiner:
            what = "tokens were joined without blanks, the script being Han or kana (--joiner ' ' otherwise)"
            report.note(what, f"{path}:1")
    drafts = []
    for sentence in sentences:
        layers = sentence.layers(suffix)
        if not sentence.problems:
            _count_openings(layers, sentence, path, scheme, report)
        drafts.append(_draft(sentence, layers, path, joiner))
    return drafts


def _data(lines: list[str], most: int) -> list[str]:
    """The first lines that can hold tokens."""
    return [line for line in lines if line.strip() and not line.startswith(("-DOCSTART-", "# "))][:most]


def _has_tabs(lines: list[str]) -> bool:
    return sum("\t" in line for line in lines) * 2 >= len(lines)


def _columns(path: Path, lines: list[str], wanted: tuple[str, ...], layered: bool) -> Columns:
    data = _data(lines, 100)
    tab = _has_tabs(data)
    if not wanted:
        width = len(Columns(tab).cells(data[0])) if data else 2
        return Columns(tab, 0, tuple(range(1, max(2, width))) if layered else (-1,))
    ranges = [re.fullmatch(r"0*([1-9]\d*)(?:-(\d+))?", item) for item in wanted]
    numbers = [n for match in ranges if match for n in range(int(match[1]), int(match[2] or match[1]) + 1)]
    rising = numbers[1:] == sorted(set(numbers[1:]) - set(numbers[:1]))
    if None in ranges or not rising or not 2 <= len(numbers) <= (len(numbers) if layered else 2):
        numbers_of = (
            "the token's and, rising, those of the layers, such as 1,2-5" if layered else "token and tag, such as 1,4"
        )
        expected = f"numbers from 1 of {numbers_of}: {path} has no names"
        raise EtlchError(f"--columns: found {','.join(wanted)} (expected {expected})")
    return Columns(tab, numbers[0] - 1, tuple(n - 1 for n in numbers[1:]))


def _sentences(path: Path, lines: list[str], columns: Columns, options: Options, report: Report) -> Iterator[Sentence]:
    current: Sentence | None = None
    number = 0
    for line_number, line in enumerate(lines, start=1):
        where = f"{path}:{line_number}"
        cells = columns.cells(line)
        aside = _aside(line, cells, columns)
        if aside:
            if aside != "blank":
                report.note(f"{aside} left out of the records", where)
            if aside != "comment" and current:
                yield current
                current = None
            continue
        if current is None:
            number += 1
            current = Sentence(make_id(options, path, number))
        current.lines.append(line_number)
        if problem := _add_line(current, line, cells, columns):
            current.problems.append((where, problem))
    if current:
        yield current


def _aside(line: str, cells: list[str], columns: Columns) -> str:
    """What a line is that holds no token: blank, comment or -DOCSTART-; empty for a token line."""
    if not line.strip(" \t"):
        return "blank"
    if line.startswith("-DOCSTART-"):
        return "-DOCSTART- lines"
    is_comment = line.startswith("#") and not _is_tag(cells[-1]) and (len(cells) < 2 or not columns.tab)
    return "comment" if is_comment else ""


def _add_line(sentence: Sentence, line: str, cells: list[str], columns: Columns) -> str:
    """Add one token line; returns what is wrong with it, if anything."""
    needed = max(columns.token, *columns.tags, 1) + 1
    if len(cells) < needed:
        one = f"{len(cells)} column{'s' if len(cells) != 1 else ''}"
        between = "tabs" if columns.tab else "blanks"
        return f"found {one}: {line[:60]!r} (expected at least {needed}, {between} between them)"
    token, tags = cells[columns.token], [cells[column] for column in columns.tags]
    sentence.tokens.append(token)
    sentence.tags.append(tags)
    if not token:
        return f"found no token in {line[:60]!r} (expected one)"
    bad = next((tag for tag in tags if not _is_tag(tag.strip())), None)
    if bad is not None:
        return f"found the tag {bad!r} (expected O, B-TYPE or I-TYPE, also of IOB1, BIOES, BILOU or TYPE-B)"
    return ""


def _scheme(sentences: list[Sentence]) -> tuple[str, bool]:
    """IOB2, IOB1, IO or BIOES, and whether the mark stands behind the type: told from all the tags of the file."""
    written = {tag.strip() for s in sentences for row in s.tags for tag in row} - {"O"}
    suffix = bool(written) and all(map(_SUFFIX.fullmatch, written)) and not all(map(_PREFIX.fullmatch, written))
    if {tag[-1] if suffix else tag[:1] for tag in written} & set("ESLU"):
        return "BIOES", suffix
    apart = touching = opening = False
    for tags in (tags for sentence in sentences for tags in sentence.layers(suffix)):
        for previous, tag in pairwise([OUTSIDE, *tags]):
            touches = previous[0] != "O" and previous[1] == tag[1]
            touching |= tag[0] == "B" and touches
            apart |= tag[0] == "B" and not touches
            opening |= tag[0] == "I" and begins(previous, tag)
    # IO has no B; in IOB1 a B only parts two mentions of one type that touch
    return ("IOB2" if apart or not opening else "IOB1" if touching else "IO"), suffix


def _take_off_segment_digits(sentences: list[Sentence], path: Path, report: Report) -> None:
    """Weibo NER writes each character with its place in its word (科0 技1); take these digits off the tokens."""
    if not all(_SEGMENT.fullmatch(token) for sentence in sentences for token in sentence.tokens):
        return
    parts = [[_SEGMENT.fullmatch(token).groups() for token in sentence.tokens] for sentence in sentences]
    digits = [[int(digit) for _, digit in row] for row in parts]
    tokens = sum(map(len, digits))
    in_sequence = sum(digit in (0, previous + 1) for row in digits for previous, digit in pairwise([-1, *row]))
    if not tokens or in_sequence < _IN_SEQUENCE * tokens:
        return
    for sentence, row in zip(sentences, parts, strict=True):
        sentence.tokens = [character for character, _ in row]
    report.note("tokens carry their place within a word as a digit; it was taken off", f"{path}:1", tokens)


def _count_openings(layers: list[list[Tag]], sentence: Sentence, path: Path, scheme: str, report: Report) -> None:
    """Note or count as repaired each I- that begins a mention."""
    for tags in layers:
        for line, (previous, tag) in zip(sentence.lines, pairwise([OUTSIDE, *tags]), strict=True):
            if tag[0] not in "IE" or not begins(previous, tag):
                continue
            if scheme in ("IOB1", "IO"):
                report.note("I- tags that begin a mention, as this scheme has it", f"{path}:{line}")
            else:
                after = "O" if previous[0] in "OES" else "another type"
                what = f"I- after {after}, taken for the beginning of a mention (as conlleval does)"
                report.repair(what, f"{path}:{line}")


def _draft(sentence: Sentence, layers: list[list[Tag]], path: Path, joiner: str) -> Draft:
    offsets = token_offsets(sentence.tokens, joiner)
    draft = Draft(f"{path}:{sentence.lines[0]}", sentence.id, joiner.join(sentence.tokens), problems=sentence.problems)
    for start, end, kind in (chunk for tags in layers for chunk in chunks(tags)):
        span = (offsets[start][0], offsets[end - 1][1])
        draft.mentions.append(Mention(kind, (span,), None, f"{path}:{sentence.lines[start]}"))
    return draft


def guess_joiner(tokens: Iterable[str]) -> str:
    """Nothing when most tokens that hold a letter hold Han or kana, else one blank."""
    lettered = [token for token in tokens if _LETTER.search(token)]
    return "" if sum(bool(CJK.search(token)) for token in lettered) * 2 > len(lettered) else " "


def token_offsets(tokens: list[str], joiner: str) -> list[Span]:
    """Start and end of each token in the joined text, in code points."""
    offsets, position = [], 0
    for token in tokens:
        offsets.append((position, position + len(token)))
        position += len(token) + len(joiner)
    return offsets


# --- writing ---


def tokenised(records: list[Record], options: Options) -> Iterator[tuple[Record, list[str], list[Span]]]:
    """Each record with its tokens and their offsets: what stands between blanks, or characters in Chinese and Japanese."""
    common = guess_joiner(word for record in records for word in record.text.split())
    for record in records:
        joiner = options.joiner
        if joiner is None:
            joiner = common if not record.lang else "" if record.lang.split("-")[0] in ("zh", "ja") else " "
        tokens = record.text.split(joiner) if joiner else list(record.text)
        yield record, tokens, token_offsets(tokens, joiner)


def whole_tokens(record: Record, offsets: list[Span], problems: list[str]) -> Iterator[tuple[Entity, int, int]]:
    """Each mention with its first token and the one after its last; one that is no stretch of tokens is a problem."""
    first = {start: number for number, (start, _) in enumerate(offsets)}
    after = {end: number + 1 for number, (_, end) in enumerate(offsets)}
    for entity in record.entities:
        start, end = entity.spans[0] if len(entity.spans) == 1 else (-1, -1)
        if start in first and end in after:
            yield entity, first[start], after[end]
        else:
            trouble = "discontinuous" if entity.spans[1:] else "no stretch of whole tokens"
            expected = "expected one span of whole tokens; BRAT holds other spans"
            problems.append(f"record {record.id!r}: {entity.text!r} is {trouble} ({expected})")


def assign_layers(found: Iterable[Chunk]) -> dict[Chunk, int]:
    """The layer of each mention, from 0: one above the highest of those that it holds or crosses.

    Shorter mentions are placed first, so that the innermost lie in layer 0 as in GENIA.
    """
    layers: dict[Chunk, int] = {}
    for chunk in sorted(set(found), key=lambda c: (c[1] - c[0], c[0], c[2])):
        below = [layer for other, layer in layers.items() if other[0] < chunk[1] and chunk[0] < other[1]]
        layers[chunk] = max(below, default=-1) + 1
    return layers


def _write(layered: bool, records: list[Record], options: Options) -> Written:
    """One tag column, or one a layer (as many as needed, or as `--layers` says).

    Raises ManyErrors for what BIO cannot hold: discontinuous mentions, and in one column nested or crossing ones.
    """
    problems: list[str] = []
    sentences = []
    for record, tokens, offsets in tokenised(records, options):
        bad = next((token for token in tokens if not token or re.search(r"[\t\r\n]", token)), None)
        if bad is not None:
            expected = "expected no empty token, tab or line break"
            problems.append(f"record {record.id!r}: the token {bad!r} cannot stand in a column ({expected})")
        found = ((start, end, entity.type) for entity, start, end in whole_tokens(record, offsets, problems))
        placed = assign_layers(found)
        sentences.append((tokens, placed))
        high = [chunk for chunk, layer in placed.items() if layer and not layered]
        expected = "expected at most 1 layer; layered-bio holds more"
        problems += [f"record {record.id!r}: {c[2]} at token {c[0] + 1} overlaps others ({expected})" for c in high]
    if problems:
        raise ManyErrors(problems)
    width = max((layer + 1 for _, placed in sentences for layer in placed.values()), default=1)
    out = []
    for tokens, placed in sentences:
        rows = [[token, *["O"] * max(width, options.layers)] for token in tokens]
        for (start, end, kind), layer in placed.items():
            for number in range(start, end):
                mark = "B" if number == start else "I"
                rows[number][layer + 1] = mark if kind == UNTYPED else f"{mark}-{kind}"
        out += ["\t".join(row) + "\n" for row in rows] + ["\n"]
    left_out = Counter(triples=sum(len(r.triples) for r in records), fields=sum(len(r.fields) for r in records))
    return Written({"": "".join(out)}, +left_out)


# --- guessing ---


def tag_columns(sample: list[str]) -> int:
    """How many columns after the first hold nothing but tags, counted from the last; 0 when the last is none."""
    data = _data(sample, 200)
    columns = Columns(_has_tabs(data))
    rows = [row for line in data if len(row := [cell.strip() for cell in columns.cells(line)]) > 1]
    if len(rows) * 10 < len(data) * 9 or not rows:
        return 0
    count = 0
    while count + 1 < min(map(len, rows)) and sum(_is_tag(row[-1 - count]) for row in rows) * 10 >= len(rows) * 9:
        count += 1
    return count


def _sniff(layered: bool, sample: Sample) -> str:
    lines = split_lines(sample.head)
    count = tag_columns(lines) if not sample.rows else 0
    if not count or layered != (count > 1 and len(_data(lines, 1)[0].split()) == count + 1):
        return ""
    return f"all {count} columns after the first hold tags" if layered else "the last column holds tags such as B-PER"


BIO = Reader(
    name="bio",
    what="BIO or CoNLL columns, one token a line (also IOB1, BIOES, BILOU)",
    example="etlch import train.conll --format bio --columns 1,4 --out records.jsonl",
    sniff=functools.partial(_sniff, False),
    read=functools.partial(_read, False),
    options=("columns", "joiner"),
    write=functools.partial(_write, False),
)
LAYERED = Reader(
    name="layered-bio",
    what="BIO with one tag column a layer, the innermost mentions first (GENIA)",
    example="etlch import genia.iob2 --format layered-bio --out records.jsonl",
    sniff=functools.partial(_sniff, True),
    read=functools.partial(_read, True),
    options=("columns", "joiner", "layers"),
    write=functools.partial(_write, True),
)
READERS = (BIO, LAYERED)

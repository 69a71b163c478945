"""BIO and CoNLL columns, one token a line, a blank line between sentences; flat, or layered for nested mentions.

Tags are read as conlleval and seqeval read them: an I- that continues nothing begins a mention. IOB1, IOB2, IO, BIOES,
BILOU and BMES are told apart by their tags; `TYPE-B` (seqeval's suffix style) too. A layered file has one tag column a
layer, the innermost mentions first.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from etlch.errors import EtlchError, ManyErrors
from etlch.records import Entity, Record
from etlch.sources.base import Draft, Options, Reader, Report, Sample, Written, make_id, open_text
from etlch.sources.spans import Mention
from etlch.sources.text_files import BOM, CJK, split_lines

Tag = tuple[str, str]  # mark (B, I, E, S or O) and type
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


def begins(previous: Tag, tag: Tag) -> bool:
    """Whether a mention begins at `tag` (conlleval's startOfChunk with seqeval's S)."""
    if tag[0] in "BS":
        return True
    return tag[0] != "O" and (previous[0] in "OES" or previous[1] != tag[1])


def chunks(tags: list[Tag]) -> list[tuple[int, int, str]]:
    """(first token, token after the last, type) of each mention, in order."""
    found: list[tuple[int, int, str]] = []
    previous = OUTSIDE
    for position, tag in enumerate(tags):
        if begins(previous, tag):
            found.append((position, position + 1, tag[1]))
        elif tag[0] != "O":
            found[-1] = (found[-1][0], position + 1, tag[1])
        previous = tag
    return found


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a file writes its tags: name (IOB2, IOB1, IO, BIOES), the letters it uses for the marks, and the side."""

    name: str = "IOB2"
    letters: tuple[tuple[str, str], ...] = ()
    suffix: bool = False

    def write(self, mark: str, kind: str) -> str:
        """One tag."""
        letter = dict(self.letters).get(mark, mark)
        if kind == UNTYPED or mark == "O":
            return letter
        return f"{kind}-{letter}" if self.suffix else f"{letter}-{kind}"

    def render(self, size: int, found: Iterable[tuple[int, int, str]]) -> list[str]:
        """The tags of a sentence of `size` tokens, for chunks that do not overlap."""
        tags: list[Tag] = [OUTSIDE] * size
        for start, end, kind in found:
            tags[start:end] = [(mark, kind) for mark in self._marks(end - start, start and tags[start - 1][1] == kind)]
        return [self.write(*tag) for tag in tags]

    def _marks(self, length: int, touches: bool) -> str:
        if self.name == "BIOES":
            return "S" if length == 1 else "B" + "I" * (length - 2) + "E"
        if self.name in ("IO", "IOB1") and not touches:
            return "I" * length
        return "B" + "I" * (length - 1)


@dataclass(slots=True)
class Sentence:
    """The token lines of a sentence: line numbers, tokens, and for each line its tags as written, one a layer, and
    the pieces of the line around them (one more than tags)."""

    id: str
    lines: list[int]
    tokens: list[str]
    tags: list[list[str]]
    gaps: list[tuple[str, ...]]


@dataclass(slots=True)
class Document:
    """A whole file: literal pieces (blank lines, comments) and sentences, in order. The Frame of this format."""

    path: Path
    scheme: Scheme
    layers: int
    joiner: str
    items: list[str | Sentence] = field(default_factory=list)

    def sentences(self) -> Iterator[Sentence]:
        """The sentences, in order."""
        return (item for item in self.items if isinstance(item, Sentence))


@dataclass(frozen=True, slots=True)
class Columns:
    """Where token and tags stand, counted from 0 (tags: from the end when negative); tabs or blanks between them."""

    tab: bool
    token: int
    tags: tuple[int, ...]

    def cells(self, line: str) -> list[tuple[int, int]]:
        """Start and end of each cell of a line."""
        if not self.tab:
            return [match.span() for match in re.finditer(r"[^ \t]+", line)]
        ends = list(accumulate(len(cell) + 1 for cell in line.split("\t")))
        return [(start, end - 1) for start, end in zip([0, *ends], ends, strict=False)]


def _read_flat(path: Path, options: Options, report: Report) -> tuple[list[Draft], Document]:
    return _read(path, options, report, layered=False)


def _read_layered(path: Path, options: Options, report: Report) -> tuple[list[Draft], Document]:
    return _read(path, options, report, layered=True)


def _read(path: Path, options: Options, report: Report, layered: bool) -> tuple[list[Draft], Document]:
    file = open_text(path, options, report)
    lines = split_lines(file.text)
    columns = _columns(path, [body for body, _ in lines], options.columns, layered)
    document = Document(path, Scheme(), len(columns.tags), "", [BOM] if file.bom else [])
    broken = _collect(document, lines, columns, options, report)
    if not any(document.sentences()) and not broken:
        raise EtlchError(f"{path}: no line with a token and a tag (expected columns such as `token<TAB>B-PER`)")
    document.scheme = _scheme(list(document.sentences()), report, path)
    _take_off_segment_digits(document, report)
    document.joiner = _joiner(document, options, report)
    drafts = [_draft(sentence, document, report, broken) for sentence in document.sentences()]
    return drafts, document


def _columns(path: Path, lines: list[str], wanted: tuple[str, ...], layered: bool) -> Columns:
    data = [line for line in lines if line.strip() and not line.startswith(("-DOCSTART-", "# "))]
    tab = sum("\t" in line for line in data[:100]) * 2 >= len(data[:100])
    if not wanted:
        width = len(Columns(tab, 0, ()).cells(data[0])) if data else 2
        return Columns(tab, 0, tuple(range(1, max(2, width))) if layered else (-1,))
    numbers = [n for item in wanted for n in _numbers(path, item)]
    if len(numbers) < 2 or (len(numbers) > 2 and not layered):
        expected = (
            "the token's and those of the layers, such as 1,2-5"
            if layered
            else "two, the token's and the tag's, such as 1,4"
        )
        raise EtlchError(f"--columns: found {','.join(wanted)} (expected {expected})")
    if numbers[1:] != sorted(set(numbers[1:]) - {numbers[0]}):
        raise EtlchError(
            f"--columns: found {','.join(wanted)} (expected the tags' columns to rise, without the token's)"
        )
    return Columns(tab, numbers[0] - 1, tuple(n - 1 for n in numbers[1:]))


def _numbers(path: Path, item: str) -> range:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", item)
    if not match or int(match[1]) < 1:
        raise EtlchError(
            f"--columns: found {item!r} (expected column numbers from 1, such as 1,4 or 1,2-5: {path} has no names)"
        )
    return range(int(match[1]), int(match[2] or match[1]) + 1)


def _collect(
    document: Document, lines: list[tuple[str, str]], columns: Columns, options: Options, report: Report
) -> dict[str, list]:
    """Fill the document's items; returns, by sentence id, the problems of its lines."""
    broken: dict[str, list[tuple[str, str]]] = {}
    current: Sentence | None = None
    number = 0
    for line_number, (body, end) in enumerate(lines, start=1):
        where = f"{document.path}:{line_number}"
        cells = columns.cells(body)
        aside = _aside(body, cells, columns)
        if aside:
            if aside != "blank":
                report.note(f"{aside} left out of the records", where)
            if aside == "comment" and current is not None:
                current.gaps[-1] = (*current.gaps[-1][:-1], current.gaps[-1][-1] + body + end)
            else:
                document.items.append(body + end)
                current = None
            continue
        if current is None:
            number += 1
            current = Sentence(make_id(options, document.path, number), [], [], [], [])
            document.items.append(current)
        current.lines.append(line_number)
        problem = _add_line(current, body, end, cells, columns)
        if problem:
            broken.setdefault(current.id, []).append((where, problem))
    return broken


def _aside(body: str, cells: list[tuple[int, int]], columns: Columns) -> str:
    """What a line is that holds no token: blank, comment or -DOCSTART-; empty for a token line."""
    if not body.strip(" \t"):
        return "blank"
    if body.startswith("-DOCSTART-"):
        return "-DOCSTART- lines"
    last = body[slice(*cells[-1])] if cells else ""
    if (
        body.startswith("#")
        and parse_tag(last) is None
        and parse_tag(last, suffix=True) is None
        and (len(cells) < 2 or not columns.tab)
    ):
        return "comment"
    return ""


def _add_line(sentence: Sentence, body: str, end: str, cells: list[tuple[int, int]], columns: Columns) -> str:
    """Add one token line; returns what is wrong with it, if anything."""
    needed = max(columns.token, *columns.tags, 1) + 1
    if len(cells) < needed:
        one = f"{len(cells)} column{'s' if len(cells) != 1 else ''}"
        sentence.gaps.append((body + end,))
        return f"found {one}: {body[:60]!r} (expected at least {needed}, {'tabs' if columns.tab else 'blanks'} between them)"
    places = [cells[column] for column in columns.tags]
    gaps, position = [], 0
    for start, stop in places:
        gaps.append(body[position:start])
        position = stop
    token = body[slice(*cells[columns.token])]
    sentence.tokens.append(token)
    sentence.tags.append([body[slice(*place)] for place in places])
    sentence.gaps.append((*gaps, body[position:] + end))
    if not token:
        return f"found no token in {body[:60]!r} (expected one)"
    for written in sentence.tags[-1]:
        if parse_tag(written.strip()) is None and parse_tag(written.strip(), suffix=True) is None:
            return f"found the tag {written!r} (expected O, B-TYPE or I-TYPE, also of IOB1, BIOES, BILOU or TYPE-B)"
    return ""


def _scheme(sentences: list[Sentence], report: Report, path: Path) -> Scheme:
    """Tell the scheme from all the tags of the file."""
    written = Counter(tag.strip() for s in sentences for row in s.tags for tag in row if tag.strip() != "O")
    suffix = (
        bool(written)
        and all(_SUFFIX.fullmatch(tag) for tag in written)
        and not all(_PREFIX.fullmatch(tag) for tag in written)
    )
    letters = {tag[-1] if suffix else tag[0] for tag in written}
    spelled = tuple((_MARKS[letter], letter) for letter in "LUM" if letter in letters)
    name = "BIOES" if letters & set("ESLU") else _iob(sentences, suffix)
    if name != "IOB2" or suffix:
        report.note(f"the tags are {name}{', written TYPE-B' if suffix else ''}", f"{path}:1")
    return Scheme(name, spelled, suffix)


def _iob(sentences: list[Sentence], suffix: bool) -> str:
    """IO without any B; IOB1 when every B only parts two mentions of one type that touch, and some I begins one."""
    apart = touching = opening = 0
    for sentence in sentences:
        for tags in _layers(sentence, suffix):
            previous = OUTSIDE
            for tag in tags:
                if tag[0] == "B":
                    touches = previous[0] != "O" and previous[1] == tag[1]
                    touching += touches
                    apart += not touches
                opening += tag[0] == "I" and begins(previous, tag)
                previous = tag
    if apart or not opening:
        return "IOB2"
    return "IOB1" if touching else "IO"


def _layers(sentence: Sentence, suffix: bool) -> list[list[Tag]]:
    """The parsed tags, one list a layer; a tag that is none counts as O (its line has been refused)."""
    return [[parse_tag(tag.strip(), suffix) or OUTSIDE for tag in layer] for layer in zip(*sentence.tags, strict=True)]


def _take_off_segment_digits(document: Document, report: Report) -> None:
    """Weibo NER writes each character with its place in its word (科0 技1); take these digits off the tokens."""
    tokens = in_sequence = 0
    for sentence in document.sentences():
        previous = -1
        for token in sentence.tokens:
            match = _SEGMENT.fullmatch(token)
            if not match:
                return
            tokens += 1
            in_sequence += int(match[2]) in (0, previous + 1)
            previous = int(match[2])
    if not tokens or in_sequence < _IN_SEQUENCE * tokens:
        return
    for sentence in document.sentences():
        sentence.tokens = [_SEGMENT.fullmatch(token)[1] for token in sentence.tokens]
    report.note("tokens carry their place within a word as a digit; it was taken off", f"{document.path}:1", tokens)


def _joiner(document: Document, options: Options, report: Report) -> str:
    if options.joiner is not None:
        return options.joiner
    joiner = guess_joiner(token for sentence in document.sentences() for token in sentence.tokens)
    if not joiner:
        report.note(
            "tokens were joined without blanks, the script being Han or kana (--joiner ' ' otherwise)",
            f"{document.path}:1",
        )
    return joiner


def guess_joiner(tokens: Iterable[str]) -> str:
    """Nothing when most tokens that hold a letter hold Han or kana, else one blank."""
    lettered = [token for token in tokens if _LETTER.search(token)]
    return "" if sum(bool(CJK.search(token)) for token in lettered) * 2 > len(lettered) else " "


def joiner_of(record: Record, otherwise: str) -> str:
    """What stands between the tokens of a record: told by its language, where it names one."""
    if not record.lang:
        return otherwise
    return "" if record.lang.split("-")[0] in ("zh", "ja") else " "


def _draft(sentence: Sentence, document: Document, report: Report, broken: dict[str, list]) -> Draft:
    offsets = token_offsets(sentence.tokens, document.joiner)
    text = document.joiner.join(sentence.tokens)
    mentions = []
    for layer, tags in enumerate(_layers(sentence, document.scheme.suffix)):
        previous = OUTSIDE
        for line, tag in zip(sentence.lines, tags, strict=False):
            if sentence.id not in broken and tag[0] in "IE" and begins(previous, tag):
                _count_opening(document, f"{document.path}:{line}", previous, report)
            previous = tag
        for start, end, kind in chunks(tags):
            where = f"{document.path}:{sentence.lines[start]}"
            mentions.append(Mention(kind, ((offsets[start][0], offsets[end - 1][1]),), None, where, f"{layer}:{start}"))
    draft = Draft(f"{document.path}:{sentence.lines[0]}", sentence.id, text, mentions)
    draft.problems = broken.get(sentence.id, [])
    return draft


def _count_opening(document: Document, where: str, previous: Tag, report: Report) -> None:
    if document.scheme.name in ("IOB1", "IO"):
        report.note("I- tags that begin a mention, as this scheme has it", where)
    else:
        after = "O" if previous[0] in "OES" else "another type"
        report.repair(f"I- after {after}, taken for the beginning of a mention (as conlleval does)", where)


def token_offsets(tokens: list[str], joiner: str) -> list[tuple[int, int]]:
    """Start and end of each token in the joined text, in code points."""
    offsets, position = [], 0
    for token in tokens:
        offsets.append((position, position + len(token)))
        position += len(token) + len(joiner)
    return offsets


def assign_layers(found: list[tuple[int, int, str]]) -> dict[tuple[int, int, str], int]:
    """The layer of each mention, from 0: one above the highest of those that it holds or crosses.

    Shorter mentions are placed first, so that the innermost lie in layer 0 as in GENIA.
    """
    layers: dict[tuple[int, int, str], int] = {}
    for chunk in sorted(found, key=lambda c: (c[1] - c[0], c[0])):
        below = [layer for other, layer in layers.items() if other[0] < chunk[1] and chunk[0] < other[1]]
        layers[chunk] = max(below, default=-1) + 1
    return layers


def write_flat(records: list[Record], document: Document | None, options: Options) -> Written:
    """One tag column. Raises ManyErrors for what BIO cannot hold (nested, crossing or discontinuous mentions)."""
    return _write(records, document, options, layered=False)


def write_layered(records: list[Record], document: Document | None, options: Options) -> Written:
    """One tag column a layer, the innermost mentions first; as many as the file it came from, `--layers`, or needed."""
    return _write(records, document, options, layered=True)


def _write(records: list[Record], document: Document | None, options: Options, layered: bool) -> Written:
    left_out = Counter(triples=sum(len(r.triples) for r in records), fields=sum(len(r.fields) for r in records))
    problems: list[str] = []
    if document is None:
        text = _write_plain(records, options, layered, problems)
    else:
        text = _write_framed({record.id: record for record in records}, document, problems)
    if problems:
        raise ManyErrors(problems)
    return Written({"": text}, +left_out)


def _write_framed(records: dict[str, Record], document: Document, problems: list[str]) -> str:
    """The file again with the tags of the records; a sentence without a record is left out."""
    out: list[str] = []
    for item in document.items:
        if isinstance(item, str):
            out.append(item)
        elif item.id in records:
            out += _sentence_again(item, records[item.id], document, problems)
    return "".join(out)


def _sentence_again(sentence: Sentence, record: Record, document: Document, problems: list[str]) -> list[str]:
    found = _found(record, sentence.tokens, document.joiner, problems)
    rows = _tag_rows(record, found, len(sentence.tokens), document.layers, document.scheme, problems)
    out = []
    if found == _found_as_read(sentence, document):
        rows = sentence.tags
    for gaps, row in zip(sentence.gaps, rows, strict=True):
        out.append(gaps[0] + "".join(tag + gap for tag, gap in zip(row, gaps[1:], strict=True)))
    return out


def _found_as_read(sentence: Sentence, document: Document) -> list[tuple[int, int, str]]:
    return sorted({chunk for tags in _layers(sentence, document.scheme.suffix) for chunk in chunks(tags)})


def _write_plain(records: list[Record], options: Options, layered: bool, problems: list[str]) -> str:
    found, tokens = [], []
    common = guess_joiner(word for record in records for word in record.text.split())
    for record in records:
        joiner = joiner_of(record, common) if options.joiner is None else options.joiner
        tokens.append(record.text.split(joiner) if joiner else list(record.text))
        bad = next((token for token in tokens[-1] if not token or re.search(r"[\t\r\n]", token)), None)
        if bad is not None:
            problems.append(
                f"record {record.id!r}: the token {bad!r} cannot stand in a column (expected no empty token, tab or line break)"
            )
        found.append(_found(record, tokens[-1], joiner, problems))
    most = max((layer + 1 for chunks_ in found for layer in assign_layers(chunks_).values()), default=1)
    layers = max(options.layers, most) if layered else 1
    out = []
    for record, words, chunks_ in zip(records, tokens, found, strict=True):
        rows = _tag_rows(record, chunks_, len(words), layers, Scheme(), problems)
        out += ["\t".join((word, *row)) + "\n" for word, row in zip(words, rows, strict=True)]
        out.append("\n")
    return "".join(out)


def _found(record: Record, tokens: list[str], joiner: str, problems: list[str]) -> list[tuple[int, int, str]]:
    """The mentions as (first token, token after the last, type)."""
    offsets = token_offsets(tokens, joiner)
    starts = {start: number for number, (start, _) in enumerate(offsets)}
    ends = {end: number + 1 for number, (_, end) in enumerate(offsets)}
    found = []
    if joiner.join(tokens) != record.text:
        problems.append(f"record {record.id!r}: its text is no longer that of the file it came from")
        return found
    for entity in record.entities:
        start, end = _extent(entity, problems, record.id)
        if start in starts and end in ends:
            found.append((starts[start], ends[end], entity.type))
        elif end:
            problems.append(
                f"record {record.id!r}: {entity.text!r} begins or ends inside a token (expected whole tokens)"
            )
    return sorted(set(found))


def _extent(entity: Entity, problems: list[str], name: str) -> tuple[int, int]:
    if len(entity.spans) == 1:
        return entity.spans[0]
    kind = "discontinuous" if entity.spans else "without offsets"
    problems.append(
        f"record {name!r}: {entity.text!r} is {kind} (BIO holds whole stretches of tokens only; BRAT holds such)"
    )
    return 0, 0


def _tag_rows(
    record: Record, found: list, size: int, layers: int, scheme: Scheme, problems: list[str]
) -> list[list[str]]:
    """The tags of each token, one a layer."""
    placed: list[list] = [[] for _ in range(layers)]
    for chunk, layer in assign_layers(found).items():
        if layer < layers:
            placed[layer].append(chunk)
        else:
            text = f"{chunk[2]} at token {chunk[0] + 1}"
            problems.append(
                f"record {record.id!r}: {text} overlaps others (expected at most {layers} layer(s); layered-bio holds more)"
            )
    columns = [scheme.render(size, sorted(chunk_list)) for chunk_list in placed]
    return [list(row) for row in zip(*columns, strict=True)]


def tag_columns(sample: list[str]) -> int:
    """How many columns after the first hold nothing but tags, counted from the last; 0 when the last is none."""
    data = [line for line in sample if line.strip() and not line.startswith(("-DOCSTART-", "# "))][:200]
    tab = sum("\t" in line for line in data) * 2 >= len(data)
    columns = Columns(tab, 0, ())
    rows = [[line[a:b].strip() for a, b in columns.cells(line)] for line in data]
    rows = [row for row in rows if len(row) > 1]
    if len(rows) * 10 < len(data) * 9 or not rows:
        return 0
    count = 0
    while count + 1 < min(map(len, rows)) and _are_tags([row[-1 - count] for row in rows]):
        count += 1
    return count


def _are_tags(cells: list[str]) -> bool:
    good = sum(parse_tag(cell) is not None or parse_tag(cell, suffix=True) is not None for cell in cells)
    return good * 10 >= len(cells) * 9


def _sniff_flat(sample: Sample) -> str:
    lines = [body for body, _ in split_lines(sample.head)]
    count = tag_columns(lines) if not sample.rows else 0
    return "the last column holds tags such as B-PER" if count and not _is_layered(lines, count) else ""


def _sniff_layered(sample: Sample) -> str:
    lines = [body for body, _ in split_lines(sample.head)]
    count = tag_columns(lines) if not sample.rows else 0
    return f"all {count} columns after the first hold tags" if count and _is_layered(lines, count) else ""


def _is_layered(lines: list[str], count: int) -> bool:
    first = next(line for line in lines if line.strip() and not line.startswith(("-DOCSTART-", "# ")))
    return count > 1 and len(first.split()) == count + 1


BIO = Reader(
    name="bio",
    what="BIO or CoNLL columns, one token a line (also IOB1, BIOES, BILOU)",
    example="etlch import train.conll --format bio --columns 1,4 --out records.jsonl",
    sniff=_sniff_flat,
    read=_read_flat,
    options=("columns", "joiner"),
    write=write_flat,
)
LAYERED = Reader(
    name="layered-bio",
    what="BIO with one tag column a layer, the innermost mentions first (GENIA)",
    example="etlch import genia.iob2 --format layered-bio --out records.jsonl",
    sniff=_sniff_layered,
    read=_read_layered,
    options=("columns", "joiner", "layers"),
    write=write_layered,
)
READERS = (BIO, LAYERED)

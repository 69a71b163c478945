"""What every reader of other people's files offers, and the one way from what it finds to Records.

A reader is one module of this package with a tuple `READERS`; etlch/sources/registry.py finds it. It turns a file into
Drafts; `settle` turns a Draft into a Record or refuses it, so that offsets, blanks, duplicates and repeated ids are
treated alike everywhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError
from etlch.records import Entity, Record, Triple
from etlch.sources import spans as offsets
from etlch.sources.spans import Mention, OffsetError
from etlch.sources.text_files import TextFile, line_ends, read_text

_SHOWN = 20  # refusals printed; the rest is counted


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line can say about a file. Empty or None means: what the file or the format says."""

    encoding: str = "utf-8"
    lang: str = ""
    id_prefix: str = ""
    text_column: str = ""
    columns: tuple[str, ...] = ()
    joiner: str | None = None
    list_separator: str = ""
    answer_format: str = ""
    offset_unit: str = ""
    layers: int = 0
    strict: bool = False


@dataclass(slots=True)
class Draft:
    """A record as a reader found it. `id` is the file's own, completed by `make_id`; `mentions` are raw; `relations` name
    them by key; `problems` (file:line, what) were met while reading it, and any of them gets it refused."""

    where: str
    id: Any
    text: str
    mentions: list[Mention] = field(default_factory=list)
    relations: list[tuple[str, str, str]] = field(default_factory=list)
    triples: list[Triple] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)
    theme: str = ""
    lang: str = ""
    source: str = ""
    problems: list[tuple[str, str]] = field(default_factory=list)

    def each(self, items: Iterable[Any], name: str, add: Callable[[Any, str], None]) -> None:
        """Call `add(item, where)` for each item of the list `name`; its EtlchErrors become problems."""
        for number, item in enumerate(items):
            where = f"{self.where}: {name}[{number}]"
            try:
                add(item, where)
            except EtlchError as error:
                self.problems.append((where, str(error)))


@dataclass(slots=True)
class Note:
    """How often something happened, and where it did first."""

    count: int
    first: str


@dataclass
class Report:
    """What was read, repaired, noted and refused. With `strict` the first refusal raises instead."""

    strict: bool = False
    records: int = 0
    types: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    triples: int = 0
    fields: int = 0
    repaired: dict[str, Note] = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    refused: int = 0
    refused_mentions: int = 0

    @property
    def mentions(self) -> int:
        """Mentions in the records that were read."""
        return self.types.total()

    def repair(self, what: str, where: str, count: int = 1) -> None:
        """Count something that was put right."""
        self.repaired.setdefault(what, Note(0, where)).count += count

    def note(self, what: str, where: str, count: int = 1) -> None:
        """Count something the user should know that changed nothing."""
        self.notes.setdefault(what, Note(0, where)).count += count

    def refuse(self, problems: Iterable[tuple[str, str]], mentions: int = 0) -> None:
        """Count one refused record with all its problems. Raises EtlchError with the first when strict."""
        lines = [f"{where}: {what}" for where, what in problems]
        if self.strict:
            raise EtlchError(lines[0])
        self.problems += lines
        self.refused += 1
        self.refused_mentions += mentions

    def accept(self, record: Record) -> None:
        """Count one record."""
        self.records += 1
        self.types.update(entity.type for entity in record.entities)
        self.shapes.update(offsets.shapes(record.entities))
        self.triples += len(record.triples)
        self.fields += len(record.fields)

    def lines(self) -> list[str]:
        """The report, one line an item."""
        parts = [f"{self.records:,} records", f"{self.mentions:,} mentions{_counts(self.types.most_common(), ' ')}"]
        parts += [f"{count:,} {name}" for name, count in (("triples", self.triples), ("fields", self.fields)) if count]
        out = [f"read      {', '.join(parts)}{_counts(sorted(self.shapes.items()), '; ')}"]
        out += [f"repaired  {t.count:,}: {what} (first at {t.first})" for what, t in self.repaired.items()]
        for what, tally in self.notes.items():
            times = f"{tally.count:,} times, first at " if tally.count > 1 else ""
            out.append(f"note      {what} ({times}{tally.first})")
        lost = f", with {self.refused_mentions:,} mentions" if self.refused_mentions else ""
        out.append(f"refused   {self.refused:,} records{lost}")
        out += [f"  {problem}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            out.append(f"  ... and {len(self.problems) - _SHOWN:,} more problems")
        return out


def _counts(items: list[tuple[str, int]], opening: str) -> str:
    shown = ", ".join(f"{name} {count:,}" for name, count in items[:12])
    more = f", and {len(items) - 12} more" if len(items) > 12 else ""
    return f"{opening}({shown}{more})" if items else ""


@dataclass(frozen=True, slots=True)
class Written:
    """Files to write: relative name -> text (the name is empty for a format of one file), and what they cannot hold."""

    files: dict[str, str]
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Sample:
    """What a sniffer may look at: the path, the beginning of the file as text, its first bytes, its first JSON rows."""

    path: Path
    head: str = ""
    magic: bytes = b""
    rows: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reader:
    """A source format. `sniff` says in a few words why a file is of this format, or nothing. `options` are the names
    of the Options it understands besides encoding, lang, id_prefix and strict. `units`: what its offsets may count,
    the likeliest first. `sorts`: put the mentions into reading order."""

    name: str
    what: str
    example: str
    sniff: Callable[[Sample], str]
    read: Callable[[Path, Options, Report], Iterable[Draft]]
    options: tuple[str, ...] = ()
    units: tuple[str, ...] = offsets.UNITS
    sorts: bool = True
    write: Callable[[list[Record], Options], Written] | None = None
    folder: bool = False


def make_id(options: Options, path: Path, number: int, own: Any = None) -> str:
    """The id of a record: the file's own, else file name and position from 1; `--id-prefix` goes in front of either."""
    if own is None or own == "":
        return f"{options.id_prefix or path.stem}-{number}"
    return f"{options.id_prefix}-{own}" if options.id_prefix else str(own)


def open_text(path: Path, options: Options, report: Report) -> str:
    """The text of a file, decoded. Raises EtlchError, also for an empty file."""
    file = read_noted(path, options, report)
    if not file.text.strip():
        raise EtlchError(f"{path}: the file is empty (expected at least one record)")
    return file.text


def read_noted(path: Path, options: Options, report: Report, ends: bool = True) -> TextFile:
    """Decode a file, noting a byte order mark and unusual line ends. Raises EtlchError."""
    file = read_text(path, options.encoding)
    if file.bom:
        report.note("byte order mark taken off", f"{path}:1")
    if ends and (unusual := line_ends(file.text)):
        report.note(unusual, f"{path}:1")
    return file


def settle(draft: Draft, reader: Reader, options: Options, report: Report, seen: dict[str, str]) -> Record | None:
    """Turn a draft into a Record, or refuse it with every reason. `seen` maps the ids so far to where they stand."""
    problems = list(draft.problems)
    if not problems and not draft.text.strip():
        problems.append((draft.where, "the text is empty"))
    if draft.id in seen:
        problems.append((draft.where, f"id {draft.id!r} again (first at {seen[draft.id]})"))
    unit, entities, repairs, wrong = grounded(draft, reader, options)
    triples = _triples(draft, entities, problems)
    if problems or wrong:
        report.refuse(problems + wrong, len(draft.mentions))
        return None
    seen[draft.id] = draft.where
    if unit != reader.units[0] and not options.offset_unit:
        report.repair(f"offsets counted in {unit} units", draft.where, len(draft.mentions))
    for where in repairs:
        report.repair("text and offsets differ by a blank; the offsets were taken, without blanks at their ends", where)
    kept = tuple(dict.fromkeys(entities.values()))
    if len(kept) < len(draft.mentions):
        report.repair("the same mention twice; kept once", draft.where, len(draft.mentions) - len(kept))
    record = Record(
        id=draft.id,
        text=draft.text,
        lang=draft.lang or options.lang,
        theme=draft.theme,
        source=draft.source or Path(draft.where).name,
        entities=kept,
        triples=tuple(triples),
        fields=draft.fields,
    )
    report.accept(record)
    return record


Grounded = tuple[str, dict[int, Entity], list[str], list[tuple[str, str]]]


def grounded(draft: Draft, reader: Reader, options: Options) -> Grounded:
    """Unit, entities by position in `draft.mentions`, where blanks were repaired, and the problems.

    The first unit without problems wins; units are the same thing in a text without characters beyond U+FFFF.
    """
    units = (options.offset_unit,) if options.offset_unit else reader.units
    if not offsets.has_astral(draft.text):
        units = units[:1]
    tried = [_ground_all(draft, unit, reader.sorts) for unit in units]
    return next((result for result in tried if not result[3]), tried[0])


def _ground_all(draft: Draft, unit: str, sort: bool) -> Grounded:
    converter = offsets.Offsets(draft.text, unit)
    numbered = list(enumerate(draft.mentions))
    if sort:
        numbered.sort(key=lambda item: offsets.reading_order(item[1]))
    entities: dict[int, Entity] = {}
    repairs: list[str] = []
    problems: list[tuple[str, str]] = []
    for number, mention in numbered:
        try:
            entities[number], blank = offsets.ground(mention, converter)
        except OffsetError as error:
            problems.append((mention.where, str(error)))
        else:
            repairs += [mention.where] * blank
    return unit, entities, repairs, problems


def _triples(draft: Draft, entities: dict[int, Entity], problems: list[tuple[str, str]]) -> list[Triple]:
    """The draft's triples, and its relations as such; a key that is no mention is a problem."""
    known = {mention.key: entities.get(number) for number, mention in enumerate(draft.mentions) if mention.key}
    triples = list(draft.triples)
    for head, relation, tail in draft.relations:
        unknown = [key for key in (head, tail) if key not in known]
        problems += [(draft.where, f"relation {relation!r} refers to {k!r}, which is no mention here") for k in unknown]
        if (one := known.get(head)) and (other := known.get(tail)):
            triples.append(Triple(one.text, relation, other.text, one.type, other.type))
    return triples

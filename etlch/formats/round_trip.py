"""Does every format give back what it was given? Run over records, counted and printed (`etlch formats --round-trip`).

What is compared is what the format can carry, status `ok` included:

- formats with offsets: the set of (text, type, spans);
- formats of terms: the multiset of (text, type); `json_entities`: the set of them;
- `triple_lines`: the set of (head, relation, tail); `json_fields`: the fields.

A format of one type a prompt is asked for every type of the corpus, one after the other, the absent ones too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from etlch.formats import FORMATS
from etlch.formats.base import Format, FormatError, Parsed, Schema
from etlch.records import Record

_SHOWN = 3


def carried(form: Format, part: Record | Parsed) -> Counter[Hashable]:
    """What of a record's, or an answer's, items the format can carry, in a shape that can be compared."""
    if form.part == "fields":
        fields = part.fields.items() if isinstance(part.fields, dict) else part.fields
        return Counter((key, tuple(values)) for key, values in fields)
    if form.part == "triples":
        return Counter({(t.head, t.relation, t.tail) for t in part.triples})
    if form.can.offsets:
        return Counter(set(part.entities))
    terms: Iterable[Hashable] = ((entity.text, entity.type) for entity in part.entities)
    return Counter(terms if form.can.repeats else set(terms))


def schemas(form: Format, types: Sequence[str], record: Record) -> list[Schema]:
    """The prompts that a format needs to be asked for all these types."""
    if form.part == "fields":
        return [Schema(tuple(record.fields))]
    if form.part == "triples":
        return [Schema()]
    return [Schema((kind,)) for kind in types] if form.can.types == "one" else [Schema(tuple(types))]


def difference(form: Format, record: Record, schema: Schema) -> tuple[str, Parsed]:
    """How what comes back differs from what was given (empty: not at all), and the answer as read.

    Raises FormatError for what the format cannot represent.
    """
    answer = form.render(record, schema)
    parsed = form.parse(answer, schema, record.text)
    given, returned = carried(form, _asked(form, record, schema)), carried(form, parsed)
    if parsed.status != "ok":
        return f"status {parsed.status}: {'; '.join(parsed.problems)} in {answer!r:.200}", parsed
    if given != returned:
        return f"lost {list(given - returned)}, came in {list(returned - given)} from {answer!r:.200}", parsed
    return "", parsed


def _asked(form: Format, record: Record, schema: Schema) -> Record:
    if form.can.types != "one":
        return record
    return Record(record.id, record.text, entities=tuple(e for e in record.entities if e.type == schema.keys[0]))


@dataclass
class Trip:
    """A format's round trip over a corpus. Items are mentions, triples or fields; `placed` those that came back with
    the offsets they have in the record, of `placeable` that have any. `failures` holds what went wrong."""

    sentences: int = 0
    items: int = 0
    refused_sentences: int = 0
    refused_items: int = 0
    placed: int = 0
    placeable: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, form: Format, record: Record, types: Sequence[str]) -> None:
        """Try one record."""
        self.sentences += 1
        refused = self.reasons.total()
        for schema in schemas(form, types, record):
            part = _asked(form, record, schema)
            size = len(getattr(part, form.part))
            self.items += size
            try:
                trouble, parsed = difference(form, record, schema)
            except FormatError as error:
                self.refused_items += size
                self.reasons[error.reason] += 1
                continue
            if trouble:
                self.failures.append(f"{form.name}, record {record.id!r}, {list(schema.keys)}: {trouble}")
            given, back = ({(e.type, e.spans) for e in some.entities if e.spans} for some in (part, parsed))
            self.placeable += len(given)
            self.placed += len(given & back)
        self.refused_sentences += self.reasons.total() > refused


def over(records: Sequence[Record], forms: Iterable[Format] = FORMATS.values()) -> Iterator[tuple[Format, Trip]]:
    """The tally of each format; those that carry nothing of this corpus are left out."""
    types = sorted({entity.type for record in records for entity in record.entities})
    for form in forms:
        if not any(getattr(record, form.part) for record in records):
            continue
        tally = Trip()
        for record in records:
            tally.add(form, record, types)
        yield form, tally


HEAD = ("format", "sentences", "tried", "refused", "(sentences)", "failures", "offsets back")


def rows(tallies: Iterable[tuple[Format, Trip]]) -> Iterator[list[str]]:
    """One row of the table a format, under HEAD."""
    for form, tally in tallies:
        share = f"{tally.placed / tally.placeable:.1%}" if tally.placed else "-"
        tried = f"{tally.items:,} {'mentions' if form.part == 'entities' else form.part}"
        counts = (tally.refused_items, tally.refused_sentences, len(tally.failures))
        yield [form.name, f"{tally.sentences:,}", tried, *(f"{count:,}" for count in counts), share]


def notes(tallies: Iterable[tuple[Format, Trip]]) -> Iterator[str]:
    """Below the table: why prompts were refused, and the first failures."""
    for form, tally in tallies:
        for reason, count in tally.reasons.most_common():
            yield f"{form.name} refused {count:,} prompts: {reason}"
        yield from (f"FAILED {failure}" for failure in tally.failures[:_SHOWN])


def abilities() -> list[list[str]]:
    """What each format can represent, a row each; the first row is the head."""
    flags = ("nested", "crossing", "discontinuous", "offsets", "repeats")
    out = [["format", "carries", "types a prompt", *flags]]
    for form in FORMATS.values():
        shown = [form.can.types, *("yes" if getattr(form.can, flag) else "no" for flag in flags)]
        out.append([form.name, form.part, *(shown if form.can.types != "none" else "-" * len(shown))])
    return out


def table(lines: Sequence[Sequence[str]]) -> str:
    """Columns that line up (ASCII only), a rule below the head."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    written = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    return "\n".join([written[0], "  ".join("-" * width for width in widths), *written[1:]])

"""`etlch corpora`: the corpora of `corpora/*.yaml`, and what is there of them beside what their papers counted."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from etlch.errors import EtlchError

if TYPE_CHECKING:
    from etlch.corpora import Corpus, FoundCorpus
    from etlch.records import Record

HOW = """\
sentences      records of the files; of releases in documents, what etlch/sources/sentences.py cuts out of them
mentions       distinct (type, place), so one that a file has twice counts once
nested         share of the mentions whose extent lies within that of another mention of the sentence
discontinuous  share of the mentions that have more than one fragment
paper          its sentences (of the eight biomedical corpora: Table 1 of MF-NER, whose shares are ranges over the
               three splits, counted it does not say how)"""

_HEAD = ("split", "sentences", "paper", "mentions", "types", "nested", "discontinuous", "verdict")


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    corpora = commands.add_parser(
        "corpora",
        help="the corpora of corpora/*.yaml: where to get them, and what you have against what their papers counted",
        description="Lists licence, source, Hub copy and expected files of each; of those that are there, counts beside the paper's.\n"
        "Exit status: 1 when a corpus that is there cannot be read.\n\n"
        "  etlch corpora\n"
        "  etlch corpora --root ../shared/data bc5cdr genia",
        formatter_class=raw,
    )
    option = corpora.add_argument
    option("names", nargs="*", metavar="NAME", help="these corpora only")
    option("--root", type=Path, metavar="DIR", help="the folder of the corpora (runs/corpora)")
    corpora.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch import corpora

    root = options.root or corpora.ROOT
    if options.root and not root.is_dir():
        raise EtlchError(f"--root: {root} is no folder (expected one with folders such as bc5cdr and genia)")
    failed = False
    for corpus in corpora.find(options.names):
        print("\n".join(describe(corpus, root)), flush=True)
        if corpus.is_there(root):
            try:
                print("\n".join(compare(corpora.load(corpus, root))))
            except EtlchError as error:
                print(f"  error     {error}")
                failed = True
        print()
    print(HOW)
    return 1 if failed else 0


def describe(corpus: Corpus, root: Path) -> list[str]:
    """What is known of a corpus, one line an item, before any file is read."""
    folder = corpus.place(root)
    below = folder if corpus.folder else folder.name
    files = [f"{below}/{{{', '.join(r.files.values()) or '*.yaml'}}} ({r.name or r.reader})" for r in corpus.releases]
    counts = [" / ".join(f"{n:,}" for n in corpus.expected.values()) + " sentences"] if corpus.expected else []
    counts.append(f"{len(corpus.types)} labels")
    counts += [f"{kind} {share}" for kind, share in corpus.expected_shapes.items()]
    lines = [
        f"{corpus.name}  [{corpus.licence}]",
        f"  get       {corpus.get}",
        f"  Hub       {corpus.hub or 'no copy known'}",
        *(f"  {word:<9} {line}" for word, line in zip_longest(("expects",), files, fillvalue="or")),
        f"  {'paper' if corpus.expected else 'types':<9} {', '.join(counts)}",
    ]
    if corpus.note:
        lines.append(f"  note      {corpus.note}")
    return lines if corpus.is_there(root) else [*lines, f"  not here  ({folder})"]


def compare(loaded: FoundCorpus) -> list[str]:
    """Our counts beside the paper's, and how the files were read."""
    from etlch.formats.round_trip import table

    lines = [f"  read as   {loaded.release.name or loaded.release.reader}"]
    lines += [f"  note      {note}" for note in loaded.notes]
    lines += [f"  {line}" for line in table([_HEAD, *_rows(loaded)]).splitlines()]
    return [*lines, *(f"  missing   {line}" for line in loaded.missing)]


def _rows(loaded: FoundCorpus) -> Iterator[list[str]]:
    from etlch.corpora import SPLITS

    for split in SPLITS:
        records, expected = loaded.splits.get(split), loaded.corpus.expected.get(split)
        paper = f"{expected:,}" if expected else "-"
        if records is not None:
            counted = count(records)
            shares = [_share(counted[kind], counted["mentions"]) for kind in ("nested", "discontinuous")]
            found = [f"{len(records):,}", paper, f"{counted['mentions']:,}", f"{counted['types']}", *shares]
            yield [split, *found, _verdict(loaded, split, len(records), expected)]
        elif split in (*loaded.corpus.expected, *loaded.release.files):
            yield [split, "-", paper, "-", "-", "-", "-", "missing"]


def count(records: Sequence[Record]) -> Counter[str]:
    """Sentences, mentions, types, and nested, crossing and discontinuous mentions, counted as HOW says."""
    from etlch.sources.spans import shapes

    found: Counter[str] = Counter(sentences=len(records))
    kinds: set[str] = set()
    for record in records:
        distinct = tuple(dict.fromkeys(record.entities))
        found["mentions"] += len(distinct)
        found.update(shapes(distinct))
        kinds |= {entity.type for entity in distinct}
    found["types"] = len(kinds)
    return found


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({100 * part / whole:.1f}%)" if whole else "-"


def _verdict(loaded: FoundCorpus, split: str, found: int, expected: int | None) -> str:
    if expected is None:
        return "-"
    if found == expected:
        return "as in the paper"
    if known := loaded.corpus.other_versions.get(split, {}).get(found):
        return f"another version: {known}"
    if loaded.release.documents:
        return f"{found / expected:.0%} of the paper's; cut into sentences here"
    return f"another version, or a part: {found / expected:.0%} of the paper's"

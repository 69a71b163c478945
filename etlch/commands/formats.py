"""`etlch formats`: what each output format can represent, and its round trip over corpora."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from etlch.errors import EtlchError

if TYPE_CHECKING:
    from etlch.sources.registry import Reading


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    formats = commands.add_parser(
        "formats",
        help="the output formats, what each can represent, and their round trip over your corpora",
        description="Without options: a table of the formats. With --round-trip: every sentence is rendered in every format and\n"
        "parsed back; what a format cannot represent is refused and counted, what comes back altered is a failure.\n\n"
        "  etlch formats\n"
        "  etlch formats --round-trip ../shared/data/bc5cdr ../shared/data/pgxcorpus/brat\n"
        "  etlch formats --round-trip train.conll --only multi_tag,multi_bio\n\n"
        "The formats with examples: docs/formats.md.",
        formatter_class=raw,
    )
    option = formats.add_argument
    corpora = "files, BRAT folders, or folders of such, in any format of `etlch import --formats`"
    option("--round-trip", nargs="+", type=Path, metavar="FILE_OR_FOLDER", help=corpora)
    option("--only", default="", metavar="A,B,...", help="these formats only")
    formats.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch.formats import FORMATS, round_trip

    names = [name.strip() for name in options.only.split(",") if name.strip()] or list(FORMATS)
    for name in names:
        if name not in FORMATS:
            raise EtlchError(f"--only: unknown format {name!r} (expected some of {', '.join(FORMATS)})")
    if not options.round_trip:
        lines = round_trip.abilities()
        print(round_trip.table([line for line in lines if line is lines[0] or line[0] in names]))
        return 0
    failures = 0
    for path in _files(options.round_trip):
        reading = _read(path, path in options.round_trip)
        if reading is None:
            continue
        print("\n" + "\n".join([str(path), *reading.lines()]), flush=True)
        tallies = list(round_trip.over(reading.records, [FORMATS[name] for name in names]))
        failures += sum(len(tally.failures) for _, tally in tallies)
        print("\n".join([round_trip.table([round_trip.HEAD, *round_trip.rows(tallies)]), *round_trip.notes(tallies)]))
    print(f"\n{failures:,} failures")
    return 1 if failures else 0


def _files(paths: list[Path]) -> list[Path]:
    """Files and BRAT folders as they are; of another folder, whatever stands in it."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir() and not any(path.glob("*.ann")):
            found += _files(sorted(path.iterdir()))
        else:
            found.append(path)
    return found


def _read(path: Path, named: bool) -> Reading | None:
    """A corpus read; a file that cannot be is an error where the user named it, and else is passed over with a line."""
    from etlch.sources import registry
    from etlch.sources.base import Options

    try:
        return registry.read(path, "", Options())
    except EtlchError as error:
        if named:
            raise
        print(f"\n{path}: passed over ({str(error).splitlines()[0].removeprefix(f'{path}: ')})")
        return None

"""`etlch import`: annotated texts of other formats become records."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from etlch.errors import EtlchError


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    importer = commands.add_parser(
        "import",
        help="turn your own annotated texts (BIO, BRAT, CSV, Label Studio, ...) into records",
        description="Reads a file or folder and writes records, one JSON object a line. Prints what was read, what was repaired, and\n"
        "what was refused as file:line, found, expected. A record with anything wrong in it is refused whole.\n\n"
        "  etlch import train.tsv --out records.jsonl                       # the format is guessed, and said\n"
        "  etlch import train.conll --columns 1,4 --lang en --out records.jsonl\n"
        "  etlch import corpus/ --format brat --strict --out records.jsonl   # stop at the first problem\n"
        "  etlch import articles.csv --text-column body --columns people,places --out records.jsonl\n"
        "  etlch import old.tsv --encoding big5 --out records.jsonl\n"
        "  etlch import records.jsonl --to brat --out corpus/               # and back again\n\n"
        "All formats with an example each: etlch import --formats. More in docs/import.md.",
        formatter_class=raw,
    )
    option = importer.add_argument
    option("source", nargs="?", type=Path, metavar="SOURCE", help="the file, or the folder of a BRAT corpus")
    option("--formats", action="store_true", help="list the formats with an example each, and stop")
    option("--format", default="", metavar="NAME", help="the format of SOURCE (default: guessed from it)")
    option("--out", type=Path, metavar="FILE", help="where to write; nothing is written half")
    option(
        "--to",
        default="records",
        metavar="NAME",
        help="write this format instead of records: bio, layered-bio, brat, tokens",
    )
    option("--strict", action="store_true", help="stop at the first record that would be refused, and write nothing")
    option("--encoding", default="utf-8", metavar="NAME", help="of the source, such as big5 or gb18030 (utf-8)")
    option("--lang", default="", metavar="CODE", help="language of the records, such as en or zh-TW")
    option(
        "--id-prefix",
        default="",
        metavar="TEXT",
        help="in front of each id (default: the file's name where it has no ids)",
    )
    option("--text-column", default="", metavar="NAME", help="the column or key that holds the text")
    columns = "BIO: numbers of the token's and the tags' columns, such as 1,4; CSV, Parquet: names of the list columns"
    option("--columns", default="", metavar="A,B,...", help=columns)
    option("--joiner", metavar="TEXT", help="between BIO tokens (default: a blank, nothing for Chinese and Japanese)")
    option("--layers", type=int, default=0, metavar="N", help="with --to layered-bio: at least so many tag columns")
    option("--list-separator", default="", metavar="MARK", help="between the values in a CSV cell, such as 、 or ;")
    option("--answer-format", default="", metavar="NAME", help="how answers or lists are read: json_fields, ...")
    option("--offset-unit", default="", metavar="UNIT", help="of offsets: codepoint (Python) or utf16 (JavaScript)")
    importer.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch.sources import registry
    from etlch.sources.base import Options

    if options.formats:
        print(registry.table())
        return 0
    if options.source is None or options.out is None:
        raise EtlchError("SOURCE and --out FILE are needed (etlch import --help has examples, --formats the formats)")
    given = {field.name: getattr(options, field.name) for field in fields(Options)}
    given["columns"] = tuple(column.strip() for column in options.columns.split(",") if column.strip())
    chosen = Options(**given)
    read = registry.read(options.source, options.format, chosen, options.to)
    print("\n".join(read.lines()), flush=True)
    print("\n".join(registry.write(read, options.to, chosen, options.out)))
    return 0

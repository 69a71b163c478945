"""`etlch extract`: extraction from documents."""

from __future__ import annotations

import argparse
from pathlib import Path

from etlch.commands.options import add_server


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    extract = commands.add_parser(
        "extract",
        help="extract from your own documents: files, folders, standard input, tables",
        description="Writes what a model finds in each document, every value with its place in the text. Long documents are cut at\n"
        "the ends of sentences and put together again. Exit status: 0 fine, 1 some documents failed, 2 an error.\n\n"
        "  etlch extract report.txt                                                   # JSONL on standard output\n"
        "  etlch extract letters/ --task entities-en --out letters.html               # highlighted in the text\n"
        "  etlch extract articles.csv --text-column body --task fields --keys 人物,時間 --schema --out found.csv\n"
        "  etlch extract letters/ --task ner --system runs/etlch/etlch_300 --engine endpoint --base-url http://127.0.0.1:8000/v1\n"
        "  cat report.txt | etlch extract - --task triples --strict --out report.ttl      # Turtle; or .graphml\n\n"
        "More in docs/extract.md.",
        formatter_class=raw,
    )
    option = extract.add_argument
    option("sources", nargs="*", metavar="SOURCE", help="files, folders, - for standard input")
    option("--text", action="append", default=[], metavar="TEXT", help="a text itself; may be given again")
    option("--task", default="entities", metavar="CARD", help="a card of tasks/ by name, or a card's path (entities)")
    option("--keys", default="", metavar="A,B,...", help="the fields wanted, for a task that asks for fields")
    option("--model", metavar="NAME", help="a folder or a name on the Hub (the embedded one that knows the task)")
    option("--adapter", metavar="DIR", help="an adapter for it")
    option("--system", metavar="DIR", help="model and adapter of a run instead, such as runs/gemma/gemma_1000")
    option("--config", metavar="FILE", help="a predict config, for its template, precision and decoding")
    option("--schema", action="store_true", help="constrain answers in JSON to the card's schema")
    option("--strict", action="store_true", help="drop values that do not stand in the text")
    formats = ("jsonl", "json", "csv", "html", "turtle", "graphml")
    option("--format", choices=formats, default="", help="default: by the ending of --out, else jsonl")
    option("--out", type=Path, metavar="FILE", help="where to write, whole or not at all (standard output)")
    option("--text-column", default="", metavar="NAME", help="where the text is in CSV, TSV, Parquet and JSONL (text)")
    option("--encoding", default="utf-8", metavar="NAME", help="of the sources, such as big5 (utf-8)")
    option("--lang", default="", metavar="CODE", help="language of the documents; not compared with the task's then")
    option("--chunk-tokens", type=int, default=1000, metavar="N", help="longest piece of a document (1000)")
    option("--overlap-tokens", type=int, default=100, metavar="N", help="of a piece, from the one before (100)")
    who = "the model in this process (transformers, the default) or a server that has it loaded"
    option("--engine", choices=("transformers", "endpoint"), default="transformers", help=who)
    add_server(extract)
    extract.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch.extract import command

    return command.run(options)

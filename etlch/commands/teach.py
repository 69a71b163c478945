"""`etlch teach`: records from a teacher model."""

from __future__ import annotations

import argparse
from pathlib import Path

from etlch.commands.options import add_endpoint


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    teach = commands.add_parser(
        "teach",
        help="let a teacher model write articles and annotate them, over an OpenAI-compatible endpoint",
        description="Topic -> long article -> instruction -> gold JSON; article -> triples; article -> entities. The result is\n"
        "OUT/records.jsonl, which a task card can name as `train:`. A run that was stopped, or killed, goes on where it was.\n\n"
        "What would it take? Nothing is asked:\n"
        "  etlch teach --model gpt-4o-mini --price-in 0.15 --price-out 0.60 --dry-run\n"
        "Twelve articles on each topic, for at most 2 (of the currency of the prices):\n"
        "  export OPENAI_API_KEY=...\n"
        "  etlch teach --model gpt-4o-mini --articles 12 --price-in 0.15 --price-out 0.60 --budget-cost 2\n"
        "Three teachers that vote, on a server of your own, on your own topics:\n"
        "  etlch teach --base-url http://127.0.0.1:8000/v1 --model a --model b --model c --topics topics.txt --out data/mine\n\n"
        "More in docs/teach.md.",
        formatter_class=raw,
    )
    option = teach.add_argument
    option("--model", action="append", required=True, metavar="NAME", help="a teacher; several vote, the first writes")
    add_endpoint(option)
    option(
        "--topics", type=Path, metavar="FILE", help="one topic a line (default: the training topics of data/knowledge)"
    )
    option("--articles", type=int, default=1, metavar="N", help="articles a topic (1)")
    option("--out", type=Path, default=Path("data/teach"), metavar="DIR", help="journal and results (data/teach)")
    option(
        "--tasks", type=Path, default=Path("tasks"), metavar="DIR", help="the folder of kge.yaml and ner.yaml (tasks)"
    )
    option("--prompts", type=Path, metavar="DIR", help="your edited copies of etlch/teach/prompts/*.txt")
    option("--length", type=int, default=800, metavar="N", help="characters of an article, about (800)")
    option("--temperature", type=float, default=0.7, metavar="T", help="for writing (0.7); annotation has 0")
    option("--max-tokens", type=int, default=3000, metavar="N", help="longest answer (3000)")
    option("--seed", type=int, default=20250821, metavar="N", help="for the jitter of waits")
    option("--dry-run", action="store_true", help="ask nothing; print the requests, tokens and cost to expect")
    teach.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch.teach.run import teach

    return teach(options)

"""`etlch export`: an adapter merged into its model."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    export = commands.add_parser(
        "export",
        help="merge an adapter into its model, for vLLM, Ollama and llama.cpp, with a model card",
        description="Runs `llamafactory-cli export`; the card has the scores of the report, if they are of this adapter.\n\n"
        "  etlch export runs/gemma/gemma_300                       # to runs/gemma/gemma_300/merged\n"
        "  etlch export runs/etlch/etlch_300 --out out/etlch-300 --report report\n\n"
        "How to run the result: docs/serve.md.",
        formatter_class=raw,
    )
    option = export.add_argument
    option("system", type=Path, metavar="FOLDER", help="a system of runs/, or an adapter's folder")
    option("--out", type=Path, metavar="FOLDER", help="where to write (default: merged/ beside the adapter)")
    option("--report", type=Path, default=Path("report"), metavar="DIR", help="the report with the scores (report)")
    dtypes = ("float32", "bfloat16", "float16")
    option("--dtype", choices=dtypes, help="precision (default: the one the adapter was trained in)")
    option("--force", action="store_true", help="replace what is there")
    export.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch.export import export

    print(export(options.system, options.out, options.report, options.dtype, options.force))
    return 0

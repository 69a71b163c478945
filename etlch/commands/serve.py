"""`etlch serve`: extraction over HTTP."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    serve = commands.add_parser(
        "serve",
        help="an HTTP service for extraction, with a page to try models on",
        description="POST /v1/extract and /v1/extract/batch, GET /v1/tasks, /health, /ready, /openapi.json; the page is at /.\n\n"
        "  etlch serve --system runs/gemma/gemma_300\n"
        "  etlch serve --system runs/gemma/gemma_100 --system runs/gemma/gemma_300 --system untuned=models/gemma3-270m/weights\n"
        "  ETLCH_API_KEY=... etlch serve --system runs/etlch/etlch_300 --host 0.0.0.0\n\n"
        "More in docs/serve.md.",
        formatter_class=raw,
    )
    option = serve.add_argument
    system = "a system of runs/, an adapter's or a model's folder, or a Hub name; repeat for several"
    option("--system", action="append", required=True, metavar="[NAME=]FOLDER", help=system)
    option(
        "--task", action="append", default=[], metavar="CARD", help="a card by name or path; repeat for several (all)"
    )
    option("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (127.0.0.1; 0.0.0.0: everywhere)")
    option("--port", type=int, default=8000, metavar="N", help="where to listen (8000; 0: any that is free)")
    option(
        "--key-env",
        default="ETLCH_API_KEY",
        metavar="VAR",
        help="variable with the API key; none: open (ETLCH_API_KEY)",
    )
    option("--config", metavar="FILE", help="a predict config, for its template, precision and decoding")
    option("--schema", action="store_true", help="constrain answers in JSON to the card's shape")
    option("--lang", default="", metavar="CODE", help="the texts' language, which is then not compared with the task's")
    option("--max-chars", type=int, default=20_000, metavar="N", help="longest text (20000)")
    option("--max-texts", type=int, default=32, metavar="N", help="texts in a batch (32)")
    option("--max-body", type=int, default=4 * 2**20, metavar="BYTES", help="longest body (4194304)")
    option("--max-queue", type=int, default=64, metavar="N", help="texts that may wait (64); 503 beyond")
    option("--batch", type=int, default=16, metavar="N", help="texts that are answered together (16)")
    option("--timeout", type=float, default=60.0, metavar="S", help="longest wait for an answer (60); 504 beyond")
    option("--log", action="store_true", help="a line on stdout for each request, without its texts")
    serve.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch.serve.start import run

    run(options)
    return 0

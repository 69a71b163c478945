"""`etlch demo`: the whole loop on two CPU cores."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    demo = commands.add_parser(
        "demo",
        help="the whole loop on two CPU cores: train, answer, score, report",
        description="Fine-tunes the embedded Chinese model on 30 and on 100 short texts a task (entities, triples, fields),\n"
        "answers test texts of topics that it never saw, and reports scores beside floors that need no model.\n"
        "Stopped half way, the same command goes on.",
        formatter_class=raw,
    )
    demo.add_argument("--quick", action="store_true", help="two minutes: the ready adapter answers, nothing is trained")
    demo.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch import demo

    demo.run(options.quick)
    return 0

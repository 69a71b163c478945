"""`etlch mfner`: the steps of the MF-NER experiment."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    mfner = commands.add_parser(
        "mfner",
        help="the MF-NER experiment, step by step (make mfner runs all of it)",
        description="build writes the datasets of every draw; runs lists the trainings; train trains one and answers the validation\n"
        "set with its checkpoints; test answers the test sets with the best.\n\n"
        "  etlch mfner build gemma\n"
        "  etlch mfner build qwen2.5-0.5b --root /data/corpora --corpora bc5cdr,ncbi\n"
        "  etlch mfner train gemma draw1/7best\n"
        "  python -m eval.mfner best gemma draw1/7best\n"
        "  etlch mfner test gemma draw1/7best\n\n"
        "More in docs/mfner.md.",
        formatter_class=raw,
    )
    option = mfner.add_argument
    option("step", choices=("build", "runs", "train", "test"))
    option("grid", help="qwen2.5-0.5b, llama3.2-1b or gemma")
    option("run", nargs="?", default="", metavar="RUN", help="one of `etlch mfner runs GRID`, for train and test")
    option("overrides", nargs="*", metavar="key=value", help="overrides of the training config")
    option("--root", type=Path, metavar="DIR", help="the folder of the corpora (runs/corpora)")
    option(
        "--corpora",
        default="",
        metavar="A,B,...",
        help="these only; knowledge: the knowledge base (all that are there)",
    )
    option("--force", action="store_true", help="train: delete what is there of this run and start over")
    option("--keep", action="store_true", help="keep the checkpoints that are not the best")
    mfner.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch.corpora import ROOT
    from etlch.mfner import grid as grids

    grid = grids.find(options.grid)
    names = [name.strip() for name in options.corpora.split(",") if name.strip()]
    if options.step == "build":
        for line in grids.write_data(grid, names, options.root or ROOT):
            print(line, flush=True)
    elif options.step == "runs":
        print("\n".join(grid.runs()))
    elif options.step == "train":
        grids.train(grids.run(grid, options.run), options.overrides, options.force)
    else:
        for folder in grids.test(grids.run(grid, options.run), options.overrides, options.keep):
            print(folder)
    return 0

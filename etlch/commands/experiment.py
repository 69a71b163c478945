"""`etlch run`: the cells of an experiment, one after another; what is done is left alone."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    run = commands.add_parser(
        "run",
        help="run an experiment: train, choose, answer, cell by cell",
        description="Runs what is missing of an experiment, cell by cell: data, training, best checkpoint, answers. Killed and started\n"
        "again it goes on where it was. Then: etlch report EXPERIMENT.\n\n"
        "  etlch run experiments/mf_ner_small.yaml\n"
        "  etlch run experiments/etlch_small.yaml --only scale=100 --only scale=300\n"
        "  etlch run experiments/mf_ner.yaml --list | xargs -P 4 -I{} sh -c '{}'     # or one a job of a cluster\n\n"
        "experiments/README.md says what each costs.",
        formatter_class=raw,
    )
    option = run.add_argument
    option("experiment", type=Path, help="a file of experiments/")
    option("overrides", nargs="*", metavar="key=value", help="overrides of the training configs")
    only = "cells of this system, train_on, scale or draw; several values of one factor are alternatives"
    option("--only", action="append", default=[], metavar="FACTOR=VALUE", help=only)
    option("--list", action="store_true", help="print a command for each cell and do nothing")
    option("--dry-run", action="store_true", help="say what would be done, and what is done already")
    option("--root", type=Path, metavar="DIR", help="the folder of the corpora (runs/corpora)")
    option("--force", action="store_true", help="delete what is there of these cells and start over")
    option("--keep", action="store_true", help="keep the checkpoints that are not the best")
    run.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch import runner
    from etlch.experiments import load_experiment

    experiment = load_experiment(options.experiment)
    cells = _chosen(list(experiment.cells()), options.only)
    if options.list:
        for cell in cells:
            print(" ".join(["etlch run", str(options.experiment), *cell.selector()]))
        return 0
    if options.dry_run:
        for number, cell in enumerate(cells, start=1):
            done = "done" if runner.finished(cell) else "to do"
            print(f"{number}/{len(cells)}  {cell.name}: {done}  ({cell.train or cell.predict} -> {cell.folder})")
        return 0
    for line in runner.draw(experiment, options.root):
        print(line, flush=True)
    for number, cell in enumerate(cells, start=1):
        print(f"{number}/{len(cells)}  {cell.name}", flush=True)
        for folder in runner.run(cell, _score, options.overrides, options.force, options.keep):
            print(folder, flush=True)
    return 0


def _score(folder: Path, metric: str) -> float:
    """A metric of one run folder, over all its samples."""
    from eval.experiment import value

    return value(folder, metric)


def _chosen(cells: list, only: list[str]) -> list:
    """The cells that each named factor allows. Raises EtlchError for a factor or a value that no cell has."""
    from etlch.errors import EtlchError
    from etlch.experiments import FACTORS

    allowed: dict[str, list[str]] = {}
    for item in only:
        factor, _, value = item.partition("=")
        known = sorted({str(getattr(cell, factor)) for cell in cells}) if factor in FACTORS else []
        if value not in known:
            expected = f"one of {', '.join(known)}" if known else f"{' or '.join(FACTORS)}, then = and a value"
            raise EtlchError(f"--only {item}: found {value if known else factor!r} (expected {expected})")
        allowed.setdefault(factor, []).append(value)
    return [cell for cell in cells if all(str(getattr(cell, f)) in values for f, values in allowed.items())]

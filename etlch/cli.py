"""The command line: `etlch COMMAND ...`; `etlch --help` lists the commands."""

from __future__ import annotations

import argparse
import sys

from etlch import machine
from etlch.commands import (
    corpora,
    data,
    demo,
    experiment,
    export,
    extract,
    formats,
    imports,
    model,
    predict,
    push_data,
    results,
    serve,
    teach,
    train,
)
from etlch.errors import EtlchError

DESCRIPTION = """\
etlch: structured information extraction with small language models.

The usual way, through make (each step does the ones before it when they are missing):
  make demo              the whole loop on a laptop, no download: train, answer, score, report
  make train-300         fine-tune Llama-3.2-1B on 300 samples a task (MODEL=gemma: the embedded model)
  make predict-300       answer the test sets with it
  make report            scores, tests, figures: report/index.html
"""

# in the order of --help
FAMILIES = (
    demo,
    model,
    data,
    imports,
    formats,
    corpora,
    teach,
    push_data,
    serve,
    export,
    train,
    predict,
    extract,
    experiment,
    results,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status (0 fine, 1 problems found, 2 an error with its message on stderr)."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and hasattr(options, "overrides") and all("=" in item and not item.startswith("-") for item in rest):
        options.overrides += rest  # overrides may also follow an option
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return options.command(options)
    except EtlchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from where it can", file=sys.stderr)
        return 130


def run() -> None:
    """Entry point of the console script."""
    machine.share_cores()
    raise SystemExit(main())


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="etlch", description=DESCRIPTION, formatter_class=raw)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for family in FAMILIES:
        family.add(commands, raw)
    return parser


if __name__ == "__main__":
    run()

"""The command line: `etlch data | knowledge | check | train | predict`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from etlch.errors import EtlchError

DESCRIPTION = """\
etlch: structured information extraction with small language models.

The usual way, through make (each step does the ones before it when they are missing):
  make demo              the whole loop on a laptop, no download: train, answer, score, report
  make train-300         fine-tune Llama-3.2-1B on 300 samples a task (MODEL=nano: the embedded model)
  make predict-300       answer the test sets with it
  make report            scores, tests, figures: report/index.html
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status (0 fine, 1 problems found, 2 an error with its message on stderr)."""
    options = _parser().parse_args(arguments)
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
    raise SystemExit(main())


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="etlch", description=DESCRIPTION, formatter_class=raw)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    data = commands.add_parser(
        "data",
        help="build data/ and dataset_info.json from the knowledge base and the task cards",
        description="Writes the records, one LlamaFactory file a task and scale, dataset_info.json, the data card and the manifest.",
    )
    data.add_argument("--check", action="store_true", help="write nothing; fail when a file on disk is not current")
    data.set_defaults(command=_data)

    knowledge = commands.add_parser(
        "knowledge",
        help="check the topic files and print their counts",
        description="Reports every problem of every topic as file:line. The authoring guide is data/knowledge/README.md.",
    )
    knowledge.add_argument("files", nargs="*", type=Path, help="topic files (default: all of data/knowledge)")
    knowledge.set_defaults(command=_knowledge)

    check = commands.add_parser(
        "check",
        help="read a LlamaFactory config before its run costs hours",
        description="Unknown keys, missing datasets, template against model, and every example that would be cut.\n\n"
        "  etlch check configs/etlch_300.yaml\n"
        "  etlch check configs/*.yaml --tokenizer models/nano",
        formatter_class=raw,
    )
    check.add_argument("configs", nargs="+", help="YAML configs; key=value overrides apply to all of them")
    check.add_argument("--tokenizer", metavar="NAME", help="count tokens with this tokenizer instead of the model's own")
    check.set_defaults(command=_check)

    train = commands.add_parser(
        "train",
        help="llamafactory-cli train, with done stamps, resumption and readable errors",
        description="Runs `llamafactory-cli train CONFIG key=value ...`. A finished run is left alone, an interrupted one resumes.",
    )
    predict = commands.add_parser(
        "predict",
        help="answer the test sets of a predict config; one run folder a task",
        description="Runs LlamaFactory's predict and puts the answers into runs/<experiment>/<system>/<task>/ with a run.json.",
    )
    for command, function in ((train, _train), (predict, _predict)):
        command.add_argument("config", help="a YAML file of llamafactory_configs/")
        command.add_argument("overrides", nargs="*", metavar="key=value", help="overrides, for example max_steps=10")
        command.add_argument("--force", action="store_true", help="start over even if a finished run is there")
        command.set_defaults(command=function)
    return parser


def _data(options: argparse.Namespace) -> int:
    from etlch.build import dataset

    root = Path()
    files = dataset.build(root)
    if options.check:
        stale = dataset.stale(files, root)
        print("\n".join(stale) or f"{len(files)} files are current")
        return 1 if stale else 0
    written = dataset.write(files, root)
    print(f"{len(files)} files, {len(written)} written; counts are in {dataset.DATA_CARD}")
    return 0


def _knowledge(options: argparse.Namespace) -> int:
    from etlch.build import dataset
    from etlch.sources.knowledge import load_topic, summary

    topics = [load_topic(path) for path in options.files] if options.files else dataset.knowledge(Path())
    width = max(len(name) for name in summary(topics))
    for name, count in summary(topics).items():
        print(f"{name:<{width}}  {count:>7,}")
    return 0


def _check(options: argparse.Namespace) -> int:
    from etlch import check

    paths = [item for item in options.configs if "=" not in item]
    overrides = [item for item in options.configs if "=" in item]
    failed = False
    for path in paths:
        found = check.check(path, overrides, options.tokenizer)
        print(check.render(path, found))
        failed = failed or bool(found.problems)
    return 1 if failed else 0


def _train(options: argparse.Namespace) -> int:
    from etlch import launch

    print(launch.train(options.config, options.overrides, options.force))
    return 0


def _predict(options: argparse.Namespace) -> int:
    from etlch.infer import llamafactory

    for folder in llamafactory.predict(options.config, options.overrides, options.force):
        print(folder)
    return 0


if __name__ == "__main__":
    run()

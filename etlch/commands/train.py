"""`etlch check` and `etlch train`: LlamaFactory's training."""

from __future__ import annotations

import argparse

from etlch.commands.options import add_config


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    check = commands.add_parser(
        "check",
        help="read a LlamaFactory config before its run costs hours",
        description="Unknown keys, missing datasets, template against model, and every example that would be cut.\n\n"
        "  etlch check configs/etlch_300.yaml\n"
        "  etlch check configs/*.yaml --tokenizer models/gemma3-270m/weights",
        formatter_class=raw,
    )
    check.add_argument(
        "overrides", nargs="+", metavar="CONFIG|key=value", help="YAML configs; overrides apply to all of them"
    )
    check.add_argument(
        "--tokenizer", metavar="NAME", help="count tokens with this tokenizer instead of the model's own"
    )
    check.set_defaults(command=_check)

    train = commands.add_parser(
        "train",
        help="llamafactory-cli train, with done stamps, resumption and readable errors",
        description="Runs `llamafactory-cli train CONFIG key=value ...`. A finished run is left alone, an interrupted one resumes.",
    )
    add_config(train)
    train.set_defaults(command=_train)


def _check(options: argparse.Namespace) -> int:
    from etlch.trainer import check

    paths = [item for item in options.overrides if "=" not in item]
    overrides = [item for item in options.overrides if "=" in item]
    failed = False
    for path in paths:
        found = check.check(path, overrides, options.tokenizer)
        print(check.render(path, found))
        failed = failed or bool(found.problems)
    return 1 if failed else 0


def _train(options: argparse.Namespace) -> int:
    from etlch.trainer import launch

    print(launch.train(options.config, options.overrides, options.force))
    return 0

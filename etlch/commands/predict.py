"""`etlch predict`: answers to the test sets."""

from __future__ import annotations

import argparse

from etlch.commands.options import add_config, add_server


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    predict = commands.add_parser(
        "predict",
        help="answer the test sets of a predict config; one run folder a task",
        description="Runs LlamaFactory's predict and puts the answers into runs/<experiment>/<system>/<task>/ with a run.json.",
    )
    add_config(predict)
    _add_engines(predict)
    predict.set_defaults(command=_run)


def _add_engines(predict: argparse.ArgumentParser) -> None:
    engines = ("llamafactory", "transformers", "endpoint")
    about = "llamafactory (its own predict, the default), transformers (in this process: faster, keeps answers as they come), endpoint"
    predict.add_argument("--engine", choices=engines, default=engines[0], help=about)
    schema = "JSON of the tasks' schemas and nothing else; a system of its own, <system>+schema"
    predict.add_argument("--schema", action="store_true", help=schema)
    often = "lower a token's score by F for each time the answer has it (OpenAI's frequency_penalty): ends the loops of small models"
    predict.add_argument("--frequency-penalty", type=float, metavar="F", help=often)
    loops = "let an answer that repeats itself run on to the token limit (transformers ends it; run.json says so)"
    predict.add_argument("--keep-loops", action="store_true", help=loops)
    add_server(predict)


def _run(options: argparse.Namespace) -> int:
    from etlch.infer import engines, predict

    job = predict.read_job(options.config, options.overrides)
    if options.schema:
        job = predict.with_schema(job)
    if options.frequency_penalty is not None:
        job = predict.with_frequency_penalty(job, options.frequency_penalty)
    for folder in engines.answer(job, options):
        print(folder)
    return 0

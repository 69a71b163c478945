"""`etlch predict`: answers to the test sets."""

from __future__ import annotations

import argparse

from etlch.commands.options import add_config, add_endpoint


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
    group = predict.add_argument_group("--engine endpoint", "any OpenAI-compatible server; see docs/engines.md")
    group.add_argument("--served-as", default="", metavar="NAME", help="the model's name there (model_name_or_path)")
    send = "the prompt as token ids or text (raw completion), or the question only, for the server's own template"
    group.add_argument("--send", choices=("tokens", "text", "chat"), default="tokens", help=f"{send} (tokens)")
    add_endpoint(group.add_argument)
    for name in ("in", "out"):
        group.add_argument(f"--price-{name}", type=float, metavar="X", help=f"price of a million tokens {name}")


def _run(options: argparse.Namespace) -> int:
    from etlch.infer import engines, predict

    job = predict.read_job(options.config, options.overrides)
    if options.schema:
        job = predict.with_schema(job)
    for folder in engines.answer(job, options):
        print(folder)
    return 0

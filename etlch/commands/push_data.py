"""`etlch push-data`: data/ as a Hugging Face data set."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    push = commands.add_parser(
        "push-data",
        help="publish data/ as a Hugging Face data set: to the Hub, or to a folder",
        description="One config a task with the splits train and test, one with the gold records, and a card made from data/README.md.\n\n"
        "  etlch push-data out/etlch-data --to-folder       # Parquet and README.md, offline\n"
        "  hf auth login\n"
        "  etlch push-data me/etlch-data --private          # one commit on the Hub",
        formatter_class=raw,
    )
    option = push.add_argument
    option("target", metavar="FOLDER_OR_HUB", help="owner/name on the Hub; with --to-folder a new or empty folder")
    option("--to-folder", action="store_true", help="save to a folder instead; needs neither network nor login")
    option("--family", default="etlch", metavar="NAME", help="which tasks: the `family:` of their cards (etlch)")
    option("--private", action="store_true", help="create the repository as a private one")
    push.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch.examples import publish

    root = Path()
    cards = publish.family_cards(root, options.family)
    publish.check_target(options.target, options.to_folder)
    sets = publish.build(root, cards)
    card = publish.card_text(root, options.family, cards, sets)
    for config, splits in sets.items():
        print(f"{config:<10} {', '.join(f'{split} {len(rows):,}' for split, rows in splits.items())}")
    if options.to_folder:
        publish.save(sets, card, Path(options.target))
        print(f"saved in {options.target}")
    else:
        print(publish.push(sets, card, options.target, options.private))
    return 0

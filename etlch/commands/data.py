"""`etlch data` and `etlch knowledge`: the data sets, and the knowledge base that they are built from."""

from __future__ import annotations

import argparse
from pathlib import Path

from etlch.errors import ManyErrors


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    data = commands.add_parser(
        "data",
        help="build data/ and dataset_info.json from the knowledge base and the task cards",
        description="Writes the records, one LlamaFactory file a task and scale, dataset_info.json, the data card and the manifest.",
    )
    data.add_argument(
        "--check",
        action="store_true",
        help="write nothing; fail when a file on disk is not current, or the gold breaks a promise of the data card",
    )
    data.set_defaults(command=_data)

    knowledge = commands.add_parser(
        "knowledge",
        help="check the topic files and print their counts",
        description="Counts what the topics hold, by language, and reports every problem of every file as file:line.\n"
        "The authoring guide is data/knowledge/README.md.\n\n"
        "  etlch knowledge                                  # the whole base\n"
        "  etlch knowledge data/knowledge/golden_ratio.yaml # a topic at work",
        formatter_class=raw,
    )
    knowledge.add_argument("files", nargs="*", type=Path, help="topic files (default: all of data/knowledge)")
    knowledge.set_defaults(command=_knowledge)


def _data(options: argparse.Namespace) -> int:
    from etlch.examples import dataset

    root = Path()
    base = dataset.base(root)
    files, broken = dataset.build(root, of=base), dataset.broken(base)
    if options.check:
        problems = dataset.stale(files, root) + broken
        print("\n".join(problems) or f"{len(files)} files are current, and what the data card says of them holds")
        return 1 if problems else 0
    written = dataset.write(files, root)
    print(f"{len(files)} files, {len(written)} written; counts are in {dataset.DATA_CARD}")
    if broken:
        print(f"{len(broken)} things that the data card promises do not hold; `etlch data --check` lists them")
    return 0


def _knowledge(options: argparse.Namespace) -> int:
    from etlch.examples.dataset import KNOWLEDGE
    from etlch.knowledge import relations
    from etlch.knowledge import topics as knowledge

    topics, problems = knowledge.load_files(options.files or knowledge.topic_files(KNOWLEDGE))
    if options.files:
        print("".join(f"{knowledge.line(topic)}\n" for topic in topics), end="")
    if topics:
        print(knowledge.table(topics), flush=True)
        problems += relations.problems(topics, relations.load(KNOWLEDGE))
    if problems:
        raise ManyErrors(problems)
    return 0

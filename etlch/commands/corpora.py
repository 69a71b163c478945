"""`etlch corpora`: the corpora of the MF-NER paper."""

from __future__ import annotations

import argparse
from pathlib import Path

from etlch.errors import EtlchError


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    corpora = commands.add_parser(
        "corpora",
        help="the eight biomedical corpora of the MF-NER paper: where to get them, and what you have against its Table 1",
        description="Lists licence, source, Hub copy and expected files of each; of those below --root, counts beside Table 1.\n"
        "Exit status: 1 when a corpus that is there cannot be read.\n\n"
        "  etlch corpora\n"
        "  etlch corpora --root ../shared/data bc5cdr genia",
        formatter_class=raw,
    )
    option = corpora.add_argument
    option("names", nargs="*", metavar="NAME", help="these corpora only")
    option("--root", type=Path, metavar="DIR", help="the folder of the corpora (runs/mfner/corpora)")
    corpora.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    from etlch.sources import corpora

    root = options.root or corpora.ROOT
    if options.root and not root.is_dir():
        raise EtlchError(f"--root: {root} is no folder (expected one with folders such as bc5cdr and genia)")
    failed = False
    for corpus in corpora.find(options.names):
        print("\n".join(corpora.describe(corpus, root)), flush=True)
        if corpora.is_there(corpus, root):
            try:
                print("\n".join(corpora.compare(corpora.load(corpus, root))))
            except EtlchError as error:
                print(f"  error     {error}")
                failed = True
        print()
    print(corpora.HOW)
    return 1 if failed else 0

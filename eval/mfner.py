"""The results of the MF-NER grid: which checkpoint is best, and the paper's tables with its own values beside ours.

    python -m eval.mfner best gemma draw1/7best    # micro-F1 of each checkpoint on the validation set -> best.json
    python -m eval.mfner report gemma              # tables and figures -> report/mfner/gemma

Every number is micro-averaged; `± ` is the sample standard deviation over draws. Published values are the paper's means.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etlch.corpora import load_corpora
from etlch.errors import EtlchError
from etlch.infer.predict import RAW
from etlch.mfner import grid
from etlch.records import write_text
from etlch.trainer import energy, launch
from etlch.trainer.energy import Machine
from eval import mfner_analysis as analysis
from eval.mfner_answers import Answered, Sentence, plan, read, read_all, runs
from eval.published import FOLDER, Paper, load_paper
from eval.tables import to_text

OUT = Path("report/mfner")
_PREFIX = {"qwen2.5-0.5b": "Qwen", "llama3.2-1b": "Llama"}
_NAMES = {"AnatEM": "AnatEM", "BC2GM": "bc2gm", "BC4CHEMD": "bc4chemd", "BC5CDR": "bc5cdr", "CADEC": "CADEC"}
_NAMES |= {"GENIA": "GENIA", "NCBI Disease": "ncbi", "PGxCorpus": "PGX"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report. `note`: how it is counted."""

    title: str
    head: tuple[str, ...]
    rows: list[list[str]]
    note: str = ""

    def markdown(self) -> str:
        lines = [f"| {' | '.join(row)} |" for row in (self.head, ["---"] * len(self.head), *self.rows)]
        return "\n".join([f"### {self.title}", "", *lines, *(["", self.note] if self.note else [])])

    def text(self) -> str:
        return "\n".join([self.title, to_text(self.head, self.rows), *([self.note] if self.note else [])])


class Published:
    """The paper's values, as they are printed; a dash for what it does not have."""

    def __init__(self, name: str, paper: Paper | None = None):
        self.prefix = _PREFIX.get(name, "")
        self.tables = (paper or load_paper(FOLDER / "mf_ner.yaml")).tables

    def __call__(self, table: str, key: Sequence[str], column: str) -> str:
        """A cell by the row's key; `{}` in the column stands for the model."""
        if not self.prefix:
            return "-"
        for row in self.tables[table].rows:
            if [row[k] for k in self.tables[table].key] == list(key):
                value = row.get(column.format(self.prefix))
                spread = row.get(f"{column.format(self.prefix)} sd")
                return "-" if value is None else f"{value}" + (f" ± {spread}" if spread is not None else "")
        return "-"


def best(run: grid.Run) -> dict[str, Any]:
    """Micro-F1 of each checkpoint on the validation set, the best one named; the earliest of equals."""
    scores = {}
    for checkpoint in run.checkpoints():
        folders = [path.parent for path in sorted((run.folder / checkpoint.name).glob("dev-*/run.json"))]
        if not folders:
            raise EtlchError(f"{run.folder / checkpoint.name}: no validation answers (run `etlch mfner train` first)")
        scores[checkpoint.name] = round(analysis.prf(read(folders[0]).sentences)[2], 4)
    if not scores:
        raise EtlchError(f"{run.output}: no checkpoints (run `etlch mfner train` first)")
    return {"checkpoint": max(scores, key=scores.get), "metric": "micro-F1 on the validation set", "scores": scores}


def sentences_of(answered: Iterable[Answered]) -> list[Sentence]:
    """All sentences of some answered sets."""
    return [sentence for one in answered for sentence in one.sentences]


def per_draw(answered: Iterable[Answered], value: Callable[[list[Answered]], float]) -> str:
    """A value of each draw's answers, as mean ± sd."""
    draws: dict[str, list[Answered]] = defaultdict(list)
    for one in answered:
        draws[one.draw].append(one)
    return analysis.over_draws([value(some) for some in draws.values() if sentences_of(some)])


def _score(part: int, by: str = "exact") -> Callable[[list[Answered]], float]:
    return lambda some: analysis.prf(sentences_of(some), by)[part]


def _paper_mix(mix: str) -> str:
    """The paper's own name of a mix in Tables 2, 6 and 7."""
    return "term" if mix == "term_ner" else mix


def by_mix(answered: list[Answered], published: Published) -> Table:
    """Table 2: every format of a mix together."""
    rows = []
    for mix in _unique(one.mix for one in answered):
        some = [one for one in answered if one.mix == mix]
        ours = [per_draw(some, _score(part)) for part in range(3)]
        paper = [published("Table 2", [_paper_mix(mix)], f"{{}} {column}") for column in ("P", "R", "F1")]
        rows.append([mix, *ours, per_draw(some, _score(2, "offsets")), *paper])
    head = ("mix", "P", "R", "F1", "F1 by offsets", "paper's P", "R", "F1")
    return Table("By training mix (Table 2)", head, rows, "Micro over all formats, corpora and sentences of a mix.")


def by_format(answered: list[Answered], published: Published) -> Table:
    """Tables 3 and 4: each format under each mix, on all corpora that it was asked and on those without discontinuity."""
    rows = []
    ragged = {corpus.name for corpus in load_corpora() if corpus.discontinuous}
    for one in sorted({(a.format, a.mix) for a in answered}):
        some = [a for a in answered if (a.format, a.mix) == one]
        column = one[1] if one[1] in ("all", "7best") else "only"
        paper = published("Table 3", [one[0]], f"{{}} {column}")
        paper = published("Table 4", [one[0]], "{}") if paper == "-" and one[1] == "all" else paper
        smooth = [replace(a, sentences=[s for s in a.sentences if s.record.theme not in ragged]) for a in some]
        invalid = sum(s.invalid for s in sentences_of(some)) / max(1, sum(a.prompts for a in some))
        cells = [per_draw(some, _score(2)), per_draw(smooth, _score(2)), per_draw(some, _score(2, "offsets"))]
        rows.append([*one, *cells, f"{invalid:.1%}", paper])
    head = ("format", "mix", "F1", "F1, contiguous corpora", "F1 by offsets", "unreadable", "paper's F1")
    note = "Formats that cannot hold discontinuous mentions are not asked of CADEC and PGxCorpus; compare the fourth column."
    return Table("By format (Tables 3 and 4)", head, rows, note)


def by_corpus(answered: list[Answered], published: Published) -> Table:
    """Table 5: each corpus under each mix, beside the paper's best model and baselines."""
    mixes = _unique(one.mix for one in answered)
    rows = []
    for corpus in _unique(s.record.theme for s in sentences_of(answered)):
        part = [replace(a, sentences=_on(a, corpus)) for a in answered]
        ours = [per_draw([a for a in part if a.mix == mix], _score(2)) for mix in mixes]
        key = [_NAMES.get(corpus, corpus)]
        theirs = [
            published("Table 5", key, column) for column in ("ours 7best", "ours conv_term", "Base", "UIE", "UniNER")
        ]
        rows.append([corpus, *ours, *theirs])
    head = ("corpus", *mixes, "paper 7best", "paper conv_term", "Base", "UIE", "UniNER")
    return Table("F1 by corpus (Table 5)", head, rows, "The paper's Table 5 does not say for which of its two models.")


def wrong_types(answered: list[Answered]) -> Table:
    """Section 5.3: right text, wrong type."""
    rows = []
    for mix, name in _unique((a.mix, a.format) for a in answered):
        some = sentences_of(a for a in answered if (a.mix, a.format) == (mix, name))
        confused, wrong = analysis.wrong_types(some)
        common = "; ".join(f"{gold} as {said} ({n})" for (gold, said), n in confused.most_common(2)) or "-"
        share = f"{confused.total() / wrong:.0%}" if wrong else "-"
        rows.append([mix, name, f"{wrong:,}", f"{confused.total():,}", share, common])
    head = ("mix", "format", "wrong mentions", "of the wrong type", "share", "most often")
    return Table(
        "Wrong types (section 5.3)", head, rows, "All draws together. Text right, type that of no gold mention of it."
    )


def triples(answered: list[Answered], published: Published) -> Table:
    """Table 6: multi_triple, which alone may learn the wrong type, by corpus and mix."""
    rows = []
    some = [a for a in answered if a.format == "multi_triple"]
    for corpus in _unique(s.record.theme for s in sentences_of(some)):
        for mix in _unique(a.mix for a in some):
            part = [replace(a, sentences=_on(a, corpus)) for a in some if a.mix == mix]
            ours = [per_draw(part, _score(number)) for number in range(3)]
            key = [mix if mix in ("all", "7best") else "only"]
            theirs = [published("Table 6", key, f"{{}} {c}") if corpus == "AnatEM" else "-" for c in ("P", "R", "F1")]
            rows.append([corpus, mix, *ours, *theirs])
    head = ("corpus", "mix", "P", "R", "F1", "paper's P", "R", "F1")
    return Table("multi_triple by corpus (Table 6)", head, rows, "The paper prints AnatEM only.")


def _on(one: Answered, corpus: str) -> list[Sentence]:
    return [sentence for sentence in one.sentences if sentence.record.theme == corpus]


def complex_gap(answered: list[Answered], published: Published) -> Table:
    """Table 7: F1 of plain mentions minus that of nested and of discontinuous ones."""
    rows = []
    for mix, name in _unique((a.mix, a.format) for a in answered):
        found = analysis.by_shape(sentences_of(a for a in answered if (a.mix, a.format) == (mix, name)))
        cells = []
        for kind in ("nested", "discontinuous"):
            count, f1 = found[kind]
            ours = f"{found['plain'][1] - f1:+.2f} ({count:,})" if count else "-"
            only = _paper_mix(mix) if mix in ("all", "7best", "term_ner") else "only"
            cells += [ours, published("Table 7", [only, name], f"{{}} {kind}")]
        rows.append([mix, name, f"{found['plain'][1]:.2f}", *cells])
    head = ("mix", "format", "F1 plain", "nested", "paper", "discontinuous", "paper")
    return Table(
        "F1 lost on nested and discontinuous mentions (Table 7)", head, rows, "In brackets: gold mentions, all draws."
    )


def shifts(answered: list[Answered]) -> Table:
    """Section 5.5: how far, which way, how often spans are shifted."""
    rows = []
    for mix, name in _unique((a.mix, a.format) for a in answered if a.format in analysis.SPAN_FORMATS):
        found = analysis.span_shifts(sentences_of(a for a in answered if (a.mix, a.format) == (mix, name)))
        steps, total = sorted(found.shifted.elements()), found.total
        share = [f"{n / total:.0%}" if total else "-" for n in (found.exact, len(steps), found.other)]
        left = f"{sum(step < 0 for step in steps) / len(steps):.0%}" if steps else "-"
        near = f"{sum(abs(step) <= 5 for step in steps) / len(steps):.0%}" if steps else "-"
        middle = f"{steps[len(steps) // 2]:+d}" if steps else "-"
        rows.append([mix, name, f"{total:,}", *share, left, near, middle])
    head = ("mix", "format", "spans", "exact", "shifted", "other", "to the left", "by 1 to 5", "median shift")
    note = (
        f"Shifted: right type and length, at most {analysis.FARTHEST} characters off. The paper found shifts to the left, "
        "between 1 and 5; in its third example reference and candidate stand in each other's place."
    )
    return Table("Shifted spans (section 5.5)", head, rows, note)


def lengths(answered: list[Answered]) -> Table:
    """What a format costs: tokens answered a sentence, all its prompts together, against F1."""
    rows = []
    for mix, name in _unique((a.mix, a.format) for a in answered):
        some = [a for a in answered if (a.mix, a.format) == (mix, name)]
        tokens = tokens_a_sentence(some)
        count = sum(a.prompts for a in some) / len(sentences_of(some))
        shown = "-" if tokens is None else f"{tokens:.0f}"
        rows.append([mix, name, f"{count:.1f}", shown, per_draw(some, _score(2))])
    head = ("mix", "format", "prompts a sentence", "answer tokens a sentence", "F1")
    return Table("What a format costs", head, rows, "Tokens of the model's own tokenizer, of its own answers.")


def tokens_a_sentence(some: Sequence[Answered]) -> float | None:
    """Answer tokens a sentence; None where they were not counted."""
    counts = [a.tokens for a in some]
    return None if None in counts else sum(counts) / len(sentences_of(some))


def costs(folder: Path, published: Published, machine: Machine | None) -> Table:
    """Table 9: time, energy and carbon of each training; by codecarbon where it measured, else by the formula."""
    rows = []
    for run in runs(folder):
        stamp = launch.read_stamp(run / "adapter", launch.DONE)
        seconds = float(stamp.get("seconds", 0))
        which = machine or (energy.this_machine() if stamp.get("config", {}).get("use_cpu") else energy.PAPER)
        measured = launch.read_stamp(run, energy.MEASURED)
        kwh, grams = measured.get("kwh", which.kwh(seconds)), measured.get("grams", which.grams(seconds))
        by = measured.get("by", f"{energy.FORMULA}, {which.processors} x {which.watts:g} W, PUE {which.pue:g}")
        clock = f"{int(seconds) // 3600:02}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"
        theirs = [published("Table 9", [run.name], f"{{}} {column}") for column in ("time", "kWh")]
        cut = launch.read_stamp(run / RAW, launch.DONE).get("cut", "-")
        name = f"{run.parent.name}/{run.name}"
        rows.append([name, clock, f"{kwh:.4f}", f"{grams:.2f}", by, *theirs, f"{cut}"])
    head = ("training", "time", "kWh", "gCO2e", "how", "paper's time", "paper's kWh", "answers cut")
    note = (
        "Time is wall time of LlamaFactory, its start included; answering is not in it. The paper used four A100. "
        "Cut: test answers that reached max_new_tokens."
    )
    return Table("Time and energy of training (Table 9)", head, rows, note)


def _unique(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))


def tables(folder: Path, answered: list[Answered], machine: Machine | None) -> list[Table]:
    """Every table of a grid."""
    published = Published(folder.name)
    made = [make(answered, published) for make in (by_mix, by_format, by_corpus, triples, complex_gap)]
    made += [make(answered) for make in (wrong_types, shifts, lengths)]
    return [table for table in (*made, costs(folder, published, machine)) if table.rows]


def report(folder: Path, out: Path, machine: Machine | None = None) -> list[Table]:
    """Write tables.md and the figures of a grid into a folder; returns the tables."""
    from eval import mfner_figures

    answered = read_all(folder)
    made = tables(folder, answered, machine)
    drawn = plan(next(runs(folder)))
    corpora = "; ".join(f"{name}: {c['train']}/{c['dev']}/{c['test']}" for name, c in drawn.get("corpora", {}).items())
    lines = [f"# MF-NER, {folder.name}", "", f"Sentences (train/dev/test) a draw: {corpora}.", ""]
    figures = mfner_figures.write(answered, out)
    lines += ["\n\n".join(table.markdown() for table in made), "", *(f"![{name}]({name}.svg)" for name in figures)]
    write_text(out / "tables.md", "\n".join(lines) + "\n")
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except EtlchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m eval.mfner", description=__doc__, formatter_class=raw)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    choose = commands.add_parser("best", help="choose the best checkpoint of a training by micro-F1")
    choose.add_argument("grid", metavar="GRID")
    choose.add_argument("run", metavar="RUN", help="such as draw1/7best")
    choose.set_defaults(command=_best)
    shown = commands.add_parser("report", help="tables and figures of a grid")
    add = shown.add_argument
    add("grid", metavar="GRID", help="one of " + ", ".join(grid.GRIDS))
    add("--out", type=Path, default=OUT, metavar="DIR", help=f"where to write ({OUT})")
    for name, about in (
        ("processors", "GPUs or cores"),
        ("watts", "of each"),
        ("memory", "GB"),
        ("pue", "1.67 is the usual one"),
        ("intensity", "g/kWh of the grid"),
    ):
        add(f"--{name}", type=float, metavar="X", help=f"for the energy formula: {about}")
    shown.set_defaults(command=_report)
    return parser


def _best(options: argparse.Namespace) -> None:
    run = grid.run(grid.find(options.grid), options.run)
    if len(run.checkpoints()) == 1:
        print(f"{run.output}: one checkpoint, so there is nothing to choose")
        return
    found = best(run)
    write_text(run.folder / grid.BEST, json.dumps(found, indent=2) + "\n")
    print(f"{run.folder / grid.BEST}: {found['checkpoint']} of {found['scores']}")


def _report(options: argparse.Namespace) -> None:
    name = grid.find(options.grid).name
    given = {
        key: value for key in ("processors", "watts", "memory", "pue", "intensity") if (value := getattr(options, key))
    }
    machine = replace(energy.PAPER, **given) if given else None
    made = report(grid.RUNS / name, options.out / name, machine)
    print("\n\n".join(table.text() for table in made))
    print(f"\n{options.out / name / 'tables.md'}")


if __name__ == "__main__":
    raise SystemExit(main())

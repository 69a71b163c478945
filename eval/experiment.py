"""From run folders to tables: find the runs of an experiment, check every answer, score what changed, say what was done."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import etlch
from etlch.checksums import of_file
from etlch.embed import DEFAULT_ENCODER, Embeddings, Encoder, encoder_named
from etlch.errors import EtlchError, ManyErrors
from etlch.examples.drawn import RECORDS
from etlch.experiments import Experiment, load_experiment
from etlch.infer.floors import write_floors
from etlch.records import dump_json, write_text
from etlch.runs import ANSWERS, Run, clashes, find_runs, read_run
from etlch.tasks import Card
from eval import costs
from eval.answers import Gold, check_answers, load_gold
from eval.grouped import Grouped, tables
from eval.metrics.similarity import UNKNOWN
from eval.scores import (
    ABOUT,
    CHUNK,
    CONFUSIONS,
    Progress,
    Summary,
    gold_text,
    read_samples,
    read_scores,
    score_runs,
    stored_summary,
    write_scores,
)

_LIBRARIES = ("numpy", "pandas", "pyarrow", "rapidfuzz", "json-repair", "jieba", "sentence-transformers")
_CACHE = ".embeddings"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to score. `encoder`: a name, an Encoder, or None to leave cosine similarity out."""

    tokenizer: str = "char"
    encoder: str | Encoder | None = None
    jobs: int = 1


@dataclass(frozen=True, slots=True)
class Scored:
    """Checked runs with their gold. `counts`: how many samples each run answered, in the order of `runs`; asked: the
    experiment file, where there is one."""

    name: str
    runs: list[Run]
    gold: dict[str, Gold]
    counts: list[int]
    notices: list[str]
    cards: Path
    asked: Experiment | None = None

    @property
    def tasks(self) -> list[Card]:
        """The cards of the tasks that were answered."""
        return [self.gold[name].card for name in sorted({run.card for run in self.runs})]

    def samples(self, tidy: pd.DataFrame, every: int = 1) -> Iterator[dict[str, Any]]:
        """Answers with what is needed to look at them; see `eval.scores.read_samples`."""
        return read_samples(self.runs, self.gold, tidy, every)

    def tables(self, out: Path) -> list[Grouped]:
        """The tables that the experiment asks for, of the scores in a folder."""
        if self.asked is None or not self.asked.tables:
            return []
        return tables(self.asked, pd.concat([read_scores(out), costs.of_runs(self.runs)], ignore_index=True))

    def write_tables(self, out: Path) -> list[Grouped]:
        """Write tables.md and the figures that the experiment asks for; the tables."""
        made = self.tables(out)
        if self.asked and (made or self.asked.figures):
            from eval import plots

            confused = pd.read_csv(out / CONFUSIONS) if (out / CONFUSIONS).is_file() else None
            figures = plots.write(self.asked, read_scores(out), confused, out / "figures")
            shown = "\n".join(f"![{name}](figures/{name}.svg)" for name in figures)
            body = "\n\n".join([f"# {self.asked.title}", *(table.markdown() for table in made), shown])
            write_text(out / "tables.md", body + "\n")
        return made


def open_experiment(where: str | Path, tasks: str | Path = "tasks", floors: str | Path | None = None) -> Scored:
    """Find and check the runs of an experiment (its file, or its folder of runs); with `floors`, a folder, add the
    floors' runs there.

    Paths in cards are relative to the folder that holds `tasks`. Raises EtlchError for whatever does not fit.
    """
    asked = load_experiment(where) if Path(where).suffix == ".yaml" else None
    folder = asked.folder if asked else Path(where)
    runs, notices = find_runs(folder)
    found = _checked(folder.resolve().name, runs, notices, Path(tasks), floors)
    return replace(found, asked=asked)


def value(folder: Path, metric: str, tasks: str | Path = "tasks") -> float:
    """A metric of one run folder over all its samples. Raises EtlchError for a metric that its card does not have."""
    run = read_run(folder / ANSWERS)
    gold = load_gold(tasks)
    check_answers([run], gold)
    summary = Summary()
    for block in score_runs([run], gold):
        summary.add_block(block)
    frame = summary.frame()
    if metric not in frame:
        raise EtlchError(f"{folder}: no metric {metric!r} (expected one of {', '.join(frame.columns[7:])})")
    return float(frame[metric].iloc[0])


def open_answers(file: str | Path, task: str, system: str, samples: int | None, tasks: str | Path = "tasks") -> Scored:
    """One answers file, without a run folder, as an experiment of one run."""
    return _checked(system, [Run(Path(file), system, task, samples=samples)], [], Path(tasks), None)


def _checked(name: str, runs: list[Run], notices: list[str], tasks: Path, floors: str | Path | None) -> Scored:
    root = tasks.resolve().parent
    gold = load_gold(tasks)
    counts = check_answers(runs, gold)
    if floors is not None:
        asked = []
        for task in sorted({run.task for run in runs}):
            model = max((run for run in runs if run.task == task), key=lambda run: run.samples or sys.maxsize)
            card = gold[model.card].card
            if card.train:
                asked.append((card, model, list(islice(gold[model.card].asked(model), model.samples))))
        made = write_floors(asked, {run.scale for run in runs}, Path(floors), root)
        counts += check_answers(made, gold)
        runs = [*runs, *made]
        if problems := clashes(runs):
            raise ManyErrors(problems)
    order = sorted(range(len(runs)), key=lambda n: (runs[n].system, runs[n].task))
    runs, counts = [runs[n] for n in order], [counts[n] for n in order]
    return Scored(name, runs, gold, counts, [*notices, *_uneven(runs, counts)], tasks)


def score(
    experiment: Scored, out: str | Path, settings: Settings, progress: Progress | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score an experiment into `out`: the summary, and what scoring.json says. `read_scores(out)` has the tidy table.

    Where the tables in `out` were made from the same bytes by the same code and settings, they are not made again.
    """
    out = Path(out)
    encoder, missing = _encoder(settings.encoder)
    about = _about(replace(experiment, notices=[*experiment.notices, *missing]), settings, encoder)
    before = _read_about(out / ABOUT)
    if before is not None and before.get("key") == about["key"]:
        return stored_summary(out), before
    embeddings, unread = None, []
    if encoder is not None:
        try:
            about["read"] = _read(encoder, experiment)
            embeddings, unread = Embeddings(encoder, out / _CACHE), _unread(about)
        except EtlchError as error:
            # tried again the next time
            about |= {"encoder": None, "key": None}
            about["notices"].append(f"cosine is left out: {error}")
    blocks = score_runs(
        experiment.runs, experiment.gold, settings.tokenizer, embeddings, settings.jobs, progress, unread
    )
    write_scores(blocks, out)
    if embeddings is not None:
        about["longer_than_window"] = embeddings.cut
        if embeddings.cut:
            about["notices"].append(
                f"cosine: {embeddings.cut:,} distinct texts are longer than the encoder's window; only their beginning counts"
            )
    write_text(out / ABOUT, dump_json(about, indent=2) + "\n")
    return stored_summary(out), about


def _encoder(asked: str | Encoder | None) -> tuple[Encoder | None, list[str]]:
    """The encoder, and why there is none where there should be one."""
    if not isinstance(asked, str):
        return asked, []
    try:
        return encoder_named(asked), []
    except EtlchError as error:
        return None, [f"cosine is left out: {error}"]


def _read(encoder: Encoder, experiment: Scored) -> dict[str, dict[str, dict[str, float]]]:
    """Task -> language -> gold texts, their tokens, share of unknown tokens, share of texts cut. Raises EtlchError."""
    seen: set[tuple[str, str, str]] = set()
    sums: dict[tuple[str, str], np.ndarray] = defaultdict(lambda: np.zeros(4, dtype=np.int64))
    for run in experiment.runs:
        if (asked := (run.task, run.card, str((run.info.get("data") or {}).get("file")))) in seen:
            continue
        seen.add(asked)
        rows = experiment.gold[run.card].asked(run)
        while chunk := list(islice(rows, CHUNK)):
            read = encoder.read([gold_text(row, record) for row, record in chunk])
            for (_, record), counts in zip(chunk, read, strict=True):
                sums[run.task, record.lang or "no named language"] += [1, *counts]
    found: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    for (task, lang), (texts, tokens, unknown, cut) in sorted(sums.items()):
        shares = {"unknown": round(unknown / max(tokens, 1), 6), "cut": round(cut / texts, 6)}
        found[task][lang] = {"texts": int(texts), "tokens": int(tokens), **shares}
    return dict(found)


def _unread(about: dict[str, Any]) -> list[str]:
    """The tasks with a language whose texts the encoder cannot see; they are told."""
    tasks = []
    for task, languages in about["read"].items():
        blind = {lang: found["unknown"] for lang, found in languages.items() if found["unknown"] > UNKNOWN}
        if blind:
            tasks.append(task)
            told = ", ".join(f"{share:.1%} of the tokens in {lang}" for lang, share in blind.items())
            about["notices"].append(
                f"{task}: cosine is left out, of the tables and of the win rates: encoder {about['encoder']} does not know "
                f"{told} (at most {UNKNOWN:.0%} are let pass; give --encoder one that reads it, {DEFAULT_ENCODER} or a hub name)"
            )
    return tasks


def _about(experiment: Scored, settings: Settings, encoder: Encoder | None) -> dict[str, Any]:
    """What was scored and how; `key` changes with anything that could change a number."""
    about: dict[str, Any] = {
        "experiment": experiment.name,
        "rouge_tokenizer": settings.tokenizer,
        "encoder": encoder.name if encoder else None,
        "runs": [
            {
                "system": run.system,
                "task": run.task,
                "base_model": run.base_model,
                "scale": run.scale,
                "answers": count,
                "file": run.file.as_posix(),
                "sha256": of_file(run.file),
            }
            for run, count in zip(experiment.runs, experiment.counts, strict=True)
        ],
        "versions": {name: _version(name) for name in _LIBRARIES},
        "notices": list(experiment.notices),
    }
    inputs = {str(path): of_file(path) for path in sorted(experiment.cards.glob("*.yaml"))}
    tests = [experiment.gold[card.name].test for card in experiment.tasks]
    data = [Path((run.info.get("data") or {}).get("file", "")) for run in experiment.runs]
    read = [*(test.path for test in tests if test), *data, *(path.parent / RECORDS for path in data)]
    inputs |= {path.as_posix(): of_file(path) for path in dict.fromkeys(read) if path.is_file()}
    about["key"] = hashlib.sha256(dump_json([about, inputs, of_code()]).encode()).hexdigest()
    return about


@cache
def of_code() -> str:
    """One checksum over the code that answers as the floors, reads answers and scores them."""
    here = Path(__file__).resolve().parent
    package = Path(etlch.__file__).resolve().parent
    files = [here / name for name in ("answers.py", "scores.py", "experiment.py")]
    files += [package / name for name in ("records.py", "tasks.py", "embed.py", "infer/floors.py", "infer/crf.py")]
    files += [
        *sorted(package.glob("examples/*.py")),
        *sorted(here.glob("metrics/*.py")),
        *sorted(package.glob("formats/*.py")),
    ]
    return hashlib.sha256("".join(map(of_file, files)).encode()).hexdigest()


def _uneven(runs: Sequence[Run], counts: Sequence[int]) -> list[str]:
    """What a reader of the tables must know: systems without a task, tasks with different numbers of answers."""
    by_system: dict[str, dict[str, int]] = defaultdict(dict)
    for run, count in zip(runs, counts, strict=True):
        by_system[run.system][run.task] = count
    notices = []
    for task in sorted({run.task for run in runs}):
        found = {system: row.get(task, 0) for system, row in by_system.items()}
        absent = [system for system, count in found.items() if not count]
        if absent:
            notices.append(f"{task}: no answers from {', '.join(absent)}")
        if len(sizes := {count for count in found.values() if count}) > 1:
            told = ", ".join(f"{system} {count}" for system, count in found.items() if count)
            notices.append(
                f"{task}: systems answered different numbers of samples ({told}); all rows are kept, "
                f"the first {min(sizes)} are common to all"
            )
    return notices


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _read_about(path: Path) -> dict[str, Any] | None:
    try:
        row = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None

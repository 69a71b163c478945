"""One cell of an experiment: its data, its training, its best checkpoint, its answers. Every step that is done is left alone.

LlamaFactory can keep the best checkpoint by loss only, so where an experiment chooses by another metric all are kept until
the best is known, then the others go. Scoring belongs to `eval`; who calls `run` gives the function that scores.
"""

from __future__ import annotations

import contextlib
import shutil
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from etlch import corpora as catalogue
from etlch.errors import EtlchError
from etlch.examples import drawn
from etlch.experiments import Cell, Experiment
from etlch.infer import engines, predict
from etlch.runs import DONE, RAW, read_stamp, write_stamp
from etlch.trainer import configs, energy, launch
from etlch.trainer.configs import Config

BEST = "best.json"
_SHARED = ("model_name_or_path", "template", "finetuning_type", "cutoff_len", "bf16", "use_cpu")

Score = Callable[[Path, str], float]
"""(run folder, metric) -> its value over all samples."""


def draw(experiment: Experiment, root: Path | None = None) -> list[str]:
    """Write the data sets of every draw; lines about what was made. Raises EtlchError for a corpus that is not whole."""
    if not experiment.corpora:
        return []
    loaded = [catalogue.load(corpus, root or catalogue.ROOT) for corpus in experiment.load_corpora()]
    needed = ("train", "test", *(("dev",) if experiment.choose else ()))
    for found in loaded:
        if lacking := [split for split in needed if split not in found.splits]:
            raise EtlchError(f"{found.corpus.name}: no {' and no '.join(lacking)} split ({'; '.join(found.missing)})")
    lines = []
    for number in range(1, experiment.draws + 1):
        files = drawn.draw(experiment, loaded, number)
        count = drawn.write(files, experiment.data(number))
        lines.append(f"{experiment.data(number)}: {len(files)} files, {count} written")
    return lines


def run(cell: Cell, score: Score, overrides: Sequence[str] = (), force: bool = False, keep: bool = False) -> list[Path]:
    """Train, choose and answer; returns the run folders. keep: also the checkpoints that are not the best.

    Raises EtlchError with one message that says what to do.
    """
    if cell.train:
        train(cell, overrides, force)
        choose(cell, score, overrides)
        if not keep:
            for checkpoint in checkpoints(cell) if (cell.folder / BEST).is_file() else ():
                if checkpoint != chosen(cell):
                    shutil.rmtree(checkpoint)
    return answer(cell, overrides, force)


def finished(cell: Cell) -> bool:
    """Whether its answers are all there."""
    return bool(read_stamp(cell.answers, DONE))


def train(cell: Cell, overrides: Sequence[str] = (), force: bool = False) -> None:
    """Train, unless that is done. Where checkpoints hold no state of the optimizer, an interrupted run starts over."""
    given = _training(cell)
    config = configs.read(cell.train, [*given, *overrides])
    if Path(str(config.get("output_dir"))) != cell.adapter:
        raise EtlchError(f"{cell.train}: output_dir: found {config.get('output_dir')} (expected {cell.adapter})")
    done = bool(read_stamp(cell.adapter, DONE)) and not force
    if not done and config.get("save_only_model"):
        shutil.rmtree(cell.folder, ignore_errors=True)
    with contextlib.nullcontext() if done else energy.measured(cell.folder):
        launch.train(cell.train, [*given, *overrides], force)


def _training(cell: Cell) -> list[str]:
    """What a cell adds to its config: nothing for the sets of `etlch data`, which the config names itself."""
    if not cell.experiment.corpora:
        return []
    return [
        f"dataset_dir={cell.experiment.data(cell.draw).as_posix()}",
        f"dataset={drawn.set_name('train', cell.train_on, cell.scale)}",
        f"output_dir={cell.adapter.as_posix()}",
    ]


def checkpoints(cell: Cell) -> list[Path]:
    """The checkpoints that are there, in the order of their steps."""
    return sorted(cell.adapter.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def choose(cell: Cell, score: Score, overrides: Sequence[str] = ()) -> None:
    """Answer the validation set with each checkpoint and note the best; the earliest of equals."""
    found = checkpoints(cell)
    if not cell.experiment.choose or len(found) < 2 or (cell.folder / BEST).is_file():
        return
    scores = {}
    for checkpoint in found:
        output = cell.folder / checkpoint.name / RAW
        (folder,) = _answers(cell, [drawn.set_name("dev", cell.train_on)], checkpoint, output, overrides)
        scores[checkpoint.name] = round(score(folder, cell.experiment.choose), 4)
    best = max(scores, key=scores.get)
    about = {"checkpoint": best, "metric": f"{cell.experiment.choose} on the validation set", "scores": scores}
    write_stamp(cell.folder, BEST, about)
    print(f"{cell.name}: {best} of {scores}")


def chosen(cell: Cell) -> Path:
    """The best checkpoint; the finished model where none was chosen. Raises EtlchError for one that is gone."""
    name = read_stamp(cell.folder, BEST).get("checkpoint")
    if not name:
        return cell.adapter
    if not (cell.adapter / str(name)).is_dir():
        raise EtlchError(f"{cell.folder / BEST}: names {name}, which is not in {cell.adapter}")
    return cell.adapter / str(name)


def answer(cell: Cell, overrides: Sequence[str] = (), force: bool = False) -> list[Path]:
    """Answer the cell's test sets; returns their run folders."""
    if cell.experiment.corpora:
        names = drawn.tests_of(cell)
    else:
        names = [card.dataset("test") for card in cell.experiment.load_cards()]
    return _answers(cell, names, chosen(cell) if cell.train else None, cell.answers, overrides, force)


def _answers(
    cell: Cell, names: Sequence[str], model: Path | None, output: Path, overrides: Sequence[str], force: bool = False
) -> list[Path]:
    given = [f"eval_dataset={','.join(names)}", f"output_dir={output.as_posix()}"]
    if cell.experiment.corpora:
        given.append(f"dataset_dir={cell.experiment.data(cell.draw).as_posix()}")
        given += _of_model(configs.read(cell.train, [*_training(cell), *overrides]), model) if model else []
    elif model:  # the predict config is this model's own: what `make predict-300` adds to it
        given.append(f"adapter_name_or_path={model.as_posix()}")
    job = predict.read_job(cell.predict, [*given, *cell.how.overrides])
    job = replace(job, factors={"system": cell.name, **cell.factors} if cell.experiment.corpora else {})
    return engines.answer(job, Namespace(engine=cell.how.engine, force=force))


def _of_model(trained: Config, model: Path) -> list[str]:
    """The overrides that make a predict config answer with a trained model."""
    shared = {key: trained[key] for key in _SHARED if key in trained}
    whole = trained.get("finetuning_type") == "full"
    shared["model_name_or_path" if whole else "adapter_name_or_path"] = model.as_posix()
    return [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in shared.items()]

"""The grid: one training a (draw, mix), validation answers of each checkpoint kept, test answers of the best.

    runs/mfner/data/<size>/draw1/                       what etlch.mfner.build writes
    runs/mfner/<grid>/draw1/<mix>/adapter/              LlamaFactory's output folder (whole models too)
    runs/mfner/<grid>/draw1/<mix>/checkpoint-N/         validation answers of a checkpoint
    runs/mfner/<grid>/draw1/<mix>/best.json             which one is best, written by `python -m eval.mfner best`
    runs/mfner/<grid>/draw1/<mix>/<format>/             test answers

LlamaFactory can keep the best checkpoint by loss only, so all are kept until the best is known, then the others go.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from etlch.errors import EtlchError
from etlch.infer import engines, predict
from etlch.mfner import build, mixes
from etlch.mfner.build import Limits
from etlch.trainer import configs, energy, launch
from etlch.trainer.configs import Config

RUNS = Path("runs/mfner")
PREDICT = Path("llamafactory_configs/mfner_predict.yaml")
BEST = "best.json"
ENGINE = "transformers"
_SHARED = ("model_name_or_path", "template", "finetuning_type", "cutoff_len", "bf16", "use_cpu")


@dataclass(frozen=True, slots=True)
class Grid:
    """A model's grid. size: the name of its data; offline: on the knowledge base instead of the corpora; decoding:
    overrides of the predict config."""

    name: str
    config: Path
    size: str
    mixes: tuple[str, ...]
    draws: int
    limits: Limits
    offline: bool = False
    decoding: tuple[str, ...] = ()

    def data(self, draw: int) -> Path:
        """The folder of a draw's datasets."""
        return RUNS / "data" / self.size / f"draw{draw}"

    def runs(self) -> Iterator[str]:
        """The names of its runs: draw1/all, draw1/7best, ..."""
        yield from (f"draw{draw}/{mix}" for draw in range(1, self.draws + 1) for mix in self.mixes)


def _real(name: str) -> Grid:
    return Grid(name, Path(f"llamafactory_configs/mfner_{name}.yaml"), "full", mixes.PAPER, 3, Limits())


SMALL = Grid(
    name="gemma",
    config=Path("llamafactory_configs/mfner_gemma.yaml"),
    size="small",
    mixes=("7best", "term_ner", "multi_triple", "conv_term", "multi_span"),
    draws=1,
    limits=Limits(300, 30, 40),
    offline=True,
    decoding=("max_new_tokens=200",),  # the longest gold answer, of single_code, has 165
)
GRIDS = {grid.name: grid for grid in (_real("qwen2.5-0.5b"), _real("llama3.2-1b"), SMALL)}


def find(name: str) -> Grid:
    """Raises EtlchError for an unknown grid."""
    if name not in GRIDS:
        raise EtlchError(f"unknown grid {name!r} (expected one of {', '.join(GRIDS)})")
    return GRIDS[name]


@dataclass(frozen=True, slots=True)
class Run:
    """One training of a grid."""

    grid: Grid
    draw: int
    mix: str

    @property
    def folder(self) -> Path:
        return RUNS / self.grid.name / f"draw{self.draw}" / self.mix

    @property
    def output(self) -> Path:
        return self.folder / "adapter"

    @property
    def overrides(self) -> list[str]:
        """What this run adds to the grid's config."""
        return [
            f"dataset_dir={self.grid.data(self.draw).as_posix()}",
            f"dataset=train_{self.mix}",
            f"output_dir={self.output.as_posix()}",
        ]

    def checkpoints(self) -> list[Path]:
        """The checkpoints that are there, in the order of their steps."""
        return sorted(self.output.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def run(grid: Grid, name: str) -> Run:
    """The run of a name such as draw1/7best. Raises EtlchError for one that the grid has not."""
    if name not in grid.runs():
        raise EtlchError(f"unknown run {name!r} of {grid.name} (expected one of {', '.join(grid.runs())})")
    draw, _, mix = name.partition("/")
    return Run(grid, int(draw.removeprefix("draw")), mix)


def write_data(grid: Grid, names: Sequence[str], root: Path) -> Iterator[str]:
    """Write the datasets of every draw; yields lines about what was made and what is missing."""
    if grid.offline or list(names) == ["knowledge"]:
        datasets, lacking = [build.knowledge()], []
    else:
        datasets, lacking = build.from_corpora(names, root)
    yield from (f"left out: {line}" for line in lacking)
    for draw in range(1, grid.draws + 1):
        files = build.draw(datasets, draw, grid.mixes, grid.limits)
        written = build.write(files, grid.data(draw))
        yield f"{grid.data(draw)}: {len(files)} files, {written} written"


def train(this: Run, overrides: Sequence[str] = (), force: bool = False) -> None:
    """Train, then answer the validation set with each checkpoint, unless there is one only or the best is known.

    An interrupted training starts over, since its checkpoints hold no state of the optimizer.
    """
    done = bool(launch.read_stamp(this.output, launch.DONE))
    if force or not done:
        shutil.rmtree(this.folder, ignore_errors=True)
        done = False
    with contextlib.nullcontext() if done else energy.measured(this.folder):
        launch.train(this.grid.config, [*this.overrides, *overrides])
    checkpoints = this.checkpoints()
    if len(checkpoints) < 2 or (this.folder / BEST).is_file():
        return
    for checkpoint in checkpoints:
        output = this.folder / checkpoint.name / predict.RAW
        _answer(this, [build.registered(f"dev_{this.mix}")], checkpoint, output, overrides)


def test(this: Run, overrides: Sequence[str] = (), keep: bool = False) -> list[Path]:
    """Answer the test sets of the mix's formats with the best checkpoint; the others are deleted unless `keep`."""
    best = chosen(this)
    if not keep:
        for checkpoint in this.checkpoints():
            if checkpoint != best and len(this.checkpoints()) > 1:
                shutil.rmtree(checkpoint)
    known = configs.registry({"dataset_dir": this.grid.data(this.draw).as_posix()})
    sets = [build.registered(f"test_{name}") for name in mixes.mix(this.mix)]
    return _answer(this, [name for name in sets if name in known], best, this.folder / predict.RAW, overrides)


def chosen(this: Run) -> Path:
    """The best checkpoint; the finished model where only one was kept. Raises EtlchError when neither is known."""
    found = this.checkpoints()
    if not launch.read_stamp(this.output, launch.DONE):
        raise EtlchError(
            f"{this.output}: not trained yet (run `etlch mfner train {this.grid.name} draw{this.draw}/{this.mix}`)"
        )
    try:
        name = json.loads((this.folder / BEST).read_text(encoding="utf-8"))["checkpoint"]
    except (OSError, ValueError, KeyError, TypeError):
        if len(found) > 1:
            raise EtlchError(
                f"{this.folder / BEST}: cannot be read; {len(found)} checkpoints were kept (choose one: "
                f"`python -m eval.mfner best {this.grid.name} draw{this.draw}/{this.mix}`)"
            ) from None
        return found[0] if found else this.output
    if this.output / name not in found:
        raise EtlchError(f"{this.folder / BEST}: names {name}, which is not in {this.output}")
    return this.output / name


def _answer(this: Run, sets: Sequence[str], model: Path, output: Path, overrides: Sequence[str]) -> list[Path]:
    trained = configs.read(this.grid.config, [*this.overrides, *overrides])
    given = [
        *_of_model(trained, model),
        f"dataset_dir={this.grid.data(this.draw).as_posix()}",
        f"eval_dataset={','.join(sets)}",
        f"output_dir={output.as_posix()}",
        *this.grid.decoding,
    ]
    return engines.answer(predict.read_job(PREDICT, given), Namespace(engine=ENGINE, force=False))


def _of_model(trained: Config, model: Path) -> list[str]:
    """The overrides that make a predict config answer with a checkpoint of this training."""
    shared = {key: trained[key] for key in _SHARED if key in trained}
    if trained.get("finetuning_type") == "full":
        shared["model_name_or_path"] = model.as_posix()
    else:
        shared["adapter_name_or_path"] = model.as_posix()
    return [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in shared.items()]

"""`make demo`: its steps one after the other, a line each with the time that is left, everything that they print in a log.

A step is a command; what is finished is not run again, because the commands themselves see to that.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from etlch import machine
from etlch.errors import EtlchError
from etlch.trainer import configs
from etlch.weights import recipe

LOG = Path("runs/demo/demo.log")
PREDICT = "configs/short_predict.yaml"
_INTERVAL = 1.0  # seconds between looks at a step


@dataclass(frozen=True, slots=True)
class Step:
    """title: what is done. command: arguments of `python -m`. seconds: how long it took on two idle cores."""

    title: str
    command: tuple[str, ...]
    seconds: float


def _predict(system: str, adapter: str, more: Sequence[str]) -> tuple[str, ...]:
    given = (f"adapter_name_or_path={adapter}",) if adapter else ()
    output = f"output_dir=runs/demo/{system}/predict"
    return ("etlch.cli", "predict", "--engine", "transformers", PREDICT, output, *given, *more)


def steps(quick: bool) -> list[Step]:
    """The demo; quick: the ready adapter answers, nothing is trained."""
    model = recipe.read(Path(configs.read(PREDICT)["model_name_or_path"]).parent / recipe.RECIPE)
    bf16 = machine.has_bf16()
    trained = () if bf16 else ("bf16=false",)
    asked = ("max_samples=20", *(() if bf16 else ("infer_dtype=float32",)))
    begin = [
        Step("check the data", ("etlch.cli", "data", "--check"), 5),
        Step("make the weights", ("etlch.cli", "model", model.name), 20),
    ]
    end = [
        Step(
            "scores and report", ("etlch.cli", "report", "runs/demo", "--out", "report", "--floors", "--no-cosine"), 10
        )
    ]
    if quick:
        ready = _predict("ready", model.adapter.as_posix(), asked)
        return [*begin, Step("answers of the ready adapter", ready, 60), *end]
    # it goes on writing instead of answering, so 200 tokens tell enough
    untuned = Step("answers of the untuned model", _predict("untuned", "", ["max_new_tokens=200", *asked]), 85)
    tuned = []
    for scale, seconds in ((30, 180), (100, 390)):
        name, adapter = f"short_{scale}", f"runs/demo/short_{scale}/adapter"
        train = ("etlch.cli", "train", f"configs/{name}.yaml", f"output_dir={adapter}", *trained)
        tuned.append(Step(f"train on {scale} texts a task", train, seconds))
        tuned.append(Step(f"answers after {scale}", _predict(name, adapter, asked), 60))
    return [*begin, untuned, *tuned, *end]


def run(quick: bool) -> None:
    """Run the demo. Raises EtlchError with the end of the log when a step fails."""
    todo = steps(quick)
    LOG.parent.mkdir(parents=True, exist_ok=True)
    seconds, began = sum(step.seconds for step in todo), time.monotonic()
    layout = "{desc} |{bar}| about {remaining} left"
    with LOG.open("wb") as log, tqdm(total=seconds, bar_format=layout, disable=None, leave=False) as bar:
        for number, step in enumerate(todo, start=1):
            _do(step, f"[{number}/{len(todo)}] {step.title}", log, bar)
    print(f"done in {time.monotonic() - began:.0f} s: report/index.html (what the steps printed: {LOG})")


def _do(step: Step, title: str, log: BinaryIO, bar: tqdm) -> None:
    """Run a step; the bar goes on by the seconds that it takes, up to those that it took on two idle cores."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([sys.executable, "-m", *step.command], stdout=log, stderr=log, env=environment)
    began, begun_at = time.monotonic(), bar.n
    bar.set_description(title)
    try:
        while process.poll() is None:
            time.sleep(_INTERVAL)
            bar.n = begun_at + min(time.monotonic() - began, step.seconds)
            bar.refresh()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        tail = Path(log.name).read_bytes()[-1500:].decode("utf-8", "replace").strip().splitlines()
        raise EtlchError(f"{title}: failed; the end of {log.name}:\n" + "\n".join(tail[-8:]))
    bar.n = begun_at + step.seconds
    bar.write(f"{title}: {time.monotonic() - began:.0f} s")

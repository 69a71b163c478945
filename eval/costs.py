"""What trainings cost: time, energy and carbon, as rows of the tidy table that belong to no sample."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from etlch.runs import DONE, RAW, Run, read_stamp
from etlch.trainer import energy


def of_runs(runs: Iterable[Run]) -> pd.DataFrame:
    """train_seconds, kwh, grams and cut (answers that reached the limit of tokens) of each system that was trained here;
    energy by codecarbon where it measured, else by the formula."""
    rows = []
    for folder, run in {run.file.parents[1]: run for run in runs}.items():
        found = _cost(folder)
        factors = {key: getattr(run, key) for key in ("system", "base_model", "scale", "train_on", "draw")}
        rows += [factors | {"sample": "", "metric": metric, "value": value} for metric, value in found.items()]
    return pd.DataFrame(rows)


def _cost(folder: Path) -> dict[str, float]:
    stamp = read_stamp(folder / "adapter", DONE)
    if "seconds" not in stamp:
        return {}
    seconds = float(stamp["seconds"])
    machine = energy.this_machine() if stamp.get("config", {}).get("use_cpu") else energy.PAPER
    measured = read_stamp(folder, energy.MEASURED)
    found = {"train_seconds": seconds, "kwh": measured.get("kwh", machine.kwh(seconds))}
    found["grams"] = measured.get("grams", machine.grams(seconds))
    cut = read_stamp(folder / RAW, DONE).get("cut")
    return found | ({} if cut is None else {"cut": cut})

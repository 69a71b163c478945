"""What trainings cost: time, energy and carbon, as rows of the tidy table that belong to no sample."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from etlch.runs import DONE, RAW, Run, read_stamp
from etlch.trainer import energy


def of_runs(runs: Iterable[Run]) -> pd.DataFrame:
    """train_seconds, kwh, grams and cut (answers that reached the limit of tokens) of each system that was trained here;
    energy by codecarbon where it measured, else by the formula for the machine that the training noted (of its GPUs only where
    they told their power; of a CPU that noted none, this one)."""
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
    found = {"train_seconds": seconds}
    noted, cpu = stamp.get("machine"), stamp.get("config", {}).get("use_cpu")
    machine = energy.Machine(**noted) if noted else energy.this_machine() if cpu else None
    if measured := read_stamp(folder, energy.MEASURED):
        found |= {"kwh": measured["kwh"], "grams": measured["grams"]}
    elif machine:
        found |= {"kwh": machine.kwh(seconds), "grams": machine.grams(seconds)}
    cut = read_stamp(folder / RAW, DONE).get("cut")
    return found | ({} if cut is None else {"cut": cut})

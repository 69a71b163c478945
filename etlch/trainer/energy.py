"""What a run cost: energy by the Green Algorithms formula, or measured by codecarbon where that is installed.

    kWh = hours * (processors * watts each * usage + memory in GB * 0.3725) * PUE / 1000        gCO2e = kWh * intensity

Lannelongue, Grealey, Inouye: Green Algorithms (Advanced Science, 2021), the calculator that the paper's Table 9 used. With
four A100 at 250 W, 384 GB, PUE 1.67 and 51.28 g/kWh (France) it gives Table 9's numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from etlch.records import write_text

MEMORY_WATTS = 0.3725  # a GB
MEASURED = "energy.json"
COUNTRY = "ETLCH_COUNTRY"  # environment variable: ISO code of the country whose grid codecarbon reckons with
WORLD = 475.0  # g/kWh, the calculator's average, where no country is named
CODECARBON = "codecarbon"
_GPUS = ("nvidia-smi", "--query-gpu=power.limit", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True)
class Machine:
    """Processors (cores or GPUs) with their watts each, memory in GB, PUE of the building, grid intensity in g/kWh."""

    processors: int
    watts: float
    memory: float
    pue: float = 1.67
    intensity: float = WORLD
    usage: float = 1.0

    def kwh(self, seconds: float) -> float:
        """Energy of that much time."""
        power = self.processors * self.watts * self.usage + self.memory * MEMORY_WATTS
        return seconds / 3600 * power * self.pue / 1000

    def grams(self, seconds: float) -> float:
        """gCO2e of that much time."""
        return self.kwh(seconds) * self.intensity


PAPER = Machine(4, 250.0, 384.0, intensity=51.28)
CORE_WATTS = 12.0  # the calculator's value for a core of a processor it does not know


def this_machine(gpu: bool = False) -> Machine | None:
    """The cores of this machine, or its GPUs at their power limits as nvidia-smi tells them, and its memory, without a
    surcharge for a building; None for GPUs that it does not tell."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if not gpu:
        return Machine(os.cpu_count() or 1, CORE_WATTS, memory, pue=1.0)
    try:
        told = subprocess.run(_GPUS, capture_output=True, text=True, timeout=20, check=True).stdout
        watts = [float(line) for line in told.split()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Machine(len(watts), sum(watts) / len(watts), memory, pue=1.0) if watts else None


@contextlib.contextmanager
def measured(folder: Path) -> Iterator[None]:
    """Measure what runs inside with codecarbon, if it is installed, into folder/energy.json; else do nothing."""
    if find_spec("codecarbon") is None:
        yield
        return
    from codecarbon import OfflineEmissionsTracker

    country = os.environ.get(COUNTRY)
    tracker = OfflineEmissionsTracker(country_iso_code=country or "USA", save_to_file=False, log_level="error")
    tracker.start()
    try:
        yield
    finally:
        tracker.stop()
    data = tracker.final_emissions_data
    grams = 1000 * data.emissions if country else WORLD * data.energy_consumed
    found = {"by": CODECARBON, "kwh": data.energy_consumed, "grams": grams, "seconds": data.duration}
    write_text(folder / MEASURED, json.dumps(found, indent=2) + "\n")

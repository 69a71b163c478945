"""The benchmark runs and every answer comes back; how long things take is for it to print and for nobody to assert."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from etlch.formats import FORMATS


def test_the_benchmark_runs_and_its_answers_come_back() -> None:
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_formats.py"
    command = [sys.executable, str(script), "--records", "3", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == list(FORMATS)

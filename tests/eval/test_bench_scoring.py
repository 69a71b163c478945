"""The benchmark runs and compares values; how long things take is for it to print and for nobody to assert."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_benchmark_runs_and_its_values_agree() -> None:
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_scoring.py"
    command = [sys.executable, str(script), "--pairs", "1", "--systems", "2", "--samples", "3", "--answers", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "ROUGE-L, 1,200 tokens a side" in done.stdout
    for said in ("18 answers of", "scored", "report, cold", "report, again", "60 answers scored"):
        assert said in done.stdout

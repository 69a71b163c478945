"""Training as etlch starts it, against bare `llamafactory-cli train`; and both beside one busy neighbour.

    python benchmarks/bench_training.py [--steps 12] [--config configs/short_100.yaml]

Prints seconds a step (the first three left out: they allocate) and tokens a second, each way idle and with another process
busy on one core, and the ratio of the two. OpenMP's threads spin at barriers unless told otherwise (etlch/machine.py).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SKIPPED = 3


def train(command: list[str], config: str, steps: int) -> tuple[float, float, float]:
    """Run a few steps; returns seconds a step, tokens a second and the peak memory in GB."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "adapter"
        given = [
            config,
            f"max_steps={steps}",
            "logging_steps=1",
            "include_num_input_tokens_seen=true",
            "plot_loss=false",
        ]
        given += [f"output_dir={output}", "save_steps=100000"]
        with (Path(folder) / "stderr").open("w+b") as errors:
            process = subprocess.Popen([*command, *given], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors)
            _, status, used = os.wait4(process.pid, 0)  # of this process and those that it waited for, and no other
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                errors.seek(0)
                sys.exit(errors.read().decode()[-2000:])
        lines = [json.loads(line) for line in (output / "trainer_log.jsonl").open() if "loss" in line]
    first, last = lines[SKIPPED - 1], lines[-1]
    seconds = _seconds(last["elapsed_time"]) - _seconds(first["elapsed_time"])
    tokens = last["total_tokens"] - first["total_tokens"]
    return seconds / (steps - SKIPPED), tokens / max(seconds, 1), used.ru_maxrss / 2**20


def _seconds(clock: str) -> int:
    """`0:01:02` -> 62."""
    hours, minutes, seconds = map(int, clock.split(":"))
    return 3600 * hours + 60 * minutes + seconds


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """Another process that keeps one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--config", default="configs/short_100.yaml")
    options = parser.parse_args()
    bare = shutil.which("llamafactory-cli", path=str(Path(sys.executable).parent)) or "llamafactory-cli"
    os.environ |= {"HF_HUB_OFFLINE": "1", "LLAMAFACTORY_VERBOSITY": "WARN", "TOKENIZERS_PARALLELISM": "false"}
    ways = {"llamafactory-cli train": [bare, "train"], "etlch train": [sys.executable, "-m", "etlch.cli", "train"]}
    print(f"{'':24}{'idle s/step':>12}{'tokens/s':>10}{'busy s/step':>13}{'ratio':>7}{'peak GB':>9}")
    for name, command in ways.items():
        idle, tokens, peak = train(command, options.config, options.steps)
        with neighbour():
            busy, _, _ = train(command, options.config, options.steps)
        print(f"{name:24}{idle:12.2f}{tokens:10.0f}{busy:13.2f}{busy / idle:7.2f}{peak:9.1f}", flush=True)


if __name__ == "__main__":
    main()

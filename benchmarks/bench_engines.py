"""Answers a second: the `transformers` engine beside LlamaFactory's own predict, on the same prompts, in the same run.

    python benchmarks/bench_engines.py [--adapter runs/gemma/gemma_300/adapter] [--samples 30] [--engines llamafactory transformers]
                                       [--config configs/gemma_predict.yaml] [ARGS key=value ...]

Each engine is `etlch predict` in a process of its own, imports and loading included. The answers are compared: the share that
is the same to the last character is part of the table, since an engine that answers something else is not comparable.
Without an adapter the base model answers, which mostly runs into the token limit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from eval.tables import to_text


def answered(engine: str, options: argparse.Namespace, folder: Path) -> tuple[list[str], float, int]:
    """The answers of one engine in the order of the test sets, the seconds it took, and their tokens."""
    output = folder / engine / "predict"
    command = [sys.executable, "-m", "etlch.cli", "predict", options.config, "--engine", engine, f"output_dir={output}"]
    command += [f"max_samples={options.samples}", *options.overrides]
    if options.adapter:
        command.append(f"adapter_name_or_path={options.adapter}")
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{engine}: exit status {done.returncode}\n{done.stdout[-2000:]}")
    lines = (output / "generated_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(output.parent.glob("*/run.json"))]
    return [json.loads(line)["predict"] for line in lines], seconds, sum(run["tokens"]["answer"] or 0 for run in runs)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--config", default="configs/gemma_predict.yaml", help="a predict config")
    parser.add_argument("--adapter", help="an adapter of the config's model (default: none)")
    parser.add_argument("--samples", type=int, default=30, help="test articles a task (default: 30)")
    parser.add_argument("--engines", nargs="+", default=["llamafactory", "transformers"], help="the first is the peer")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides of the config")
    options = parser.parse_args()
    rows, first = [], None
    with TemporaryDirectory() as folder:
        for engine in options.engines:
            answers, seconds, tokens = answered(engine, options, Path(folder))
            first = first or (answers, seconds)
            same = sum(a == b for a, b in zip(answers, first[0], strict=True))
            rows.append(
                [
                    engine,
                    str(len(answers)),
                    f"{seconds:.1f}",
                    f"{len(answers) / seconds:.2f}",
                    f"{tokens / seconds:.0f}",
                    f"{first[1] / seconds:.2f}",
                    f"{same} of {len(answers)}",
                ]
            )
            print(to_text(["engine", "answers", "seconds", "answers/s", "tokens/s", "ratio", "same answers"], rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

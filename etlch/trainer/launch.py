"""Run `llamafactory-cli train` so that a finished run is kept, an interrupted one resumes, and a failure says what to do.

A run is described by the two stamps of its output folder (etlch/runs.py): the config it was begun with, and the same,
written after LlamaFactory ended well.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path

from etlch import machine
from etlch.errors import EtlchError
from etlch.runs import DONE, STARTED, read_stamp, write_stamp
from etlch.trainer import configs, energy
from etlch.trainer.configs import Config
from etlch.weights import make

MIN_FREE = 300 * 2**20  # bytes
_IGNORED = ("overwrite_output_dir",)  # keys that do not change what a run computes

# what LlamaFactory and transformers print -> what a user can do about it; the first match wins
ADVICE = (
    (
        r"GatedRepoError|gated repo|awaiting a review|Access to model .* is restricted",
        "the model is gated: open its page on the Hugging Face Hub, accept its licence, then run `hf auth login` (or set "
        "HF_TOKEN) and start again",
    ),
    (
        r"401 Client Error|Invalid credentials|Invalid user token",
        "the Hub refused the token: run `hf auth login` with a valid token, or unset HF_TOKEN for a public model",
    ),
    (
        r"is not a local folder and is not a valid model identifier|Repository Not Found|RepositoryNotFoundError|404 Client Error",
        "there is no such model: check model_name_or_path (a local folder or a Hub name such as meta-llama/Llama-3.2-1B-Instruct)",
    ),
    (
        r"couldn't connect to|LocalEntryNotFoundError|offline mode is enabled|Max retries exceeded|ConnectionError|ConnectError",
        "the Hub cannot be reached and the model is not in the local cache: connect, or point model_name_or_path at a local "
        "folder; MODEL=gemma needs no download",
    ),
    (
        r"No space left on device|OSError: \[Errno 28\]|Disk quota exceeded",
        "the disk is full: free some space and start again",
    ),
    (
        r"OutOfMemoryError|CUDA out of memory|DefaultCPUAllocator: can't allocate",
        "out of memory: lower per_device_train_batch_size and raise gradient_accumulation_steps by the same factor, or lower "
        "cutoff_len (`etlch check` tells how many rows that would cut)",
    ),
    (
        r"Your setup doesn't support bf16|bf16.*not supported",
        "this machine cannot train in bf16: add `bf16=false` (with `use_cpu=true` on a machine without a GPU)",
    ),
)


def train(path: str | Path, overrides: list[str], force: bool = False) -> Path:
    """Train a config; returns its output folder. A finished run is left alone unless `force`.

    Raises EtlchError with one message that says what to do.
    """
    config = configs.read(path, overrides)
    configs.dataset_files(config)
    return run(Path(path), config, overrides, force)


def run(path: Path, config: Config, overrides: list[str], force: bool) -> Path:
    """Run a config through `llamafactory-cli train`, guarded by its stamps."""
    output = Path(str(config.get("output_dir") or ""))
    if not config.get("output_dir"):
        raise EtlchError(f"{path}: output_dir is missing (expected for example runs/etlch/{path.stem}/adapter)")
    if " " in str(output):
        raise EtlchError(f"{path}: output_dir {str(output)!r} holds a blank (LlamaFactory splits arguments at blanks)")
    if not force and finished(output, config):
        print(f"{output}: already done with this config (again: --force, or make ... FORCE=1)")
        return output
    require_hardware(path, config)
    require_space(output)
    make.ensure(str(config.get("model_name_or_path") or ""))
    extra = _prepare(output, config, force)
    output.mkdir(parents=True, exist_ok=True)
    write_stamp(output, STARTED, stamp(path, config))
    began = time.monotonic()
    log = output.with_name(f"{output.name}.log")
    llamafactory(["train", str(path), *overrides, *extra], log, bool(config.get("use_cpu")))
    machine = energy.this_machine(gpu=not config.get("use_cpu"))
    cost = {"seconds": round(time.monotonic() - began, 1), "machine": asdict(machine) if machine else None}
    write_stamp(output, DONE, stamp(path, config) | cost)
    return output


def finished(output: Path, config: Config) -> bool:
    """Was this output folder made by this config? Raises EtlchError when it was made by another."""
    done = read_stamp(output, DONE)
    if not done:
        return False
    _refuse_other(output, done, config, "holds a finished run of another config")
    return True


def _prepare(output: Path, config: Config, force: bool) -> list[str]:
    """Resume, or clear what a run without a checkpoint left behind. Returns extra overrides."""
    if force:
        shutil.rmtree(output, ignore_errors=True)
        return []
    if not any(output.glob("checkpoint-*")):
        return ["overwrite_output_dir=true"] if output.is_dir() else []
    started = read_stamp(output, STARTED)
    if started:
        _refuse_other(output, started, config, "holds an interrupted run of another config")
    print(f"{output}: interrupted before; going on from its last checkpoint")
    return []


def _refuse_other(output: Path, earlier: dict, config: Config, what: str) -> None:
    before = {k: v for k, v in earlier.get("config", {}).items() if k not in _IGNORED}
    now = {k: v for k, v in json.loads(json.dumps(config, default=str)).items() if k not in _IGNORED}
    changed = sorted(k for k in {*before, *now} if before.get(k) != now.get(k))
    if changed:
        shown = "; ".join(f"{k}: {before.get(k)!r} then, {now.get(k)!r} now" for k in changed[:4])
        raise EtlchError(f"{output} {what} ({shown}). Choose another output_dir, or start over with --force (FORCE=1)")


def stamp(path: Path, config: Config) -> dict:
    """What a run is made of: its config with a checksum, and the versions of what computes it."""
    return {
        "file": path.as_posix(),
        "config": json.loads(json.dumps(config, default=str)),
        "sha256": configs.checksum(config),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of what the result depends on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("etlch", "llamafactory", "torch", "transformers", "peft"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def require_hardware(path: Path, config: Config) -> None:
    """Refuse a GPU config on a machine without one, before the model is fetched."""
    if config.get("use_cpu"):
        return
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return
    raise EtlchError(
        f"{path} is for a GPU and none was found. Run the embedded model instead (MODEL=gemma), or try this config on the "
        "CPU with the overrides use_cpu=true bf16=false (hours to days for a 1B model)"
    )


def require_space(output: Path) -> None:
    """Refuse to start on a disk that is nearly full."""
    folder = next((p for p in (output, *output.parents) if p.exists()), Path("."))
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE:
        raise EtlchError(f"{folder}: {free / 2**20:.0f} MiB free (expected at least {MIN_FREE / 2**20:.0f} MiB)")


def llamafactory(arguments: list[str], log: Path, cpu: bool = False) -> None:
    """Run llamafactory-cli, showing and keeping what it prints. Raises EtlchError with advice when it fails.

    cpu: it computes on the CPU, so an allocator that suits it is used where one is installed.
    """
    folder = Path(sys.executable).parent
    program = shutil.which("llamafactory-cli", path=str(folder)) or shutil.which("llamafactory-cli")
    if not program:
        raise EtlchError("llamafactory-cli was not found (run `make setup`)")
    environment = dict(os.environ)
    environment["PATH"] = f"{folder}{os.pathsep}{environment.get('PATH', '')}"
    environment.setdefault("LLAMAFACTORY_VERBOSITY", "WARN")
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    environment.setdefault("PYTHONUNBUFFERED", "1")
    machine.share_cores(environment)
    if cpu:
        machine.use_allocator(environment)
    print("$ llamafactory-cli " + " ".join(arguments), flush=True)
    tail: deque[bytes] = deque(maxlen=400)
    process = subprocess.Popen([program, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        with log.open("wb") as kept:
            while chunk := process.stdout.read1(65536):
                kept.write(chunk)
                tail.append(chunk)
                sys.stdout.buffer.write(chunk)
                sys.stdout.flush()
        code = process.wait()
    except OSError as error:
        raise EtlchError(f"{log}: cannot be written ({error.strerror or error})") from None
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if code:
        raise EtlchError(explain(b"".join(tail).decode("utf-8", "replace"), code, log))


def advice(output: str) -> str:
    """What a user can do about a failure that prints this; nothing for one that is not known."""
    return next((known for pattern, known in ADVICE if re.search(pattern, output)), "")


def explain(output: str, code: int, log: Path) -> str:
    """One message for a failed run: what can be done about it, else its last error line."""
    if known := advice(output):
        return f"LlamaFactory stopped: {known} (log: {log})"
    if code < 0 or code == 137:
        return f"LlamaFactory was killed by signal {abs(code) if code < 0 else 9}; start again to resume (log: {log})"
    errors = [line.strip() for line in output.splitlines() if re.match(r"\s*(\w+\.)*\w*(Error|Exception)\b", line)]
    return f"LlamaFactory stopped with exit code {code}: {errors[-1] if errors else 'see the log'} (log: {log})"

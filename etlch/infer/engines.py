"""The engines by name."""

from __future__ import annotations

from pathlib import Path

from etlch.configs import Config
from etlch.errors import EtlchError
from etlch.infer import predict


def answer(job: predict.Job, engine: str, force: bool = False) -> list[Path]:
    """Answer a job by the engine of that name; returns one run folder a task. Raises EtlchError."""
    if job.schema and engine == "llamafactory":
        raise EtlchError("--schema: LlamaFactory's predict knows no schema (expected --engine transformers)")
    if engine == "llamafactory":
        return predict.with_llamafactory(job, force)
    return predict.with_engine(job, engine, _shaped(job, _START[engine]) if job.schema else _START[engine], force)


def _shaped(job: predict.Job, start):
    """Start an engine, and give its prompts the shapes that their answers must have."""
    from etlch.infer import shapes

    def start_shaped(config: Config):
        engine, prompts = start(config)
        return engine, shapes.attach(job, prompts)

    return start_shaped


def _local(config: Config):
    from etlch import launch
    from etlch.infer.loading import Loaded
    from etlch.infer.local import LocalEngine

    launch.require_hardware(Path(str(config["output_dir"])), config)
    loaded = Loaded(config)
    engine = LocalEngine(loaded)
    return engine, loaded.prompts()


_START = {"transformers": _local}

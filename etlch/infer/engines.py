"""The engines by name, each with how it is started."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from etlch.errors import EtlchError
from etlch.infer import predict
from etlch.infer.predict import Job


def answer(job: Job, options: Namespace) -> list[Path]:
    """Answer a job by `options.engine`; returns one run folder a task. Raises EtlchError."""
    if options.engine == "llamafactory":
        if job.schema:
            raise EtlchError("--schema: LlamaFactory's predict knows no schema (expected --engine transformers)")
        if "frequency_penalty" in job.config:
            raise EtlchError("--frequency-penalty: LlamaFactory's predict knows none (expected --engine transformers)")
        return predict.with_llamafactory(job, options.force)
    if options.engine == "transformers":
        job = replace(job, config=job.config | {"stop_loops": not getattr(options, "keep_loops", False)})
    start = _local if options.engine == "transformers" else partial(_remote, options)
    return predict.with_engine(job, options.engine, partial(_shaped, start, job), options.force)


def _shaped(start: Callable[[Job], tuple], job: Job) -> tuple:
    """Start an engine; under --schema its prompts have the shapes that their answers must have."""
    engine, prompts = start(job)
    if not job.schema:
        return engine, prompts
    from etlch.infer import shapes

    return engine, shapes.attach(job, prompts)


def _local(job: Job) -> tuple:
    from etlch.infer.loading import Loaded
    from etlch.infer.local import LocalEngine
    from etlch.trainer import launch

    launch.require_hardware(job.path, job.config)
    loaded = Loaded(job.config)
    return LocalEngine(loaded), loaded.prompts()


def _remote(options: Namespace, job: Job) -> tuple:
    from etlch.infer.loading import Loaded
    from etlch.infer.remote import PAID, RemoteEngine, remote_of

    remote = remote_of(options, job.config, job.output / PAID)
    return RemoteEngine(remote), Loaded(job.config).prompts()

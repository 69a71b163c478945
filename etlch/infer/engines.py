"""The engines by name, each with how it is started."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from etlch.errors import EtlchError
from etlch.examples.rows import read as read_rows
from etlch.infer import predict
from etlch.infer.loading import Loaded, Prompt
from etlch.infer.predict import Engine, Job
from etlch.infer.shapes import Shape, shape_of
from etlch.trainer import launch


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

    def start() -> tuple[Engine, list[Prompt]]:
        engine, prompts = _local(job) if options.engine == "transformers" else _remote(options, job)
        return engine, shaped(job, prompts) if job.schema else prompts

    return predict.with_engine(job, options.engine, start, options.force)


def shaped(job: Job, prompts: Sequence[Prompt]) -> list[Prompt]:
    """Each prompt of a job's test sets with the shape that its row asks for. Raises EtlchError where rows do not say it."""
    shapes: list[Shape | None] = []
    for name in job.names:
        for row in islice(read_rows(job.files[name]), job.config.get("max_samples")):
            if not row.format:
                raise EtlchError(f"{job.files[name]}: {row.id!r} does not say its format; run `make data`")
            shapes.append(shape_of(row.form, row.schema))
    if len(shapes) != len(prompts):
        raise EtlchError(
            f"{job.path}: found {len(prompts)} prompts (expected {len(shapes)}, the rows of the test sets)"
        )
    return [replace(prompt, shape=shape) for prompt, shape in zip(prompts, shapes, strict=True)]


def _local(job: Job) -> tuple[Engine, list[Prompt]]:
    from etlch.infer.local import LocalEngine

    launch.require_hardware(job.path, job.config)
    loaded = Loaded(job.config)
    return LocalEngine(loaded), loaded.prompts()


def _remote(options: Namespace, job: Job) -> tuple[Engine, list[Prompt]]:
    from etlch.infer.remote import PAID, remote_engine

    return remote_engine(options, job.config, job.output / PAID), Loaded(job.config).prompts()

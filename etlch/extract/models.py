"""Which model is to extract: the config that LlamaFactory is given for it, checked before anything is loaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from etlch import machine, runs
from etlch.errors import EtlchError
from etlch.tasks import Card
from etlch.trainer import configs
from etlch.trainer.configs import Config
from etlch.weights import make, recipe

_BASE: Config = {"stage": "sft", "finetuning_type": "lora", "do_sample": False, "max_new_tokens": 1600, "seed": 42}
_KEPT = ("model_name_or_path", "adapter_name_or_path", "template", "cutoff_len", "max_new_tokens", "repetition_penalty")
_KEPT += (
    "bf16",
    "fp16",
    "use_cpu",
    "seed",
    "finetuning_type",
    "trust_remote_code",
    "default_system",
    "enable_thinking",
)


def config_of(
    model: str | None = None,
    adapter: str | Path | None = None,
    system: str | Path | None = None,
    config: str | Path | None = None,
    card: Card | None = None,
) -> Config:
    """The config of a model (a folder or Hub name), an adapter, a system's folder such as runs/gemma/gemma_300, or a predict
    config; what is given by name wins over the system, the system over the config. With none of them it is the embedded
    model with a ready adapter for the card's task, else one that reads its language. The template is the one that the
    adapter was trained with, else the model's own, else the config's, else llama3.

    Raises EtlchError for a folder without an adapter and for an adapter of another base model.
    """
    found = dict(_BASE)
    if not (model or adapter or system or config):
        model, adapter = _embedded(card)
    if config:
        read = configs.read(config)
        found |= {key: read[key] for key in _KEPT if key in read}
    if system:
        found |= _of_system(Path(system)) | _penalty_of(Path(system))
    if adapter:
        found |= {"adapter_name_or_path": str(adapter)} | _of_adapter(Path(adapter))
    if model:
        found |= _of_model(str(model))
    if found.get("adapter_name_or_path"):
        _demand_adapter(Path(str(found["adapter_name_or_path"])), str(found.get("model_name_or_path", "")))
    if "model_name_or_path" not in found:
        raise EtlchError("no model (expected a model, an adapter that names one, a system or a config)")
    found.setdefault("template", "llama3")
    _demand_model(found["model_name_or_path"])
    if not _accelerated():
        found |= {"use_cpu": True, "bf16": False, "fp16": False}
        if not machine.has_bf16():
            found["infer_dtype"] = "float32"
    return found


def _embedded(card: Card | None) -> tuple[str, str | None]:
    """The embedded model for a task: its path, and its ready adapter where that knows the task. Raises EtlchError for none."""
    known = recipe.every()
    for found in known:
        if card and card.name in found.tasks:
            return found.weights.as_posix(), found.adapter.as_posix()
    for found in known:
        if not card or card.language in found.languages:
            task = f"task {card.name}" if card else "no task"
            print(f"{found.name} answers untuned: no ready adapter knows {task} (docs/models.md)", file=sys.stderr)
            return found.weights.as_posix(), None
    names = ", ".join(found.name for found in known) or "none"
    raise EtlchError(f"no model in models/ reads {card.language if card else ''} ({names}; name one with --model)")


def _of_model(model: str) -> dict[str, Any]:
    """A model's path, and its template where it has a recipe; `models/<name>` stands for the weights made there."""
    folder = Path(model).parent if Path(model).name == recipe.WEIGHTS else Path(model)
    if not (folder / recipe.RECIPE).is_file():
        return {"model_name_or_path": model}
    found = recipe.read(folder / recipe.RECIPE)
    return {"model_name_or_path": found.weights.as_posix(), "template": found.template}


def _of_system(system: Path) -> dict[str, Any]:
    """Base model and adapter of a system, from the run.json of one of its tasks, else from its adapter's own stamp."""
    if not system.is_dir():
        raise EtlchError(f"{system}: no such folder (expected a system such as runs/gemma/gemma_300)")
    if (system / "adapter").is_dir():
        return {"adapter_name_or_path": str(system / "adapter")} | _of_adapter(system / "adapter")
    for path in sorted(system.glob(f"*/{runs.RUN}")):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            found = _of_model(run["base_model"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EtlchError(f"{path}: cannot be read ({error!r}; expected what `etlch predict` writes)") from None
        adapter = run.get("adapter")
        return found | ({"adapter_name_or_path": adapter} | _of_adapter(Path(adapter)) if adapter else {})
    raise EtlchError(
        f"{system}: no adapter there and no {runs.RUN} in a task's folder (train it, for example `make train-300`)"
    )


def _penalty_of(system: Path) -> dict[str, float]:
    """The frequency penalty that a system's answers were made with, so that it extracts as it was scored; nothing for none."""
    for path in sorted(system.glob(f"*/{runs.RUN}")):
        try:
            decoding = json.loads(path.read_text(encoding="utf-8"))["decoding"]
            return {"frequency_penalty": float(decoding["frequency_penalty"])}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {}


def _of_adapter(adapter: Path) -> dict[str, Any]:
    """Base model and template that an adapter was trained with, as far as it says so, and how its answers were made."""
    trained = runs.read_stamp(adapter, runs.DONE).get("config", {})
    found = _of_model(base) if (base := trained.get("model_name_or_path") or _base_of(adapter)) else {}
    found |= {key: trained[key] for key in ("template",) if trained.get(key)}
    penalty = runs.read_stamp(adapter, runs.DECODED).get("frequency_penalty")
    return found | ({"frequency_penalty": float(penalty)} if isinstance(penalty, int | float) else {})


def _base_of(adapter: Path) -> str:
    try:
        return str(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _demand_model(model: str) -> None:
    path = Path(make.ensure(model))
    local = path.is_absolute() or model.startswith((".", "models/", "runs/"))
    if local and not (path / "config.json").is_file():
        raise EtlchError(
            f"{model}: no model there (expected a folder with config.json, or a Hub name such as owner/name)"
        )


def _demand_adapter(adapter: Path, model: str) -> None:
    if not (adapter / "adapter_config.json").is_file():
        raise EtlchError(
            f"{adapter}: no adapter there (expected adapter_config.json; train it, for example `make train-300`)"
        )
    base = _base_of(adapter)
    if base and model and recipe.label(base) != recipe.label(model):  # the same model may have moved
        raise EtlchError(f"{adapter}: an adapter for {base} (found the model {model}, expected that one)")


def _accelerated() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()

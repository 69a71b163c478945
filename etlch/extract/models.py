"""Which model is to extract: the config that LlamaFactory is given for it, checked before anything is loaded."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from etlch import machine
from etlch.errors import EtlchError
from etlch.runs import DECODED, DONE, RUN, read_stamp
from etlch.tasks import Card
from etlch.trainer import configs
from etlch.trainer.configs import Config
from etlch.weights import make, recipe

_BASE: Config = {"stage": "sft", "finetuning_type": "lora", "do_sample": False, "max_new_tokens": 1600, "seed": 42}
_KEPT = ("model_name_or_path", "adapter_name_or_path", "template", "cutoff_len", "max_new_tokens", "repetition_penalty")
_KEPT += ("bf16", "fp16", "use_cpu", "seed", "finetuning_type")
_KEPT += ("trust_remote_code", "default_system", "enable_thinking")
_LOCAL = (".", "/", "models/", "runs/")


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
        found |= of_system(str(system))
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


def of_system(system: str) -> Config:
    """What a system is made of: a folder of runs/, an adapter's, a model's, or a model on the Hub. With the frequency penalty that
    its answers were made with, if any, so that it extracts as it was scored. Raises EtlchError for what is none of them."""
    folder = Path(system)
    told = [read_stamp(path.parent, RUN) for path in sorted(folder.glob(f"*/{RUN}"))]
    adapters = (path for path in (folder / "adapter", folder) if (path / "adapter_config.json").is_file())
    adapter, base = next(adapters, None) or _first(told, "adapter"), _first(told, "base_model")
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", system) and not system.startswith(_LOCAL) and not folder.exists()
    if not base and ((folder / "config.json").is_file() or (folder / recipe.RECIPE).is_file() or on_hub):
        base = system
    if not adapter and not base:
        what = "holds neither adapter nor model" if folder.exists() else "is not there"
        raise EtlchError(
            f"{system} {what} (expected a system such as runs/gemma/gemma_300, made by `make train-300`, a model's folder or a "
            "Hub name)"
        )
    found = _of_model(base) if base else {}
    if adapter:
        found |= {"adapter_name_or_path": str(adapter)} | _of_adapter(Path(adapter))
    return found | _penalty(_first([run.get("decoding") or {} for run in told], "frequency_penalty"))


def _first(rows: list[dict[str, Any]], key: str) -> Any:
    return next((row[key] for row in rows if row.get(key)), None)


def _penalty(found: Any) -> dict[str, float]:
    return {"frequency_penalty": float(found)} if isinstance(found, int | float) else {}


def _of_adapter(adapter: Path) -> dict[str, Any]:
    """Base model and template that an adapter was trained with, as far as it says so, and how its answers were made."""
    trained = read_stamp(adapter, DONE).get("config", {})
    found = _of_model(base) if (base := trained.get("model_name_or_path") or _base_of(adapter)) else {}
    found |= {key: trained[key] for key in ("template",) if trained.get(key)}
    return found | _penalty(read_stamp(adapter, DECODED).get("frequency_penalty"))


def _base_of(adapter: Path) -> str:
    return str(read_stamp(adapter, "adapter_config.json").get("base_model_name_or_path") or "")


def _demand_model(model: str) -> None:
    path = Path(make.ensure(model))
    if model.startswith(_LOCAL) and not (path / "config.json").is_file():
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

"""Which model is to extract: the config that LlamaFactory is given for it, checked before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from etlch import configs, launch
from etlch.configs import Config
from etlch.errors import EtlchError
from etlch.infer.predict import RUN

DEFAULT_MODEL = "models/nano"
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
) -> Config:
    """The config of a model (a folder or Hub name), an adapter, a system's folder such as runs/nano/nano_300, or a predict
    config; what is given by name wins over the system, the system over the config. The template is the one that the
    adapter was trained with, else the config's, else llama3.

    Raises EtlchError for a folder without an adapter and for an adapter of another base model.
    """
    found = dict(_BASE)
    if config:
        read = configs.read(config)
        found |= {key: read[key] for key in _KEPT if key in read}
    if system:
        found |= _of_system(Path(system)) | _penalty_of(Path(system))
    if adapter:
        found |= {"adapter_name_or_path": str(adapter)} | _of_adapter(Path(adapter))
    if model:
        found["model_name_or_path"] = str(model)
    found.setdefault("model_name_or_path", DEFAULT_MODEL)
    found.setdefault("template", "llama3")
    _demand_model(found["model_name_or_path"])
    if found.get("adapter_name_or_path"):
        _demand_adapter(Path(str(found["adapter_name_or_path"])), str(found["model_name_or_path"]))
    if not _accelerated():
        found |= {"use_cpu": True, "bf16": False, "fp16": False}
    return found


def _of_system(system: Path) -> dict[str, Any]:
    """Base model and adapter of a system, from the run.json of one of its tasks, else from its adapter's own stamp."""
    if not system.is_dir():
        raise EtlchError(f"{system}: no such folder (expected a system such as runs/nano/nano_300)")
    if (system / "adapter").is_dir():
        return {"adapter_name_or_path": str(system / "adapter")} | _of_adapter(system / "adapter")
    for path in sorted(system.glob(f"*/{RUN}")):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            found = {"model_name_or_path": run["base_model"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EtlchError(f"{path}: cannot be read ({error!r}; expected what `etlch predict` writes)") from None
        adapter = run.get("adapter")
        return found | ({"adapter_name_or_path": adapter} | _of_adapter(Path(adapter)) if adapter else {})
    raise EtlchError(
        f"{system}: no adapter there and no {RUN} in a task's folder (train it, for example `make train-300`)"
    )


def _penalty_of(system: Path) -> dict[str, float]:
    """The frequency penalty that a system's answers were made with, so that it extracts as it was scored; nothing for none."""
    for path in sorted(system.glob(f"*/{RUN}")):
        try:
            decoding = json.loads(path.read_text(encoding="utf-8"))["decoding"]
            return {"frequency_penalty": float(decoding["frequency_penalty"])}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {}


def _of_adapter(adapter: Path) -> dict[str, Any]:
    """Base model and template that an adapter was trained with, as far as it says so."""
    trained = launch.read_stamp(adapter, launch.DONE).get("config", {})
    found = {key: trained[key] for key in ("model_name_or_path", "template") if trained.get(key)}
    if "model_name_or_path" not in found and (base := _base_of(adapter)):
        found["model_name_or_path"] = base
    return found


def _base_of(adapter: Path) -> str:
    try:
        return str(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _demand_model(model: str) -> None:
    path = Path(model)
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
    if base and Path(base).name != Path(model).name:  # the same model may have moved
        raise EtlchError(f"{adapter}: an adapter for {base} (found the model {model}, expected that one)")


def _accelerated() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()

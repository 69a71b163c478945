"""`etlch export`: an adapter merged into its base model by `llamafactory-cli export`, with a model card.

The precision is the one that the adapter was trained and scored in, so that the merged model gives the same greedy
answers. What servers read beside the weights is made to ask as in training and to decode as in scoring: the chat template
is LlamaFactory's (some models' own templates add more, Llama 3.2's the date), and the defaults are greedy.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import yaml

from etlch import runs
from etlch.errors import EtlchError
from etlch.records import dump_json, write_text
from etlch.tasks import load_cards
from etlch.trainer import launch
from etlch.trainer.configs import Config

FILE_SIZE = 5  # GB
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty")
OLLAMA = "PARAMETER temperature 0\nPARAMETER repeat_penalty 1.0\nPARAMETER num_predict 2048\n"
CARD = Path(__file__).with_name("model_card.md")
SETTINGS = ("dataset", "num_train_epochs", "learning_rate", "lora_rank", "lora_alpha", "lora_dropout")
SETTINGS += ("per_device_train_batch_size", "gradient_accumulation_steps", "cutoff_len", "seed")
SUMMARY = "summary.csv"  # eval writes it together with scores.parquet


def export(
    system: Path, out: Path | None = None, report: Path = Path("report"), dtype: str | None = None, force: bool = False
) -> Path:
    """Merge a system's adapter; returns the folder, which is written whole or not at all.

    system: a folder of runs/ or an adapter's. Raises EtlchError for a folder without an adapter, an adapter of another
    model, a target that is there, and with LlamaFactory's own reason when it fails.
    """
    adapter = system / "adapter" if (system / "adapter").is_dir() else system
    out = out or (adapter.parent if adapter.name == "adapter" else adapter) / "merged"
    if out.exists() and not force:
        raise EtlchError(f"{out}: is there already (again: --force, or make ... FORCE=1; elsewhere: --out)")
    if " " in str(out):
        raise EtlchError(f"{out}: holds a blank (LlamaFactory splits arguments at blanks; another folder: --out)")
    config = config_of(adapter, out, dtype)
    text = card(adapter, config, report)
    launch.require_space(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        _merge(config, out, temporary)
        _write_chat_template(config, temporary)
        _decode_greedily(temporary)
        write_text(temporary / "README.md", text)
        if out.exists():
            shutil.rmtree(out)
        temporary.replace(out)
    except OSError as error:
        raise EtlchError(f"{out}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def config_of(adapter: Path, out: Path, dtype: str | None) -> Config:
    """The config for `llamafactory-cli export`. Raises EtlchError for an adapter that is not there or does not fit."""
    from etlch.extract import models

    found = models.config_of(adapter=adapter)
    trained = runs.read_stamp(adapter, runs.DONE).get("config", {})
    half = "bfloat16" if trained.get("bf16") else "float16" if trained.get("fp16") else "float32"
    return {
        "model_name_or_path": found["model_name_or_path"],
        "adapter_name_or_path": adapter.as_posix(),
        "template": found["template"],
        "finetuning_type": "lora",
        "infer_dtype": dtype or half,
        "export_dir": out.as_posix(),
        "export_size": FILE_SIZE,
    }


def _merge(config: Config, out: Path, temporary: Path) -> None:
    """Run LlamaFactory; its config and its log stay beside the folder."""
    path = out.with_name(f"{out.name}.yaml")
    head = f"# llamafactory-cli export {path.as_posix()}\n"
    write_text(path, head + yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    launch.llamafactory(["export", str(path), f"export_dir={temporary}"], out.with_name(f"{out.name}.log"))
    if not any(temporary.glob("*.safetensors")):
        raise EtlchError(f"{out}: LlamaFactory wrote no weights (log: {out.with_name(f'{out.name}.log')})")


def _write_chat_template(config: Config, folder: Path) -> None:
    """Replace the model's own chat template by that of the training prompts."""
    from etlch.infer.loading import Loaded

    keys = ("model_name_or_path", "template", "finetuning_type")
    loaded = Loaded({key: config[key] for key in keys} | {"stage": "sft", "output_dir": str(folder), "use_cpu": True})
    loaded.template.replace_jinja_template = True
    loaded.template.fix_jinja_template(loaded.tokenizer)
    write_text(folder / "chat_template.jinja", loaded.tokenizer.chat_template)


def _decode_greedily(folder: Path) -> None:
    """Make greedy decoding the default of vLLM and transformers (generation_config.json) and of Ollama (Modelfile)."""
    path = folder / "generation_config.json"
    settings = json.loads(path.read_bytes()) if path.is_file() else {}
    settings = {key: value for key, value in settings.items() if key not in SAMPLING} | {"do_sample": False}
    write_text(path, json.dumps(settings, indent=2) + "\n")
    modelfile = folder / "Modelfile"
    write_text(modelfile, modelfile.read_text(encoding="utf-8") + OLLAMA)


# ---- the model card --------------------------------------------------------------------------------------------------


def card(adapter: Path, config: Config, report: Path) -> str:
    """README.md: what the model is, what it was trained on, what was measured, how it is asked (`{text}` is the article)."""
    import jinja2

    base = str(config["model_name_or_path"])
    stamp = runs.read_stamp(adapter, runs.DONE)
    trained = stamp.get("config", {})
    name = adapter.parent.name if adapter.name == "adapter" else adapter.name
    front: dict[str, Any] = {"base_model": base, "library_name": "transformers", "pipeline_tag": "text-generation"}
    front |= {"tags": ["information-extraction", "llama-factory", "lora", "merged"]} | _licence_of(Path(base))
    training = {key: trained[key] for key in SETTINGS if key in trained} | stamp.get("versions", {})
    training |= {"seconds": stamp["seconds"]} if "seconds" in stamp else {}
    summary = report / SUMMARY
    problem, scores = _scores(name, base, adapter, summary)
    return jinja2.Template(CARD.read_text(encoding="utf-8"), trim_blocks=True, keep_trailing_newline=True).render(
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=True),
        name=name,
        base=base,
        dtype=config["infer_dtype"],
        training=training if trained else {},
        summary=summary.as_posix(),
        problem=problem,
        scores=scores,
        tasks=[task for task in load_cards() if f"{task.family}_{task.name}_" in str(trained.get("dataset", ""))],
        dump_json=dump_json,
    )


def _licence_of(base: Path) -> dict[str, str]:
    """The licence that a local base model's card states."""
    from huggingface_hub.repocard import metadata_load

    try:
        return {"license": str(metadata_load(base / "README.md")["license"])}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return {}


def _scores(name: str, base: str, adapter: Path, path: Path) -> tuple[str, list[tuple[dict[str, Any], list[str]]]]:
    """Why there are none; else the rows of the report's summary that are of this adapter, with the metrics of their cards."""
    if not path.is_file():
        return f"there is no {path.as_posix()} (`make report` writes it)", []
    if any(path.stat().st_mtime < weights.stat().st_mtime for weights in adapter.glob("adapter_model.*")):
        return f"{path.as_posix()} is older than the adapter", []
    import pandas as pd

    metrics = {card.name: card.metrics for card in load_cards()}
    try:
        table = pd.read_csv(path)
        rows = table[(table["system"] == name) & (table["base_model"] == base)].to_dict("records")
        scores = [(row, [m for m in metrics.get(row["task"], ()) if pd.notna(row.get(m))]) for row in rows]
    except (OSError, ValueError, KeyError) as error:
        raise EtlchError(f"{path}: not a summary of scores ({error!r}; `make report` writes it again)") from None
    return "" if rows else f"{path.as_posix()} has no system {name!r} on {base!r}", scores

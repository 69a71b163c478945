"""Read a LlamaFactory YAML config with `key=value` overrides, as `llamafactory-cli train x.yaml key=value` does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from etlch import yamlfile
from etlch.errors import EtlchError

Config = dict[str, Any]


def read(path: str | Path, overrides: list[str] | None = None) -> Config:
    """The config with its overrides. Raises EtlchError for a bad file or an override that is not `key=value`."""
    config = yamlfile.read(path, "keys and values such as `learning_rate: 1.0e-4`").data
    for override in overrides or []:
        key, equals, value = override.partition("=")
        if not equals or not key.isidentifier():
            raise EtlchError(f"override {override!r} (expected key=value, for example max_steps=10)")
        try:
            config[key] = yaml.safe_load(value) if value else None
        except (yaml.YAMLError, ValueError) as error:
            what = getattr(error, "problem", None) or error
            raise EtlchError(f"override {override!r}: not YAML: {what} (expected key=value)") from None
    return config


def checksum(config: Config) -> str:
    """SHA-256 of a config's content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, ensure_ascii=True, default=str).encode()).hexdigest()


def names(value: Any) -> list[str]:
    """Dataset names of a config value: `a,b` or a list."""
    if value is None:
        return []
    parts = value if isinstance(value, list) else str(value).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]


def registry(config: Config) -> dict[str, dict[str, Any]]:
    """The dataset registry that a config points at. Raises EtlchError when it is missing or broken."""
    path = Path(config.get("dataset_dir") or "data") / "dataset_info.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EtlchError(f"{path}: cannot be read ({error.strerror or error}); run `make data`") from None
    except ValueError as error:
        raise EtlchError(f"{path}: not JSON ({error}); run `make data`") from None
    if not isinstance(found, dict):
        raise EtlchError(f"{path}: found {type(found).__name__} (expected an object of datasets)")
    return found


def dataset_files(config: Config) -> dict[str, Path]:
    """Each dataset that a config names -> its file. Raises EtlchError for a name or a file that is not there."""
    known = registry(config)
    folder = Path(config.get("dataset_dir") or "data")
    files: dict[str, Path] = {}
    for key in ("dataset", "eval_dataset"):
        for name in names(config.get(key)):
            if name not in known:
                close = ", ".join(sorted(known)) or "none"
                raise EtlchError(f"{key}: dataset {name!r} is not in {folder / 'dataset_info.json'} (it has: {close})")
            path = folder / str(known[name].get("file_name", ""))
            if not path.is_file():
                raise EtlchError(f"{key}: dataset {name!r} wants {path}, which is not there; run `make data`")
            files[name] = path
    return files


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of an alpaca JSON file. Raises EtlchError when it is not one."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EtlchError(f"{path}: cannot be read as JSON ({error}); run `make data`") from None
    if not isinstance(rows, list):
        raise EtlchError(f"{path}: found {type(rows).__name__} (expected a list of rows)")
    return rows

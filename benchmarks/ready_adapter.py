"""Make an adapter that was trained here a ready one: its weights in bfloat16, without what belongs to this machine.

    python benchmarks/ready_adapter.py runs/short/short_300/adapter gemma3-270m

Writes models/<name>/adapter/: adapter_config.json, adapter_model.safetensors, the training's stamp, and NOTICE where the model's terms ask for one.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from etlch.records import write_text
from etlch.trainer.launch import DONE
from etlch.weights import recipe

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("adapter", type=Path, help="LlamaFactory's output folder")
    parser.add_argument("model", help="a folder of models/")
    options = parser.parse_args()
    found = recipe.find(options.model, ROOT / recipe.MODELS)
    found.adapter.mkdir(exist_ok=True)
    tensors = load_file(options.adapter / "adapter_model.safetensors")
    half = {name: tensor.bfloat16().contiguous() for name, tensor in sorted(tensors.items())}
    save_file(half, found.adapter / "adapter_model.safetensors", metadata={"format": "pt"})
    about = json.loads((options.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    about["base_model_name_or_path"] = (recipe.MODELS / found.name / recipe.WEIGHTS).as_posix()
    about["target_modules"] = sorted(about["target_modules"])
    write_text(found.adapter / "adapter_config.json", json.dumps(about, indent=2, sort_keys=True) + "\n")
    shutil.copy(options.adapter / DONE, found.adapter / DONE)  # what it was trained on, and with
    if (found.folder / "NOTICE").is_file():
        shutil.copy(found.folder / "NOTICE", found.adapter / "NOTICE")


if __name__ == "__main__":
    main()

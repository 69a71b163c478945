"""The embedded models are real ones: they train through LlamaFactory, and their ready adapters extract what a reader would."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from etlch.weights import make, recipe

pytestmark = pytest.mark.slow

NEWS = "台積電董事長魏哲家3日在新竹宣布，將與博世、英飛凌在德國德勒斯登興建晶圓廠，預定2027年底量產。"
NEWS_EN = (
    "NASA launched the James Webb Space Telescope on 25 December 2021 from Kourou in French Guiana. "
    "The telescope was built by Northrop Grumman and cost about 10 billion dollars."
)


@pytest.fixture
def weights(root, monkeypatch):
    """Make a model's weights in the repository, where they stay; skips where its package is not installed."""
    monkeypatch.chdir(root)

    def made(name: str) -> str:
        found = recipe.find(name)
        for source in found.gguf.sources:
            package, _, wanted = source.place.partition("==")
            if source.kind == "package":
                try:
                    if version(package) == wanted:
                        return make.make(found).as_posix()
                except PackageNotFoundError:
                    break
        pytest.skip(f"the package of {name} is not installed")

    return made


def test_a_few_steps_of_the_demos_training(weights, root, tmp_path):
    """Loss a token begins where a model begins that has read Chinese (10.5 for one that has not) and falls."""
    weights("gemma3-270m")
    given = [
        "configs/short_30.yaml",
        "max_steps=6",
        "logging_steps=1",
        f"output_dir={tmp_path}/adapter",
        "plot_loss=false",
    ]
    command = [sys.executable, "-m", "etlch.cli", "train", *given, "warmup_steps=0", "per_device_train_batch_size=2"]
    ended = subprocess.run(command, cwd=root, env=os.environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    losses = [json.loads(line)["loss"] for line in (tmp_path / "adapter/trainer_log.jsonl").open() if '"loss"' in line]
    assert losses[0] < 4 and min(losses[3:]) < losses[0]


@pytest.mark.parametrize(
    ("name", "task", "text", "wanted"),
    [
        ("gemma3-270m", "entities", NEWS, {("組織", "台積電"), ("地理地區", "德國"), ("專業", "董事長")}),
        ("smollm2-135m", "entities-en", NEWS_EN, {("organization", "Northrop Grumman"), ("location", "French Guiana")}),
    ],
)
def test_the_ready_adapter_reads_the_news(weights, name, task, text, wanted):
    from etlch import Extractor

    weights(name)
    found = Extractor(task).extract(text)
    assert found.status == "ok"
    assert wanted <= {(value.label, value.text) for value in found.values}
    grounded = [value for value in found.values if value.span]
    assert len(grounded) >= 0.8 * len(found.values)
    assert all(text[slice(*value.span)] == value.text for value in grounded)


def test_the_adapters_are_small_and_fit_their_recipes(root):
    for found in recipe.every(root / "models"):
        size = sum(path.stat().st_size for path in found.adapter.iterdir())
        assert size <= 8 * 2**20, found.adapter
        about = json.loads((found.adapter / "adapter_config.json").read_text(encoding="utf-8"))
        assert recipe.label(about["base_model_name_or_path"]) == found.name
        assert all((root / "tasks" / f"{task}.yaml").is_file() for task in found.tasks)

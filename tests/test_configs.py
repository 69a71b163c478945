"""The configs: what must be equal is equal, what the paper states is there, and mistakes are found before a run."""

import json

import pytest
import yaml

from etlch.errors import EtlchError
from etlch.trainer import check, configs

SCALES = (100, 300, 500, 1000)


def load(root, name):
    return yaml.safe_load((root / "llamafactory_configs" / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("suffix", ["", "_tuned"])
def test_scales_differ_in_dataset_and_output_only(root, suffix):
    loaded = {scale: load(root, f"etlch_{scale}{suffix}") for scale in SCALES}
    for scale, config in loaded.items():
        assert config.pop("dataset") == f"etlch_json_{scale},etlch_kge_{scale},etlch_ner_{scale}"
        assert config.pop("output_dir") == f"runs/etlch/etlch_{scale}{suffix}/adapter"
    assert all(config == loaded[100] for config in loaded.values())


def test_the_papers_section_3_1(root):
    config = load(root, "etlch_300")
    stated = {
        "model_name_or_path": "meta-llama/Llama-3.2-1B-Instruct",
        "finetuning_type": "lora",
        "lora_rank": 32,
        "lora_alpha": 64,
        "lora_dropout": 0.4,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-7,
        "max_grad_norm": 0.1,
        "num_train_epochs": 100.0,
    }
    assert {key: config[key] for key in stated} == stated
    assert "quantization_bit" not in config


def test_scales_of_the_embedded_models_differ_in_dataset_output_and_epochs_only(root):
    families: dict[str, list] = {}
    for path in sorted((root / "llamafactory_configs").glob("*_[0-9]*.yaml")):
        family, _, scale = path.stem.rpartition("_")
        if scale.isdigit() and family != "etlch":
            config = load(root, path.stem)
            assert {name.rpartition("_")[2] for name in config.pop("dataset").split(",")} == {scale}
            assert config.pop("output_dir") == f"runs/{family}/{path.stem}/adapter"
            del config["num_train_epochs"]
            families.setdefault(family, []).append(config)
    assert {"gemma", "short"} <= set(families)
    for family, loaded in families.items():
        assert all(config == loaded[0] for config in loaded), family


def test_every_system_is_asked_the_same_way(root):
    """All predict configs agree in what is asked and how it is decoded."""
    paths = sorted((root / "llamafactory_configs").glob("predict*.yaml"))
    assert len(paths) == 5
    own = ("model_name_or_path", "adapter_name_or_path", "template", "output_dir")
    loaded = [{k: v for k, v in yaml.safe_load(p.read_text()).items() if k not in own} for p in paths]
    assert all(config == loaded[0] for config in loaded)
    assert loaded[0]["do_sample"] is False
    for path in (root / "llamafactory_configs").glob("*predict*.yaml"):
        assert load(root, path.stem)["do_sample"] is False, path.name


def test_configs_is_a_symlink(root):
    assert (root / "configs").is_symlink()
    assert (root / "configs" / "etlch_300.yaml").is_file()


def test_every_shipped_config_passes_the_check(root, tiny, monkeypatch):
    monkeypatch.chdir(root)
    for path in sorted((root / "llamafactory_configs").glob("*.yaml")):
        found = check.check(path, [], tokenizer=tiny)
        problems = [p for p in found.problems if "but the tokenizer of" not in p]
        assert problems == [], path.name


@pytest.fixture
def small(tmp_path, tiny):
    """A config over ten rows, in a folder of its own."""
    rows = [{"id": f"r{n}", "instruction": "問", "input": "字" * 10 * n, "output": "答" * n} for n in range(1, 11)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x_y_10": {"file_name": "rows.json"}}))
    config = {
        "model_name_or_path": tiny,
        "template": "llama3",
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "dataset_dir": str(tmp_path),
        "dataset": "x_y_10",
        "cutoff_len": 4096,
        "learning_rate": 1e-4,
        "output_dir": str(tmp_path / "out"),
    }

    def write(**changes):
        path = tmp_path / "c.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in (config | changes).items() if v is not None}))
        return path

    return write


def test_a_good_config_is_ok(small):
    found = check.check(small(), [])
    assert found.problems == []
    assert found.lengths[0].rows == 10


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"learning_rat": 1.0}, "learning_rat: unknown key (did you mean learning_rate"),
        ({"dataset": "x_y_11"}, "dataset 'x_y_11' is not in"),
        ({"template": "lama3"}, "template: found 'lama3'"),
        ({"template": "qwen"}, "has <|start_header_id|> (expected llama3)"),
        ({"template": None}, "template: missing"),
        ({"learning_rate": "1e-7"}, "write 1.0e-7"),
        ({"do_predict": True, "predict_with_generate": True}, "do_sample"),
        ({"output_dir": None}, "output_dir: missing"),
        ({"model_name_or_path": "meta-llama/Llama-3.2-1B-Instruct", "template": "qwen"}, "(expected llama3)"),
    ],
)
def test_mistakes_are_found(small, changes, expected, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = check.check(small(**changes), [])
    assert any(expected in problem for problem in found.problems), found.problems


def test_rows_that_would_be_cut_are_named(small):
    """The last rows: prompt = 1 + 1 + 10 n characters and the chat template's 40, answer = n + 1 tokens."""
    found = check.check(small(), ["cutoff_len=130"])
    (lengths,) = found.lengths
    template = lengths.prompt_max - 102
    expected = [f"r{n}" for n in range(1, 11) if 10 * n + 2 + template + n + 1 > 130]
    assert lengths.cut == expected and expected
    assert "would be cut (cutoff_len 130" in found.problems[0]


def test_answers_longer_than_max_new_tokens_are_named(small):
    predicting = {"do_train": None, "do_predict": True, "predict_with_generate": True, "do_sample": False}
    found = check.check(small(**predicting, max_new_tokens=8), [])
    assert found.lengths[0].cut == ["r8", "r9", "r10"]


def test_an_unreachable_tokenizer_is_a_note(small, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = check.check(small(model_name_or_path="someone/not-there"), [])
    assert "lengths were not checked" in found.notes[0]


def test_reading_configs(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("a: 1\na: 2\n")
    with pytest.raises(EtlchError, match="'a' again"):
        configs.read(path)
    path.write_text("a: 1\n")
    assert configs.read(path, ["a=2", "b=true", "c=x,y"]) == {"a": 2, "b": True, "c": "x,y"}
    with pytest.raises(EtlchError, match="expected key=value"):
        configs.read(path, ["--a"])
    with pytest.raises(EtlchError, match="cannot be read"):
        configs.read(tmp_path / "none.yaml")
    with pytest.raises(EtlchError, match=r"override 'a=\[': not YAML"):
        configs.read(path, ["a=["])
    path.write_text("- a\n")
    with pytest.raises(EtlchError, match=r"c\.yaml:1: found list \(expected keys and values"):
        configs.read(path)

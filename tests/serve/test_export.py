"""`etlch export`: the merged model answers as base and adapter do, its chat template is the training prompt, its card is true."""

import json
import os
import shutil

import pytest
import yaml

from etlch import export as exporting
from etlch import runs
from etlch.cli import main
from etlch.errors import EtlchError

SUMMARY = (
    "system,base_model,scale,task,samples,unanswered,invalid,rougeL,json_parse_ok,entity_f1,other\n"
    "small_100,BASE,100,ner,300,2,5,0.5,0.25,0.125,0.9\n"
    "small_300,BASE,300,ner,300,0,0,0.9,0.9,0.9,0.9\n"
)


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory):
    """A system small_100: the tiny model under another template, and a LoRA adapter with random weights that matter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("trained")
    base = folder / "base"
    shutil.copytree(tiny, base)
    (base / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# A model\n")
    (base / "chat_template.jinja").write_text("another template of {{ messages }}")
    decoding = json.loads((base / "generation_config.json").read_text())
    (base / "generation_config.json").write_text(json.dumps(decoding | {"do_sample": True, "temperature": 0.6}))
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    lora = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(model, lora).save_pretrained(folder / "small_100" / "adapter")
    config = {"model_name_or_path": str(base), "template": "llama3", "bf16": False, "dataset": "etlch_ner_100"}
    stamp = {"config": config | {"num_train_epochs": 4.0}, "versions": {"peft": "0"}, "seconds": 12.5}
    (folder / "small_100" / "adapter" / runs.DONE).write_text(json.dumps(stamp))
    return folder


@pytest.fixture
def report(trained):
    """A report that is newer than the adapter."""
    path = trained / "report" / "summary.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text(SUMMARY.replace("BASE", str(trained / "base")))
    return path


def scores(config):
    """The scores of the token after each of a few prompts, (prompts, vocabulary); and the prompts."""
    import torch

    from etlch.infer.loading import Loaded

    settings = {"stage": "sft", "finetuning_type": "lora", "template": "llama3", "use_cpu": True}
    loaded = Loaded(settings | {"output_dir": "unused"} | config)
    prompts = [loaded.prompt(f"請為下文執行 NER 任務。\n第{n}段：林靖雯進入臺灣大學。") for n in range(6)]
    with torch.inference_mode():
        made = [loaded.model(torch.tensor([prompt.ids])).logits[0, -1].float() for prompt in prompts]
    return torch.stack(made), prompts


@pytest.mark.slow
def test_the_merged_model_scores_as_base_and_adapter_do(trained, report, root, monkeypatch, capsys):
    from transformers import AutoTokenizer

    monkeypatch.chdir(root)
    system = trained / "small_100"
    assert main(["export", str(system), "--report", str(report.parent)]) == 0
    merged = system / "merged"
    assert capsys.readouterr().out.splitlines()[-1] == str(merged)
    base = str(trained / "base")
    expected, prompts = scores({"model_name_or_path": base, "adapter_name_or_path": str(system / "adapter")})
    untuned, _ = scores({"model_name_or_path": base})
    made, _ = scores({"model_name_or_path": str(merged)})
    assert (made - expected).abs().max() < 1e-3 * expected.abs().max() < (untuned - expected).abs().max()

    tokenizer = AutoTokenizer.from_pretrained(merged)
    asked = [{"role": "user", "content": "請為下文執行 NER 任務。\n第0段：林靖雯進入臺灣大學。"}]
    rendered = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    assert rendered == prompts[0].text

    assert "PARAMETER temperature 0\n" in (merged / "Modelfile").read_text()
    decoding = json.loads((merged / "generation_config.json").read_text())
    assert decoding["do_sample"] is False and "temperature" not in decoding
    assert {path.name for path in merged.iterdir()} >= {"model.safetensors", "config.json", "README.md", "Modelfile"}
    assert not list(system.glob(".merged.*"))
    config = yaml.safe_load((system / "merged.yaml").read_text())
    assert (config["export_dir"], config["infer_dtype"]) == (str(merged), "float32")
    with pytest.raises(EtlchError, match="is there already"):
        exporting.export(system)


@pytest.mark.slow
def test_a_failed_export_leaves_what_was_there(trained, root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    adapter = tmp_path / "small_100" / "adapter"
    shutil.copytree(trained / "small_100" / "adapter", adapter)
    (adapter / "adapter_model.safetensors").write_bytes(b"cut")
    (adapter.parent / "merged").mkdir()
    (adapter.parent / "merged" / "kept").write_text("")
    with pytest.raises(EtlchError, match="LlamaFactory stopped"):
        exporting.export(adapter.parent, force=True)
    assert sorted(path.name for path in adapter.parent.iterdir()) == ["adapter", "merged", "merged.log", "merged.yaml"]
    assert [path.name for path in (adapter.parent / "merged").iterdir()] == ["kept"]


def card_of(trained, report, root, monkeypatch):
    monkeypatch.chdir(root)
    adapter = trained / "small_100" / "adapter"
    return exporting.card(adapter, exporting.config_of(adapter, trained / "out", None), report.parent)


def test_the_card_has_the_scores_of_this_adapter_and_no_others(trained, report, root, monkeypatch):
    card = card_of(trained, report, root, monkeypatch)
    assert "| ner (300 samples, 2 unanswered, 5 unreadable) | rougeL | json_parse_ok | entity_f1 |" in card
    assert "| small_100 | 50.0 | 25.0 | 12.5 |" in card
    assert "small_300" not in card and "90.0" not in card
    assert "| num_train_epochs | 4.0 |" in card and "| seconds | 12.5 |" in card
    assert "`ner` (命名實體辨識)" in card and "`kge`" not in card
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front["base_model"], front["license"]) == (str(trained / "base"), "cc-by-4.0")


def test_the_card_says_why_there_are_no_scores(trained, report, root, monkeypatch):
    weights = trained / "small_100" / "adapter" / "adapter_model.safetensors"
    os.utime(report, (0, 0))
    assert "summary.csv is older than the adapter." in card_of(trained, report, root, monkeypatch)
    os.utime(report, (weights.stat().st_mtime + 9,) * 2)
    report.write_text(report.read_text().replace("small_100", "big"))
    assert "has no system 'small_100'" in card_of(trained, report, root, monkeypatch)
    report.unlink()
    assert "Not measured: there is no" in card_of(trained, report, root, monkeypatch)


def test_a_summary_that_is_none_is_said_before_the_work(trained, report, root, monkeypatch):
    report.write_text("a,b\n1,2\n")
    with pytest.raises(EtlchError, match="not a summary of scores"):
        card_of(trained, report, root, monkeypatch)


def test_what_is_no_adapter_is_refused(root, monkeypatch, tmp_path):
    monkeypatch.chdir(root)
    with pytest.raises(EtlchError, match="no adapter there"):
        exporting.export(tmp_path)
    with pytest.raises(EtlchError, match="holds a blank"):
        exporting.export(tmp_path, tmp_path / "a b")

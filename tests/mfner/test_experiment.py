"""Prompts, mixes, draws, configs: what the paper's section 4.4 and Table 8 state, and what is refused."""

import json
from collections import Counter

import pytest
import yaml
from etlch.mfner import build, grid, mixes, prompts

from etlch import cli
from etlch.errors import EtlchError
from etlch.formats import FORMATS, Schema
from etlch.records import Entity, Record, read_records
from etlch.trainer import configs, energy

# sections 3.2, 4.4 and 5.4: formats that never meet a corpus with discontinuous mentions
NOT_DISCONTINUOUS = {"multi_bio", "multi_tag", "single_tag", "multi_span", "single_span"}


def rows(files: dict[str, str], name: str) -> list[dict]:
    return json.loads(files[f"{name}.json"])


@pytest.fixture
def files(datasets):
    return build.draw(datasets, 1, ("all", "7best", "term_ner", "conv_term", "multi_tag"), build.Limits(36, 8, 10))


def test_the_papers_mixes():
    assert len(mixes.MIXES["all"]) == 12
    assert set(mixes.PAPER) == {"all", "7best", "conv_term", "multi_triple", "single_term", "multi_term", "term_ner"}
    assert all(mixes.MIXES[name] == (name,) for name in mixes.MIXES["all"])
    with pytest.raises(EtlchError, match="unknown mix 'best7'"):
        mixes.mix("best7")


def test_the_template_of_listing_1():
    prompt = prompts.instruction("multi_term", "Genia", ("protein", "DNA"), "BCL6 plays.")
    assert prompt.splitlines() == [
        "The task you need to complete is named entity recognition. Follow Genia guidelines.",
        "Format: multi_term. Types: protein, DNA.",
        "Text: BCL6 plays.",
    ]
    assert "Type: protein.\n" in prompts.instruction("single_tag", "Genia", ("protein",), "x")


def test_a_conversation_in_training_and_its_turns_at_inference(datasets):
    record = datasets[0].splits["train"][0]
    question = prompts.training("conv_term", record, "BC5CDR", ("Drug", "Disease"))
    ((first, naloxone),) = question.history
    assert first.endswith("Type: Drug") and naloxone == 'Answer: ["naloxone"]'
    assert (question.prompt, question.answer) == ("Type: Disease", 'Answer: ["hepatic failure", "hepatic"]')
    asked = prompts.asked("conv_term", record, "BC5CDR", ("Drug", "Disease"))
    assert [q.prompt for q in asked] == [first, first.removesuffix("Drug") + "Disease"]
    assert not any(q.history for q in asked)


def test_incompatible_formats_are_excluded(files):
    plan = json.loads(files["plan.json"])
    assert {tuple(pair) for pair in plan["excluded"]} == {("PGxCorpus", name) for name in NOT_DISCONTINUOUS}
    for name in ("train_all", "dev_all", "train_7best"):
        ragged = {row["format"] for row in rows(files, name) if row["record"].startswith("PGxCorpus")}
        assert ragged and not ragged & NOT_DISCONTINUOUS
    assert all(row["record"].startswith("BC5CDR") for row in rows(files, "test_multi_tag"))
    assert all(row["record"].startswith("BC5CDR") for row in rows(files, "train_multi_tag"))


def test_a_mix_that_goes_with_no_corpus_is_refused(datasets):
    """A tag format asked of a discontinuous corpus alone."""
    with pytest.raises(EtlchError, match="mix 'multi_tag': nothing of PGxCorpus can be written in it"):
        build.draw(datasets[1:], 1, ("multi_tag",), build.Limits())


def test_formats_are_balanced(files):
    """36 sentences over twelve formats are three each; over the seven that can hold discontinuity 5 or 6."""
    examples = json.loads(files["plan.json"])["examples"]["train_all"]
    assert set(examples["BC5CDR"].values()) == {3}
    assert len(examples["PGxCorpus"]) == 7 and set(examples["PGxCorpus"].values()) == {5, 6}
    assert Counter(row["format"] for row in rows(files, "train_term_ner")) == {"multi_term": 36, "single_term": 36}


def test_training_answers_parse_back_to_the_gold(files, datasets):
    gold = {r.id: r for d in datasets for r in d.splits["train"]}
    for row in rows(files, "train_all"):
        if row["format"] == "conv_term":
            continue
        record, types = gold[row["record"]], json.loads(row["types"])
        parsed = FORMATS[row["format"]].parse(row["output"], Schema(tuple(types)), record.text)
        expected = Counter((e.text, e.type) for e in record.entities if e.type in types)
        assert parsed.status == "ok" and Counter((e.text, e.type) for e in parsed.entities) == expected


def test_every_type_is_asked_of_every_test_sentence(files):
    for name, prompts_a_sentence in (("single_term", 2), ("conv_term", 2), ("multi_term", 1)):
        asked = Counter(row["record"] for row in rows(files, f"test_{name}"))
        assert len(asked) == 20 and set(asked.values()) == {prompts_a_sentence}


def test_draws_are_seeded_and_differ(datasets):
    limits = build.Limits(30, 8, 5)
    first, again, second = (build.draw(datasets, n, ("7best",), limits) for n in (1, 1, 2))
    assert first == again
    assert first["test.jsonl"] != second["test.jsonl"] and first["train_7best.json"] != second["train_7best.json"]
    assert json.loads(first["plan.json"])["limits"] == {
        "train": 30,
        "dev": 8,
        "test": 5,
    }
    assert len(first["test.jsonl"].splitlines()) == 10


def test_a_sentence_that_a_tag_format_cannot_hold_gets_another_format(datasets):
    crossing = Record("x", "abc def", entities=(Entity("abc d", "Drug", ((0, 5),)), Entity("c def", "Drug", ((2, 7),))))
    dealt = list(mixes.dealt([crossing] * 20, ("multi_tag", "multi_term"), datasets[0], "k"))
    assert [name for name, _, _ in dealt] == ["multi_term"] * 20
    assert list(mixes.dealt([crossing], ("multi_tag",), datasets[0], "k")) == []
    (question,) = prompts.asked("multi_tag", crossing, "BC5CDR", ("Drug",))
    assert question.answer == prompts.UNRENDERED  # still asked


def test_the_datasets_are_registered_by_names_that_predict_takes_apart(small):
    registry = configs.registry({"dataset_dir": small.data(1).as_posix()})
    assert {"train_7best", "mfner_dev-7best_test", "mfner_single-term_test", "mfner_multi-span_test"} <= set(registry)
    assert "history" in registry["train_7best"]["columns"] and "history" not in registry["train_multi_span"]["columns"]
    for entry in registry.values():
        first = json.loads((small.data(1) / entry["file_name"]).read_text())[0]
        assert set(entry["columns"].values()) <= set(first) and first["output"]
    assert [len(list(read_records(small.data(1) / f"{split}.jsonl"))) for split in ("dev", "test")] == [16, 20]


def test_the_knowledge_corpus(root):
    found = build.knowledge(root / build.KNOWLEDGE)
    topics = {split: {r.id.rsplit("-", 2)[0] for r in records} for split, records in found.splits.items()}
    assert (
        not topics["train"] & topics["test"]
        and not topics["train"] & topics["dev"]
        and not topics["dev"] & topics["test"]
    )
    assert {e.type for r in found.splits["test"] for e in r.entities} == {"醫學", "生物", "自然科學"}
    assert len(found.splits["train"]) >= 300 and len(found.splits["test"]) >= 40  # the small grid's samples


def test_the_small_grids_answers_fit_its_token_limit(root):
    """In tokens of Gemma, one more for the end."""
    weights = root / "models" / "gemma3-270m" / "weights"
    if not weights.is_dir():
        pytest.skip(f"{weights} is not made")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights)
    files = build.draw([build.knowledge(root / build.KNOWLEDGE)], 1, grid.SMALL.mixes, grid.SMALL.limits)
    answers = [row["output"] for name in files if name.startswith(("test_", "dev_")) for row in rows(files, name[:-5])]
    longest = max(map(len, tokenizer(answers, add_special_tokens=False)["input_ids"]))
    (limit,) = grid.SMALL.decoding
    assert longest + 1 <= int(limit.removeprefix("max_new_tokens="))


def test_building_without_corpora_says_what_to_do(project, capsys):
    assert cli.main(["mfner", "build", "qwen2.5-0.5b"]) == 2
    error = capsys.readouterr().err
    assert "no corpus to train on (AnatEM: not in runs/corpora/anatem" in error and "--corpora knowledge" in error
    assert cli.main(["mfner", "build", "qwen"]) == 2
    assert cli.main(["mfner", "train", "gemma", "draw9/all"]) == 2
    assert "unknown run 'draw9/all' of gemma" in capsys.readouterr().err


def test_building_from_a_whole_corpus_leaves_the_others_out(project, capsys):
    folder = grid.RUNS / "corpora" / "ncbi"
    folder.mkdir(parents=True)
    for number, name in enumerate(("train", "devel", "test")):
        (folder / f"{name}.tsv").write_text(f"cancer\tB-Disease\n{number}\tO\n.\tO\n\n" * 3)
    assert cli.main(["mfner", "build", "qwen2.5-0.5b"]) == 0
    shown = capsys.readouterr().out
    assert "left out: BC5CDR: not in" in shown and "draw3: " in shown
    plan = json.loads((grid.RUNS / "data/full/draw1/plan.json").read_text())
    assert plan["corpora"]["NCBI Disease"] == {
        "types": ["Disease"],
        "discontinuous": False,
        "train": 3,
        "dev": 3,
        "test": 3,
    }


def load(root, name):
    return yaml.safe_load((root / "llamafactory_configs" / f"mfner_{name}.yaml").read_text(encoding="utf-8"))


def test_table_8(root):
    stated = {
        "num_train_epochs": 15.0,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 8,
        "learning_rate": 1e-5,
        "optim": "adamw_torch",
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "save_strategy": "epoch",
    }
    qwen, llama = load(root, "qwen2.5-0.5b"), load(root, "llama3.2-1b")
    assert {key: qwen[key] for key in stated} == stated
    own = ("model_name_or_path", "template", "output_dir")
    assert {k: v for k, v in qwen.items() if k not in own} == {k: v for k, v in llama.items() if k not in own}
    asked = load(root, "predict")
    assert (asked["max_new_tokens"], asked["per_device_eval_batch_size"], asked["do_sample"]) == (128, 8, False)


def test_the_grids():
    for name in ("qwen2.5-0.5b", "llama3.2-1b"):
        assert len(list(grid.GRIDS[name].runs())) == 7 * 3
        assert grid.GRIDS[name].limits == build.Limits(10_000, 200, 300)
    assert grid.run(grid.SMALL, "draw1/term_ner").overrides == [
        "dataset_dir=runs/mfner/data/small/draw1",
        "dataset=train_term_ner",
        "output_dir=runs/mfner/gemma/draw1/term_ner/adapter",
    ]


def test_the_best_checkpoint_is_answered_with(small, trained, monkeypatch):
    asked = []
    monkeypatch.setattr("etlch.infer.predict.with_engine", lambda job, *rest: asked.append(job) or [])
    run = grid.run(small, "draw1/7best")
    with pytest.raises(EtlchError, match="not trained yet"):
        grid.test(run)
    trained(run, 9, 10, 100)
    assert [path.name for path in run.checkpoints()] == ["checkpoint-9", "checkpoint-10", "checkpoint-100"]
    with pytest.raises(EtlchError, match="3 checkpoints were kept"):
        grid.test(run)
    (run.folder / grid.BEST).write_text('{"checkpoint": "checkpoint-10"}')
    grid.test(run)
    config = asked[0].config
    assert config["adapter_name_or_path"] == "runs/mfner/gemma/draw1/7best/adapter/checkpoint-10"
    assert (config["model_name_or_path"], config["use_cpu"]) == ("models/gemma3-270m/weights", True)
    assert config["max_new_tokens"] == 200 and len(asked[0].names) == 7
    assert [path.name for path in run.checkpoints()] == ["checkpoint-10"]  # the others are gone


def test_checkpoints_answer_the_validation_set(small, trained, monkeypatch):
    asked = []
    monkeypatch.setattr("etlch.infer.predict.with_engine", lambda job, *rest: asked.append(job) or [])
    run = grid.run(small, "draw2/multi_span")
    monkeypatch.setattr("etlch.trainer.launch.train", lambda config, overrides: trained(run, 5, 10))
    grid.train(run)
    assert [job.output.as_posix() for job in asked] == [
        "runs/mfner/gemma/draw2/multi_span/checkpoint-5/predict",
        "runs/mfner/gemma/draw2/multi_span/checkpoint-10/predict",
    ]
    assert {tuple(job.names) for job in asked} == {("mfner_dev-multi-span_test",)}


def test_whole_models_are_given_as_the_model():
    overrides = grid._of_model({"finetuning_type": "full", "model_name_or_path": "a/b", "bf16": True}, grid.Path("c/d"))
    assert overrides == ["model_name_or_path=c/d", "finetuning_type=full", "bf16=true"]


# Table 9 of the paper
TABLE_9 = [
    ("02:23:46", 4.57, 234.47),
    ("02:11:45", 4.19, 214.8),
    ("01:34:26", 3.01, 154.13),
    ("02:07:55", 4.06, 208.24),
    ("02:36:45", 4.99, 255.79),
    ("02:51:37", 5.47, 280.38),
    ("03:02:57", 5.82, 298.42),
]


@pytest.mark.parametrize(("clock", "kwh", "grams"), TABLE_9)
def test_the_formula_gives_table_9(clock, kwh, grams):
    hours, minutes, seconds = map(int, clock.split(":"))
    time = 3600 * hours + 60 * minutes + seconds
    assert energy.PAPER.kwh(time) == pytest.approx(kwh, rel=0.005)
    assert energy.PAPER.grams(time) == pytest.approx(grams, rel=0.005)


def test_without_codecarbon_nothing_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("etlch.trainer.energy.find_spec", lambda name: None)
    with energy.measured(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []

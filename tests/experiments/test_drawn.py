"""Rows, deals and draws: what the MF-NER paper's section 4.4 and Table 8 state, contexts, and what is refused."""

import json
from collections import Counter

import pytest
import yaml

from etlch import corpora as catalogue
from etlch.errors import EtlchError
from etlch.examples import asking, context, deal, drawn
from etlch.examples.rows import from_json, read
from etlch.experiments import FOLDER, Variant, load_experiment
from etlch.formats import FORMATS, Schema
from etlch.records import Entity, Record, read_records
from etlch.tasks import load_card
from etlch.trainer import configs

# sections 3.2, 4.4 and 5.4: formats that never meet a corpus with discontinuous mentions
NOT_DISCONTINUOUS = {"multi_bio", "multi_tag", "single_tag", "multi_span", "single_span"}


def rows(files: dict[str, str], name: str) -> list[dict]:
    return json.loads(files[f"{name}.json"])


@pytest.fixture
def card(root):
    return load_card(root / "tasks" / "mentions.yaml")


@pytest.fixture
def files(experiment, corpora):
    names = ("term_ner: {formats: [multi_term, single_term]}", "conv_term: {formats: [conv_term]}")
    mixes = ", ".join(["all: {}", *names, "multi_tag: {formats: [multi_tag]}"])
    return drawn.draw(experiment(f"{{{mixes}}}", "{train: 36, dev: 8, test: 10}", draws=1), corpora, 1)


def test_the_template_of_listing_1(card):
    record = Record("r", "BCL6 plays.", "en")
    (row,) = asking.testing(card, record, FORMATS["multi_term"], ("protein", "DNA"), "Genia", 1)
    assert row.instruction.splitlines() == [
        "The task you need to complete is named entity recognition. Follow Genia guidelines.",
        "Format: multi_term. Types: protein, DNA.",
        "Text: BCL6 plays.",
    ]
    one, _ = asking.testing(card, record, FORMATS["single_tag"], ("protein", "DNA"), "Genia", 1)
    assert "Type: protein.\n" in one.instruction and one.input == ""


def test_a_conversation_in_training_and_its_turns_at_inference(card, corpora):
    record, conversation = corpora[0].splits["train"][0], FORMATS["conv_term"]
    row = asking.training(card, record, conversation, ("Drug", "Disease"), "BC5CDR", 1)
    ((first, naloxone),) = row.history
    assert first.endswith("Type: Drug") and naloxone == 'Answer: ["naloxone"]'
    assert (row.prompt, row.output) == ("Type: Disease", 'Answer: ["hepatic failure", "hepatic"]')
    assert row.turns == (first, naloxone, "Type: Disease")
    asked = asking.testing(card, record, conversation, ("Drug", "Disease"), "BC5CDR", 1)
    assert [q.prompt for q in asked] == [first, first.removesuffix("Drug") + "Disease"]
    assert not any(q.history for q in asked)


def test_incompatible_formats_are_excluded(files):
    plan = json.loads(files["plan.json"])
    assert {tuple(pair) for pair in plan["excluded"]} == {("PGxCorpus", name) for name in NOT_DISCONTINUOUS}
    for name in ("train_all", "dev_all"):
        ragged = {row["format"] for row in rows(files, name) if row["corpus"] == "PGxCorpus"}
        assert ragged and not ragged & NOT_DISCONTINUOUS
    assert {row["corpus"] for name in ("test_multi_tag", "train_multi_tag") for row in rows(files, name)} == {"BC5CDR"}


def test_a_set_that_goes_with_no_corpus_is_refused(experiment, corpora):
    """A tag format asked of a discontinuous corpus alone."""
    with pytest.raises(EtlchError, match="train_tags: nothing of PGxCorpus can be written in it"):
        drawn.draw(experiment("{tags: {formats: [multi_tag]}}"), corpora[1:], 1)


def test_formats_are_balanced(files):
    """36 sentences over twelve formats are three each; over the seven that can hold discontinuity 5 or 6."""
    examples = json.loads(files["plan.json"])["examples"]["train_all"]
    assert set(examples["BC5CDR"].values()) == {3}
    assert len(examples["PGxCorpus"]) == 7 and set(examples["PGxCorpus"].values()) == {5, 6}
    assert Counter(row["format"] for row in rows(files, "train_term_ner")) == {"multi_term": 36, "single_term": 36}


def test_a_row_says_how_it_was_asked_and_its_answer_parses_back_to_the_gold(files, corpora):
    gold = {r.id: r for loaded in corpora for r in loaded.splits["train"]}
    for found in rows(files, "train_all"):
        row = from_json(found, "here")
        assert row.to_json() == found and (row.card, row.context, row.seed) == ("mentions", "none", 20260327)
        if row.format == "conv_term":
            continue
        record = gold[row.record]
        parsed = FORMATS[row.format].parse(row.output, Schema(row.schema), record.text)
        expected = Counter((e.text, e.type) for e in record.entities if e.type in row.schema)
        assert parsed.status == "ok" and Counter((e.text, e.type) for e in parsed.entities) == expected


def test_every_type_is_asked_of_every_test_sentence(files):
    for name, prompts_a_sentence in (("single_term", 2), ("conv_term", 2), ("multi_term", 1)):
        asked = Counter(row["record"] for row in rows(files, f"test_{name}"))
        assert len(asked) == 20 and set(asked.values()) == {prompts_a_sentence}


def test_draws_are_seeded_and_differ(experiment, corpora):
    made = experiment("{both: {formats: [multi_term, single_term]}}", "{train: 30, dev: 8, test: 5}")
    first, again, second = (drawn.draw(made, corpora, number) for number in (1, 1, 2))
    assert first == again
    assert first["records.jsonl"] != second["records.jsonl"] and first["train_both.json"] != second["train_both.json"]
    assert len(first["records.jsonl"].splitlines()) == 2 * (8 + 5)


def test_scales_are_nested(experiment, corpora):
    made = experiment("{both: {formats: [multi_term]}}", "{test: 5}", more="scales: [10, 20]\n")
    files = drawn.draw(made, corpora, 1)
    small, large = ({row["record"] for row in rows(files, f"train_both_{scale}")} for scale in (10, 20))
    assert small < large and (len(small), len(large)) == (20, 40)  # of two corpora
    assert [cell.name for cell in made.cells()][:2] == ["gemma_both_10_draw1", "gemma_both_10_draw2"]
    with pytest.raises(EtlchError, match=r"BC5CDR: found 30 training records \(expected 50\)"):
        drawn.draw(experiment(more="scales: [50]\n"), corpora, 1)


def test_a_sentence_that_a_tag_format_cannot_hold_gets_another_format(card):
    crossing = Record("x", "abc def", entities=(Entity("abc d", "Drug", ((0, 5),)), Entity("c def", "Drug", ((2, 7),))))
    tag, term = FORMATS["multi_tag"], FORMATS["multi_term"]
    dealt = deal.dealt([crossing] * 20, card, (tag, term), ("Drug",), "c", 1, "k")
    assert [row.format for _, row in dealt] == ["multi_term"] * 20
    assert list(deal.dealt([crossing], card, (tag,), ("Drug",), "c", 1, "k")) == []
    (row,) = asking.testing(card, crossing, tag, ("Drug",), "c", 1)
    assert row.output == asking.UNRENDERED  # still asked


def test_fixed_examples_stand_before_every_question(card, corpora):
    """The same records, asked and answered as the row is, and never the row's own text."""
    train = corpora[0].splits["train"]
    asked = asking.testing(card, train[0], FORMATS["multi_term"], ("Drug",), "c", 1)
    asked += asking.testing(card, corpora[0].splits["test"][1], FORMATS["multi_term"], ("Drug",), "c", 1)
    own, other = context.with_examples(asked, Variant(context="fixed", examples=39), train, card, ("Drug",), "k")
    assert own.context == "fixed-39" and len(own.history) == len(other.history) == 39
    assert not any(f"Text: {train[0].text}\n" in f"{question}\n" for question, _ in own.history)
    assert (
        len(set(own.history) & set(other.history)) >= 38
        and own.history[0][1] == 'Answer: [{"text": "naloxone", "type": "Drug"}]'
    )
    with pytest.raises(EtlchError, match=r"found 1 examples for .* \(expected 2\)"):
        context.with_examples(asked[:1], Variant(context="fixed", examples=2), train[:2], card, ("Drug",), "k")


def test_the_data_sets_are_registered(small):
    registry = configs.registry({"dataset_dir": small.data(1).as_posix()})
    assert {"train_7best", "dev_7best", "test_single_term", "test_multi_span"} <= set(registry)
    assert "history" in registry["train_7best"]["columns"] and "history" not in registry["train_multi_span"]["columns"]
    assert (registry["dev_7best"]["test"], registry["test_multi_tag"]["test"]) == ("dev", "multi_tag")
    for entry in registry.values():
        first = next(read(small.data(1) / entry["file_name"])).to_json()
        assert set(entry["columns"].values()) <= set(first) and first["output"]
    assert len(list(read_records(small.data(1) / "records.jsonl"))) == 16 + 20


def test_the_small_experiments_answers_fit_its_token_limit(root, monkeypatch):
    """In tokens of Gemma, one more for the end."""
    weights = root / "models" / "gemma3-270m" / "weights"
    if not weights.is_dir():
        pytest.skip(f"{weights} is not made")
    from transformers import AutoTokenizer

    monkeypatch.chdir(root)
    made = load_experiment(FOLDER / "mf_ner_small.yaml")
    files = drawn.draw(made, [catalogue.load(corpus) for corpus in made.load_corpora()], 1)
    answers = [row["output"] for name in files if name.startswith(("test_", "dev_")) for row in rows(files, name[:-5])]
    tokenizer = AutoTokenizer.from_pretrained(weights)
    longest = max(map(len, tokenizer(answers, add_special_tokens=False)["input_ids"]))
    (limit,) = made.systems["gemma"].overrides
    assert longest + 1 <= int(limit.removeprefix("max_new_tokens="))


def load(root, name):
    return yaml.safe_load((root / "llamafactory_configs" / f"mf_ner_{name}.yaml").read_text(encoding="utf-8"))


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

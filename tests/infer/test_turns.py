"""A row's history, whoever answers: LlamaFactory, the model in this process and a server are told the same turns."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest
import yaml
from scripted import Say, Server

from etlch.errors import EtlchError
from etlch.infer.loading import Loaded
from etlch.infer.local import LocalEngine
from etlch.infer.remote import remote_engine
from etlch.infer.turns import turns, turns_of
from etlch.trainer import check, configs

ALPACA = {"prompt": "instruction", "query": "input", "response": "output", "history": "history", "system": "system"}
TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
}
SAID = [
    ("system", "規則"),
    ("user", "問甲"),
    ("assistant", "答甲"),
    ("user", "問乙"),
    ("assistant", "答乙"),
    ("user", "問丙\n文"),
]
ROW = {
    "system": "規則",
    "history": [["問甲", "答甲"], ["問乙", "答乙"]],
    "instruction": "問丙",
    "input": "文",
    "output": "答丙",
}
MESSAGES = {"said": [{"role": role, "content": text} for role, text in [*SAID, ("assistant", "答丙")]]}
MARKS = "甲乙丙丁戊己庚辛壬癸子丑"  # each a token
ENTRIES = {
    "alpaca": ({"file_name": "rows.json", "columns": ALPACA}, ROW),
    "sharegpt": (
        {"file_name": "rows.json", "formatting": "sharegpt", "columns": {"messages": "said"}, "tags": TAGS},
        MESSAGES,
    ),
}


@pytest.fixture(params=ENTRIES)
def config(request, tmp_path, tiny):
    """A predict config over one row of three turns."""
    entry, row = ENTRIES[request.param]
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x_y_test": entry}))
    return {
        "model_name_or_path": tiny,
        "template": "llama3",
        "stage": "sft",
        "do_predict": True,
        "predict_with_generate": True,
        "finetuning_type": "lora",
        "dataset_dir": str(tmp_path),
        "eval_dataset": "x_y_test",
        "cutoff_len": 512,
        "max_new_tokens": 4,
        "do_sample": False,
        "use_cpu": True,
        "output_dir": str(tmp_path / "out"),
        "overwrite_cache": True,
    }


def spoken(prompt: str) -> list[tuple[str, str]]:
    """The turns of a prompt in the template of Llama 3."""
    parts = prompt.removeprefix("<|begin_of_text|>").split("<|start_header_id|>")[1:]
    found = [tuple(part.removesuffix("<|eot_id|>").split("<|end_header_id|>\n\n")) for part in parts]
    assert found.pop() == ("assistant", "")
    return found


def test_every_engine_is_told_the_same_turns(config, tmp_path, monkeypatch):
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    model, data, training, *_ = get_train_args(dict(config))
    words = load_tokenizer(model)["tokenizer"]
    template = get_template_and_fix_tokenizer(words, data)
    made = get_dataset(template, model, data, training, stage="sft", tokenizer=words, processor=None)["eval_dataset"]
    told = {"llamafactory": spoken(words.decode(made[0]["input_ids"]))}

    loaded = Loaded(config)
    prompts = loaded.prompts()
    asked = []
    monkeypatch.setattr("etlch.infer.decode.greedy", lambda model, ids, *_, **__: asked.extend(ids) or iter(()))
    loaded.__dict__["model"] = None
    list(LocalEngine(loaded).answers(list(enumerate(prompts))))
    told["transformers"] = spoken(words.decode(asked[0]))

    with Server(lambda call: Say("好")) as server:
        for send in ("tokens", "text", "chat"):
            options = Namespace(
                base_url=server.url,
                key_env="NO_SUCH_KEY",
                served_as="m",
                send=send,
                request="{}",
                concurrency=1,
                retries=0,
                backoff=0.01,
                timeout=9.0,
                budget_tokens=None,
                budget_cost=None,
                price_in=[],
                price_out=[],
            )
            engine = remote_engine(options, config, tmp_path / f"{send}.jsonl")
            assert len(list(engine.answers(list(enumerate(prompts))))) == 1
    tokens, text, chat = (call.body for call in server.calls)
    told["tokens"], told["text"] = spoken(words.decode(tokens["prompt"])), spoken(text["prompt"])
    told["chat"] = [(message["role"], message["content"]) for message in chat["messages"]]

    assert told == dict.fromkeys(told, SAID) and len(told) == 5


def test_the_configs_own_system_text_is_sent_where_a_row_has_none(config, tmp_path):
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x_y_test": ENTRIES["alpaca"][0]}))
    (tmp_path / "rows.json").write_text(json.dumps([ROW | {"system": ""}]))
    [prompt] = Loaded(config | {"default_system": "另一規則"}).prompts()
    assert list(prompt.turns) == [("system", "另一規則"), *SAID[1:]] == spoken(prompt.text)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_row_is_read_as_llamafactorys_converter_reads_it(name):
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import DatasetAttr

    entry, row = ENTRIES[name]
    dataset = DatasetAttr("file", "x")
    dataset.join(entry)
    made = get_dataset_converter(dataset.formatting, dataset, None)(row)
    assert turns_of(row, entry)[1:] == [(turn["role"], turn["content"]) for turn in made["_prompt"]]
    assert turns_of(row, entry)[0] == ("system", made["_system"])


def test_what_an_entry_does_not_say_is_as_llamafactory_has_it():
    assert turns({"instruction": "問", "input": "", "output": "答", "history": [["a", "b"]]}) == [("user", "問")]
    assert turns({"instruction": "問", "input": "文"}, {"prompt": "instruction"}) == [
        ("user", "問")
    ]  # no `query`: no input
    row = {"conversations": [{"from": "human", "value": "問"}, {"from": "gpt", "value": "答"}]}
    assert turns_of(row, {"formatting": "sharegpt"}) == [("user", "問")]


@pytest.mark.parametrize(
    ("entry", "row", "said"),
    [
        ({"columns": ALPACA}, ROW | {"history": [["問"]]}, r"history: found \[\['問'\]\] .expected a list of"),
        (
            {"formatting": "sharegpt"},
            {"conversations": [{"from": "me", "value": "問"}]},
            "conversations: 'me' is missing or unknown",
        ),
        ({"formatting": "sharegpt"}, {}, "conversations: 'conversations' is missing"),
    ],
)
def test_turns_of_another_form_are_named(entry, row, said):
    with pytest.raises(EtlchError, match=said):
        turns_of(row, entry)


def test_a_chat_server_is_not_told_turns_that_it_cannot_have(config, tmp_path):
    from etlch.infer.loading import Prompt

    options = {"budget_tokens": None, "budget_cost": None, "price_in": [], "price_out": []}
    options |= {"base_url": "http://127.0.0.1:1/v1", "key_env": "K", "served_as": "m", "send": "chat", "request": "{}"}
    options |= {"concurrency": 1, "retries": 0, "backoff": 1.0, "timeout": 1.0}
    engine = remote_engine(Namespace(**options), config, tmp_path / "paid.jsonl")
    with pytest.raises(EtlchError, match=r"prompt 1: a turn of observation .--send chat has none"):
        list(engine.answers([(0, Prompt((1,), "x", turns=(("observation", "22 degrees"),)))]))


# --- etlch check


@pytest.mark.parametrize("mask_history", [False, True])
def test_lost_and_cut_turns_are_those_that_llamafactorys_labels_lack(tmp_path, tiny, mask_history):
    """Twelve turns at cutoff 512, among rows that lose nothing: counted from the labels that LlamaFactory's own processor makes."""
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.data.processor.supervised import SupervisedDatasetProcessor
    from llamafactory.data.template import TEMPLATES
    from llamafactory.extras.constants import IGNORE_INDEX
    from llamafactory.hparams import DataArguments
    from transformers import AutoTokenizer

    def row(count: int, length: int) -> dict:
        # an answer of its own mark for each turn, so that it is known again among the labels
        pairs = [[f"問{n}" + "字" * length, MARKS[n] * (10 + 3 * n)] for n in range(count)]
        return {
            "id": f"r{count}",
            "history": pairs[:-1],
            "instruction": pairs[-1][0],
            "input": "",
            "output": pairs[-1][1],
        }

    rows = [row(1, 30), row(12, 40), row(3, 20), row(9, 33)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    entry = {"file_name": "rows.json", "columns": ALPACA}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x_y_4": entry}))
    config = {
        "model_name_or_path": tiny,
        "template": "llama3",
        "stage": "sft",
        "do_train": True,
        "dataset_dir": str(tmp_path),
        "dataset": "x_y_4",
        "cutoff_len": 512,
        "mask_history": mask_history,
        "output_dir": str(tmp_path / "out"),
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    found = check.check(tmp_path / "c.yaml", [])
    (lengths,) = found.lengths

    words = AutoTokenizer.from_pretrained(tiny)
    dataset = get_dataset_list(["x_y_4"], str(tmp_path))[0]
    data = DataArguments(template="llama3", cutoff_len=512, mask_history=mask_history)
    processor = SupervisedDatasetProcessor(TEMPLATES["llama3"], words, None, data)
    lost, short = {}, {}
    for number, one in enumerate(rows, start=1):
        said = get_dataset_converter("alpaca", dataset, data)(one | {"system": ""})
        ids, labels = processor._encode_data_example(said["_prompt"], said["_response"], "", None, [], [], [])
        kept = words.decode(ids if mask_history else [t for t in labels if t != IGNORE_INDEX])
        answers = [answer for _, answer in one["history"]] + [one["output"]]
        missing = [answer[0] not in kept for answer in answers]
        lost |= {number: sum(missing)} if any(missing) else {}
        questions = words.decode(ids)
        asked = [question for question, _ in one["history"]] + [one["instruction"]]
        whole = [
            f"{q}<|eot_id|>" in questions and f"{a}<|eot_id|>" in kept for q, a in zip(asked, answers, strict=True)
        ]
        cut = sum(not w and not m for w, m in zip(whole, missing, strict=True))
        short |= {number: cut} if cut else {}

    assert (lengths.lost, lengths.short) == (lost, short)
    assert lost[2] > 3 and 1 not in lost
    assert lengths.cut == [f"r{len(rows[number - 1]['history']) + 1}" for number in sorted({*lost, *short})]
    if not mask_history:
        assert f"lost turns: {sum(lost.values())} in {len(lost)} rows (the first is row 2)" in found.problems[0]
        assert "cut turns: " in found.problems[0]
        assert check.render("c.yaml", found).splitlines()[2].split()[-2:] == ["2", str(sum(lost.values()))]


def test_rows_that_llamafactory_drops_are_named(tmp_path, tiny):
    (tmp_path / "rows.json").write_text(
        json.dumps([{"instruction": "問", "output": "答"}, {"instruction": "問", "output": {}}])
    )
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x": {"file_name": "rows.json"}}))
    config = {
        "model_name_or_path": tiny,
        "template": "llama3",
        "dataset_dir": str(tmp_path),
        "dataset": "x",
        "output_dir": "o",
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    assert configs.read(tmp_path / "c.yaml")["dataset"] == "x"
    found = check.check(tmp_path / "c.yaml", [])
    assert found.problems == [
        "x: 1 of 2 rows would be dropped (no answer, or turns that do not alternate); the first is row 2"
    ]

"""The embedded model: its tokenizer loses nothing, its data is the same each time, and it copies."""

import random
import re

import pytest

from etlch import nano

CORNERS = '量子力學是1900年，\n\n\t「《幾何原本》」（φ）①😀 {"a": ["b"]} 简体 \x00 é 한국어'


@pytest.fixture(scope="module")
def tokenizer():
    return nano.build_tokenizer()


def test_vocabulary_covers_common_characters():
    common = nano.common_characters()
    assert len(common) == len(set(common)) == 2750
    assert set("的一是臺灣量氘醣鯨") - set(common) == {"氘"}  # in three bytes
    vocabulary = nano.vocabulary()
    assert len(vocabulary) == len(set(vocabulary))
    assert set(common) <= set(vocabulary)


@pytest.mark.parametrize("text", [CORNERS, "", " ", "  兩個空格  ", "\ufffd", "𠮷野家"])
def test_the_tokenizer_loses_nothing(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_one_token_a_character(tokenizer):
    text = "玉山是臺灣最高的山，海拔3952公尺。"
    assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == len(text)


@pytest.mark.parametrize("stage", nano.STAGES.values(), ids=nano.STAGES)
def test_generated_rows_are_answerable_and_repeatable(stage):
    rows = [nano.reading_row(nano.Draw(n), stage) for n in range(100)]
    assert rows == [nano.reading_row(nano.Draw(n), stage) for n in range(100)]
    assert all(len({answer for _, answer in row}) == len(row) for row in rows), "no answer twice"
    answers = [answer for row in rows for _, answer in row]
    assert not any('": ["' in answer or "－" in answer for answer in answers)  # none of the tasks' layouts


def test_every_slot_of_every_pattern_can_be_filled():
    slots = {
        slot
        for patterns in (nano.PATTERNS, nano.FEW, nano.WORDS)
        for p in patterns
        for slot in re.findall("{(.+?)}", p)
    }
    assert slots <= {*nano.NAMES, *nano.FILLERS}
    assert {"名詞", "動詞"} <= slots
    words = [word for words in nano._words().values() for word in words]
    assert len(words) == len(set(words)) > 10_000


def test_a_list_has_every_name_of_its_kind_in_the_order_of_the_text():
    stage = nano.STAGES["list"]._replace(questions=((nano._ask_list, 1),))
    for row in (nano.reading_row(nano.Draw(n), stage) for n in range(100)):
        text = row[0][0]
        for _, answer in row:
            places = [text.find(name) for name in answer.split("、")]
            assert answer == "沒有" or (places == sorted(places) and places[0] >= 0), (row, answer)


def test_the_committed_model_copies(root):
    """Greedy repetition of random strings it never saw: at least nine characters of ten come back in place."""
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(root / "models" / "nano")
    model = AutoModelForCausalLM.from_pretrained(root / "models" / "nano", dtype=torch.float32)
    assert sum(p.numel() for p in model.parameters()) < 2_000_000
    rng = random.Random(99)
    right = total = 0
    for _ in range(10):
        text = "".join(rng.choice(nano.CHARACTERS) for _ in range(30))
        prompt = (
            "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n重複："
            f"{text}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        )
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        answer = model.generate(**ids, max_new_tokens=40, do_sample=False)[0, ids["input_ids"].shape[1] :]
        answer = tokenizer.decode(answer, skip_special_tokens=True)
        right += sum(a == b for a, b in zip(answer, text, strict=False))
        total += len(text)
    assert right / total >= 0.9

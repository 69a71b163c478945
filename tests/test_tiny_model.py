"""The tests' model: its tokenizer loses nothing, it is small, and a seed gives the same weights."""

from pathlib import Path

import pytest
import tiny_model

CORNERS = '量子力學是1900年，\n\n\t「《幾何原本》」（φ）①😀 {"a": ["b"]} 简体 \x00 é 한국어'


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_model.tokenizer()


@pytest.mark.parametrize("text", [CORNERS, "", " ", "  兩個空格  ", "\ufffd", "𠮷野家"])
def test_the_tokenizer_loses_nothing(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text


def test_one_token_a_character(tokenizer):
    text = "玉山是臺灣最高的山，海拔3952公尺。"
    assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == len(text)


def test_a_seed_gives_the_same_weights(tiny, tmp_path):
    weights = (Path(tiny) / "model.safetensors").read_bytes()
    assert len(weights) < 4 * 600_000, "float32"
    for seed, same in ((1234, True), (1235, False)):
        tiny_model.make(tmp_path, seed)
        assert ((tmp_path / "model.safetensors").read_bytes() == weights) == same

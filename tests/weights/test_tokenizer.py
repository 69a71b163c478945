"""The embedded models' tokenizers and weights against llama.cpp, whose answers are in llama_cpp.json (ask_llama_cpp.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from etlch.errors import EtlchError
from etlch.records import read_records
from etlch.weights import gguf_file, make, sources, tokenizer
from etlch.weights import recipe as recipes

MODELS = ("gemma3-270m", "smollm2-135m")
CHAT = {
    "gemma3-270m": ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
    "smollm2-135m": ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
}
FLOAT32, QUANTIZED = 980, 920  # of 1,000
CANNOT = "▁"  # stands for a blank in Gemma's own tokenizer, so it comes back as one


@pytest.fixture(scope="module")
def answers():
    """What llama.cpp said: texts, and by model ids and most likely next tokens."""
    return json.loads(Path(__file__).with_name("llama_cpp.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def recipe(root):
    """The recipe of a model by name."""
    return lambda model: recipes.find(model, root / "models")


@pytest.fixture(scope="module")
def vocabulary(recipe):
    """The whole vocabulary of a model, out of its package; made once."""
    made = {}

    def read(model: str) -> tokenizer.Vocabulary:
        if model not in made:
            try:  # the metadata is all in the first part
                path = next(sources.parts(recipe(model).gguf.sources[0]))
            except EtlchError as error:
                pytest.skip(str(error))
            made[model] = tokenizer.read(gguf_file.read_metadata(path), path)
        return made[model]

    return read


@pytest.fixture(scope="module")
def built(vocabulary):
    """The tokenizer with the whole vocabulary; made once."""
    made = {}

    def build(model: str):
        if model not in made:
            made[model] = tokenizer.build(vocabulary(model))
        return made[model]

    return build


@pytest.fixture(scope="module")
def cut(vocabulary, recipe):
    """Gemma's vocabulary as its recipe cuts it: the tokenizer, and the old id of each new one."""
    whole = vocabulary("gemma3-270m")
    found, kept = tokenizer.keep(whole, make.wanted(whole, recipe("gemma3-270m").keep))
    return tokenizer.build(found), kept


class TestWhole:
    @pytest.mark.parametrize("model", MODELS)
    def test_ids_are_those_of_llama_cpp(self, model, answers, built):
        assert len(answers["texts"]) == len(answers[model]["ids"]) == 500
        different = [
            (kind, text, found, wanted)
            for (kind, text), wanted in zip(answers["texts"], answers[model]["ids"], strict=True)
            if (found := built(model).encode(text)) != wanted
        ]
        assert not different, f"{len(different)} of 500: {different[:3]}"

    @pytest.mark.parametrize("model", MODELS)
    def test_the_answers_are_about_the_file_of_the_recipe(self, model, answers, recipe):
        assert answers[model]["sha256"] == recipe(model).gguf.sha256

    def test_what_is_not_a_chat_token_is_text(self, built):
        tokens = built("smollm2-135m").tokenize("<start_of_turn>")
        assert "".join(tokens) == "<start_of_turn>" and len(tokens) > 1

    @pytest.mark.parametrize("model", MODELS)
    def test_the_most_likely_token_is_that_of_llama_cpp(self, model, answers, recipe, tmp_path):
        """At 1,000 places, in float32, of the weights that are written. llama.cpp was asked twice: with the tensors in float32, where
        it computes as we do, and with the file as it is, where it multiplies 4 bits with 8 and decides near ties otherwise."""
        import torch

        try:
            path = sources.fetch(recipe(model), tmp_path / "joined.gguf")
        except EtlchError as error:
            pytest.skip(str(error))
        tokens = len(tokenizer.read(gguf_file.read_metadata(path), path).tokens)
        gguf_file.copy_without_tokenizer(path, tmp_path / "tensors.gguf")
        network = make.load(tmp_path / "tensors.gguf", tokens).float().eval()
        found, wanted = [], {"float32": [], "quantized": []}
        for row in answers[model]["next"]:
            places = len(row["float32"])
            ids = torch.tensor([answers[model]["ids"][row["text"]][: row["first"] + places - 1]])
            with torch.inference_mode():
                found += network(ids, logits_to_keep=places).logits[0].argmax(-1).tolist()
            for kind, given in wanted.items():
                given += row[kind]
        same = {kind: sum(a == b for a, b in zip(found, given, strict=True)) for kind, given in wanted.items()}
        print(f"{model}: most likely tokens that are llama.cpp's, of {len(found)}: {same}")
        assert len(found) == 1000
        assert same["float32"] >= FLOAT32 and same["quantized"] >= QUANTIZED


class TestCut:
    @pytest.mark.parametrize("model", MODELS)
    def test_every_text_comes_back(self, model, answers, built, request):
        made = request.getfixturevalue("cut")[0] if model == "gemma3-270m" else built(model)
        for kind, text in answers["texts"]:
            ids = made.encode(text, add_special_tokens=False)
            back = made.decode(ids, skip_special_tokens=False)
            assert back == (text.replace(CANNOT, " ") if model == "gemma3-270m" else text), (kind, text)

    def test_chat_tokens_are_single_and_special(self, cut, built):
        for made, model in ((cut[0], "gemma3-270m"), (built("smollm2-135m"), "smollm2-135m")):
            for token in CHAT[model]:
                assert made.tokenize(token) == [token]
                assert made.decode(made.encode(token, add_special_tokens=False), skip_special_tokens=True) == ""

    def test_ids_mean_the_tokens_they_meant(self, cut, vocabulary):
        names = cut[0].convert_ids_to_tokens(range(len(cut[1])))
        assert names == [vocabulary("gemma3-270m").tokens[number] for number in cut[1]]

    def test_chinese_articles_keep_their_tokens(self, cut, built, root):
        """At least 99% of the whole vocabulary's tokens of the training articles are tokens with the cut one, too."""
        whole, kept = built("gemma3-270m"), 0
        total = 0
        for record in read_records(root / "data" / "etlch" / "train.jsonl"):
            before, after = (
                made(record.text, return_offsets_mapping=True)["offset_mapping"][1:] for made in (whole, cut[0])
            )
            kept += len(set(before) & set(after))
            total += len(set(before))
        print(f"{kept} of {total} tokens ({kept / total:.2%})")
        assert kept >= 0.99 * total

"""Under the grammar every answer is JSON of its shape, whatever the model wants and wherever the token limit falls."""

import json
import random

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from etlch.errors import EtlchError
from etlch.infer import decode
from etlch.infer.grammar import LONGEST_KEY, MOST_CHARACTERS, MOST_ITEMS, MOST_KEYS, Grammar, Vocabulary, lark
from etlch.infer.shapes import Shape, shape_of
from etlch.records import Record
from etlch.tasks import load_card

SHAPES = {
    "fields": Shape(("人物", "Größe \U0001f40b", 'a"], "b": ["c'), optional=False),
    "labels": Shape(("時間", "人", "人物", "[x]"), optional=True),
    "open": Shape(),
    "plain": None,
}
# what a large vocabulary has: marks glued together, whole keys with their quotes, halves of characters
GLUED = [
    '": ["',
    '", "',
    '"], "',
    '"]}',
    '{"',
    '"a": [',
    '"人',
    '人": [',
    "人物",
    'a"',
    '"a"',
    '\\"',
    '": []',
    "]}",
    ", ",
]


@pytest.fixture(scope="module")
def characters(tiny):
    """A character a token, bytes for the others."""
    return AutoTokenizer.from_pretrained(tiny)


@pytest.fixture(scope="module")
def pairs():
    """A byte-level BPE tokenizer, as Llama 3 and Qwen have, with many tokens that cross the marks of JSON."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    made.train_from_iterator([mark * 3 for mark in GLUED] + ["人物人名地名時間ab"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<s>")


@pytest.fixture(scope="module", params=["characters", "pairs"])
def tokenizer(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def vocabulary(tokenizer):
    return Vocabulary(tokenizer, tokenizer.eos_token_id)


def written(vocabulary, shape, most, scores_of) -> tuple[bytes, bool]:
    """What a model with these scores writes, and whether it ended with the stop token."""
    grammar = Grammar(vocabulary, [shape], most)
    grammar.start(0, [])
    data = b""
    for step in range(most):
        scores = scores_of(step)[None]
        grammar.apply([0], scores)
        token = int(scores[0].argmax())
        assert scores[0, token] > float("-inf"), f"no way out of {data!r}"
        grammar.took(0, token)
        if token == vocabulary.stop:
            return data, True
        data += vocabulary.bytes[token]
    return data, False


def assert_of_shape(data: bytes, shape: Shape) -> dict:
    text = data.decode()
    found = json.loads(text, object_pairs_hook=list)
    keys = [key for key, _ in found]
    value = dict(found)
    assert text == json.dumps(value, ensure_ascii=False)
    assert len(keys) == len(set(keys)), "a key twice"
    if shape.keys:
        assert keys == [key for key in shape.keys if key in keys or not shape.optional]
    assert len(keys) <= max(MOST_KEYS, len(shape.keys))
    for key, values in found:
        assert 0 < len(key) <= max(LONGEST_KEY, *map(len, shape.keys), 1)
        assert len(values) <= MOST_ITEMS
        assert all(isinstance(v, str) and 0 < len(v) <= MOST_CHARACTERS for v in values)
    return value


@pytest.mark.parametrize("name", ["fields", "labels", "open"])
def test_random_models_write_the_shape_under_every_limit(vocabulary, name):
    draw = random.Random(name)
    for number in range(100):
        rare = torch.randn(vocabulary.size, generator=torch.Generator().manual_seed(number))
        marks = [n for n, data in enumerate(vocabulary.bytes) if set(data) & set(b'"[]{},: \\ab\xe4') and len(data) < 9]
        rare[marks] += draw.choice([0, 2, 5])
        noise = torch.Generator().manual_seed(number)
        most = draw.randrange(56, 130)
        data, ended = written(
            vocabulary,
            SHAPES[name],
            most,
            lambda _: rare + torch.randn(vocabulary.size, generator=noise),  # noqa: B023
        )
        assert ended, (number, most, data)
        assert_of_shape(data, SHAPES[name])


def wanting(vocabulary, *texts: str):
    """Scores of a model that wants, above all, to go on writing this text over and over."""
    tokens = [token for text in texts for token in vocabulary.spell(text.encode())]

    def scores(step):
        wanted = torch.zeros(vocabulary.size)
        wanted[vocabulary.stop] = -1
        wanted[tokens[step % len(tokens)]] = 9
        return wanted

    return scores


def test_every_limit_around_the_length_of_an_answer_does(vocabulary):
    whole = '{"人": ["b", "人物"], "人物": []}'
    length = len(vocabulary.spell(whole.encode())) + 1
    for most in range(3, length + 30):
        data, ended = written(vocabulary, SHAPES["labels"], most, wanting(vocabulary, whole))
        assert ended
        assert_of_shape(data, SHAPES["labels"])
    assert data.decode() == whole


def test_a_model_that_repeats_a_key_cannot(vocabulary):
    data, ended = written(vocabulary, SHAPES["open"], 300, wanting(vocabulary, '{"a": ["b"], "a": ["b"], "a": ["b"]'))
    assert ended
    assert next(iter(assert_of_shape(data, SHAPES["open"]))) == "a"


def test_a_key_as_long_as_it_may_be_leaves_a_way_out(vocabulary):
    key = "人" * LONGEST_KEY
    data, ended = written(vocabulary, SHAPES["open"], 900, wanting(vocabulary, f'{{"{key}": [], "{key}": [], '))
    assert ended
    assert key in assert_of_shape(data, SHAPES["open"])


def test_an_endless_string_is_ended_and_an_endless_list_closed(vocabulary):
    most = 500 * 3
    data, ended = written(vocabulary, SHAPES["open"], most, lambda _: wanting(vocabulary, "哈")(0))
    assert ended
    assert_of_shape(data, SHAPES["open"])
    data, ended = written(vocabulary, Shape(("a",), False), 5000, wanting(vocabulary, '{"a": ["', *['b", "'] * 9000))
    assert ended
    assert len(assert_of_shape(data, Shape(("a",), False))["a"]) == MOST_ITEMS


def test_what_the_gold_answers_look_like_may_be_written(vocabulary, root):
    """Every gold answer is in its own grammar, so a trained model is never bent."""
    import llguidance

    for name in ("json", "ner"):
        card = load_card(root / "tasks" / f"{name}.yaml")
        lines = (root / card.test).read_text(encoding="utf-8").splitlines()
        for line in lines[:: len(lines) // 10]:
            row = json.loads(line)
            fields = row.get("fields", {})
            entities = [(e["text"], e["type"]) for e in row["entities"]]
            answer = (
                fields
                if name == "json"
                else {k: list(dict.fromkeys(t for t, o in entities if o == k)) for _, k in entities}
            )
            record = Record(id="x", text="", fields=fields)
            matcher = llguidance.LLMatcher(vocabulary.wrapped, lark(shape_of(card.format, card.keys(record))))
            tokens = vocabulary.spell(json.dumps(answer, ensure_ascii=False).encode())
            assert matcher.validate_tokens([*tokens, vocabulary.stop]) == len(tokens) + 1


def test_the_least_limit_is_demanded(vocabulary):
    with pytest.raises(EtlchError, match=r"max_new_tokens: 3 .expected at least \d+, the shortest answer"):
        Grammar(vocabulary, [SHAPES["fields"]], 3).start(0, [])
    assert written(vocabulary, SHAPES["open"], 3, lambda _: torch.zeros(vocabulary.size))[1]


def test_kge_has_no_shape(root):
    assert shape_of(load_card(root / "tasks" / "kge.yaml").format, ()) is None


def test_rows_of_a_batch_have_their_own_shapes(tiny, characters):
    """A model under the grammar, 24 random prompts, with and without a shape, at limits that cut: all are valid and the plain
    ones are what they are without any grammar."""
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    vocabulary = Vocabulary(characters, characters.eos_token_id)
    draw = random.Random(5)
    prompts = [[0, *(draw.randrange(300, len(characters)) for _ in range(draw.randrange(5, 60)))] for _ in range(24)]
    shapes = list(SHAPES.values()) * 6
    stops, pad = frozenset([characters.eos_token_id]), characters.pad_token_id

    def answers(*processors):
        made = decode.greedy(model, prompts, stops, pad, 60, processors, most_rows=10)
        return {answer.row: answer for answer in made}

    grammar = Grammar(vocabulary, shapes, 60)
    free, shaped = answers(), answers(grammar)
    for row, shape in enumerate(shapes):
        if shape is None:
            assert shaped[row].tokens == free[row].tokens
        else:
            assert shaped[row].ended
            assert_of_shape(characters.decode(shaped[row].tokens).encode(), shape)
    assert grammar.forced <= {row for row, shape in enumerate(shapes) if shape}

"""Under the grammar every answer is JSON of its shape, whatever the model wants and wherever the token limit falls."""

import json
import random
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from etlch.infer import decode
from etlch.infer.grammar import (
    LONGEST_KEY,
    MOST_CHARACTERS,
    MOST_ITEMS,
    Grammar,
    Vocabulary,
    completed,
)
from etlch.infer.loading import Prompt
from etlch.infer.local import LocalEngine
from etlch.infer.repeats import Reviser
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


def size_and_bytes(vocabulary) -> tuple[int, list[bytes]]:
    wrapped = vocabulary.wrapped
    special = wrapped.is_special_token
    return wrapped.vocab_size, [b"" if special(n) else wrapped.decode_bytes([n]) for n in range(wrapped.vocab_size)]


def spelled(vocabulary, text: str) -> list[int]:
    """Tokens with these bytes, each the longest there is."""
    tokens = {data: number for number, data in enumerate(size_and_bytes(vocabulary)[1]) if data}
    found, data = [], text.encode()
    while data:
        piece = next(data[:size] for size in range(len(data), 0, -1) if data[:size] in tokens)
        found.append(tokens[piece])
        data = data[len(piece) :]
    return found


def written(vocabulary, stop: int, shape, most, scores_of) -> tuple[str, bool]:
    """What a model with these scores writes, completed where it is cut, and whether it ended with the stop token."""
    grammar, row, pieces = Grammar(vocabulary, [shape]), decode.Slot(0, []), size_and_bytes(vocabulary)[1]
    for step in range(most):
        scores = scores_of(step)[None]
        grammar([row], scores)
        token = int(scores[0].argmax())
        assert scores[0, token] > float("-inf"), f"no way out after {row.tokens!r}"
        if token == stop:
            return b"".join(pieces[n] for n in row.tokens).decode(), True
        row.tokens.append(token)
    return completed(b"".join(pieces[n] for n in row.tokens).decode("utf-8", "replace"), shape), False


def assert_of_shape(text: str, shape: Shape, once: bool = True) -> dict:
    found = json.loads(text, object_pairs_hook=list)
    keys = [key for key, _ in found]
    value = dict(found)
    if once:
        assert len(keys) == len(set(keys)), "a key twice"
        assert text == json.dumps(value, ensure_ascii=False)
    if shape.keys:
        assert keys == [key for key in shape.keys if key in keys or not shape.optional]
    for key, values in found:
        assert 0 < len(key) <= max(LONGEST_KEY, *map(len, shape.keys), 1)
        assert len(values) <= MOST_ITEMS
        assert all(isinstance(v, str) and 0 < len(v) <= MOST_CHARACTERS for v in values)
    return value


@pytest.mark.parametrize("name", ["fields", "labels", "open"])
def test_random_models_write_the_shape_under_every_limit(vocabulary, tokenizer, name):
    draw = random.Random(name)
    size, pieces = size_and_bytes(vocabulary)
    cut = 0
    for number in range(100):
        rare = torch.randn(size, generator=torch.Generator().manual_seed(number))
        marks = [n for n, data in enumerate(pieces) if set(data) & set(b'"[]{},: \\ab\xe4') and len(data) < 9]
        rare[marks] += draw.choice([0, 2, 5])
        noise = torch.Generator().manual_seed(number)
        text, ended = written(
            vocabulary,
            tokenizer.eos_token_id,
            SHAPES[name],
            draw.randrange(1, 130),
            lambda _: rare + torch.randn(size, generator=noise),  # noqa: B023
        )
        assert_of_shape(text, SHAPES[name], once=name != "open")
        cut += not ended
    assert cut > 10, "some were to be cut"


def wanting(vocabulary, stop: int, *texts: str):
    """Scores of a model that wants, above all, to go on writing this text over and over."""
    tokens = [token for text in texts for token in spelled(vocabulary, text)]

    def scores(step):
        wanted = torch.zeros(vocabulary.wrapped.vocab_size)
        wanted[stop] = -1
        wanted[tokens[step % len(tokens)]] = 9
        return wanted

    return scores


def test_every_limit_around_the_length_of_an_answer_does(vocabulary, tokenizer):
    whole, stop = '{"人": ["b", "人物"], "人物": []}', tokenizer.eos_token_id
    length = len(spelled(vocabulary, whole)) + 1
    for most in range(length + 30):
        text, ended = written(vocabulary, stop, SHAPES["labels"], most, wanting(vocabulary, stop, whole))
        found = assert_of_shape(text, SHAPES["labels"])
        assert ended == (most >= length)
        assert set(found.get("人", [])) <= {"b", "人物"}, "no half value"
    assert text == whole


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        ("", SHAPES["fields"], {"人物": [], "Größe \U0001f40b": [], 'a"], "b": ["c': []}),
        ('{"人物": ["甲", "乙\ufffd', SHAPES["fields"], {"人物": ["甲"], "Größe \U0001f40b": [], 'a"], "b": ["c': []}),
        ('{"人物": ["甲"], "Grö', SHAPES["labels"], {"人物": ["甲"]}),
        ('{"人物": ["甲"], "[x]": ["\\"", "b\\', SHAPES["labels"], {"人物": ["甲"], "[x]": ['"']}),
        ('{"a": ["b"], "c": [], "a": ["d"', SHAPES["open"], {"a": ["b", "d"], "c": []}),
        ('{"a"', SHAPES["open"], {}),
        ('{"a": [', SHAPES["open"], {"a": []}),
    ],
)
def test_a_cut_answer_is_completed_without_what_was_cut(text, shape, expected):
    assert completed(text, shape) == json.dumps(expected, ensure_ascii=False)


def test_an_endless_string_is_ended_and_an_endless_list_closed(vocabulary, tokenizer):
    stop = tokenizer.eos_token_id
    text, _ = written(vocabulary, stop, SHAPES["open"], 1500, lambda _: wanting(vocabulary, stop, "哈")(0))
    assert_of_shape(text, SHAPES["open"], once=False)
    shape = Shape(("a",), False)
    text, ended = written(vocabulary, stop, shape, 5000, wanting(vocabulary, stop, '{"a": ["', *['b", "'] * 9000))
    assert ended
    assert len(assert_of_shape(text, shape)["a"]) == MOST_ITEMS


def test_what_the_gold_answers_look_like_may_be_written(vocabulary, tokenizer, root):
    """Every gold answer is in its own grammar, so a trained model is never bent."""
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
            matcher = vocabulary.matcher(shape_of(card.format, card.keys(record)))
            text = json.dumps(answer, ensure_ascii=False)
            tokens = spelled(vocabulary, text)
            assert matcher.validate_tokens([*tokens, tokenizer.eos_token_id]) == len(tokens) + 1
            assert completed(text, shape_of(card.format, card.keys(record))) == text


def test_kge_has_no_shape(root):
    assert shape_of(load_card(root / "tasks" / "kge.yaml").format, ()) is None


def test_rows_of_a_batch_have_their_own_shapes(tiny, characters):
    """A model under the grammar, 24 random prompts, with and without a shape, at limits that cut: all are valid, no key comes
    twice, and the plain ones are what they are without any grammar."""
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    vocabulary = Vocabulary(characters, characters.eos_token_id)
    draw = random.Random(5)
    prompts = [[0, *(draw.randrange(300, len(characters)) for _ in range(draw.randrange(5, 60)))] for _ in range(24)]
    shapes = list(SHAPES.values()) * 6
    stops, pad = frozenset([characters.eos_token_id]), characters.pad_token_id
    reviser = Reviser(lambda text: characters(text, add_special_tokens=False)["input_ids"], characters.decode)

    def answers(*processors):
        made = decode.greedy(model, prompts, stops, pad, 60, processors, most_rows=10, revise=reviser)
        return {answer.row: answer for answer in made}

    free, shaped = answers(), answers(Grammar(vocabulary, shapes))
    for row, shape in enumerate(shapes):
        if shape is None:
            assert shaped[row].tokens == free[row].tokens
        else:
            text = characters.decode(shaped[row].tokens)
            assert_of_shape(text if shaped[row].ended else completed(text, shape), shape)


def test_an_open_key_that_comes_twice_ends_the_answer(tiny, characters):
    """Whatever the model wants, with the rule for repetitions that answers are given under."""
    text, stop = '{"a": ["b"], "a": ["b"], ', characters.eos_token_id
    vocabulary, following = Vocabulary(characters, stop), characters(text * 9, add_special_tokens=False)["input_ids"]

    def wish(rows, scores):
        scores.zero_()
        scores[0, following[len(rows[0].tokens)]] = 9

    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    reviser = Reviser(lambda said: characters(said, add_special_tokens=False)["input_ids"], characters.decode)
    processors = [wish, Grammar(vocabulary, [SHAPES["open"]])]
    [answer] = decode.greedy(model, [[0]], frozenset([stop]), 2, 90, processors, revise=reviser)
    assert answer.ended and characters.decode(answer.tokens) == '{"a": ["b"]}'


def test_the_engine_completes_what_the_token_limit_cuts(tiny, characters):
    stop = characters.eos_token_id
    loaded = SimpleNamespace(
        config={"max_new_tokens": 5},
        tokenizer=characters,
        model=AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval(),
        stops=frozenset([stop]),
        text=lambda tokens: characters.decode(tokens, skip_special_tokens=True),
    )
    shape = SHAPES["fields"]
    [made] = LocalEngine(loaded).answers([(7, Prompt((0, 400, 401), "x", shape=shape))])
    assert (made.row, made.ended, made.tokens) == (7, False, 5)
    assert list(assert_of_shape(made.answer, shape)) == list(shape.keys)

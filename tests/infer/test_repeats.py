"""Answers that say a thing again end there, and what is right loses nothing."""

import json

import pytest

from etlch.formats import FORMATS, Schema
from etlch.infer.decode import LOOP, is_loop
from etlch.infer.repeats import Reviser, revised
from etlch.records import read_records


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": ["x", "y", "x"', ('{"a": ["x", "y"]', False)),
        ('{"a": ["x"], "b": ["x"', None),  # another list
        ('{"a": ["x"], "a"', ('{"a": ["x"]}', True)),
        ('{"a": ["\\"x\\"", "x"', None),  # a quotation mark of the value
        ('{"a": ["[x", "]", "[x"', ('{"a": ["[x", "]"]', False)),  # brackets of a value
        ('{"a": [{"t": "x"}, {"t"', None),  # a list of objects may say its keys again
        ('["x", "x"', None),  # no object: another format
        ("【h】\na－b－c\nd－e－f\na－b－c\n", ("【h】\na－b－c\nd－e－f", True)),
        ("a－b－c\nd－e－f\n", None),
        ("word\nword\n", None),  # no triples
        ("", None),
    ],
)
def test_an_answer_ends_before_it_says_a_thing_again(text, expected):
    assert revised(text) == expected


@pytest.mark.parametrize("name", ["json_entities", "json_fields", "triple_lines"])
def test_no_gold_answer_is_changed(name, root):
    """Looked at after each character, as a tokenizer of characters would have it."""
    for record in list(read_records(root / "data/etlch/test.jsonl"))[:40]:
        schema = Schema(tuple(record.fields)) if name == "json_fields" else Schema()
        answer = FORMATS[name].render(record, schema)
        assert not any(revised(answer[:end]) for end in range(len(answer) + 1) if answer[end - 1 : end] in ('"', "\n"))


def test_tokens_are_looked_at_only_where_a_piece_may_have_ended():
    decoded = []

    def decode(tokens):
        decoded.append(len(tokens))
        return "".join(map(chr, tokens))

    reviser = Reviser(lambda text: list(map(ord, text)), decode)
    text = '{"a": ["xyz", "xyz"'
    found = [reviser(list(map(ord, text[:end]))) for end in range(1, len(text) + 1)]
    assert [f for f in found if f] == [(list(map(ord, '{"a": ["xyz"]')), False)]
    assert json.loads("".join(map(chr, found[-1][0])) + "}") == {"a": ["xyz"]}
    assert sum(length > 1 for length in decoded) == text.count('"')


def test_a_loop_is_the_same_few_tokens_again_and_again():
    assert is_loop([1, 2, 3] * LOOP)
    assert is_loop([*range(500), *[7] * LOOP])
    assert not is_loop([1, 2, 3] * (LOOP // 3 - 1))  # too short to tell
    assert not is_loop(list(range(LOOP)))
    assert not is_loop([*[7] * (LOOP - 1), 8])


def test_a_list_is_closed_and_the_answer_goes_on(tmp_path):
    """A model that would say one value for ever: the list is closed before the second, the rest is the model's."""
    from types import SimpleNamespace

    import torch

    from etlch.infer import decode

    text = '{"a": ["xy", "xy", "xy", "xy", "xy"]}'
    following = {text[:n]: text[n] for n in range(len(text))} | {'{"a": ["xy"]': "}"}

    class Scripted:
        """Says the text one character after another, whatever its length; reads its own row from the cache's mask."""

        config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(num_hidden_layers=0))
        device = torch.device("cpu")

        def __init__(self):
            self.fed = []

        def __call__(self, input_ids, attention_mask, **_):
            self.fed += [0] * (attention_mask.shape[1] - len(self.fed) - input_ids.shape[1]) + input_ids[0].tolist()
            said = "".join(
                chr(t) for t, seen in zip(self.fed, attention_mask[0].tolist(), strict=True) if seen and t != 1
            )
            scores = torch.zeros(1, 1, 256)
            scores[0, 0, ord(following[said]) if said in following else 2] = 1.0
            return SimpleNamespace(logits=scores)

    reviser = Reviser(lambda s: list(map(ord, s)), lambda tokens: "".join(map(chr, tokens)))
    [answer] = decode.greedy(Scripted(), [[1]], frozenset([2]), 0, 60, revise=reviser)
    assert "".join(map(chr, answer.tokens)) == '{"a": ["xy"]}'
    assert answer.ended

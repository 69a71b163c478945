"""Greedy decoding with rows that come and go gives what transformers' own `generate` gives, token for token."""

import random
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, LogitsProcessor, LogitsProcessorList

from etlch.infer import decode
from etlch.infer.penalty import Penalty

PAD, END = 2, 6


@pytest.fixture(scope="module")
def model(tiny):
    return AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def erratic():
    """A tiny model with large random weights: its answers wander, so that they end at all lengths."""
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.6,
        pad_token_id=PAD,
        bos_token_id=0,
        eos_token_id=END,
    )
    return LlamaForCausalLM(config).eval()


def ragged_prompts(count: int, vocabulary: int, seed: int = 7) -> list[list[int]]:
    """Prompts of 1 to 90 tokens; every third repeats itself, so that there is something to copy."""
    draw = random.Random(seed)
    prompts = []
    for number in range(count):
        ids = [0, *(draw.randrange(END + 1, vocabulary) for _ in range(draw.randrange(90)))]
        prompts.append(ids * 2 if number % 3 == 0 else ids)
    return prompts


def generated(
    model, prompt: list[int], length: int, stops: frozenset[int], penalty: float = 1.0, more: tuple = ()
) -> list[int]:
    made = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=length,
        eos_token_id=sorted(stops),
        pad_token_id=PAD,
        repetition_penalty=penalty,
        logits_processor=LogitsProcessorList(more),
    )
    tokens = made[0, len(prompt) :].tolist()
    return tokens[:-1] if tokens and tokens[-1] in stops else tokens


WANDERING, LENGTH, STOPS = ragged_prompts(24, 64), 40, frozenset([END, 11, 12])


@pytest.fixture(scope="module")
def wandered(erratic):
    """The answers of `generate` to WANDERING, each prompt alone."""
    return [generated(erratic, prompt, LENGTH, STOPS) for prompt in WANDERING]


@pytest.mark.parametrize(("most_rows", "budget"), [(64, 65_536), (5, 65_536), (1, 65_536), (8, 900), (8, 1)], ids=str)
def test_answers_are_those_of_generate(erratic, wandered, monkeypatch, most_rows, budget):
    monkeypatch.setattr(decode, "BLOCK", 8)  # so that caches grow and join often
    answers = list(decode.greedy(erratic, WANDERING, STOPS, PAD, LENGTH, (), budget, most_rows))
    assert {answer.row: answer.tokens for answer in answers} == dict(enumerate(wandered))
    assert len(answers) == len(wandered)
    assert all(answer.ended == (len(answer.tokens) < LENGTH) for answer in answers)
    assert len(set(map(len, wandered))) > 8, "rows were to end at different times"


def test_answers_of_a_loaded_model_are_those_of_generate(model):
    prompts, stops = ragged_prompts(7, model.config.vocab_size), frozenset([END])
    for answer in decode.greedy(model, prompts, stops, PAD, 30, most_rows=3):
        assert answer.tokens == generated(model, prompts[answer.row], 30, stops), answer.row


class Counted(LogitsProcessor):
    """The definition of OpenAI's frequency_penalty, spelled out for `generate`."""

    def __init__(self, penalty: float, prompt: int) -> None:
        self.penalty, self.prompt = penalty, prompt

    def __call__(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        said = ids[:, self.prompt :]
        return scores - self.penalty * torch.zeros_like(scores).scatter_add_(1, said, torch.ones(said.shape))


# the processor, and what `generate` is told for a prompt of so many tokens
PENALTIES = {
    "repetition": (Penalty(repetition=1.7), lambda prompt: {"penalty": 1.7}),
    "frequency": (Penalty(frequency=0.7), lambda prompt: {"more": [Counted(0.7, prompt)]}),
    "both": (Penalty(1.7, 0.7), lambda prompt: {"penalty": 1.7, "more": [Counted(0.7, prompt)]}),
}


@pytest.mark.parametrize(("processor", "told"), PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize("most_rows", [64, 3])
def test_penalties_are_those_of_generate(erratic, most_rows, processor, told):
    prompts, length, stops = ragged_prompts(8, 64), 30, frozenset([END])
    answers = list(decode.greedy(erratic, prompts, stops, PAD, length, [processor], most_rows=most_rows))
    plain = 0
    for answer in answers:
        prompt = prompts[answer.row]
        assert answer.tokens == generated(erratic, prompt, length, stops, **told(len(prompt)))
        plain += answer.tokens == generated(erratic, prompt, length, stops)
    assert plain < len(prompts), "the penalty was to change something"


def test_no_prompt_no_answer():
    assert list(decode.greedy(SimpleNamespace(), [], frozenset([END]), PAD, 5)) == []


def test_processors_see_what_every_row_has_said(erratic):
    seen = []

    def look(rows, scores):
        assert len(rows) == scores.shape[0]
        seen.extend((row.row, list(row.prompt), list(row.tokens)) for row in rows if row is not None)

    prompts = ragged_prompts(5, 64)
    answers = {a.row: a for a in decode.greedy(erratic, prompts, frozenset([END]), PAD, 7, [look], most_rows=2)}
    for row, prompt in enumerate(prompts):
        tokens = answers[row].tokens
        steps = len(tokens) + answers[row].ended
        assert [told for told in seen if told[0] == row] == [(row, prompt, tokens[:step]) for step in range(steps)]

"""Grouped attention gives what PyTorch's own gives with keys and values repeated for each head."""

import pytest
import torch

from etlch.infer import attention


@pytest.mark.parametrize(("heads", "groups"), [(4, 1), (9, 3), (8, 8)])
@pytest.mark.parametrize("masked", [True, False])
def test_one_query_a_row(heads, groups, masked):
    torch.manual_seed(7)
    rows, positions, size = 5, 37, 16
    query = torch.randn(rows, heads, 1, size)
    buffer = torch.randn(2, rows, groups, positions + 11, size)
    key, value = (part[:, :, :positions] for part in buffer)  # views of a cache with room to grow
    mask = torch.rand(rows, 1, 1, positions) > 0.3
    mask[..., -1] = True
    repeated = [part.repeat_interleave(heads // groups, dim=1) for part in (key, value)]
    expected = torch.nn.functional.scaled_dot_product_attention(query, *repeated, attn_mask=mask if masked else None)
    found = attention.grouped(query, key, value, mask if masked else None, None)
    assert found.shape == (rows, 1, heads, size)
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["gemma3", "llama"])
def test_a_model_gives_the_same_scores(kind):
    """A small random model with grouped heads (Gemma's layers see a window only), rows of different lengths, three steps."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig, LlamaConfig, LlamaForCausalLM

    from etlch.infer.decode import Batch, Slot

    shared = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2 if kind == "llama" else 1,
        "head_dim": 8,
        "pad_token_id": 0,
    }
    torch.manual_seed(3)
    if kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**shared)).eval()
    else:
        layers = ["sliding_attention", "full_attention"]
        model = Gemma3ForCausalLM(Gemma3TextConfig(**shared, sliding_window=4, layer_types=layers)).eval()
    prompts = [[5, 6, 7, 8, 9, 10, 11], [12, 13, 14]]

    def scores():
        batch = Batch(model, 0)
        found = [batch.add([Slot(row, prompt) for row, prompt in enumerate(prompts)])]
        found += [batch.step([20 + step, 30 + step]) for step in range(3)]
        return torch.stack(found)

    before = scores()
    attention.use(model)
    assert model.config._attn_implementation == attention.NAME
    torch.testing.assert_close(scores(), before, rtol=1e-4, atol=1e-5)


def test_what_a_row_forgets_it_has_not_said():
    """After three tokens are forgotten the scores are those of a row that never said them; the other row does not notice."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from etlch.infer.decode import Batch, Slot

    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    )
    model = LlamaForCausalLM(config).eval()
    prompts = [[5, 6, 7, 8, 9], [12, 13, 14]]
    plain, changed = Batch(model, 0), Batch(model, 0)
    for batch in (plain, changed):
        batch.add([Slot(row, prompt) for row, prompt in enumerate(prompts)])
        batch.step([20, 30])
    for token in (21, 22, 23):
        changed.step([token, 33])
        plain.step([40, 33])
    changed.forget(0, 3)
    alone = Batch(model, 0)
    alone.add([Slot(0, [*prompts[0], 20])])
    found = changed.step([50, 34])
    torch.testing.assert_close(found[:1], alone.step([50]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1:], plain.step([41, 34])[1:], rtol=1e-4, atol=1e-5)

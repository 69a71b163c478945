"""Attention for decoding on a CPU: one query a row against a long cache, without a copy of the cache for every group of heads.

With grouped query heads (Gemma: four to one, SmolLM2: three to one) and a mask, transformers' `sdpa` first repeats keys and values
for each head. For a batch that decodes one token a row this copy is most of a step.
"""

from __future__ import annotations

import torch

NAME = "etlch_grouped"


def use(model) -> None:
    """Let a model on the CPU attend this way; a model whose attention is not one of transformers' common ones stays as it is."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    config = model.config.get_text_config()
    if model.device.type != "cpu" or config._attn_implementation not in ("sdpa", "eager"):
        return

    def attend(module, query, key, value, attention_mask, scaling=None, **rest):
        if query.shape[2] > 1:
            return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **rest)
        return grouped(query, key, value, attention_mask, scaling), None

    ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def grouped(query, key, value, mask: torch.Tensor | None, scaling: float | None) -> torch.Tensor:
    """softmax(q k / scale + mask) v for one query a row; returns (rows, 1, heads, size).

    query: (rows, heads, 1, size); key, value: (rows, groups, positions, size); mask: (rows, 1, 1, positions), true where a
    position may be seen; None: all may.
    """
    rows, heads, _, size = query.shape
    groups = key.shape[1]
    scores = query.view(rows, groups, heads // groups, size) @ key.transpose(2, 3)
    scores *= size**-0.5 if scaling is None else scaling
    if mask is not None:
        scores.masked_fill_(~mask, float("-inf"))
    shares = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
    return (shares @ value).reshape(rows, 1, heads, size)

"""A language model of random weights, made in a second: what the tests train and answer with, since none needs knowledge."""

from __future__ import annotations

from pathlib import Path

SPECIAL = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|finetune_right_pad_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
)
FREQUENT = "".join(  # the first plane of Big5: 5,401 Chinese characters in use in Taiwan
    bytes((lead, trail)).decode("big5", "ignore")
    for lead in range(0xA4, 0xC7)
    for trail in (*range(0x40, 0x7F), *range(0xA1, 0xFF))
    if (lead, trail) <= (0xC6, 0x7E)
)
PUNCTUATION = "，。、：；！？「」『』（）《》－—…・"


def tokenizer():
    """One token a frequent character, three bytes or so for any other; nothing is lost, and `template: llama3` fits."""
    from tokenizers import AddedToken, Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    latin = "\t\n" + "".join(map(chr, range(0x20, 0x7F)))
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys(latin + PUNCTUATION + FREQUENT)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, fuse_unk=False))
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|finetune_right_pad_id|>",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def make(folder: Path, seed: int = 1234) -> None:
    """Write a Llama of two layers, about half a million parameters, with its tokenizer; the same bytes for the same seed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer()
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        initializer_range=0.15,  # large, or LoRA, which leaves the embeddings as they are, could prefer no token to another
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)

"""A GGUF file of random weights and a few hundred tokens, its recipe, and a package that carries it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import yaml

WIDTH, INNER, HEADS = 64, 96, 2
CHAT = ("<start_of_turn>", "<end_of_turn>")
WORDS = ("th", "the", "▁the", "王", "國", "王國", "國王", "王國王", "ab", "cd", "abcd")
NORMAL, CONTROL, USER_DEFINED, BYTE = 1, 3, 4, 6


def sentencepiece() -> dict:
    """Tokens of the kind `llama`: control tokens, runs of line ends, bytes, characters, words; the best score first."""
    rows = [(token, CONTROL) for token in ("<pad>", "<eos>", "<bos>", "<unk>", "<unused0>", *CHAT)]
    rows += [("\n" * size, USER_DEFINED) for size in (1, 2)]
    rows += [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]
    rows += [(word, NORMAL) for word in WORDS]
    rows += [(letter, NORMAL) for letter in "▁abcdehtu。，"]
    return {"model": "llama", "tokens": [row[0] for row in rows], "types": [row[1] for row in rows]}


def byte_level() -> dict:
    """Tokens of the kind `gpt2`: control tokens and the 256 letters that stand for bytes; no merges but two."""
    from tokenizers.pre_tokenizers import ByteLevel

    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet()), "Ġt", "Ġth"]
    types = [CONTROL] * 3 + [NORMAL] * (len(tokens) - 3)
    return {"model": "gpt2", "pre": "smollm", "tokens": tokens, "types": types, "merges": ["Ġ t", "Ġt h"]}


def write(
    path: Path, vocabulary: dict | None = None, architecture: str = "llama", seed: int = 1
) -> dict[str, np.ndarray]:
    """Write the file; weights are of type Q8_0, as most are in a real one. Returns what they were before."""
    import gguf

    vocabulary = vocabulary or sentencepiece()
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    for key, value in (
        ("block_count", 1),
        ("context_length", 128),
        ("embedding_length", WIDTH),
        ("feed_forward_length", INNER),
        ("attention.head_count", HEADS),
        ("attention.head_count_kv", HEADS),
        ("rope.dimension_count", WIDTH // HEADS),
    ):
        writer.add_uint32(f"{architecture}.{key}", value)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    _add_vocabulary(writer, vocabulary)
    tensors = dict(_tensors(rng, len(vocabulary["tokens"])))
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, values in tensors.items():
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


def _add_vocabulary(writer, vocabulary: dict) -> None:
    writer.add_tokenizer_model(vocabulary["model"])
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["types"])
    if vocabulary["model"] == "llama":
        writer.add_add_space_prefix(vocabulary.get("space", False))
        writer.add_token_scores([-float(number) for number in range(len(vocabulary["tokens"]))])
        special = {"padding": 0, "eos": 1, "bos": 2, "unknown": 3}
    else:
        writer.add_tokenizer_pre(vocabulary["pre"])
        writer.add_token_merges(vocabulary["merges"])
        special = {"bos": 1, "eos": 2, "padding": 2, "unknown": 0}
    for name, number in special.items():
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", number)


def _tensors(rng: np.random.Generator, tokens: int):
    shapes = {"token_embd": (tokens, WIDTH), "output_norm": (WIDTH,)}
    shapes |= {"blk.0.attn_norm": (WIDTH,), "blk.0.ffn_norm": (WIDTH,)}
    shapes |= {f"blk.0.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
    shapes |= {"blk.0.ffn_gate": (INNER, WIDTH), "blk.0.ffn_up": (INNER, WIDTH), "blk.0.ffn_down": (WIDTH, INNER)}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape, dtype=np.float32)
        yield f"{name}.weight", np.abs(values) if len(shape) == 1 else values


def recipe(folder: Path, data: bytes, sources: list[dict], **changes) -> Path:
    """Write `folder/model.yaml` for a file of these bytes; a change of None takes a key away."""
    row = {
        "title": "Tiny",
        "licence": "CC0-1.0",
        "terms": "https://creativecommons.org/publicdomain/zero/1.0/",
        "template": "gemma",
        "gguf": {"sha256": hashlib.sha256(data).hexdigest(), "sources": sources},
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.yaml"
    row = {key: value for key, value in row.items() if value is not None}
    path.write_text(yaml.safe_dump(row, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def package(site: Path, name: str, version: str, files: dict[str, bytes]) -> None:
    """What pip leaves of a package, in a folder that stands on sys.path."""
    module = name.replace("-", "_")
    info = site / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    for path, data in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(data)

"""The tokenizer of a GGUF file, built from the file's own metadata.

`AutoTokenizer.from_pretrained(gguf_file=...)` of transformers 5.5 guesses the kind from the architecture and is wrong without a
word for both embedded models: SmolLM2 becomes a Llama tokenizer, Gemma loses its merges. What is built here gives the ids that
llama.cpp gives (tests/weights/llama_cpp.json holds its answers).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from etlch.errors import EtlchError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # tokenizer.ggml.token_type
BLANK = "▁"
_KIND, _PRE, _SPACE = "tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.add_space_prefix"
KNOWN = "llama (SentencePiece), or gpt2 with the pre-tokenizer smollm"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A tokenizer as data. `tokens` and `types` by id; `merges` in order of rank; `special` has bos, eos, pad, unk by name."""

    kind: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[tuple[str, str], ...]
    special: dict[str, str]
    bos_first: bool
    chat_template: str | None = None


def read(metadata: Mapping[str, Any], path: Path) -> Vocabulary:
    """The vocabulary in the metadata of the GGUF file at `path`. Raises EtlchError for a kind that is not known."""
    kind, pre = str(metadata.get(_KIND)), str(metadata.get(_PRE, ""))
    if kind not in ("llama", "gpt2") or (kind == "gpt2" and pre != "smollm"):
        found = kind + (f" with the pre-tokenizer {pre}" if kind == "gpt2" else "")
        raise EtlchError(
            f"{path}: {_KIND}: found {found} (expected {KNOWN}; another model: its hub name as model_name_or_path)"
        )
    if kind == "llama" and metadata.get(_SPACE, True):
        raise EtlchError(f"{path}: {_SPACE}: found true (expected false; no such tokenizer has been proved here)")
    tokens = tuple(metadata["tokenizer.ggml.tokens"])
    types = tuple(int(value) for value in metadata["tokenizer.ggml.token_type"])
    if kind == "gpt2":
        merges = tuple(tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"])
    else:
        merges = tuple(_merges_of(tokens, types, metadata["tokenizer.ggml.scores"]))
    names = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    numbers = {name: metadata.get(f"tokenizer.ggml.{known}_token_id") for name, known in names.items()}
    special = {name: tokens[int(number)] for name, number in numbers.items() if number is not None}
    bos_first = bool(metadata.get("tokenizer.ggml.add_bos_token", kind == "llama"))
    return Vocabulary(kind, tokens, types, merges, special, bos_first, metadata.get("tokenizer.chat_template"))


def _merges_of(tokens: Sequence[str], types: Sequence[int], scores: Sequence[float]) -> Iterator[tuple[str, str]]:
    """The merges that a SentencePiece file does not spell out: every way to cut a token in two tokens, best score first."""
    normal = {token for token, kind in zip(tokens, types, strict=True) if kind == NORMAL}
    order = sorted(
        (number for number, kind in enumerate(types) if kind == NORMAL), key=lambda number: (-scores[number], number)
    )
    for number in order:
        token = tokens[number]
        for cut in range(1, len(token)):
            if token[:cut] in normal and token[cut:] in normal:
                yield token[:cut], token[cut:]


def build(vocabulary: Vocabulary):
    """The `PreTrainedTokenizerFast` of a vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {token: number for number, token in enumerate(vocabulary.tokens)}
    if vocabulary.kind == "llama":
        options = {"byte_fallback": True, "fuse_unk": True, "unk_token": vocabulary.special.get("unk_token")}
        made = Tokenizer(models.BPE(ids, list(vocabulary.merges), **options))
        made.normalizer = normalizers.Replace(" ", BLANK)
        made.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()])
    else:
        made = Tokenizer(models.BPE(ids, list(vocabulary.merges)))
        digits, letters = (
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        )
        made.pre_tokenizer = pre_tokenizers.Sequence([digits, letters])
        made.decoder = decoders.ByteLevel()
    typed = list(zip(vocabulary.tokens, vocabulary.types, strict=True))
    # control tokens are special (left out of decoded text); user-defined ones are taken whole but are text
    special = [token for token, kind in typed if kind in (CONTROL, UNKNOWN)]
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    made.add_tokens([AddedToken(token, normalized=False) for token, kind in typed if kind == USER_DEFINED])
    if vocabulary.bos_first:
        bos = vocabulary.special["bos_token"]
        made.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, ids[bos])]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=made, clean_up_tokenization_spaces=False, **vocabulary.special)
    fast.chat_template = vocabulary.chat_template
    return fast


def keep(vocabulary: Vocabulary, wanted: set[int]) -> tuple[Vocabulary, list[int]]:
    """The vocabulary cut to the wanted ids and what they are made of; returns it and the old id of each new one.

    A token is made of those through which its merges go: without them it could not be reached."""
    number_of = {token: number for number, token in enumerate(vocabulary.tokens)}
    rank = {merge: number for number, merge in enumerate(vocabulary.merges)}
    found = set(wanted)
    for number in wanted:
        if vocabulary.types[number] == NORMAL:
            found.update(number_of[part] for part in _path(vocabulary.tokens[number], rank))
    kept = sorted(found)
    tokens = tuple(vocabulary.tokens[number] for number in kept)
    types = tuple(vocabulary.types[number] for number in kept)
    known = set(tokens)
    merges = tuple(merge for merge in vocabulary.merges if known.issuperset((*merge, "".join(merge))))
    return replace(vocabulary, tokens=tokens, types=types, merges=merges), kept


def _path(token: str, rank: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """Every token that byte-pair merging passes through on the way to this one."""
    parts = list(token)
    while len(parts) > 1:
        best = min(range(len(parts) - 1), key=lambda i: rank.get((parts[i], parts[i + 1]), len(rank)))
        if (parts[best], parts[best + 1]) not in rank:
            return
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
        yield parts[best]

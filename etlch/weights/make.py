"""Weights as LlamaFactory reads them: a GGUF file taken apart once, its vocabulary cut, written aside and renamed.

What is written is a function of the recipe, so it is made again only when the recipe says something else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from etlch.errors import EtlchError
from etlch.records import write_text
from etlch.weights import recipe as recipes
from etlch.weights import sources, tokenizer
from etlch.weights.recipe import Keep, Recipe

MADE = "made.json"  # in weights/: the fingerprint of the recipe that it was made by
_ROOM = 1.6e9  # bytes: the file, the folder beside it, and some

Say = Callable[[str], None]


def _say(line: str) -> None:
    """Standard output belongs to what was asked for."""
    print(line, file=sys.stderr, flush=True)


def ensure(model: str, say: Say = _say) -> str:
    """`models/<name>/weights` made where it is missing or of an older recipe; any other model is left as it is.

    Returns the model's path or name. Raises EtlchError when it cannot be made.
    """
    path = Path(model)
    if path.name == recipes.WEIGHTS and (path.parent / recipes.RECIPE).is_file():
        return make(recipes.read(path.parent / recipes.RECIPE), say=say).as_posix()
    return model


def is_made(recipe: Recipe) -> bool:
    """Are the weights there, and of this recipe?"""
    try:
        found = json.loads((recipe.weights / MADE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("fingerprint") == recipe.fingerprint


def make(recipe: Recipe, force: bool = False, say: Say = _say) -> Path:
    """Make the weights of a recipe unless they are there; returns their folder.

    Two at once wait for one another; one that was killed leaves nothing that counts. Raises EtlchError for a source that
    fails, a file that cannot be converted and a disk that is full.
    """
    if is_made(recipe) and not force:
        return recipe.weights
    with _alone(recipe.folder, say):
        if is_made(recipe) and not force:  # by the one that was waited for
            return recipe.weights
        _sweep(recipe.folder)
        if shutil.disk_usage(recipe.folder).free < _ROOM:
            raise EtlchError(f"{recipe.folder}: the disk is nearly full (expected {_ROOM / 1e9:.1f} GB free)")
        aside = recipe.folder / f".{recipes.WEIGHTS}.tmp"
        began = time.monotonic()
        try:
            aside.mkdir()
            _write(recipe, aside, say)
            write_text(aside / MADE, json.dumps({"fingerprint": recipe.fingerprint, "title": recipe.title}) + "\n")
            shutil.rmtree(recipe.weights, ignore_errors=True)
            aside.rename(recipe.weights)
        except OSError as error:
            raise EtlchError(f"{recipe.weights}: cannot be written ({error.strerror or error})") from None
        finally:
            _sweep(recipe.folder)
        say(f"{recipe.weights}: made in {time.monotonic() - began:.0f} s. {recipe.licence}: {recipe.terms}")
    return recipe.weights


@contextlib.contextmanager
def _alone(folder: Path, say: Say) -> Iterator[None]:
    """One conversion of a model at a time, over processes; the lock goes with the process that holds it."""
    try:
        file = (folder / f".{recipes.WEIGHTS}.lock").open("w")
    except OSError as error:
        raise EtlchError(f"{folder}: cannot be written ({error.strerror or error})") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(f"{folder}: another process is making the weights; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sweep(folder: Path) -> None:
    """Take away what a killed conversion left."""
    shutil.rmtree(folder / f".{recipes.WEIGHTS}.tmp", ignore_errors=True)


def _write(recipe: Recipe, folder: Path, say: Say) -> None:
    if recipe.model:
        say(f"{recipe.title}: from the hub, {recipe.model}")
        _download(recipe.model, folder)
        return
    say(f"{recipe.title}: {sources.told(recipe.sources[:1])}; read, checked and converted once, about a minute")
    joined = folder / "joined.gguf"
    path = sources.fetch(recipe, joined)
    convert(path, recipe.keep, folder, say)
    joined.unlink(missing_ok=True)


def _download(model: str, folder: Path) -> None:
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(model, local_dir=folder, ignore_patterns=["*.gguf", "*.pth", "original/*"])
    except Exception as error:  # the hub's library raises whatever its libraries raise
        from etlch import launch

        said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise EtlchError(f"model: {model}: {launch.advice(said) or said}") from None


def convert(path: Path, keep: Keep | None, folder: Path, say: Say = _say) -> None:
    """A GGUF file -> config.json, model.safetensors (bfloat16), tokenizer files, in an existing folder.

    Raises EtlchError for a file that is no GGUF, and for an architecture or a tokenizer that is not known.
    """
    metadata = read_metadata(path)
    _demand_architecture(path, str(metadata.get("general.architecture")))
    vocabulary = tokenizer.read(metadata)
    if keep:
        before = len(vocabulary.tokens)
        vocabulary, kept = tokenizer.keep(vocabulary, wanted(vocabulary, keep))
        say(f"vocabulary: {len(kept):,} of {before:,} tokens kept")
    model = _load(path)
    if keep:
        _cut_embedding(model, kept)
    numbers = {name: vocabulary.tokens.index(token) for name, token in vocabulary.special.items()}
    for name in ("bos", "eos", "pad"):
        for config in (model.config, model.generation_config):
            setattr(config, f"{name}_token_id", numbers.get(f"{name}_token"))
    model.save_pretrained(folder)
    tokenizer.build(vocabulary).save_pretrained(folder)


def read_metadata(path: Path) -> dict:
    """The key-value part of a GGUF file. Raises EtlchError for a file that is none."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(path)
        return {key: field.contents() for key, field in reader.fields.items()}
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise EtlchError(f"{path}: no GGUF file, or cut ({' '.join(str(error).split())[:120]})") from None


def _demand_architecture(path: Path, architecture: str) -> None:
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    if architecture not in GGUF_SUPPORTED_ARCHITECTURES:
        known = ", ".join(sorted(GGUF_SUPPORTED_ARCHITECTURES))
        raise EtlchError(f"{path}: architecture {architecture!r} cannot be converted (transformers knows {known})")


def _load(path: Path):
    import torch
    from transformers import AutoModelForCausalLM

    with _quiet():
        return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.bfloat16)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings about a tokenizer that is not used."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _cut_embedding(model, kept: list[int]) -> None:
    """Keep the rows of these tokens, of the output matrix as well where it is one of its own."""
    matrices = [model.get_input_embeddings(), model.get_output_embeddings()]
    rows = [matrix.weight.data[kept].clone() for matrix in matrices]
    model.resize_token_embeddings(len(kept), mean_resizing=False)
    for matrix, values in zip((model.get_input_embeddings(), model.get_output_embeddings()), rows, strict=True):
        matrix.weight.data.copy_(values)


def wanted(vocabulary: tokenizer.Vocabulary, keep: Keep) -> set[int]:
    """The ids that a recipe keeps, before those that they are made of are added."""
    found: set[int] = set()
    ascii_tokens = 0
    for number, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=True)):
        if kind != tokenizer.NORMAL:
            if not token.startswith("<unused"):
                found.add(number)
        elif len(token) == 1 or (keep.han and all(map(_is_han, token))):
            found.add(number)
        elif ascii_tokens < keep.ascii and token.replace(tokenizer.BLANK, "").isascii():
            ascii_tokens += 1
            found.add(number)
    return found


def _is_han(character: str) -> bool:
    """A Chinese character, or a sign that Chinese text has between them."""
    return "\u3400" <= character <= "\u9fff" or "\u3000" <= character <= "\u301f" or "\uff00" <= character <= "\uff60"

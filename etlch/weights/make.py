"""Weights as LlamaFactory reads them: a GGUF file taken apart once, its vocabulary cut, written aside and renamed.

What is written is a function of the recipe, so it is made again only when the recipe says something else.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from etlch.errors import EtlchError
from etlch.records import write_text
from etlch.weights import gguf_file, sources, tokenizer
from etlch.weights import recipe as recipes
from etlch.weights.recipe import Keep, Recipe

MADE = "made.json"  # in weights/: the fingerprint of the recipe that it was made by
_ROOM = 5  # bytes free on the disk for each byte of a file: a copy of it, and 16 bits for each of its 4.5


def _say(line: str) -> None:
    """Standard output belongs to what was asked for."""
    print(line, file=sys.stderr, flush=True)


def ensure(model: str) -> str:
    """`models/<name>/weights` made where it is missing or of an older recipe; any other model is left as it is.

    Returns the model's path or name. Raises EtlchError when it cannot be made.
    """
    path = Path(model)
    if path.name == recipes.WEIGHTS and (path.parent / recipes.RECIPE).is_file():
        return make(recipes.read(path.parent / recipes.RECIPE)).as_posix()
    return model


def is_made(recipe: Recipe) -> bool:
    """Are the weights there, and of this recipe?"""
    try:
        found = json.loads((recipe.weights / MADE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("fingerprint") == recipe.fingerprint


def make(recipe: Recipe, force: bool = False) -> Path:
    """Make the weights of a recipe unless they are there; returns their folder.

    Two at once wait for one another; one that was killed leaves nothing that counts. Raises EtlchError for a source that
    fails, a file that cannot be converted and a disk that is full.
    """
    if is_made(recipe) and not force:
        return recipe.weights
    aside = recipe.folder / f".{recipes.WEIGHTS}.tmp"
    try:
        with _alone(recipe.folder):
            if is_made(recipe) and not force:  # by the one that was waited for
                return recipe.weights
            shutil.rmtree(aside, ignore_errors=True)  # what a killed conversion left
            began = time.monotonic()
            try:
                aside.mkdir()
                _write(recipe, aside)
                write_text(aside / MADE, json.dumps({"fingerprint": recipe.fingerprint, "title": recipe.title}) + "\n")
                shutil.rmtree(recipe.weights, ignore_errors=True)
                aside.rename(recipe.weights)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            _say(f"{recipe.weights}: made in {time.monotonic() - began:.0f} s. {recipe.licence}: {recipe.terms}")
    except OSError as error:
        raise EtlchError(f"{recipe.weights}: cannot be written ({error.strerror or error})") from None
    return recipe.weights


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One conversion of a model at a time, over processes; the lock goes with the process that holds it."""
    with (folder / f".{recipes.WEIGHTS}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _say(f"{folder}: another process is making the weights; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(recipe: Recipe, folder: Path) -> None:
    """The recipe's GGUF file -> config.json, model.safetensors (bfloat16), tokenizer files, in an existing folder.

    Raises EtlchError for a file that is no GGUF, for an architecture or a tokenizer that is not known, and where the folder
    cannot be written.
    """
    _say(f"{recipe.title}: {recipe.gguf.sources[0]}; read, checked and converted once, half a minute")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path, tensors = sources.fetch(recipe, Path(scratch) / "joined.gguf"), Path(scratch) / "tensors.gguf"
        free, wanted_free = shutil.disk_usage(folder).free, _ROOM * path.stat().st_size
        if free < wanted_free:
            expected = f"{free / 1e9:.1f} GB free on the disk (expected {wanted_free / 1e9:.1f})"
            raise EtlchError(f"{recipe.folder}: {expected}")
        vocabulary = tokenizer.read(gguf_file.read_metadata(path), path)
        before, kept = len(vocabulary.tokens), None
        if recipe.keep:
            vocabulary, kept = tokenizer.keep(vocabulary, wanted(vocabulary, recipe.keep))
            _say(f"vocabulary: {len(kept):,} of {before:,} tokens kept")
        gguf_file.copy_without_tokenizer(path, tensors)
        try:
            model = load(tensors, before)
        except Exception as error:  # transformers raises whatever a file of another kind leads it to
            raise EtlchError(f"{path}: transformers cannot convert it ({_said(error)})") from error
    if kept:
        matrices = (model.get_input_embeddings(), model.get_output_embeddings())  # the second may be the first
        rows = [matrix.weight.data[kept].clone() for matrix in matrices]
        model.resize_token_embeddings(len(kept), mean_resizing=False)
        for matrix, values in zip((model.get_input_embeddings(), model.get_output_embeddings()), rows, strict=True):
            matrix.weight.data.copy_(values)
    for name in ("bos", "eos", "pad"):
        token = vocabulary.special.get(f"{name}_token")
        for config in (model.config, model.generation_config):
            setattr(config, f"{name}_token_id", None if token is None else vocabulary.tokens.index(token))
    made = tokenizer.build(vocabulary)
    try:
        with _quiet():
            model.save_pretrained(folder)
            made.save_pretrained(folder)
    except Exception as error:  # a full disk is no OSError in safetensors and tokenizers, whose writers are in Rust
        raise EtlchError(f"{folder}: cannot be written ({_said(error)})") from error


def load(tensors: Path, tokens: int):
    """The model of a GGUF file without its tokenizer, in bfloat16; transformers would count the tokens there."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    place = {"pretrained_model_name_or_path": tensors.parent, "gguf_file": tensors.name}
    with _quiet():
        config = AutoConfig.from_pretrained(**place, vocab_size=tokens)
        return AutoModelForCausalLM.from_pretrained(**place, config=config, dtype=torch.bfloat16)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """None of transformers' bars, one a step, and no advice about a file that is read here for the only time."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(before)


def wanted(vocabulary: tokenizer.Vocabulary, keep: Keep) -> set[int]:
    """The ids that a recipe keeps, before those that they are made of are added."""
    found: set[int] = set()
    ascii_left = keep.ascii
    for number, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.types, strict=True)):
        if kind != tokenizer.NORMAL:
            kept = not token.startswith("<unused")
        elif not (kept := len(token) == 1 or (keep.han and all(map(_is_han, token)))):
            kept = ascii_left > 0 and token.replace(tokenizer.BLANK, "").isascii()
            ascii_left -= kept
        if kept:
            found.add(number)
    return found


def _is_han(character: str) -> bool:
    """A Chinese character, or a sign that Chinese text has between them."""
    return "\u3400" <= character <= "\u9fff" or "\u3000" <= character <= "\u301f" or "\uff00" <= character <= "\uff60"

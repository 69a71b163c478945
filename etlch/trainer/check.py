"""`etlch check`: read a LlamaFactory config before its run costs hours.

Looks for unknown keys, datasets that are not there, a template that does not fit the model, settings that contradict the
machine, and, with the model's own tokenizer, every example that `cutoff_len` or `max_new_tokens` would cut.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from etlch import machine
from etlch.errors import EtlchError
from etlch.trainer import configs
from etlch.trainer.configs import Config
from etlch.weights import make

DEFAULT_CUTOFF, DEFAULT_NEW_TOKENS = 2048, 1024
# a chat token in the vocabulary -> the templates that use it
_CHAT_TOKENS = {
    "<|start_header_id|>": ("llama3",),
    "<|im_start|>": ("qwen", "qwen3", "qwen3_nothink", "chatml", "chatml_de", "ernie", "smollm"),
    "<start_of_turn>": ("gemma", "gemma2", "gemma3"),
}


@dataclass(slots=True)
class Lengths:
    """Token counts of one dataset, and what LlamaFactory would not read of it.

    cut: the ids of the rows that would lose something. lost, short: the number of a row (from 1) -> its turns (a question
    with its answer) of which no answer would be left, and those that would be shortened. dropped: the numbers of the rows that would be
    left out whole, since they have no answer or their turns do not alternate.
    """

    name: str
    rows: int
    prompt_max: int = 0
    answer_max: int = 0
    total_max: int = 0
    cut: list[str] = field(default_factory=list)
    lost: dict[int, int] = field(default_factory=dict)
    short: dict[int, int] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Checked:
    """What `check` found: `problems` must be mended, `notes` should be known."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lengths: list[Lengths] = field(default_factory=list)


def check(path: str | Path, overrides: list[str], tokenizer: str | None = None) -> Checked:
    """Check one config. Raises EtlchError only when the file itself cannot be read."""
    config = configs.read(path, overrides)
    found = Checked()
    found.problems += unknown_keys(config)
    found.problems += contradictions(config)
    try:
        files = configs.dataset_files(config)
    except EtlchError as error:
        found.problems.append(str(error))
        files = {}
    adapter = config.get("adapter_name_or_path")
    if adapter and not (Path(str(adapter)) / "adapter_config.json").is_file():
        found.notes.append(f"adapter_name_or_path: no adapter in {adapter} yet; train it before you predict")
    model = str(config.get("model_name_or_path") or "")
    if not model:
        found.problems.append("model_name_or_path: missing")
        return found
    if config.get("use_cpu") and config.get("bf16") and not machine.has_bf16():
        found.notes.append("bf16: this CPU does not multiply bfloat16 by itself; bf16=false is faster on it")
    loaded = _load_tokenizer(tokenizer or make.ensure(model), found)
    found.problems += template_problems(config, model, loaded)
    if loaded is not None and not found.problems:
        for name, file in files.items():
            found.lengths.append(measure(config, name, configs.rows_of(file), loaded))
    for lengths in found.lengths:
        if lengths.cut:
            found.problems.append(_cut_message(config, lengths))
        if lengths.dropped:
            what = f"{len(lengths.dropped)} of {lengths.rows} rows would be dropped (no answer, or turns that do not alternate)"
            found.problems.append(f"{lengths.name}: {what}; the first is row {lengths.dropped[0]}")
    return found


def unknown_keys(config: Config) -> Iterator[str]:
    """Keys that LlamaFactory does not know, with the nearest ones that it does."""
    known = _known_keys()
    for key in config:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=2)
            yield f"{key}: unknown key" + (f" (did you mean {' or '.join(close)}?)" if close else "")


def _known_keys() -> set[str]:
    from llamafactory.hparams import (
        DataArguments,
        FinetuningArguments,
        GeneratingArguments,
        ModelArguments,
        TrainingArguments,
    )

    groups = (ModelArguments, DataArguments, TrainingArguments, FinetuningArguments, GeneratingArguments)
    return {f.name for group in groups for f in fields(group)}


def contradictions(config: Config) -> Iterator[str]:
    """Values that LlamaFactory would misread or refuse only after loading the model."""
    for key in ("learning_rate", "max_grad_norm", "lora_dropout"):
        if isinstance(config.get(key), str):
            yield f"{key}: found the text {config[key]!r} (expected a number; YAML reads 1e-7 as text, write 1.0e-7)"
    if isinstance(config.get("save_strategy"), bool) or isinstance(config.get("eval_strategy"), bool):
        yield 'save_strategy, eval_strategy: found a boolean (expected "no" in quotes)'
    if config.get("val_size") and config.get("eval_dataset"):
        yield "val_size and eval_dataset: LlamaFactory takes one of them (expected training and prediction in separate files)"
    if config.get("do_predict") and not config.get("predict_with_generate"):
        yield "do_predict: wants predict_with_generate: true to write answers"
    if config.get("do_predict") and config.get("do_sample") is not False:
        yield "do_sample: found nothing or true (expected false: LlamaFactory samples by default, at temperature 0.95)"
    if not config.get("output_dir"):
        yield "output_dir: missing"


def template_problems(config: Config, model: str, tokenizer: Any) -> Iterator[str]:
    """A template that LlamaFactory does not have, or that does not belong to the model."""
    from llamafactory.data.template import TEMPLATES
    from llamafactory.extras.constants import DEFAULT_TEMPLATE, SUPPORTED_MODELS

    template = config.get("template")
    if not template:
        yield "template: missing (expected for example llama3 or qwen)"
        return
    if template not in TEMPLATES:
        close = difflib.get_close_matches(str(template), TEMPLATES, n=3)
        yield f"template: found {template!r} (expected one of LlamaFactory's, perhaps {', '.join(close) or 'llama3, qwen'})"
        return
    expected = {
        DEFAULT_TEMPLATE[name]
        for name, places in SUPPORTED_MODELS.items()
        if model in places.values() and name in DEFAULT_TEMPLATE
    }
    if expected and template not in expected:
        yield f"template: found {template!r} for {model} (expected {' or '.join(sorted(expected))})"
    elif tokenizer is not None and not expected:
        vocabulary = tokenizer.get_vocab()
        for token, templates in _CHAT_TOKENS.items():
            if token in vocabulary and template not in templates:
                yield f"template: found {template!r}, but the tokenizer of {model} has {token} (expected {' or '.join(templates)})"


def measure(config: Config, name: str, rows: list[dict[str, Any]], tokenizer: Any) -> Lengths:
    """Token counts of a dataset under a config's template, as LlamaFactory 0.9.5 makes them (data/processor/supervised.py for
    training, unsupervised.py for prediction, which takes all turns but the last answer as one prompt)."""
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.data.template import TEMPLATES

    dataset = get_dataset_list([name], str(config.get("dataset_dir") or "data"))[0]
    converted = get_dataset_converter(dataset.formatting, dataset, None)
    template = TEMPLATES[config["template"]]
    cutoff = int(config.get("cutoff_len") or DEFAULT_CUTOFF)
    predicts, last_first = bool(config.get("do_predict")), bool(config.get("mask_history"))
    new_tokens = int(config.get("max_new_tokens") or DEFAULT_NEW_TOKENS) if predicts else cutoff
    columns = [column for column in vars(dataset).values() if isinstance(column, str)]
    lengths = Lengths(name, len(rows))
    for number, row in enumerate(rows, start=1):
        said = converted(dict.fromkeys(columns) | row)
        messages, system = said["_prompt"] + said["_response"], said["_system"] or config.get("default_system")
        if len(messages) % 2 or not said["_response"]:
            lengths.dropped.append(number)
            continue
        if predicts:
            pairs = [template.encode_oneturn(tokenizer, messages, system, said["_tools"])]
        else:
            pairs = template.encode_multiturn(
                tokenizer, messages, system, said["_tools"], last_first and not template.preserve_thinking
            )
        asked, answered = ([len(pair[part]) for pair in pairs] for part in (0, 1))
        lengths.prompt_max = max(lengths.prompt_max, sum(asked))
        lengths.answer_max = max(lengths.answer_max, *answered)
        lengths.total_max = max(lengths.total_max, sum(asked) + sum(answered))
        turns = list(zip(asked, answered, strict=True))
        lost, short = left_out(turns[::-1] if last_first else turns, cutoff, template.efficient_eos)
        lengths.lost |= {number: lost} if lost else {}
        lengths.short |= {number: short} if short else {}
        if lost or short or answered[-1] > new_tokens:
            lengths.cut.append(str(row.get("id", f"row {number}")))
    return lengths


def left_out(turns: list[tuple[int, int]], cutoff: int, efficient_eos: bool = False) -> tuple[int, int]:
    """How many turns of (question, answer) tokens lose their whole answer in LlamaFactory, and how many others are shortened: it
    fills `cutoff` from the first turn and leaves out what comes when that is full."""
    from llamafactory.data.processor.processor_utils import infer_seqlen

    used, lost, short = int(efficient_eos), 0, 0
    for asked, answered in turns:
        kept = infer_seqlen(asked, answered, cutoff - used) if used < cutoff else (0, 0)
        lost += kept[1] == 0
        short += kept[1] > 0 and kept != (asked, answered)
        used += sum(kept)
    return lost, short


def _cut_message(config: Config, lengths: Lengths) -> str:
    limits = f"cutoff_len {config.get('cutoff_len', DEFAULT_CUTOFF)}"
    if config.get("do_predict"):
        limits += f", max_new_tokens {config.get('max_new_tokens', DEFAULT_NEW_TOKENS)}"
    shown = ", ".join(lengths.cut[:5]) + (" ..." if len(lengths.cut) > 5 else "")
    turns = "".join(
        f"; {what} turns: {sum(rows.values())} in {len(rows)} rows (the first is row {min(rows)})"
        for what, rows in (("lost", lengths.lost), ("cut", lengths.short))
        if rows
    )
    return (
        f"{lengths.name}: {len(lengths.cut)} of {lengths.rows} examples would be cut ({limits}; the longest needs "
        f"{lengths.total_max} tokens, its answer at most {lengths.answer_max}): {shown}{turns}"
    )


def _load_tokenizer(name: str, found: Checked) -> Any:
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    try:
        return AutoTokenizer.from_pretrained(name)
    except Exception as error:  # gated, offline, misspelt: the rest of the check is still worth having
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        found.notes.append(
            f"lengths were not checked: the tokenizer of {name} could not be loaded ({reason}). Log in with `hf auth login` for "
            "a gated model, or name another tokenizer with --tokenizer"
        )
        return None


def render(path: str | Path, found: Checked) -> str:
    """The findings as text for a terminal."""
    lines = [f"{path}"]
    if found.lengths:
        width = max(len(item.name) for item in found.lengths)
        lines.append(f"  {'dataset':<{width}}  rows  prompt  answer  together  cut  lost turns   (tokens, the longest)")
    for item in found.lengths:
        counts = f"{item.rows:>4}  {item.prompt_max:>6}  {item.answer_max:>6}  {item.total_max:>8}  {len(item.cut):>3}"
        lines.append(f"  {item.name:<{width}}  {counts}  {sum(item.lost.values()):>10}")
    lines += [f"  note: {note}" for note in found.notes]
    lines += [f"  problem: {problem}" for problem in found.problems]
    if not found.problems:
        lines.append("  ok")
    return "\n".join(lines)

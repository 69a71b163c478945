"""The model, the tokenizer and the prompts of a config, through LlamaFactory's own loaders.

Prompts are LlamaFactory's, token for token: they come out of the same code that its training and its predict use. Every
engine is given them, so that engines differ in speed only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from etlch.errors import EtlchError
from etlch.infer.shapes import Shape
from etlch.infer.turns import Turn, turns_of
from etlch.trainer import configs, launch
from etlch.trainer.configs import Config
from etlch.weights import make

OURS = ("frequency_penalty", "stop_loops")  # settings of the engines here that LlamaFactory does not know


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked: token ids, the same as text (special tokens spelled out), and LlamaFactory's gold label.

    shape: what the answer has to be, where it is to be constrained. turns: what is said in it, for a server that applies its
    own template.
    """

    ids: tuple[int, ...]
    text: str
    label: str = ""
    turns: tuple[Turn, ...] = ()
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """An answer to prompt number `row`. seconds: since the run began, over all its starts."""

    row: int
    answer: str
    tokens: int
    ended: bool
    seconds: float = 0.0


@contextlib.contextmanager
def _advice() -> Iterator[None]:
    """Turn a failure of LlamaFactory's into one EtlchError that says what to do."""
    try:
        yield
    except EtlchError:
        raise
    except Exception as error:  # it raises whatever its libraries raise
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise EtlchError(launch.advice(said) or f"the model cannot be loaded ({said})") from error


class Loaded:
    """A config's parts, each made when it is first wanted: the tokenizer in a second, the model in many.

    Raises EtlchError when a part cannot be loaded, with advice where the cause is known.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        os.environ.setdefault("LLAMAFACTORY_VERBOSITY", "WARN")  # read when LlamaFactory is imported
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    @cached_property
    @_advice()
    def arguments(self) -> tuple[Any, ...]:
        """LlamaFactory's five argument objects: model, data, training, finetuning, generating."""
        make.ensure(str(self.config.get("model_name_or_path") or ""))
        from llamafactory.hparams import get_train_args

        return get_train_args({key: value for key, value in self.config.items() if key not in OURS})

    @cached_property
    @_advice()
    def tokenizer(self):
        from llamafactory.model import load_tokenizer

        return load_tokenizer(self.arguments[0])["tokenizer"]

    @cached_property
    @_advice()
    def template(self):
        from llamafactory.data import get_template_and_fix_tokenizer

        return get_template_and_fix_tokenizer(self.tokenizer, self.arguments[1])

    @cached_property
    @_advice()
    def model(self):
        """The model with its adapter, in evaluation mode."""
        from llamafactory.model import load_model

        from etlch.infer import attention

        self.template  # noqa: B018 - adds the template's tokens before the model is fitted to them
        model = load_model(self.tokenizer, self.arguments[0], self.arguments[3], is_trainable=False).eval()
        attention.use(model)
        return model

    @property
    def stops(self) -> frozenset[int]:
        """The tokens that end an answer, as in LlamaFactory's predict."""
        spelled = list(getattr(self.tokenizer, "_extra_special_tokens", None) or [])
        extra = self.tokenizer.convert_tokens_to_ids([str(token) for token in spelled]) if spelled else []
        return frozenset([self.tokenizer.eos_token_id, *(token for token in extra if token != -1)])

    def prompts(self) -> list[Prompt]:
        """The prompts of the config's test sets, in LlamaFactory's order."""
        with _advice():
            from llamafactory.data import get_dataset

            model, data, training, *_ = self.arguments
            made = get_dataset(
                self.template, model, data, training, stage="sft", tokenizer=self.tokenizer, processor=None
            )
        rows = made["eval_dataset"]
        ids, labels = list(rows["input_ids"]), list(rows["labels"])
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=False)
        labels = self.tokenizer.batch_decode(labels, skip_special_tokens=True)
        said = list(self._turns())
        if len(said) != len(ids):
            raise EtlchError(
                f"{self.config.get('eval_dataset')}: LlamaFactory made {len(ids)} prompts (expected {len(said)}, one a "
                "row; it drops rows that it cannot read)"
            )
        return [Prompt(tuple(i), *rest) for i, *rest in zip(ids, texts, labels, said, strict=True)]

    def _turns(self) -> Iterator[tuple[Turn, ...]]:
        """What is said in each prompt."""
        files, known = configs.dataset_files(self.config), configs.registry(self.config)
        for name in configs.names(self.config.get("eval_dataset")):
            rows = islice(configs.rows_of(files[name]), self.config.get("max_samples"))
            for number, row in enumerate(rows, start=1):
                try:
                    yield self._with_system(turns_of(row, known[name]))
                except EtlchError as error:
                    raise EtlchError(f"{files[name]}: row {number}: {error}") from None

    def _with_system(self, said: list[Turn]) -> tuple[Turn, ...]:
        default = self.config.get("default_system")
        return (("system", default), *said) if default and "system" not in dict(said) else tuple(said)

    def prompt(self, question: str) -> Prompt:
        """The prompt of one question of a user."""
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": ""}]
        ids, _ = self.template.encode_oneturn(self.tokenizer, turns, self.arguments[1].default_system, None)
        text = self.tokenizer.decode(ids, skip_special_tokens=False)
        return Prompt(tuple(ids), text, turns=self._with_system([("user", question)]))

    def text(self, tokens: list[int]) -> str:
        """An answer's text."""
        return self.tokenizer.decode(tokens, skip_special_tokens=True)

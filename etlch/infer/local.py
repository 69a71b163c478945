"""The `transformers` engine: the model in this process, every token of the machine spent on answers that are not done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from etlch.errors import EtlchError
from etlch.infer.loading import Loaded, Made, Prompt
from etlch.infer.repeats import Reviser

GREEDY_ONLY = {"do_sample": False, "num_beams": 1}
DEFAULT_NEW_TOKENS = 1024  # LlamaFactory's


class LocalEngine:
    """Greedy answers of the config's model, each in its prompt's shape where it has one. Raises EtlchError for settings that are
    not greedy."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded, self.processors, config = loaded, [], loaded.config
        for key, value in GREEDY_ONLY.items():
            if config.get(key, value) != value:
                raise EtlchError(
                    f"{key}: {config[key]!r} (the engine transformers is greedy; use --engine llamafactory)"
                )
        repetition = float(config.get("repetition_penalty") or 1.0)
        frequency = float(config.get("frequency_penalty") or 0.0)
        if (repetition, frequency) != (1.0, 0.0):
            from etlch.infer.penalty import Penalty

            self.processors.append(Penalty(repetition, frequency))

    @cached_property
    def _vocabulary(self):
        from etlch.infer.grammar import Vocabulary

        return Vocabulary(self.loaded.tokenizer, self.loaded.tokenizer.eos_token_id)

    def answers(self, todo: Sequence[tuple[int, Prompt]]) -> Iterator[Made]:
        """Answers in the order in which they end. One that was cut is completed where it has a shape, and has not `ended`."""
        from etlch.infer import decode

        loaded, processors, reviser = self.loaded, self.processors, None
        tokenizer, shapes = loaded.tokenizer, [prompt.shape for _, prompt in todo]
        if any(shapes):
            from etlch.infer.grammar import Grammar, completed

            processors = [*processors, Grammar(self._vocabulary, shapes)]
        if loaded.config.get("stop_loops", True):
            reviser = Reviser(lambda text: tokenizer(text, add_special_tokens=False)["input_ids"], loaded.text)
        most = int(loaded.config.get("max_new_tokens") or DEFAULT_NEW_TOKENS)
        prompts = [prompt.ids for _, prompt in todo]
        for answer in decode.greedy(
            loaded.model, prompts, loaded.stops, tokenizer.pad_token_id, most, processors, revise=reviser
        ):
            text, shape = loaded.text(answer.tokens), shapes[answer.row]
            if shape and not answer.ended:
                text = completed(text, shape)
            yield Made(todo[answer.row][0], text, len(answer.tokens) + answer.ended, answer.ended)

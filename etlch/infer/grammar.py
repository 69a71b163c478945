"""Answers that are JSON of the wanted shape, always: a grammar that leaves the model no other token to choose.

llguidance masks the tokens that cannot go on with the shape (etlch/infer/shapes.py), letter for letter what `json.dumps`
writes. What the token limit, or a loop, cuts off is completed afterwards (`completed`). An open key that comes twice is left to
etlch/infer/repeats.py.

So that loops end, a string has at most MOST_CHARACTERS characters, a list MOST_ITEMS strings and an open key LONGEST_KEY
characters, several times what the data of this repository has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import llguidance
import llguidance.hf
import llguidance.numpy
import numpy as np
import torch

from etlch.errors import EtlchError
from etlch.infer.decode import Slot
from etlch.infer.shapes import Shape, json_schema

MOST_CHARACTERS, MOST_ITEMS, LONGEST_KEY = 300, 200, 64
_VALUES = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS},
    "maxItems": MOST_ITEMS,
}
_OPEN_KEYS = {"patternProperties": {rf'^[^"\\\x00-\x1f]{{1,{LONGEST_KEY}}}$': _VALUES}, "additionalProperties": False}
_AS_DUMPED = {"x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}}

_STRING = r'"(?:[^"\\]|\\.)*"'
_PAIR = re.compile(rf"({_STRING}): \[((?:{_STRING}(?:, )?)*)(?:\](?:, )?)?")


class Vocabulary:
    """A tokenizer as the grammar sees it, and the grammars of shapes. Made once a model (0.05 s; 1 s for 128,000 tokens)."""

    def __init__(self, tokenizer, stop: int) -> None:
        self.wrapped = llguidance.hf.from_tokenizer(tokenizer, eos_token=stop)
        self._shaped: dict[Shape, llguidance.LLMatcher] = {}

    def matcher(self, shape: Shape) -> llguidance.LLMatcher:
        """A fresh matcher; one shape is compiled once."""
        if shape not in self._shaped:
            if len(self._shaped) > 1000:
                self._shaped.clear()
            schema = json_schema(shape, _VALUES) | ({} if shape.keys else _OPEN_KEYS) | _AS_DUMPED
            grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
            self._shaped[shape] = _sound(llguidance.LLMatcher(self.wrapped, grammar))
        return self._shaped[shape].deep_copy()


class Grammar:
    """The processor (etlch/infer/decode.py) that keeps answers in their shapes; prompts whose shape is None are left alone."""

    def __init__(self, vocabulary: Vocabulary, shapes: Sequence[Shape | None]) -> None:
        self.vocabulary, self.shapes = vocabulary, shapes

    def __call__(self, rows: Sequence[Slot | None], scores: torch.Tensor) -> None:
        matchers = {
            place: self._matcher(row, shape)
            for place, row in enumerate(rows)
            if row is not None and (shape := self.shapes[row.row]) is not None
        }
        if not matchers:
            return
        size = self.vocabulary.wrapped.vocab_size
        bits = llguidance.numpy.allocate_token_bitmask(len(rows), size)
        for (
            place,
            matcher,
        ) in matchers.items():  # one after the other: a mask takes 5 microseconds, waking a thread more
            llguidance.numpy.fill_next_token_bitmask(matcher, bits, place)
            _sound(matcher)
        width = min(scores.shape[1], size)
        may = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, :width].astype(bool)
        banned = np.zeros(scores.shape, dtype=bool)
        for place in matchers:
            banned[place] = True  # what the model has beyond its tokenizer included
            banned[place, :width] = ~may[place]
        scores.masked_fill_(torch.from_numpy(banned).to(scores.device), float("-inf"))

    def _matcher(self, row: Slot, shape: Shape) -> llguidance.LLMatcher:
        """The row's own, told what the row has said since."""
        matcher, told = row.notes.get("grammar") or (self.vocabulary.matcher(shape), 0)
        if row.tokens[told:] and not matcher.consume_tokens(row.tokens[told:]):
            raise EtlchError(f"the grammar refused tokens that it had allowed: {matcher.get_error()}")
        row.notes["grammar"] = matcher, len(row.tokens)
        return matcher


def completed(text: str, shape: Shape) -> str:
    """An answer of this shape that was cut, as JSON of the shape: without the value or key that was cut off, and with an empty
    list for each key that is still owed."""
    found: dict[str, list[str]] = {}
    position = text.find("{") + 1
    while pair := _PAIR.match(text, position):
        found.setdefault(json.loads(pair[1]), []).extend(map(json.loads, re.findall(_STRING, pair[2])))
        position = pair.end()
    keys = found if shape.optional else shape.keys
    return json.dumps({key: found.get(key, []) for key in keys}, ensure_ascii=False)


def _sound(matcher: llguidance.LLMatcher) -> llguidance.LLMatcher:
    if matcher.is_error():
        raise EtlchError(f"the grammar stopped: {matcher.get_error()}")
    return matcher

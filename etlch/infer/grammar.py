"""Answers that are JSON of the wanted shape, always: a grammar that leaves the model no other token to choose.

llguidance masks the tokens that cannot go on with the shape (etlch/infer/shapes.py), letter for letter what `json.dumps`
writes. Two things no such grammar can say are added here:

- no key twice, where the shape leaves the keys open;
- the answer is closed before the token limit cuts it: once no more tokens are left than closing it may take (the
  keys still owed, each with an empty list, and a few tokens to get out of a half-written character), it is closed by the
  shortest path.

So that loops end, a string has at most MOST_CHARACTERS characters, a list MOST_ITEMS strings and an open object MOST_KEYS
keys of at most LONGEST_KEY characters, several times what the data of this repository has. An open key begins with none of
`,:[]`, or one token could be both a key and the marks between two strings.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property, lru_cache

import llguidance
import llguidance.hf
import llguidance.numpy
import numpy as np
import torch

from etlch.errors import EtlchError
from etlch.infer.shapes import Shape

MOST_CHARACTERS, MOST_ITEMS, MOST_KEYS, LONGEST_KEY = 300, 200, 50, 64
ESCAPE_ROUTE = 8  # tokens, at most one byte each but for the last, from anywhere to where an answer can be closed

_BETWEEN = frozenset((b", ", b"], ", b": ["))  # what may stand between two quotes outside a string
_VALUE = re.compile(rb'(?:, )?"(?:[^"\\]|\\.)+', re.S)
_KEY = re.compile(rb'(?:\{|, )"([^"]*)("(?:: ?)?)?')


class Vocabulary:
    """A tokenizer as the grammar sees it: the bytes of each token. Made once a model (0.05 s; 1 s for 128,000 tokens)."""

    def __init__(self, tokenizer, stop: int) -> None:
        self.stop = stop
        self.wrapped = llguidance.hf.from_tokenizer(tokenizer, eos_token=stop)
        self.size = self.wrapped.vocab_size
        special = self.wrapped.is_special_token
        self.bytes = [b"" if special(n) else self.wrapped.decode_bytes([n]) for n in range(self.size)]
        self.tokens = {data: number for number, data in enumerate(self.bytes) if data}
        self._longest = max(map(len, self.tokens), default=0)
        self._shaped: dict[Shape, llguidance.LLMatcher] = {}

    def matcher(self, shape: Shape) -> llguidance.LLMatcher:
        """A fresh matcher; one shape is compiled once."""
        if shape not in self._shaped:
            if len(self._shaped) > 1000:
                self._shaped.clear()
            grammar = llguidance.LLMatcher.grammar_from_lark(lark(shape))
            self._shaped[shape] = llguidance.LLMatcher(self.wrapped, grammar)
            _refuse_error(self._shaped[shape])
        return self._shaped[shape].deep_copy()

    def spell(self, data: bytes) -> list[int]:
        """Tokens with these bytes, each the longest there is that does not go beyond a `]` (so that the tokens of two
        parts of an ending add up). Raises EtlchError when the tokenizer cannot write them."""
        found, position = [], 0
        while position < len(data):
            end = data.find(b"]", position) + 1 or len(data)
            for size in range(min(self._longest, end - position), 0, -1):
                token = self.tokens.get(data[position : position + size])
                if token is not None:
                    break
            else:
                raise EtlchError(f"the model's tokenizer has no token for {data[position : position + 1]!r}")
            found.append(token)
            position += size
        return found

    @lru_cache(maxsize=4096)  # noqa: B019 - as long-lived as the model
    def longest_tail(self, data: bytes) -> int:
        """The most tokens that any end of these bytes takes."""
        return max(len(self.spell(data[start:])) for start in range(len(data)))

    @cached_property
    def steps(self) -> np.ndarray:
        """Which tokens (vocabulary,) are a single byte or a single whole character, so that no state is jumped over; and
        the stop token."""
        small = [len(data) == 1 or (len(data) <= 4 and _characters(data) == 1) for data in self.bytes]
        small[self.stop] = True
        return np.array(small)

    @cached_property
    def whole_strings(self) -> np.ndarray:
        """The tokens that begin and end a string which may be a key (`"name"`)."""
        inner = (data.split(b'"')[1:-1] for data in self.bytes)
        return np.array([n for n, parts in enumerate(inner) if any(p not in _BETWEEN for p in parts)], dtype=int)

    @cached_property
    def closers(self) -> dict[bytes, list[int]]:
        """What stands before the first quote in a token -> such tokens."""
        found = defaultdict(list)
        for number, data in enumerate(self.bytes):
            if b'"' in data:
                found[data.partition(b'"')[0]].append(number)
        return found


def lark(shape: Shape) -> str:
    """The shape in the Lark dialect of llguidance."""
    rules = [
        f'list: "[" (VALUE (", " VALUE){{0,{MOST_ITEMS - 1}}})? "]"',
        rf'VALUE: /"([^"\\\x00-\x1f]|\\["\\bfnrt]){{1,{MOST_CHARACTERS}}}"/',
    ]
    if not shape.keys:
        rules.append(f'start: "{{" (pair (", " pair){{0,{MOST_KEYS - 1}}})? "}}"')
        rules.append(rf'pair: /"[^"\\\x00-\x1f,:\[\]][^"\\\x00-\x1f]{{0,{LONGEST_KEY - 1}}}"/ ": " list')
        return "\n".join(rules)
    pairs = [f"{json.dumps(_dump(key) + ': ', ensure_ascii=False)} list" for key in shape.keys]
    if not shape.optional:
        return "\n".join([*rules, 'start: "{" ' + ' ", " '.join(pairs) + ' "}"'])
    # first0: the keys from 0 on, of which none is written yet; more0: the same behind one that is
    for number, pair in enumerate(pairs):
        rules.append(f"first{number}: {pair} more{number + 1} | first{number + 1}")
        rules.append(f'more{number}: ", " {pair} more{number + 1} | more{number + 1}')
    return "\n".join([*rules, f'first{len(pairs)}: ""', f'more{len(pairs)}: ""', 'start: "{" first0 "}"'])


class Grammar:
    """The processor (etlch/infer/decode.py) that keeps answers in their shapes; prompts whose shape is None are left alone.

    Raises EtlchError at the start of a row whose shortest answer does not fit in `max_new_tokens`.
    """

    def __init__(self, vocabulary: Vocabulary, shapes: Sequence[Shape | None], max_new_tokens: int) -> None:
        self.vocabulary, self.shapes, self.most = vocabulary, shapes, max_new_tokens
        self.forced: set[int] = set()  # rows that had to be closed
        self._open: dict[int, _Answer] = {}

    def start(self, row: int, prompt: Sequence[int]) -> None:
        if (shape := self.shapes[row]) is not None:
            self._open[row] = _Answer(self.vocabulary, shape, self.most)

    def apply(self, rows: Sequence[int | None], scores: torch.Tensor) -> None:
        answers = [(place, self._open[row]) for place, row in enumerate(rows) if row in self._open]
        if not answers:
            return
        bits = llguidance.numpy.allocate_token_bitmask(len(rows), self.vocabulary.size)
        for place, answer in answers:  # one after the other: a mask takes 5 microseconds, waking a thread more
            if not answer.closing:
                llguidance.numpy.fill_next_token_bitmask(answer.matcher, bits, place)
        may = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, : self.vocabulary.size].astype(bool)
        banned = np.zeros(scores.shape, dtype=bool)
        width = min(scores.shape[1], self.vocabulary.size)
        for place, answer in answers:
            banned[place] = True  # what the model has beyond its tokenizer included
            banned[place, :width] = ~answer.narrow(may[place])[:width]
        scores.masked_fill_(torch.from_numpy(banned).to(scores.device), float("-inf"))

    def took(self, row: int, token: int) -> None:
        if row in self._open:
            self._open[row].take(token)

    def ended(self, row: int) -> None:
        if row in self._open and self._open.pop(row).closing:
            self.forced.add(row)


class _Answer:
    """An answer under way: its place in the grammar, and what it must still be able to write."""

    def __init__(self, vocabulary: Vocabulary, shape: Shape, most: int) -> None:
        self.vocabulary, self.left = vocabulary, most
        self.cursor = Cursor(shape)
        self.matcher = vocabulary.matcher(shape)
        self.closing: list[int] = []
        self._reserves = _reserves(vocabulary, shape)
        if len(self._close()) > most:
            raise EtlchError(f"max_new_tokens: {most} (expected at least {len(self._close())}, the shortest answer)")

    def narrow(self, may: np.ndarray) -> np.ndarray:
        """Of the tokens (vocabulary,) that the grammar allows, those that may be taken."""
        _refuse_error(self.matcher)
        scarce = not self.closing and self.left <= self._reserves[self.cursor.lists]
        if scarce and self.cursor.ending():
            self.closing = self._close()
        if self.closing:
            may[:] = False
            may[self.closing[0]] = True
            return may
        if scarce:
            may &= self.vocabulary.steps
        if not self.cursor.keys:
            may[self._repeating(scarce)] = False
        return may

    def take(self, token: int) -> None:
        self.left -= 1
        if self.closing:
            self.closing = self.closing[1:] or [self.vocabulary.stop]
        elif token != self.vocabulary.stop:
            self.cursor.feed(self.vocabulary.bytes[token])
            if not self.matcher.consume_token(token):
                raise EtlchError(f"the grammar refused a token that it had allowed: {self.matcher.get_error()}")

    def _close(self) -> list[int]:
        return [*self.vocabulary.spell(self.cursor.ending()), self.vocabulary.stop]

    def _repeating(self, scarce: bool) -> list[int] | np.ndarray:
        """The tokens that would end the key being written as one that stands there already."""
        key = self.cursor.open_key()
        if key is None:
            return self.vocabulary.whole_strings
        banned = []
        for used in self.cursor.used:
            if used.startswith(key):
                banned += self.vocabulary.closers.get(used[len(key) :], ())
                last = self.vocabulary.tokens.get(used[len(key) :])
                # such a key could then only be made longer, which it may not, or for which no tokens are left
                if last is not None and (scarce or len(used.decode()) == LONGEST_KEY):
                    banned.append(last)
        return banned


class Cursor:
    """Where in its shape an answer stands, followed byte by byte: the part of the state that the grammar does not show.

    lists: how many lists were begun. used: the keys that were written, where the shape leaves them open.
    """

    def __init__(self, shape: Shape) -> None:
        self.optional = shape.optional or not shape.keys
        self.keys = [f"{_dump(key)}: [".encode() for key in shape.keys]
        self.lists = 0
        self.used: list[bytes] = []
        self._last = -1  # the number of the last key that was written
        self._in_list = False
        self._tail = b""  # what was written since a list began or ended, or since a value in it ended

    def feed(self, data: bytes) -> None:
        """Go on by the bytes of a token that the grammar allows."""
        for at in range(len(data)):
            self._tail += data[at : at + 1]
            if self._in_list:
                self._feed_list()
            elif data[at] == 0x5B:  # [
                self._feed_key()

    def _feed_list(self) -> None:
        if self._tail == b"]":
            self._in_list, self._tail = False, b""
        elif self._tail[-1] == 0x22 and _VALUE.fullmatch(self._tail[:-1]):
            self._tail = b""

    def _feed_key(self) -> None:
        written = self._tail[1:] if self._tail[:1] == b"{" else self._tail[2:]
        if not self.keys and (match := _KEY.fullmatch(self._tail[:-1])) and match[2]:
            self.used.append(match[1])
        elif written in self.keys[self._last + 1 :]:
            self._last = self.keys.index(written)
        else:
            return  # a bracket in a key
        self.lists += 1
        self._in_list, self._tail = True, b""

    def open_key(self) -> bytes | None:
        """The key that is being written, as far as it goes."""
        match = None if self._in_list else _KEY.fullmatch(self._tail)
        return match[1] if match and match[2] is None else None

    def ending(self) -> bytes | None:
        """The shortest end of the answer, which invents nothing; None where there is none (a string without a character)."""
        if self._in_list:
            if not self._tail:
                return b"]" + self._rest()
            inside = _VALUE.fullmatch(self._tail) and _characters(self._tail)
            return b'"]' + self._rest() if inside else None
        if self._tail in (b"", b"{") and self.optional:
            return b"}" if self._tail or self.lists else b"{}"
        if self._tail == b"}":
            return b""
        return self._ending_in_key() if self.keys else self._ending_in_open_key()

    def _ending_in_key(self) -> bytes | None:
        mark = b", " if self.lists else b"{"
        if not self.optional and self.lists == len(self.keys):
            return b"}"
        for number, key in enumerate(self.keys[self._last + 1 :], start=self._last + 1):
            if (mark + key).startswith(self._tail):
                return (mark + key)[len(self._tail) :] + b"]" + self._rest(number)
        return None

    def _ending_in_open_key(self) -> bytes | None:
        match = _KEY.fullmatch(self._tail)
        if not match or (match[2] is None and (match[1] in self.used or not _characters(match[1]))):
            return None
        return b'": ['[len(match[2] or b"") :] + b"]}"

    def _rest(self, last: int | None = None) -> bytes:
        """What must follow the list of a key."""
        owed = [] if self.optional else self.keys[(self._last if last is None else last) + 1 :]
        return b"".join(b", " + key + b"]" for key in owed) + b"}"


def _reserves(vocabulary: Vocabulary, shape: Shape) -> list[int]:
    """For each number of lists begun: the most tokens that getting to where the answer can be closed, and closing it, take."""
    cursor = Cursor(shape)
    tails = [vocabulary.longest_tail(b", " + key + b"]") for key in cursor.keys]
    least = ESCAPE_ROUTE + len(b'": []}') + 2  # and the stop token, and the one that may still be chosen freely
    if shape.optional:
        return [least + max(tails, default=0)] * (max(len(tails), MOST_KEYS) + 1)
    return [least + sum(tails[number:]) for number in range(len(tails) + 1)]


def _characters(data: bytes) -> int:
    """How many characters these bytes are; 0 when they end within one."""
    try:
        return len(data.decode())
    except UnicodeDecodeError:
        return 0


def _dump(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def _refuse_error(matcher: llguidance.LLMatcher) -> None:
    if matcher.is_error():
        raise EtlchError(f"the grammar stopped: {matcher.get_error()}")

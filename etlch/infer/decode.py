"""Greedy decoding of many prompts with one model: rows leave the batch when they end, waiting prompts take their place.

`transformers.generate` keeps every row of a batch until the longest has ended and copies the whole key-value cache at each
token. Here finished rows are dropped, new ones are put in, and the cache grows by blocks. The numbers computed for a row
are the same, so the answers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

BLOCK = 256  # positions by which a cache grows
LOOP, PERIOD = 96, 24  # an answer whose last 96 tokens repeat at most 24 of them goes round in circles
SPARSE = 7 / 8  # finished rows are dropped (which copies the cache) once no more than this share is under way


Revise = Callable[[list[int]], tuple[list[int], bool] | None]


@dataclass(slots=True)
class Slot:
    """An answer to prompt number `row`: its tokens without the stop token; once it is done, whether it ended by itself.

    forced: tokens that come next whatever the scores are. notes: what processors keep about it; forgotten when it goes back.
    """

    row: int
    prompt: Sequence[int]
    tokens: list[int] = field(default_factory=list)
    done: bool = False
    ended: bool = False
    forced: list[int] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


Processor = Callable[[Sequence[Slot | None], torch.Tensor], None]
"""Changes the scores of the next token, (rows, vocabulary), in place: a penalty, a grammar. None: a row that is done."""


class BlockLayer(DynamicLayer):
    """Keys and values of one layer in a buffer with room to grow; `keys` and `values` are views of its used part."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs):
        """Write the new positions behind the used ones; returns views of all used positions, (rows, heads, positions, size)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room = [key_states[:, :, :0], value_states[:, :, :0]]
        used = self.get_seq_length()
        total = used + key_states.shape[-2]
        if total > self._room[0].shape[-2] or used == 0:
            self._grow(total, used, (key_states, value_states))
        for buffer, states in zip(self._room, (key_states, value_states), strict=True):
            buffer[:, :, used:total] = states
        self._view(total)
        return self.keys, self.values

    def _grow(self, total: int, used: int, like: tuple[torch.Tensor, torch.Tensor]) -> None:
        size = -(-total // BLOCK) * BLOCK
        for number, states in enumerate(like):
            rows, heads, _, width = states.shape
            buffer = states.new_empty(rows, heads, size, width)
            buffer[:, :, :used] = self._room[number][:, :, :used]
            self._room[number] = buffer

    def _view(self, used: int) -> None:
        self.keys, self.values = (buffer[:, :, :used] for buffer in self._room)

    def keep(self, rows: torch.Tensor, skip: int) -> None:
        """Keep only these rows, and forget the first `skip` positions (padding in all of them)."""
        used = self.get_seq_length()
        self._room = [buffer[rows, :, skip:] for buffer in self._room]
        self._view(used - skip)

    def join(self, other: BlockLayer) -> None:
        """Put the rows of another cache below these, both right-aligned; the missing positions hold zeros (masked)."""
        used = max(self.get_seq_length(), other.get_seq_length())
        joined = []
        for mine, theirs in ((self.keys, other.keys), (self.values, other.values)):
            (rows, heads, _, width), more = mine.shape, theirs.shape[0]
            buffer = mine.new_zeros(rows + more, heads, used + BLOCK, width)
            buffer[:rows, :, used - mine.shape[-2] : used] = mine
            buffer[rows:, :, used - theirs.shape[-2] : used] = theirs
            joined.append(buffer)
        self._room = joined
        self._view(used)


class Batch:
    """The rows under way: their cache, their attention mask (rows, positions) and the token that each feeds next."""

    def __init__(self, model, pad: int) -> None:
        self.model, self.pad = model, pad
        self.rows: list[Slot] = []
        self.cache: Cache | None = None
        self.mask = torch.zeros(0, 0, dtype=torch.long)

    @torch.inference_mode()
    def add(self, rows: list[Slot]) -> torch.Tensor:
        """Read the prompts of rows into the cache; returns the scores of their first tokens, (rows, vocabulary)."""
        prompts = [row.prompt for row in rows]
        longest = max(map(len, prompts))
        device = self.model.device
        ids = torch.tensor([[self.pad] * (longest - len(p)) + list(p) for p in prompts], device=device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
        cache = Cache(layers=[BlockLayer() for _ in range(self.model.config.get_text_config().num_hidden_layers)])
        scores = self._forward(ids, mask, cache, (mask.cumsum(-1) - 1).clamp(min=0))
        if self.cache is None or not self.rows:
            self.cache, self.mask, self.rows = cache, mask, list(rows)
            return scores
        for mine, theirs in zip(self.cache.layers, cache.layers, strict=True):
            mine.join(theirs)
        width = max(self.mask.shape[1], longest)
        grown = mask.new_zeros(len(self.rows) + len(rows), width)
        grown[: len(self.rows), width - self.mask.shape[1] :] = self.mask
        grown[len(self.rows) :, width - longest :] = mask
        self.mask = grown
        self.rows += rows
        return scores

    @torch.inference_mode()
    def step(self, tokens: list[int]) -> torch.Tensor:
        """Feed one token a row; returns the scores of the next ones, (rows, vocabulary)."""
        positions = self.mask.sum(-1, keepdim=True)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        return self._forward(torch.tensor(tokens, device=self.mask.device)[:, None], self.mask, self.cache, positions)

    @torch.inference_mode()
    def forget(self, place: int, count: int) -> None:
        """Hide the last `count` tokens that one row has been fed; positions are counted without them."""
        if count > 0:
            fed = self.mask[place].nonzero().flatten()
            self.mask[place, fed[-count:]] = 0

    def keep(self, places: list[int]) -> None:
        """Drop all rows but those at these places."""
        self.rows = [self.rows[place] for place in places]
        if not places:
            self.cache = None
            return
        index = torch.tensor(places, device=self.mask.device)
        mask = self.mask[index]
        skip = int((mask.any(0)).int().argmax())
        self.mask = mask[:, skip:]
        for layer in self.cache.layers:
            layer.keep(index, skip)

    def _forward(self, ids, mask, cache, positions) -> torch.Tensor:
        made = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return made.logits[:, -1].float()


def greedy(
    model,
    prompts: Sequence[Sequence[int]],
    stops: frozenset[int],
    pad: int,
    max_new_tokens: int,
    processors: Sequence[Processor] = (),
    budget: int = 65_536,
    most_rows: int = 64,
    revise: Revise | None = None,
) -> Iterator[Slot]:
    """Answers to prompts (token ids) in the order in which they end.

    stops: tokens that end an answer. budget: positions that may be in the cache at once (memory); one prompt above it runs
    alone. The longest prompts begin, so that no long one is left for the end. revise: looks at each
    answer after each token (etlch/infer/repeats.py) and may end it or let it go on from other tokens. With it, an answer that goes
    round in circles (`is_loop`) ends, too: greedy decoding would not leave them before the token limit.
    """
    waiting = sorted(range(len(prompts)), key=lambda row: (len(prompts[row]), -row))
    batch = Batch(model, pad)
    tokens: list[int] = []
    while waiting or batch.rows:
        fresh = _admit(batch, waiting, prompts, budget, most_rows)
        if fresh:
            rows = [Slot(row, prompts[row]) for row in fresh]
            tokens += _choose(rows, batch.add(rows), processors, pad)
        for place, row in enumerate(batch.rows):
            if row.done:
                continue
            if changed := _take(row, tokens[place], stops, max_new_tokens, revise):
                tokens[place] = _go_back(batch, place, changed)
            elif row.done:
                yield row
        live = [place for place, row in enumerate(batch.rows) if not row.done]
        if len(live) <= len(batch.rows) * SPARSE:
            batch.keep(live)
            tokens = [tokens[place] for place in live]
        if batch.rows:
            tokens = _choose(batch.rows, batch.step(tokens), processors, pad)


def _take(row: Slot, token: int, stops: frozenset[int], most: int, revise: Revise | None) -> list[int] | None:
    """Add a token to a row, which may be done by it. Returns the tokens to go on from where these are to be revised."""
    if token in stops:
        row.done = row.ended = True
        return None
    row.tokens.append(token)
    changed = revise(row.tokens) if revise and not row.forced else None
    if changed and changed[1]:
        row.tokens, row.ended = changed
    elif changed and len(changed[0]) < most:
        return changed[0]
    looped = revise and len(row.tokens) % PERIOD == 0 and is_loop(row.tokens)
    row.done = bool(row.ended or looped or len(row.tokens) >= most)
    return None


def _go_back(batch: Batch, place: int, tokens: list[int]) -> int:
    """Let a row have said these tokens instead: what it said otherwise is forgotten. Returns the token to feed next."""
    row = batch.rows[place]
    same = next((n for n, (a, b) in enumerate(zip(row.tokens, tokens, strict=False)) if a != b), len(row.tokens))
    same = min(same, len(tokens) - 1)
    batch.forget(place, len(row.tokens) - 1 - same)
    row.tokens, row.forced = tokens[: same + 1], tokens[same + 1 :]
    row.notes.clear()
    return tokens[same]


def is_loop(tokens: Sequence[int]) -> bool:
    """Do the last LOOP tokens say the same PERIOD or fewer tokens again and again?"""
    end = tokens[-LOOP:]
    return len(end) == LOOP and any(end[period:] == end[:-period] for period in range(1, PERIOD + 1))


def _admit(batch: Batch, waiting: list[int], prompts, budget: int, most_rows: int) -> list[int]:
    """Take waiting prompts, longest first, once a quarter of the places is free, as many as the budget allows."""
    free = most_rows - len(batch.rows)
    if not waiting or (batch.rows and free < most_rows // 4):
        return []
    width = max(batch.mask.shape[1] if batch.rows else 0, len(prompts[waiting[-1]])) + BLOCK
    count = min(free, budget // width - len(batch.rows), len(waiting))
    return [waiting.pop() for _ in range(max(count, 0 if batch.rows else 1))]


@torch.inference_mode()
def _choose(rows: list[Slot], scores: torch.Tensor, processors: Sequence[Processor], pad: int) -> list[int]:
    """The best token of each row; the padding token for rows that are done."""
    live = [None if row.done else row for row in rows]
    for processor in processors:
        processor(live, scores)
    best = scores.argmax(-1).tolist()
    return [
        pad if row.done else row.forced.pop(0) if row.forced else token for row, token in zip(rows, best, strict=True)
    ]

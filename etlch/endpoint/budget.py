"""Tokens and money: what requests took, what the next may take at most, and a limit that is never exceeded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from etlch.endpoint.halt import Halt

_MESSAGE_TOKENS = 16  # role and separators of one message in any chat template known here
_TEMPLATE_TOKENS = 64  # a default system prompt


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more requests."""

    prompt: int = 0
    completion: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.completion

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt + other.prompt, self.completion + other.completion)


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens, (in, out) by model; empty when no price was given."""

    by_model: dict[str, tuple[float, float]] = field(default_factory=dict)

    def cost(self, model: str, usage: Usage) -> float:
        """A model without a price (one of an earlier run) counts as the dearest."""
        if not self.by_model:
            return 0.0
        dearest = (max(p for p, _ in self.by_model.values()), max(p for _, p in self.by_model.values()))
        price_in, price_out = self.by_model.get(model, dearest)
        return (usage.prompt * price_in + usage.completion * price_out) / 1e6


def most_prompt_tokens(texts: Iterable[str]) -> int:
    """An upper bound of the tokens of these messages: a byte-level tokenizer makes at most one a byte."""
    return _TEMPLATE_TOKENS + sum(_MESSAGE_TOKENS + len(text.encode("utf-8")) for text in texts)


def likely_tokens(text: str) -> int:
    """A guess for an estimate: one token a Chinese character, one for four others."""
    ascii_count = sum(character.isascii() for character in text)
    return len(text) - ascii_count + (ascii_count + 3) // 4


class Budget:
    """What was spent and what is held for requests under way; both together stay within the limits."""

    def __init__(self, prices: Prices, most_tokens: int | None, most_cost: float | None, halt: Halt) -> None:
        self.prices, self.spent, self.cost = prices, Usage(), 0.0
        self._limits, self._halt = (most_tokens, most_cost), halt
        self._held: list[tuple[str, Usage]] = []
        self._changed = asyncio.Condition()

    def charge(self, model: str, usage: Usage) -> None:
        """Count tokens that were paid for."""
        self.spent += usage
        self.cost += self.prices.cost(model, usage)

    async def hold(self, model: str, most: Usage) -> None:
        """Set aside what a request may take at most, waiting for others to settle where that can help.

        Raises StopError when the request cannot fit into what is left.
        """
        async with self._changed:
            while excess := self._excess(model, most):
                if not self._held:
                    raise self._halt.stop(excess)
                await self._changed.wait()
            self._halt.check()
            self._held.append((model, most))

    async def settle(self, model: str, held: Usage, used: Usage) -> None:
        """Give back what was set aside and count what was used."""
        async with self._changed:
            self._held.remove((model, held))
            self.charge(model, used)
            self._changed.notify_all()

    def _excess(self, model: str, most: Usage) -> str:
        """Why a request does not fit, or nothing when it does."""
        tokens_limit, cost_limit = self._limits
        held = self.spent.total + sum(usage.total for _, usage in self._held)
        if tokens_limit is not None and held + most.total > tokens_limit:
            spent, may = f"{self.spent.total:,} of {tokens_limit:,} tokens", f"{most.total:,}"
            return f"budget reached: {spent} spent, the next request may take {may} (raise --budget-tokens)"
        cost, held = self.prices.cost(model, most), self.cost + sum(self.prices.cost(*one) for one in self._held)
        if cost_limit is not None and held + cost > cost_limit + 1e-12:
            spent, may = f"{self.cost:.4f} of {cost_limit:.4f}", f"{cost:.4f}"
            return f"budget reached: {spent} spent, the next request may cost {may} (raise --budget-cost)"
        return ""

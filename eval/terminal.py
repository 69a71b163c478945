"""What is shown in the terminal: tables whose columns line up with Chinese in them, and the progress of long work."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Sequence

_SECONDS_A_LINE = 10.0


def width(text: str) -> int:
    """Columns a text takes in a terminal: two for a wide character, none for a combining one."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned first column, right-aligned others, a rule below the head. Control characters become `?`."""
    cells = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in [head, *rows]]
    widths = [max(width(row[n]) for row in cells) for n in range(len(head))]
    lines = []
    for row in cells:
        pads = [" " * (size - width(cell)) for cell, size in zip(row, widths, strict=True)]
        parts = [row[0] + pads[0], *(pad + cell for cell, pad in zip(row[1:], pads[1:], strict=True))]
        lines.append("  ".join(parts).rstrip())
    lines.insert(1, "  ".join("-" * size for size in widths))
    return "\n".join(lines)


class Progress:
    """`label: done of total, rate` on stderr: rewritten in place in a terminal, a line every ten seconds elsewhere."""

    def __init__(self, label: str, total: int):
        self.label = label
        self.total = total
        self._start = self._last = time.monotonic()
        self._shown = False

    def __call__(self, done: int, total: int | None = None) -> None:
        now = time.monotonic()
        self.total = total or self.total
        terminal = sys.stderr.isatty()
        if now - self._last < (0.1 if terminal else _SECONDS_A_LINE):
            return
        self._last, self._shown = now, True
        rate = done / max(now - self._start, 1e-9)
        left = (self.total - done) / rate if rate else 0.0
        text = f"{self.label}: {done:,} of {self.total:,}, {rate:,.0f} a second, {left:,.0f} s left"
        print(f"\r\033[K{text}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the line that was rewritten in place."""
        if self._shown and sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)

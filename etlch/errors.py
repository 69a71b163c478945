"""The errors a user can cause. Each message says where, what was found and what was expected."""

from __future__ import annotations


class EtlchError(Exception):
    """Bad input or a missing resource; the command line prints the message alone and exits with 2."""


class ManyErrors(EtlchError):
    """Every problem of a file or a folder at once, one a line, so that a user mends them in one go."""

    def __init__(self, problems: list[str], limit: int = 50):
        self.problems = problems
        shown = problems[:limit]
        if len(problems) > limit:
            shown.append(f"... and {len(problems) - limit} more")
        super().__init__("\n".join(shown))

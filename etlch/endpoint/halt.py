"""Ending a run in order: no new request starts, what is under way arrives and is kept."""

from __future__ import annotations

import asyncio

from etlch.errors import EtlchError


class StopError(EtlchError):
    """The whole run ends: an invalid key, the budget, a full disk, an endpoint that went away."""


class Halt:
    """Set once, by whoever meets the first reason to stop."""

    def __init__(self) -> None:
        self.reason: str = ""
        self._event = asyncio.Event()

    def stop(self, reason: str) -> StopError:
        """Note the reason, unless there is one already, and return the exception to raise."""
        self.reason = self.reason or reason
        self._event.set()
        return StopError(self.reason)

    def check(self) -> None:
        """Raise StopError when the run is ending."""
        if self.reason:
            raise StopError(self.reason)

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than the run goes on. Raises StopError when it is ending."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return
        self.check()

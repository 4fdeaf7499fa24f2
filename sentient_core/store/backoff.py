"""Waiting between tries: longer each time, never the same for two who began together."""

from __future__ import annotations

import asyncio
import random

__all__ = ["Backoff"]


class Backoff:
    """Doubles from `first` to `longest` seconds, each wait jittered to 50-150 %."""

    def __init__(self, first: float = 0.01, longest: float = 1.0) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    async def wait(self) -> None:
        """Sleep, longer than last time."""
        await asyncio.sleep(self.next())

    def next(self) -> float:
        """How many seconds to leave alone what failed now."""
        seconds = self._next * (0.5 + random.random())
        self._next = min(2 * self._next, self._longest)
        return seconds

    def reset(self) -> None:
        """It worked: begin anew next time."""
        self._next = self._first

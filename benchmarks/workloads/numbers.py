"""The message that most workloads move, on every side the same object, and how an outsider sends many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from sentient_core import Request

__all__ = ["CHUNK", "Number", "send_in_chunks"]

CHUNK = 100
"""Messages sent before the receiver gets its turn, on every side."""


class Number(Request[int], frozen=True):
    """A message; whoever asks gets its value back."""

    value: int


async def send_in_chunks(
    count: int, send: Callable[[Any], object], pause: Callable[[], Awaitable[None]]
) -> None:
    """Send so many; `pause` is a pass of the event loop."""
    message = Number(1)
    for start in range(0, count, CHUNK):
        for _ in range(min(CHUNK, count - start)):
            send(message)
        await pause()

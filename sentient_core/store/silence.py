"""A server that has stopped answering, noticed before a call to it has had its time.

A process that is paused, or a machine that is gone, leaves connections open: what was asked is not answered,
and nothing says so until the deadline of the call, which is long since large commits are slow. So while a
commit goes unanswered, its server is pinged beside it, which costs nothing as long as commits are quick. The
commit is not given up for that: the server may come back and answer it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from sentient_core.errors import StoreError, StoreUnavailable
from sentient_core.store.engine import Engine

__all__ = ["Silence"]

SILENCE_SECONDS = 2.0
"""How long an answer may take before the server is pinged, and how long is waited between pings."""

PING_SECONDS = 2.0
"""How long it may take to answer that."""


class Silence:
    """While it is entered, an answer is waited for. Lives on the store thread; for one wait at a time."""

    __slots__ = ("_alarm", "_engine", "_on_silence", "_task")

    def __init__(self, engine: Engine, on_silence: Callable[[StoreError], None]) -> None:
        """`on_silence` is called for every ping that is not answered."""
        self._engine = engine
        self._on_silence = on_silence
        self._alarm: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        if self._engine.is_served:
            self._alarm = asyncio.get_running_loop().call_later(SILENCE_SECONDS, self._begin)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._task is not None:
            self._task.cancel()
        self._alarm = self._task = None

    def _begin(self) -> None:
        self._task = self._engine.thread.keep(self._listen())

    async def _listen(self) -> None:
        while True:
            try:
                await self._engine.ping(PING_SECONDS)
            except StoreUnavailable as error:
                self._on_silence(error)
            await asyncio.sleep(SILENCE_SECONDS)

"""Deadlines of a whole system in one heap, kept by one task.

A cancel scope per ask costs as much as the ask; pushing a deadline on a heap costs a third of a
microsecond. Cancelled alarms stay in the heap until they are due, or until they are the majority
(then the heap is rebuilt): the classic lazy deletion of timer heaps, as asyncio's own loop does it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

import anyio

from sentient_core.backend import Backend, Slot

__all__ = ["Alarm", "Timekeeper"]

_REBUILD_FROM = 1_000


class Alarm:
    """One call that is due at a time, unless it is cancelled first."""

    __slots__ = ("_call", "_keeper")

    def __init__(self, keeper: Timekeeper, call: Callable[[], object]) -> None:
        self._keeper = keeper
        self._call: Callable[[], object] | None = call

    @property
    def is_set(self) -> bool:
        """It will go off."""
        return self._call is not None

    def cancel(self) -> None:
        """Take it back; nothing happens if it has gone off or was cancelled."""
        if self._call is not None:
            self._call = None
            self._keeper.note_cancelled()

    def go_off(self) -> bool:
        """Make the call. False if it was cancelled."""
        call, self._call = self._call, None
        if call is None:
            return False
        call()
        return True


class Timekeeper:
    """Runs calls at their times, on the loop's thread, never early. A call must not raise or wait."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._heap: list[tuple[float, int, Alarm]] = []
        self._order = count()
        self._cancelled = 0
        self._sleeping_until = float("-inf")
        self._wake: Slot[None] | None = None
        self._closed = False

    def after(self, seconds: float, call: Callable[[], object]) -> Alarm:
        """Make `call` in `seconds` from now."""
        when = self._backend.now() + seconds
        alarm = Alarm(self, call)
        heapq.heappush(self._heap, (when, next(self._order), alarm))
        if when < self._sleeping_until and self._wake is not None:
            self._wake.set(None)
        return alarm

    def note_cancelled(self) -> None:
        """Count a cancelled alarm; rebuild the heap when most of it is dead."""
        self._cancelled += 1
        if self._cancelled > _REBUILD_FROM and self._cancelled * 2 > len(self._heap):
            self._heap = [item for item in self._heap if item[2].is_set]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def close(self) -> None:
        """End `run`; alarms that are not due yet are forgotten."""
        self._closed = True
        if self._wake is not None:
            self._wake.set(None)

    async def run(self) -> None:
        """Keep time until `close`."""
        while not self._closed:
            self._go_off()
            self._wake = self._backend.slot()
            if self._heap:
                self._sleeping_until = self._heap[0][0]
                with anyio.CancelScope(deadline=self._sleeping_until, shield=True):
                    await self._wake.wait()
            else:
                self._sleeping_until = float("inf")
                with anyio.CancelScope(shield=True):
                    await self._wake.wait()

    def _go_off(self) -> None:
        now = self._backend.now()
        while self._heap and self._heap[0][0] <= now:
            if not heapq.heappop(self._heap)[2].go_off():
                self._cancelled = max(0, self._cancelled - 1)

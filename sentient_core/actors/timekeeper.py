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
    """Something due at a time, unless it is cancelled first. What is due is for a subclass to say."""

    __slots__ = ("_keeper", "is_set")

    def __init__(self, keeper: Timekeeper) -> None:
        self._keeper = keeper
        self.is_set: bool = True
        """It will go off."""

    @property
    def due(self) -> float | None:
        """When it goes off, on the loop's clock; None: only the heap knows."""
        return None

    def ring(self) -> object:
        """Do what is due. Must not raise or wait."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Take it back; nothing happens if it has gone off or was cancelled."""
        if self.is_set:
            self.is_set = False
            self._keeper.note_cancelled()

    def go_off(self) -> bool:
        """Its time has come. False if it was cancelled."""
        if not self.is_set:
            return False
        self.is_set = False
        self.ring()
        return True


class _Call(Alarm):
    __slots__ = ("_call", "_due")

    def __init__(self, keeper: Timekeeper, call: Callable[[], object], due: float) -> None:
        super().__init__(keeper)
        self._call = call
        self._due = due

    @property
    def due(self) -> float:
        return self._due

    def ring(self) -> object:
        return self._call()


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
        due = self._backend.now() + seconds
        alarm = _Call(self, call, due)
        self.add(due, alarm)
        return alarm

    def add(self, when: float, alarm: Alarm) -> None:
        """Let an alarm go off at `when` of the loop's clock."""
        heapq.heappush(self._heap, (when, next(self._order), alarm))
        if when < self._sleeping_until and self._wake is not None:
            self._wake.set(None)

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
                    await self._wake
            else:
                self._sleeping_until = float("inf")
                with anyio.CancelScope(shield=True):
                    await self._wake

    def _go_off(self) -> None:
        now = self._backend.now()
        while self._heap and self._heap[0][0] <= now:
            if not heapq.heappop(self._heap)[2].go_off():
                self._cancelled = max(0, self._cancelled - 1)

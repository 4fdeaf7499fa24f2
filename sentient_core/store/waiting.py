"""Who waits for a commit, a projection, or room: lines of one journal, on its loop's thread."""

from __future__ import annotations

import heapq
from itertools import count

from sentient_core.backend import Backend, Slot
from sentient_core.store.protocols import Waiter

__all__ = ["RoomLine", "WaitingLine"]


class WaitingLine:
    """Waiters for a count that only grows. Belongs to one event loop's thread."""

    __slots__ = ("_backend", "_order", "_waiters", "is_empty")

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._waiters: list[tuple[int, int, Waiter]] = []
        self._order = count()
        self.is_empty: bool = True
        """Nobody waits. May be read from any thread."""

    def join(self, target: int) -> Slot[None]:
        """A slot that is set once the count reaches `target`."""
        slot = self._backend.slot()
        self.add(target, slot)
        return slot

    def add(self, target: int, waiter: Waiter) -> None:
        """Call `waiter.set` once the count reaches `target`: those of one target in the order they came."""
        heapq.heappush(self._waiters, (target, next(self._order), waiter))
        self.is_empty = False

    def advance(self, reached: int) -> None:
        """The count is `reached` now: wake those who waited for it.

        What one of them raises is raised when all have been told.
        """
        waiters, error = self._waiters, None
        while waiters and waiters[0][0] <= reached:
            try:
                heapq.heappop(waiters)[2].set(None)
            except Exception as raised:  # noqa: BLE001 - the others wait for the same commit
                error = error or raised
        self.is_empty = not waiters
        if error is not None:
            raise error

    def fail(self, error: Exception) -> None:
        """The count will not grow any more: everybody gets `error`."""
        waiters, self._waiters = self._waiters, []
        self.is_empty = True
        for _, _, slot in waiters:
            slot.fail(error)


class RoomLine:
    """Who waits until the tail has room again. Belongs to one event loop's thread."""

    __slots__ = ("_line", "_openings")

    def __init__(self, backend: Backend) -> None:
        self._line = WaitingLine(backend)
        self._openings = 0

    @property
    def is_empty(self) -> bool:
        """Nobody waits. May be read from any thread."""
        return self._line.is_empty

    def add(self, waiter: Waiter) -> None:
        """Call `waiter.set` at the next opening."""
        self._line.add(self._openings + 1, waiter)

    def open(self) -> None:
        """There is room: call all who wait now. Who comes back meanwhile waits for the next time."""
        self._openings += 1
        self._line.advance(self._openings)

    def fail(self, error: Exception) -> None:
        """There will be no room any more: everybody gets `error`."""
        self._line.fail(error)

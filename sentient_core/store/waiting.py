"""Who waits for a record to be committed or projected: one line per journal, on its loop's thread."""

from __future__ import annotations

from collections import deque

from sentient_core.backend import Backend, Slot

__all__ = ["WaitingLine"]


class WaitingLine:
    """Waiters for a count that only grows. Belongs to one event loop's thread."""

    __slots__ = ("_backend", "_waiters", "is_empty")

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._waiters: deque[tuple[int, Slot[None]]] = deque()
        self.is_empty = True
        """Nobody waits. May be read from any thread."""

    def join(self, target: int) -> Slot[None]:
        """A slot that is set once the count reaches `target`. Targets never go down."""
        slot = self._backend.slot()
        self._waiters.append((target, slot))
        self.is_empty = False
        return slot

    def advance(self, reached: int) -> None:
        """The count is `reached` now: wake those who waited for it."""
        waiters = self._waiters
        while waiters and waiters[0][0] <= reached:
            waiters.popleft()[1].set(None)
        self.is_empty = not waiters

    def fail(self, error: Exception) -> None:
        """The count will not grow any more: everybody gets `error`."""
        while self._waiters:
            self._waiters.popleft()[1].fail(error)
        self.is_empty = True

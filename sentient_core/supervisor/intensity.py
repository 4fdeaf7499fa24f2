"""How many restarts are too many: OTP's sliding window, over times alone, without a clock.

Source: `add_restart/1` in OTP's supervisor.erl. A restart at `now` is allowed iff the restarts within
`[now - within, now]`, this one included, are at most `max_restarts`; 0 allows none.
"""

from __future__ import annotations

from collections import deque

__all__ = ["RestartWindow"]


class RestartWindow:
    """The restarts that still count. Spending one takes constant time on average, however many do."""

    __slots__ = ("_times", "max_restarts", "within")

    def __init__(self, max_restarts: int, within: float) -> None:
        self.max_restarts: int = max_restarts
        self.within: float = within
        """Seconds."""
        self._times: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._times)

    def seconds_left(self, now: float) -> float:
        """How long no restart is allowed yet; 0: one is. Always `within` where none ever is."""
        times = self._times
        since = now - self.within
        while times and times[0] < since:
            times.popleft()
        if len(times) < self.max_restarts:
            return 0.0
        # The window's first moment belongs to it: one more restart fits only after it.
        return times[0] - since + 0.001 if times else self.within

    def spend(self, now: float) -> bool:
        """Take one restart at the monotonic time `now`, never before an earlier one. False: too many."""
        times = self._times
        since = now - self.within
        while times and times[0] < since:
            times.popleft()
        if len(times) >= self.max_restarts:
            return False
        times.append(now)
        return True

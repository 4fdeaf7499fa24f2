"""How many restarts are too many: OTP's sliding window, as a pure function over times.

Source: `add_restart/1` in OTP's supervisor.erl. A restart at `now` is allowed iff the restarts within
`[now - within, now]`, this one included, are at most `max_restarts`; 0 allows none.
"""

from __future__ import annotations

import msgspec

__all__ = ["RestartWindow"]


class RestartWindow(msgspec.Struct, frozen=True):
    """The restarts so far that still count."""

    max_restarts: int
    within: float
    """Seconds."""
    times: tuple[float, ...] = ()
    """Monotonic times of the restarts, oldest first."""

    def spend(self, now: float) -> RestartWindow | None:
        """The window with one more restart at `now`, or None if that is one too many."""
        since = now - self.within
        times = (*(time for time in self.times if time >= since), now)
        if len(times) > self.max_restarts:
            return None
        return RestartWindow(self.max_restarts, self.within, times)

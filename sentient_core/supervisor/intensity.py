"""How many restarts are too many: OTP's sliding window, over times alone, without a clock.

Source: `add_restart/1` in OTP's supervisor.erl. A restart at `now` is allowed iff the restarts within
`[now - within, now]`, this one included, are at most `max_restarts`; 0 allows none.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TypeGuard

import msgspec

from sentient_core.errors import InvalidIntensity

__all__ = ["RestartBudget", "RestartWindow", "check_intensity", "is_seconds"]


class RestartBudget(msgspec.Struct, frozen=True):
    """Most restarts in a whole tree within a time: what ends a storm that no single supervisor sees."""

    max_restarts: int
    within: float
    """Seconds."""

    def __post_init__(self) -> None:
        check_intensity("a budget", self.max_restarts, self.within)

    def window(self) -> RestartWindow:
        """A window without restarts."""
        return RestartWindow(self.max_restarts, self.within)


def check_intensity(what: str, max_restarts: object, within: object) -> None:
    """Raise InvalidIntensity for what is no window of restarts."""
    if not isinstance(max_restarts, int) or isinstance(max_restarts, bool) or max_restarts < 0:
        raise InvalidIntensity(f"max_restarts of {what} must be a count from 0 on, not {max_restarts!r}")
    if not is_seconds(within) or within == 0:
        raise InvalidIntensity(f"within of {what} must be a number of seconds above 0, not {within!r}")


def is_seconds(value: object) -> TypeGuard[float]:
    """Whether it is a number that can be waited for."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max


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

    def clear(self) -> None:
        """Forget all restarts."""
        self._times.clear()

    def count(self, now: float) -> int:
        """The restarts within the window that ends now."""
        times = self._times
        since = now - self.within
        while times and times[0] < since:
            times.popleft()
        return len(times)

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

"""How long a child that fails again and again waits before it is started: exponential, with jitter.

Pure: the times are given, nothing is waited for here. Source: exponential backoff with full jitter on a share
of the delay, as described in AWS's "Exponential Backoff And Jitter"; the cap holds with jitter too.
"""

from __future__ import annotations

import math

import msgspec

from sentient_core.errors import InvalidBackoff
from sentient_core.supervisor.intensity import is_seconds

__all__ = ["Backoff"]


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """The waits before restarts of one child: longer with each failure, forgotten after a healthy time.

    The child is `restarting` meanwhile; its mailbox is kept.
    """

    first: float = 0.1
    """Seconds before the first restart."""
    most: float = 30.0
    """Seconds that no wait exceeds."""
    factor: float = 2.0
    """By which each wait is longer than the one before it."""
    jitter: float = 0.2
    """The share of a wait that chance may take away, 0 to 1, so that children who failed together do not come
    back together."""
    reset_after: float | None = None
    """Seconds that it must have been up to begin anew with `first`; None: as long as `most`."""

    def __post_init__(self) -> None:
        for name in ("first", "most", "factor", "jitter"):
            _check(name, getattr(self, name))
        if self.most < self.first:
            raise InvalidBackoff(f"a backoff's most is {self.most!r}, less than its first, {self.first!r}")
        if self.factor < 1:
            raise InvalidBackoff(f"a backoff's factor must be at least 1, not {self.factor!r}")
        if self.jitter > 1:
            raise InvalidBackoff(f"a backoff's jitter must be 0 to 1, not {self.jitter!r}")
        if self.reset_after is not None:
            _check("reset_after", self.reset_after)

    def delay(self, failures: int, luck: float) -> float:
        """Seconds to wait after so many failures in a row (from 1). `luck` is from 0 to 1, as of random()."""
        try:
            grown = self.first * math.pow(self.factor, failures - 1)
        except OverflowError:
            grown = self.most if self.first else 0.0
        return min(self.most, grown) * (1 - self.jitter * luck)

    def is_healthy(self, seconds_up: float) -> bool:
        """It was up for long enough: its failures so far do not count any more."""
        return seconds_up >= (self.most if self.reset_after is None else self.reset_after)


def _check(name: str, value: object) -> None:
    if not is_seconds(value):
        raise InvalidBackoff(f"a backoff's {name} must be a number from 0 on, not {value!r}")

"""How long something may be at work, on a clock that can stand still."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentient_core.actors.runtime import Runtime
    from sentient_core.actors.timekeeper import Alarm

__all__ = ["TimeLimit"]


class TimeLimit:
    """See the module. Not running until it is started."""

    def __init__(self, runtime: Runtime, on_over: Callable[[], object]) -> None:
        self._runtime = runtime
        self._on_over = on_over
        self._alarm: Alarm | None = None
        self.is_over: bool = False

    def start(self, seconds: float | None) -> None:
        """From now on, for so long; None: without a limit."""
        if seconds is not None:
            self._alarm = self._runtime.timekeeper.after(seconds, self._ring)

    def stop(self) -> float | None:
        """Have it stand still; what was left, to be started with again."""
        alarm, self._alarm = self._alarm, None
        if alarm is None or alarm.due is None:
            return None
        alarm.cancel()
        return max(0.0, alarm.due - self._runtime.backend.now())

    def _ring(self) -> None:
        self._alarm, self.is_over = None, True
        self._on_over()

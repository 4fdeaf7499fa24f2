"""`system.flush()`: wait until the store has everything, and say how far it is when that takes long."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from sentient_core.actors.runtime import Runtime

__all__ = ["FlushProgress", "flush"]

REPORT_SECONDS = 3.0
"""Between two words about one that takes long."""


class FlushProgress(msgspec.Struct, frozen=True):
    """How far a `flush` is."""

    done: int
    """Records that are rows by now, of those it waits for."""
    total: int
    """Records that were no rows yet when it was called."""
    seconds: float
    """Since it was called."""


async def flush(runtime: Runtime, progress: Callable[[FlushProgress], object] | None) -> None:
    """Return when all that is in the journal's hands is in rows. Raises as `Journal.flush`.

    Every few seconds a line of the log says how far it is, and `progress` is called.
    """
    report = _Report(runtime, progress)
    try:
        await runtime.mirror.journal.flush()
    finally:
        report.end()


class _Report:
    def __init__(self, runtime: Runtime, progress: Callable[[FlushProgress], object] | None) -> None:
        self._runtime = runtime
        self._progress = progress
        self._began = runtime.backend.now()
        self._mark = runtime.mirror.journal.mark()
        self._total = self._left()
        self._alarm = runtime.timekeeper.after(REPORT_SECONDS, self._tell)

    def end(self) -> None:
        self._alarm.cancel()

    def _left(self) -> int:
        journal = self._runtime.mirror.journal
        in_rows = journal.mark() - journal.backlog().records
        return max(0, self._mark - in_rows)

    def _tell(self) -> None:
        runtime = self._runtime
        self._alarm = runtime.timekeeper.after(REPORT_SECONDS, self._tell)
        seconds = runtime.backend.now() - self._began
        at = FlushProgress(self._total - self._left(), self._total, round(seconds, 3))
        runtime.log.info("flush goes on", done=at.done, total=at.total, seconds=at.seconds)
        if self._progress is not None:
            try:
                self._progress(at)
            except Exception:
                runtime.log.exception("the progress callback of a flush raised")
                self._progress = None

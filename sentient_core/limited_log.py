"""A logger for what can come in floods: so many lines per second, then one line that counts the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

__all__ = ["LimitedLog"]


class LimitedLog:
    """Warnings of one kind, limited in rate. Belongs to one thread."""

    __slots__ = ("_lines", "_log", "_most", "_now", "_second", "_suppressed", "_what")

    def __init__(
        self,
        log: structlog.typing.FilteringBoundLogger,
        now: Callable[[], float],
        what: str,
        *,
        lines_per_second: int = 10,
    ) -> None:
        self._log = log
        self._now = now
        self._what = what
        self._most = lines_per_second
        self._second = float("-inf")
        self._lines = 0
        self._suppressed = 0

    def warning(self, fields: Callable[[], dict[str, Any]]) -> None:
        """Log a line, if there is still one left in this second; `fields` is only then called."""
        now = self._now()
        if now - self._second >= 1.0:
            self.close()
            self._second = now
            self._lines = 0
        self._lines += 1
        if self._lines > self._most:
            self._suppressed += 1
        else:
            self._log.warning(self._what, **fields())

    def close(self) -> None:
        """Log how many lines were left out since the last one that says so."""
        if self._suppressed:
            self._log.warning(f"{self._what}: not logged one by one", suppressed=self._suppressed)
            self._suppressed = 0

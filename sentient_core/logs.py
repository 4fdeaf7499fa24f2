"""The runtime's log lines: all say whose they are, in the same keys, and none comes in floods.

Nothing is configured here: the lines go wherever the program sends structlog's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any

import structlog

from sentient_core.causes import in_a_line, last_lines

__all__ = ["LimitedLog", "LimitedLogs", "LogLevel", "RuntimeLog", "runtime_log"]


class LogLevel(StrEnum):
    """How much a log line matters, least first."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


def runtime_log(system: str | None, least: LogLevel = LogLevel.DEBUG) -> RuntimeLog:
    """A logger whose lines have `system`; bind path, incarnation and correlation_id where one is of an actor.

    Lines below `least` are not written.
    """
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger("sentient_core")
    return RuntimeLog(log if system is None else log.bind(system=system), least)


class RuntimeLog:
    """What the runtime logs through: a line that cannot be written is lost, and nothing else with it.

    The program's logging may raise (a closed pipe, a processor of its own); no actor, and no part of
    the store, may fail of that.
    """

    __slots__ = ("_least", "to_structlog")

    def __init__(
        self, to_structlog: structlog.typing.FilteringBoundLogger, least: LogLevel = LogLevel.DEBUG
    ) -> None:
        self.to_structlog: structlog.typing.FilteringBoundLogger = to_structlog
        """The same logger without the net and without a least level, for the user's own lines."""
        self._least = least

    def bind(self, **keys: Any) -> RuntimeLog:
        return RuntimeLog(self.to_structlog.bind(**keys), self._least)

    def debug(self, event: str, **keys: Any) -> None:
        self._write("debug", event, keys)

    def info(self, event: str, **keys: Any) -> None:
        self._write("info", event, keys)

    def warning(self, event: str, **keys: Any) -> None:
        self._write("warning", event, keys)

    def error(self, event: str, **keys: Any) -> None:
        self._write("error", event, keys)

    def exception(self, event: str, **keys: Any) -> None:
        """See `failure`: of the exception that is being handled."""
        error = sys.exc_info()[1]
        if error is None:
            self.error(event, **keys)
        else:
            self.failure(event, error, **keys)

    def failure(self, event: str, error: BaseException, **keys: Any) -> None:
        """An error, with the words of an exception.

        In words, not as `exc_info`: a console that shows the locals of every frame, as structlog's own
        does where `rich` is installed, would keep the loop for as long as their texts take.
        """
        self.error(event, **keys, error=in_a_line(error), exception=last_lines(error))

    def _write(self, level: str, event: str, keys: dict[str, Any]) -> None:
        if _RANKS[level] < _RANKS[self._least.lower()]:
            return
        with suppress(Exception):
            getattr(self.to_structlog, level)(event, **keys)


_RANKS = {level.lower(): rank for rank, level in enumerate(LogLevel)}


class LimitedLog:
    """Warnings of one kind, limited in rate. Belongs to one thread."""

    __slots__ = ("_lines", "_log", "_most", "_now", "_second", "_suppressed", "_what")

    def __init__(
        self,
        log: RuntimeLog,
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
        if self.admits():
            self.write(fields())

    def admits(self) -> bool:
        """Count a line; whether there is still one left in this second, to be written by `write`."""
        now = self._now()
        if now - self._second >= 1.0:
            self.close()
            self._second = now
            self._lines = 0
        self._lines += 1
        if self._lines <= self._most:
            return True
        self._suppressed += 1
        return False

    def write(self, fields: dict[str, Any]) -> None:
        """Write a line that was admitted."""
        self._log.warning(self._what, **fields)

    def close(self) -> None:
        """Log how many lines were left out since the last one that says so."""
        if self._suppressed:
            self._log.warning(f"{self._what}: not logged one by one", suppressed=self._suppressed)
            self._suppressed = 0


class LimitedLogs:
    """Which lines about actors are still written: of each kind as many in a second as of a `LimitedLog`."""

    __slots__ = ("_log", "_now", "_of_kind")

    def __init__(self, log: RuntimeLog, now: Callable[[], float]) -> None:
        self._log = log
        self._now = now
        self._of_kind: dict[str, LimitedLog] = {}

    def admits(self, what: str) -> bool:
        """Count a line; whether one of its kind is still left. `what`: its words, which stay the same."""
        log = self._of_kind.get(what)
        if log is None:
            log = self._of_kind[what] = LimitedLog(self._log, self._now, what)
        return log.admits()

    def close(self) -> None:
        """Log how many lines were left out since those that said so."""
        for log in self._of_kind.values():
            log.close()

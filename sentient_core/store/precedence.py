"""Commits come first: when the projector holds back for the writer.

Rows that are written beside a commit make it several times slower: one log, few processors, Python's one
lock. Somebody waits for the commit; for the rows nobody does, or he would have said so. So while callers
spend much of their time waiting for commits, rows wait: a burst that fits into half of the tail goes at
the pace of the journal alone. Beyond that half the rows are written whatever it costs, and the other half
is what a load that never ends has for its peaks.

Where somebody follows the events of a system by their rows, or may do so from another process, rows wait for
`FOLLOWED_SECONDS` at most.

The measure is the share of time that an awaited commit was in flight, over the last fifth of a second or so.
A few commits in a second are no reason to hold back, however slow the rows make them. What is said of
commits goes for the reading of what durable actors have left: a recovery takes a third of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from math import exp

from sentient_core.store.protocols import JournalOptions
from sentient_core.store.tail import Intake

__all__ = ["FOLLOWED_SECONDS", "Precedence"]

_MEMORY_SECONDS = 0.2
_BUSY = 1 / 3
"""Share of time from which commits come first."""
_READ_SECONDS = 0.25
"""How long rows wait behind a start that has read what its actor has left."""
_PART = 0.5
"""Of the tail's bounds, up to which they do."""
FOLLOWED_SECONDS = 0.025
"""How long rows wait that somebody follows; a window's own time comes on top of it."""
_NEWS_SECONDS = 1.0
"""How long somebody who published something is taken for one who goes on."""


class Precedence:
    """What one journal's writer tells its projector. Belongs to the store thread; times are monotonic."""

    def __init__(
        self,
        intake: Intake,
        options: JournalOptions,
        least_records: int,
        is_followed: Callable[[], bool] = lambda: False,
    ) -> None:
        """`least_records`: the tail may hold so many, however long projecting them takes.

        `is_followed`: somebody reads the events of the system from their rows.
        """
        self._intake = intake
        self._tail_seconds = options.tail_seconds
        self._least_records = least_records
        self._bytes = int(options.tail_bytes * _PART)
        self._seconds = options.tail_seconds * _PART
        self._share = 0.0
        self._at = 0.0
        self._is_followed = is_followed
        self._news_at = -_NEWS_SECONDS
        self._readers = 0
        self._read_at = -_READ_SECONDS
        self.rate: float = 0.0
        """Records that the projector does in a second, with nobody in its way; 0: not known."""

    @contextmanager
    def reading(self) -> Generator[None]:
        """The start of an actor waits for what is read meanwhile, and probably more of them follow."""
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._read_at = time.monotonic()

    def note_commit(self, began: float, ended: float, *, is_awaited: bool) -> None:
        """A commit was in flight between these times."""
        share = self.share(began)
        input_ = 1.0 if is_awaited else 0.0
        self._share = input_ + (share - input_) * exp((began - ended) / _MEMORY_SECONDS)
        self._at = ended

    def note_news(self, now: float) -> None:
        """Events were committed that somebody may follow from another process: nobody here knows of it."""
        self._news_at = now

    def knows_of_news(self, now: float) -> bool:
        """They were, so lately that it need not be noted again."""
        return now - self._news_at < _NEWS_SECONDS / 10

    def note_rows(self, now: float, oldest: float, records: int, seconds: float) -> None:
        """So many records were projected in so many seconds, the first of them committed at `oldest`.

        From it follows how many the tail may hold. Beside awaited commits it is slower than it can be, so
        what is measured then only counts if it is more than what was known; or if nothing was, for long.
        """
        rate = records / seconds
        if not self.is_busy(now):
            self.rate = 0.8 * self.rate + 0.2 * rate if self.rate else rate
        elif rate > self.rate and (self.rate or now - oldest > self._seconds):
            self.rate = rate
        if self.rate:
            self._intake.room_records = max(self._least_records, int(self.rate * self._tail_seconds))

    def share(self, now: float) -> float:
        """Of the time until now, how much an awaited commit was in flight; the last moments count most."""
        return self._share * exp((self._at - now) / _MEMORY_SECONDS)

    def is_busy(self, now: float) -> bool:
        """Callers spend much of their time waiting for commits."""
        return self.share(now) >= _BUSY

    def is_with_commits(self, now: float, oldest: float) -> bool:
        """The rows should wait. `oldest`: when the first entry without rows was committed."""
        intake = self._intake
        held, late = intake.bytes_in - intake.bytes_out, now - oldest
        if late >= FOLLOWED_SECONDS and (now - self._news_at < _NEWS_SECONDS or self._is_followed()):
            return False
        if self._readers or now - self._read_at < _READ_SECONDS:
            return held < self._bytes / _PART and late < self._seconds
        if not self.is_busy(now):
            return False
        behind = (intake.count_in - intake.projected) / self.rate if self.rate else 0.0
        return held < self._bytes and late + behind < self._seconds

"""The numbers of a mailbox: what is lost is counted, how long things wait is known to about a turn.

A time per message would cost a third of a `tell`. Instead the time is noted together with a position in
the queue: when a turn ends and leaves something behind, when one is suspended, and when somebody looks.
What is at the head now came in after the last of these positions that has been passed. How many a turn has
taken is known when it ends; until then the most is assumed, so that no age is too low.

An actor has a `Tally` only once there is something to put down.
"""

from __future__ import annotations

import msgspec

from sentient_core.mailbox.dead_letters import DeadLetterReason

__all__ = ["BUDGET", "MailboxStatistics", "Tally"]

BUDGET = 64
"""Most messages of one actor in one turn."""

_FULL, _DROPPED, _EXPIRED = DeadLetterReason.FULL, DeadLetterReason.DROPPED, DeadLetterReason.EXPIRED
_QUARANTINED = DeadLetterReason.QUARANTINED

MOST_MARKS = 256
"""Beyond it, every second mark is forgotten: the longer a queue, the coarser its ages."""


NOTE_SECONDS = 0.01
"""Between the notes of turns that leave something behind."""


class MailboxStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A mailbox at one moment. Counts are over all incarnations of the actor in this system."""

    depth: int
    """Messages queued."""
    waiting: int
    """Senders that wait for room."""
    capacity: int
    high_water: int
    """Greatest depth seen at the start of a turn, behind a suspended handler, or now."""
    oldest_age: float
    """Seconds that the oldest queued message has waited; 0.0 when nothing is queued. Too high by at most ten
    milliseconds and the length of a turn: 64 messages, or the eight in which half a millisecond passes.
    Exact once a message with a priority is queued."""
    handled: int
    """Messages whose handler has returned; those of a turn are counted when it ends."""
    dropped: int
    """Messages that found no room, or had to make room: dead letters `full` and `dropped`."""
    expired: int
    """Messages whose time was over when their turn came: dead letters `expired`."""
    dead: int
    """All messages to this actor that became dead letters, those above included."""


class Tally:
    """What is written down of one mailbox."""

    __slots__ = (
        "_marks",
        "_note_from",
        "_passed",
        "_taken",
        "dead",
        "dropped",
        "expired",
        "is_high",
        "quarantined",
    )

    def __init__(self) -> None:
        self.dead: int = 0
        self.dropped: int = 0
        self.expired: int = 0
        self.quarantined: int = 0
        self.is_high: bool = False
        """The high water mark has been reached, and the low one not since."""
        self._taken = 0
        self._passed: float | None = None
        """When the last mark was noted that the head has passed: the head was not there then."""
        self._marks: list[tuple[int, float]] = []
        self._note_from = 0.0

    def count(self, reason: DeadLetterReason) -> None:
        """Count a dead letter."""
        self.dead += 1
        if reason is _FULL or reason is _DROPPED:
            self.dropped += 1
        elif reason is _EXPIRED:
            self.expired += 1
        elif reason is _QUARANTINED:
            self.quarantined += 1

    def note(self, depth: int, now: float, *, in_turn: int = 0) -> None:
        """So many messages are queued now; what comes later is younger.

        `in_turn`: as many at most have been taken in a turn that is not over, and are not counted yet.
        """
        self._marks.append((self._taken + in_turn + depth, now))
        if len(self._marks) > MOST_MARKS:
            del self._marks[1::2]
        self._pass()

    def turn_over(self, taken: int, depth: int, now: float) -> None:
        """A turn has taken so many from the head and leaves so many; noted at most every `NOTE_SECONDS`."""
        self._taken += taken
        if self._marks and self._marks[0][0] <= self._taken:
            self._pass()
        if now >= self._note_from:
            self._note_from = now + NOTE_SECONDS
            self.note(depth, now)

    def put_back(self, messages: int) -> None:
        """So many that had been taken are at the head again."""
        self._taken -= messages

    @property
    def marks(self) -> int:
        """How many times are noted that the head has not passed."""
        return len(self._marks)

    def is_blank(self) -> bool:
        """With nothing queued any more, there is nothing to keep this for."""
        self._marks.clear()
        self._note_from = 0.0
        self._passed = None
        self._taken = 0
        return not (self.dead or self.is_high)

    def head_since(self, otherwise: float) -> float:
        """When the head was not there yet; `otherwise` if it came before anything was noted."""
        return otherwise if self._passed is None else self._passed

    def _pass(self) -> None:
        while self._marks and self._marks[0][0] <= self._taken:
            self._passed = self._marks.pop(0)[1]

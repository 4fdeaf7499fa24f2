"""Dead letters: every message that will not be handled, with its reason; counted, kept, logged.

The newest are kept in memory for people to look at; the store keeps them all. Their log lines are
limited in rate, and one line counts what was suppressed; who subscribes is told of every one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import overload

import msgspec

from sentient_core.feed import Feed, Following, Subscription
from sentient_core.logs import LimitedLog

__all__ = ["DeadLetter", "DeadLetterReason", "DeadLetters", "Evidence"]


class DeadLetterReason(StrEnum):
    """Why a message will not be handled."""

    STOPPED = "stopped"
    """Its recipient had ended, ended with it in the queue, or was killed with it in hand."""
    FAILED = "failed"
    """Its handler raised."""
    QUARANTINED = "quarantined"
    """Its handler raised at every attempt that it had, or called it poison. Its letter holds the evidence."""
    FULL = "full"
    """The mailbox had no room for a `tell`."""
    DROPPED = "dropped"
    """The overflow policy chose it."""
    EXPIRED = "expired"
    """Its time was over before its turn came."""
    UNHANDLED = "unhandled"
    """The recipient has no handler for its type."""
    UNKNOWN = "unknown"
    """Nobody lives at the path it was sent to."""
    LATE_REPLY = "late_reply"
    """A reply that nobody waits for any more."""


class Evidence(msgspec.Struct, frozen=True):
    """What is known of the last failure of a quarantined message, for its letter."""

    traceback: str
    """The innermost frames and the exception, at most 4,000 characters."""
    state_digest: str | None = None
    """Digest (hex) of the actor's State as the handler left it, made as those of checkpoints; None: the class
    declares none, or it could not be encoded."""
    checkpoint_id: str | None = None
    """The newest checkpoint of the actor that the runtime knew of then; None: there is none."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that will not be handled."""

    message: object
    reason: DeadLetterReason
    recipient: str
    """Path."""
    sender: str
    """Path, or `external`."""
    message_id: str | None = None
    """None for a message to a volatile actor."""
    correlation_id: str | None = None
    incarnation: int = 0
    """Of the recipient."""
    cause: str = ""
    """What happened, for people; of a failed handler the exception in one line."""
    tries: int = 0
    """How often its handler failed with it since it was last sent: see `Actor.max_attempts`."""
    traceback: str | None = None
    """These three of a quarantined message alone, at its last failure: see `Evidence`."""
    state_digest: str | None = None
    checkpoint_id: str | None = None


class DeadLetters(Sequence[DeadLetter]):
    """The newest dead letters of a system, oldest first, and how many there ever were of each reason."""

    def __init__(self, log: LimitedLog, feed: Feed[DeadLetter], *, keep: int = 1_000) -> None:
        self._log = log
        self._feed = feed
        self._newest: deque[DeadLetter] = deque(maxlen=keep)
        self._counts: Counter[DeadLetterReason] = Counter()
        self.redriven: int = 0
        """How many letters have been sent again since the start of the system, of earlier starts included.

        A letter that dies again is counted again: `total - redriven` have not been sent again.
        """
        self.discarded: int = 0
        """How many letters have been discarded since the start of the system; they are in `counts` still."""

    @overload
    def __getitem__(self, index: int) -> DeadLetter: ...
    @overload
    def __getitem__(self, index: slice) -> list[DeadLetter]: ...
    def __getitem__(self, index: int | slice) -> DeadLetter | list[DeadLetter]:
        if isinstance(index, slice):
            return list(self._newest)[index]
        return self._newest[index]

    def __len__(self) -> int:
        return len(self._newest)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {reason}" for reason, count in self._counts.items())
        return f"<dead letters: {counts or 'none'}>"

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(self._newest)

    @property
    def counts(self) -> Mapping[DeadLetterReason, int]:
        """How many there have been since the start of the system, by reason."""
        return self._counts

    @property
    def total(self) -> int:
        """How many there have been since the start of the system."""
        return sum(self._counts.values())

    def subscribe(self, callback: Callable[[DeadLetter], object]) -> Subscription:
        """Call `callback` with every new letter; see `Feed.subscribe` for what it may do.

        It is called on the loop's thread, at once, in the middle of what made the letter. What it raises
        is logged and harms nobody. Letters that it makes itself are not told to it.
        """
        return self._feed.subscribe(callback)

    def follow(self, buffer: int = 1_000) -> Following[DeadLetter]:
        """Every new letter, to iterate over.

        ::

            async with system.dead_letters.follow() as letters:
                async for letter in letters: ...

        At most `buffer` letters wait for the iteration; `letters.missed` counts those beyond. Ends with
        the system.
        """
        return self._feed.follow(buffer)

    def add(self, letter: DeadLetter) -> None:
        """Count, keep, log and tell of one."""
        self._counts[letter.reason] += 1
        self._newest.append(letter)
        if self._log.admits():
            self._log.write(
                {
                    "path": letter.recipient,
                    "reason": letter.reason.value,
                    "message_type": type(letter.message).__name__,
                    "sender": letter.sender,
                    "incarnation": letter.incarnation,
                    "correlation_id": letter.correlation_id,
                    "cause": letter.cause or None,
                }
            )
        self._feed.publish(letter)

    def close(self) -> None:
        """There will be no more: end those who follow, log what is still suppressed."""
        self._feed.close()
        self._log.close()

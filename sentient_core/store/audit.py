"""What an audit says: of every actor, what has become of the messages to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

__all__ = ["NUMBERS", "ActorAudit", "Audit", "Counts", "counted_actor", "counted_on", "mirrored"]

NUMBERS = ("sent", "handled", "dead_lettered", "quarantined", "expired", "pending")
"""Of an actor: what was sent to it, and what has become of that."""


Counts: TypeAlias = tuple[int, Sequence[int], Sequence[int]]
"""Of a mirrored actor: the last start that counted, its numbers, and those of all starts before it."""


class ActorAudit(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of the messages to one actor."""

    path: str
    """Nameless actors of one parent are counted together, as its child `$*`."""
    durability: str
    """Of a durable actor the numbers are counted from what the store has of each message. Those of a mirrored
    one are what the process counted, in a store until its last `flush` or its orderly end; what was pending
    when a process was killed has ended with it. Those of a volatile one are in the memory of the process."""
    sent: int
    handled: int
    dead_lettered: int
    """For any other reason than the next two; redriven ones not among them."""
    quarantined: int
    expired: int
    pending: int
    missing: tuple[str, ...] = ()
    """Ids of messages that were accepted, and nothing says what has become of them."""
    doubled: tuple[str, ...] = ()
    """Ids of messages that were settled twice, or are settled and pending."""

    @property
    def is_balanced(self) -> bool:
        """Nothing is missing or doubled, and the counts add up."""
        gone = self.handled + self.dead_lettered + self.quarantined + self.expired
        return not self.missing and not self.doubled and self.sent == gone + self.pending


class Audit(msgspec.Struct, frozen=True):
    """What has become of all messages: sent = handled + dead-lettered + quarantined + expired + pending."""

    actors: tuple[ActorAudit, ...]
    """By path."""
    damaged: tuple[str, ...] = ()
    """Record ids of rows that were changed or torn: what they say is missing in the counts."""

    @property
    def is_balanced(self) -> bool:
        """So it is, for every actor, and nothing is damaged."""
        return not self.damaged and all(actor.is_balanced for actor in self.actors)

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids of all messages that are missing."""
        return tuple(id_ for actor in self.actors for id_ in actor.missing)

    @property
    def doubled(self) -> tuple[str, ...]:
        """The ids of all messages that are there twice."""
        return tuple(id_ for actor in self.actors for id_ in actor.doubled)

    def __str__(self) -> str:
        sums = {name: sum(getattr(actor, name) for actor in self.actors) for name in NUMBERS}
        sent, *others = (f"{count:,} {name.replace('_', '-')}" for name, count in sums.items())
        text = f"{sent} = {' + '.join(others)}"
        if self.is_balanced:
            return f"{text}: nothing is missing, nothing is doubled"
        wrong = [actor.path for actor in self.actors if not actor.is_balanced]
        named = (
            ("for", wrong),
            ("missing:", self.missing),
            ("doubled:", self.doubled),
            ("damaged rows:", self.damaged),
        )
        words = "; ".join(f"{what} {', '.join(ids)}" for what, ids in named if ids)
        return f"{text}: DOES NOT ADD UP {words}"


def counted_on(known: Counts | None, epoch: int, numbers: Sequence[int]) -> Counts:
    """What is known once the start `epoch` has counted these."""
    if known is None:
        return epoch, numbers, (0,) * len(NUMBERS)
    before, now, earlier = known
    return epoch, numbers, earlier if epoch == before else [a + b for a, b in zip(now, earlier, strict=True)]


def mirrored(path: str, counts: Counts) -> ActorAudit:
    """The audit of a mirrored actor, over all starts."""
    _, now, earlier = counts
    return counted_actor(path, "mirrored", [a + b for a, b in zip(now, earlier, strict=True)])


def counted_actor(path: str, durability: str, numbers: Sequence[int]) -> ActorAudit:
    """The audit of an actor by its numbers, in the order of `NUMBERS`."""
    sent, handled, dead_lettered, quarantined, expired, pending = numbers
    return ActorAudit(
        path=path,
        durability=durability,
        sent=sent,
        handled=handled,
        dead_lettered=dead_lettered,
        quarantined=quarantined,
        expired=expired,
        pending=pending,
    )

"""The books of the messages to durable actors: what was accepted, and what has become of it.

Every window of the journal that has accepted or settled such a message leaves one row, with the ids in the
order of commits. So whoever reads the rows one after the other knows at every moment which messages are open:
one that is settled and not open was settled twice, or came from nowhere; one that is open at the end must be
pending in the inbox, and nothing else may be. No counter has to be believed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from sentient_core.mailbox import DeadLetterReason
from sentient_core.store.records import Key, full_id

__all__ = ["ACCEPTED", "FORGOTTEN", "HANDLED", "REDRIVEN", "Account", "ActorAudit", "Audit", "Books", "Line"]

Line: TypeAlias = tuple[str, int, int]
"""What happened to a message (one of the words below, or why it is a dead letter), its epoch and number."""

ACCEPTED = "a"
REDRIVEN = "r"
"""A dead letter was accepted again."""
HANDLED = "h"
FORGOTTEN = "f"
"""The actor was forgotten, with all that was open of it; of no message in particular."""

Account: TypeAlias = tuple[Line, ...]
"""What happened to the messages of one actor, in the order of commits."""

_QUARANTINED = DeadLetterReason.QUARANTINED.value
_EXPIRED = DeadLetterReason.EXPIRED.value


class ActorAudit(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of the messages to one actor."""

    path: str
    durability: str
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

    @property
    def is_balanced(self) -> bool:
        """So it is, for every actor."""
        return all(actor.is_balanced for actor in self.actors)

    @property
    def missing(self) -> tuple[str, ...]:
        """The ids of all messages that are missing."""
        return tuple(id_ for actor in self.actors for id_ in actor.missing)

    @property
    def doubled(self) -> tuple[str, ...]:
        """The ids of all messages that are there twice."""
        return tuple(id_ for actor in self.actors for id_ in actor.doubled)

    def __str__(self) -> str:
        sums = {name: sum(getattr(actor, name) for actor in self.actors) for name in _COUNTS}
        sent, *others = (f"{count:,} {name.replace('_', '-')}" for name, count in sums.items())
        text = f"{sent} = {' + '.join(others)}"
        if self.is_balanced:
            return f"{text}: nothing is missing, nothing is doubled"
        wrong = [actor.path for actor in self.actors if not actor.is_balanced]
        missing, doubled = (", ".join(ids) or "nothing" for ids in (self.missing, self.doubled))
        return f"{text}: DOES NOT ADD UP for {', '.join(wrong)}; missing: {missing}; doubled: {doubled}"


class Books:
    """Goes through the accounts of a system, window by window. Holds what is open, and counts."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._open: set[Key] = set()
        self._dead: dict[Key, str] = {}
        """Why messages are dead letters that were not redriven."""
        self._doubled: dict[str, list[str]] = {}

    def enter(self, accounts: Mapping[str, Account]) -> None:
        """The next window."""
        for path, account in accounts.items():
            counts = self._counts.setdefault(path, Counter())
            for what, epoch, seq in account:
                key = (path, epoch, seq)
                if what == FORGOTTEN:
                    self._forget(path, counts)
                elif what in (ACCEPTED, REDRIVEN):
                    self._accept(what, key, counts)
                elif key in self._open:
                    self._open.remove(key)
                    counts[what] += 1
                    if what != HANDLED:
                        self._dead[key] = what
                else:
                    self._doubled.setdefault(path, []).append(full_id(epoch, seq))

    def close(self, pending: Iterable[Key]) -> Audit:
        """Compare with the inbox."""
        in_inbox = set(pending)
        missing = _by_path(self._open - in_inbox)
        doubled = _by_path(in_inbox - self._open)
        open_ = Counter(path for path, _, _ in self._open & in_inbox)
        actors: list[ActorAudit] = []
        for path in sorted(self._counts.keys() | doubled.keys()):
            counts = self._counts.get(path, Counter())
            known = (ACCEPTED, HANDLED, _QUARANTINED, _EXPIRED)
            actors.append(
                ActorAudit(
                    path=path,
                    durability="durable",
                    sent=counts[ACCEPTED],
                    handled=counts[HANDLED],
                    dead_lettered=sum(count for what, count in counts.items() if what not in known),
                    quarantined=counts[_QUARANTINED],
                    expired=counts[_EXPIRED],
                    pending=open_[path],
                    missing=tuple(missing.get(path, ())),
                    doubled=(*self._doubled.get(path, ()), *doubled.get(path, ())),
                )
            )
        return Audit(tuple(actors))

    def _forget(self, path: str, counts: Counter[str]) -> None:
        """What was open counts as never sent; what is settled stays in the counts."""
        gone = {key for key in self._open if key[0] == path}
        self._open -= gone
        counts[ACCEPTED] -= len(gone)
        self._dead = {key: why for key, why in self._dead.items() if key[0] != path}

    def _accept(self, what: str, key: Key, counts: Counter[str]) -> None:
        if key in self._open:
            self._doubled.setdefault(key[0], []).append(full_id(*key[1:]))
            return
        self._open.add(key)
        if what == ACCEPTED:
            counts[ACCEPTED] += 1
            return
        before = self._dead.pop(key, None)
        if before is None:  # it died before it was ever accepted: of a mailbox that was closed, say
            counts[ACCEPTED] += 1
        else:
            counts[before] -= 1


def _by_path(keys: Iterable[Key]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path, epoch, seq in sorted(keys):
        found.setdefault(path, []).append(full_id(epoch, seq))
    return found


_COUNTS = ("sent", "handled", "dead_lettered", "quarantined", "expired", "pending")

"""The books of the messages to durable actors: what was accepted, and what has become of it.

Every window of the journal that has accepted or settled such a message leaves one row, with the ids in the
order of commits. So whoever reads the rows one after the other knows at every moment which messages are open:
one that is settled and not open was settled twice, or came from nowhere; one that is open at the end must be
pending in the inbox, and nothing else may be. No counter has to be believed.

What the rows up to some window have led to is all that those behind it need: the totals, and what is open.
So one row with that can take their place at any time (`carry`), and the audit stays the same. Of a dead
letter nothing is kept beyond its count: the line that makes it pending again says what it died of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate, pairwise
from typing import TypeAlias

import msgspec

from sentient_core.mailbox import DeadLetterReason
from sentient_core.paths import collective
from sentient_core.store.audit import ActorAudit, Audit, Counts, mirrored
from sentient_core.store.records import Key, full_id

__all__ = ["ACCEPTED", "FORGOTTEN", "HANDLED", "Account", "Books", "Carried", "Line", "redriven"]

Line: TypeAlias = tuple[str, int, int]
"""What happened to a message (one of the words below, or why it is a dead letter), its epoch and number."""

ACCEPTED = "a"
HANDLED = "h"
FORGOTTEN = "f"
"""Of no message: the actor was forgotten, with all that was pending for it. What is settled stays counted."""

Account: TypeAlias = tuple[Line, ...]
"""What happened to the messages of one actor, in the order of commits."""

_REDRIVEN = "r:"
_QUARANTINED = DeadLetterReason.QUARANTINED.value
_EXPIRED = DeadLetterReason.EXPIRED.value
_KNOWN = (ACCEPTED, HANDLED, _QUARANTINED, _EXPIRED)


def redriven(reason: str) -> str:
    """What happened to a dead letter that was accepted again.

    `reason` is that of the death which had settled it; empty: it had died before it was ever accepted, of a
    mailbox that was closed, say.
    """
    return _REDRIVEN + reason


class Carried(msgspec.Struct, frozen=True, array_like=True):
    """What the windows until one have led to."""

    counts: Mapping[str, Mapping[str, int]] = {}
    """By path (`collective`) and what happened."""
    open: Mapping[str, Mapping[int, tuple[int, ...]]] = {}
    """By path and epoch, the numbers of the open messages: the first, then each as its distance from the
    one before it."""
    doubled: Mapping[str, tuple[str, ...]] = {}


class Books:
    """Goes through the accounts of a system, window by window. Holds what is open, and counts."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}
        self._open: dict[str, set[tuple[int, int]]] = {}
        self._doubled: dict[str, list[str]] = {}

    def start_from(self, carried: Carried) -> None:
        """Instead of all windows until one; what was entered before does not count."""
        self._counts = {path: Counter(counts) for path, counts in carried.counts.items()}
        self._open = {
            path: {(epoch, seq) for epoch, steps in epochs.items() for seq in accumulate(steps)}
            for path, epochs in carried.open.items()
        }
        self._doubled = {path: list(ids) for path, ids in carried.doubled.items()}

    def carry(self) -> Carried:
        """What was entered until now, for `start_from`."""
        return Carried(
            {
                path: {what: n for what, n in counts.items() if n}
                for path, counts in self._counts.items()
                if any(counts.values())
            },
            {path: _steps(ids) for path, ids in self._open.items() if ids},
            {path: tuple(ids) for path, ids in self._doubled.items()},
        )

    def enter(self, accounts: Mapping[str, Account]) -> None:
        """The next window."""
        for path, account in accounts.items():
            counts = self._counts.setdefault(collective(path), Counter())
            is_open = self._open.setdefault(path, set())
            for what, epoch, seq in account:
                id_ = (epoch, seq)
                if what == ACCEPTED or what.startswith(_REDRIVEN):
                    if id_ in is_open:
                        self._note_doubled(path, id_)
                    else:
                        is_open.add(id_)
                        counts[ACCEPTED] += 1
                        if len(what) > len(_REDRIVEN):
                            counts[what.removeprefix(_REDRIVEN)] -= 1
                            counts[ACCEPTED] -= 1
                elif what == FORGOTTEN:
                    counts[ACCEPTED] -= len(is_open)  # they count as never sent
                    is_open.clear()
                elif id_ in is_open:
                    is_open.remove(id_)
                    counts[what] += 1
                else:
                    self._note_doubled(path, id_)
            if not is_open:
                del self._open[path]

    def close(
        self, pending: Iterable[Key], counted: Mapping[str, Counts] = {}, damaged: Iterable[str] = ()
    ) -> Audit:
        """Compare with the inbox. With what mirrored actors have counted, and rows that could not be read."""
        is_open = {(path, *id_) for path, ids in self._open.items() for id_ in ids}
        in_inbox = set(pending)
        missing = _by_path(is_open - in_inbox)
        doubled = _by_path(in_inbox - is_open)
        waiting = Counter(collective(path) for path, _, _ in is_open & in_inbox)
        actors: list[ActorAudit] = []
        for path in sorted({*self._counts, *self._doubled, *missing, *doubled}):
            counts = self._counts.get(path, Counter())
            if not (any(counts.values()) or waiting[path] or path in self._doubled or path in doubled):
                continue  # it was forgotten, and nobody lives there again
            actors.append(
                ActorAudit(
                    path=path,
                    durability="durable",
                    sent=counts[ACCEPTED],
                    handled=counts[HANDLED],
                    dead_lettered=sum(count for what, count in counts.items() if what not in _KNOWN),
                    quarantined=counts[_QUARANTINED],
                    expired=counts[_EXPIRED],
                    pending=waiting[path],
                    missing=tuple(missing.get(path, ())),
                    doubled=(*self._doubled.get(path, ()), *doubled.get(path, ())),
                )
            )
        actors += (mirrored(path, counts) for path, counts in counted.items())
        actors.sort(key=lambda actor: (actor.path, actor.durability))
        return Audit(tuple(actors), tuple(damaged))

    def _note_doubled(self, path: str, id_: tuple[int, int]) -> None:
        self._doubled.setdefault(collective(path), []).append(full_id(*id_))


def _steps(ids: Iterable[tuple[int, int]]) -> dict[int, tuple[int, ...]]:
    by_epoch: dict[int, list[int]] = {}
    for epoch, seq in sorted(ids):
        by_epoch.setdefault(epoch, [0]).append(seq)
    return {epoch: tuple(b - a for a, b in pairwise(numbers)) for epoch, numbers in by_epoch.items()}


def _by_path(keys: Iterable[Key]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path, epoch, seq in sorted(keys):
        found.setdefault(collective(path), []).append(full_id(epoch, seq))
    return found

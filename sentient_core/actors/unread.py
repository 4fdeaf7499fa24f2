"""The messages of a durable actor that are pending in the store and not in its mailbox.

What an earlier start has left may be more than the mailbox holds, and so may what committed turns send to
an actor, which is never refused. What does not fit is not kept in memory: it is in the store anyway, and is
read in parts, whenever the mailbox has run empty. In memory is, at any time, every pending message up to
a *mark*, by the order of ids, in which the store reads them; so a message that comes meanwhile is left in the
store, where it stands behind those, unless it is older than the mark (a redriven one, one that waited in a
turn while younger ones passed), as nobody would read it any more.

Whoever asks and waits is kept in memory, which is bounded by those who wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import anyio

from sentient_core.actors.settling import dead, fail_asker
from sentient_core.errors import StoreError, StoreUnavailable
from sentient_core.mailbox import DeadLetterReason
from sentient_core.mailbox.priority import priority_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sentient_core.actors.cell import Cell
    from sentient_core.actors.inbox import Inbox
    from sentient_core.mailbox.envelope import Entry
    from sentient_core.store.protocols import Estate, Pending

__all__ = ["READ_SECONDS", "MessageKey", "Unread"]

READ_SECONDS = 10.0
"""How long is waited for the store to tell what an actor has left."""

PART = 2_000
"""Most messages that are read at a time while the actor runs."""

_NONE: MessageKey = (0, 0)

MessageKey: TypeAlias = tuple[int, int]
"""Epoch and number of a message."""


class Unread:
    """What of one actor's inbox is in the store alone."""

    __slots__ = ("_arrivals", "_asked", "_cell", "_early", "_inbox", "_mark", "is_held", "is_there")

    def __init__(self, cell: Cell, inbox: Inbox, *, is_there: bool) -> None:
        self._cell = cell
        self._inbox = inbox
        self.is_there: bool = is_there
        """There is something."""
        self.is_held: bool = False
        """The store did not answer: it is asked again in a moment."""
        self._mark: MessageKey | None = None
        """Up to here, everything that is pending is in memory; None: nothing has been read yet."""
        self._asked: dict[MessageKey, Entry] = {}
        """Messages that are left in the store, whose askers wait here."""
        self._early: set[MessageKey] = set()
        """What was left in the store before anything was read: the first part may be without it."""
        self._arrivals: list[Entry] | None = None
        """What comes in while a part is read."""

    def is_behind(self, key: MessageKey) -> bool:
        """A pending message with this key would be in the store alone."""
        return self.is_there and (self._mark is None or key > self._mark)

    def keeps(self, entry: Entry, key: MessageKey) -> bool:
        """Leave a pending message in the store, as it belongs behind what is there. False: queue it."""
        if self._arrivals is not None:
            self._arrivals.append(entry)
            return True
        mailbox = self._cell.mailbox
        is_full = mailbox.depth >= mailbox.capacity
        if self._mark is None:
            if not (is_full or mailbox.is_behind):
                return False
        elif key <= self._mark or not (is_full or self.is_there):
            self._mark = max(self._mark, key)
            return False
        self._leave(entry, key)
        return True

    def take_up(self, estate: Estate) -> None:
        """Queue what was left before this start of the actor, ahead of what has come meanwhile."""
        mailbox, inbox = self._cell.mailbox, self._inbox
        queued = mailbox.take_all()
        pending = {key: entry for entry in queued if (key := inbox.key_of(entry)) is not None}
        own = [entry for entry in queued if inbox.key_of(entry) is None]
        self._mark = _NONE
        self._take(estate, pending)
        for entry in own:
            mailbox.put(entry)

    async def read_on(self) -> None:
        """Queue the next part. Raises StoreUnavailable, Fenced; nothing is lost then."""
        cell = self._cell
        mark = self._mark or _NONE
        room = cell.mailbox.capacity - cell.mailbox.depth
        self._arrivals = []
        estate: Estate | None = None
        try:
            with anyio.move_on_after(READ_SECONDS):
                estate = await cell.runtime.mirror.journal.estate(
                    cell.path, max(1, min(PART, room)), after=(cell.path, *mark)
                )
        finally:
            arrivals, self._arrivals = self._arrivals, None
            if estate is None:
                self._let_in(arrivals)
        if estate is None:
            raise StoreUnavailable(f"messages of '{cell.path}' cannot be read: the store does not answer")
        self._take(
            estate, {key: entry for entry in arrivals if (key := self._inbox.key_of(entry)) is not None}
        )

    def reach(self, key: MessageKey) -> None:
        """A message with this key is in memory that has not come by `keeps`."""
        if self._mark is not None:
            self._mark = max(self._mark, key)

    def give_back(self, error_of: Callable[[Entry], Exception]) -> None:
        """Nobody answers those whose questions are in the store."""
        asked, self._asked = self._asked, {}
        for entry in asked.values():
            fail_asker(entry, error_of(entry))

    def sleep(self) -> None:
        """What is in the store is read from the beginning by the next start."""
        self._mark = None
        self._cell.mailbox.is_behind = False

    async def give_up(self, why: str) -> None:
        """The actor has ended for good: what it has not read becomes dead letters, as what was queued.

        Until somebody lives at its path, who takes it up. What a death of the process leaves stays pending.
        """
        cell = self._cell
        runtime, mark = cell.runtime, self._mark or _NONE
        registry = runtime.registry

        def is_over() -> bool:
            is_taken = registry.find(cell.path) is not None or cell.path in registry.forgetting
            return is_taken or runtime.is_ending

        while not is_over():
            try:
                estate = await runtime.mirror.journal.estate(cell.path, PART, after=(cell.path, *mark))
            except StoreError as error:
                cell.log().error("what the actor has not read stays pending", error=str(error))
                return
            if is_over():
                return
            for pending in estate.pending:
                entry = self._inbox.entry_of(pending)
                mark = _key(pending)
                if entry is not None:
                    dead(cell, entry, DeadLetterReason.STOPPED, why)
            if estate.is_all:
                return

    def _take(self, estate: Estate, known: dict[MessageKey, Entry]) -> None:
        """Queue what was read; `known` has come meanwhile, some of which was read as well."""
        inbox, mailbox = self._inbox, self._cell.mailbox
        for pending in estate.pending:
            key = _key(pending)
            entry = known.pop(key, None) or self._asked.pop(key, None)
            if entry is not None:
                inbox.expect(entry)
            elif not inbox.has(key):
                entry = inbox.entry_of(pending)
            if entry is not None:
                if priority_of(entry):
                    mailbox.rank(self._cell.runtime.backend.now, is_paused=True)
                mailbox.put(entry)
            self._mark = max(self._mark or _NONE, key)
        self._early -= {_key(pending) for pending in estate.pending}
        self.is_there = mailbox.is_behind = bool(self._early) or not estate.is_all
        if self._early:  # what is read next begins with the first of them; what is in memory is passed over
            epoch, seq = min(self._early)
            self._mark = min(self._mark or _NONE, (epoch, seq - 1))
            self._early.clear()
        self._let_in(known.values())

    def _let_in(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            key = self._inbox.key_of(entry)
            if key is None or not self.keeps(entry, key):
                self._cell.mailbox.put(entry)

    def _leave(self, entry: Entry, key: MessageKey) -> None:
        self.is_there = self._cell.mailbox.is_behind = True
        if self._mark is None:
            self._early.add(key)
        self._inbox.forget(key)
        if entry[2] is not None:
            self._asked[key] = entry


def _key(pending: Pending) -> MessageKey:
    return pending.epoch, pending.accepted.event.seq

"""Messages that an actor has put away until it can handle them.

They are the actor's as if they were still queued: after a failure they return to the head of the mailbox,
with the mailbox they become dead letters, and who asked goes on waiting. Only the message in hand can be
stashed; until its handler has returned it counts as in hand, so one that kills its actor is not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentient_core.actors.special import kept_of

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.mailbox.envelope import Entry

__all__ = ["Stash"]


class Stash:
    """What one incarnation has put away, in order."""

    __slots__ = ("_cell", "_entries", "_latest", "_uncounted")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._entries: list[Entry] = []
        self._latest: tuple[Entry, Entry] | None = None
        """The one that was stashed last, which may still be the one in hand, and what it is kept as."""
        self._uncounted = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def uncounted(self) -> int:
        """Of the batch at hand, those that were put away; the batch counts them among the handled ones."""
        return self._uncounted

    def put(self, entry: Entry) -> None:
        """Put the message in hand away, with the deadline and the priority that it came with."""
        kept = kept_of(entry)
        put_away = (entry[0] if kept is None else kept, *entry[1:])
        self._entries.append(put_away)
        self._latest = entry, put_away
        self._uncounted += 1

    def empty(self) -> int:
        """Return all to the head of the mailbox, in order; says how many."""
        entries, self._entries = self._entries, []
        cell = self._cell
        cell.mailbox.put_first(entries)
        if entries and not cell.scheduled:  # a message answered at once has no turn behind it
            cell.runtime.dispatcher.schedule(cell)
        return len(entries)

    def take_back(self, entry: Entry) -> bool:
        """Its handler has failed: it is in hand again. False: it was not stashed."""
        if self._latest is None or entry is not self._latest[0]:
            return False
        put_away = self._latest[1]
        self._latest = None
        self._uncounted -= 1
        if self._entries and self._entries[-1] is put_away:
            self._entries.pop()
            return True
        return self._cell.mailbox.take_out(put_away)  # the handler went on to empty the stash

    def recall(self) -> Entry | None:
        """Take the message in hand back, if its handler has stashed it."""
        entry = None if self._latest is None else self._latest[0]
        return entry if entry is not None and self.take_back(entry) else None

    def forget_latest(self) -> None:
        """The message in hand has gone elsewhere: what was stashed last is an earlier one."""
        self._latest = None

    def correct_count(self) -> None:
        """What was put away has not been handled, as the cell counts it."""
        self._cell.handled -= self._uncounted
        self._uncounted = 0
        self._latest = None

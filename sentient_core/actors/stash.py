"""Messages that an actor has put away until it can handle them.

They are the actor's as if they were still queued: after a failure they return to the head of the mailbox,
with the mailbox they become dead letters, and who asked goes on waiting. Only the message in hand can be
stashed; until its handler has returned it counts as in hand, so one that kills its actor is not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        self._latest: Entry | None = None
        """The one that was stashed last: it may still be the one in hand."""
        self._uncounted = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, entry: Entry) -> None:
        """Put one away."""
        self._entries.append(entry)
        self._latest = entry
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
        if entry is not self._latest:
            return False
        self._latest = None
        self._uncounted -= 1
        if self._entries and self._entries[-1] is entry:
            self._entries.pop()
            return True
        return self._cell.mailbox.take_out(entry)  # the handler went on to empty the stash

    def correct_count(self) -> None:
        """What was put away has not been handled, as the cell counts it."""
        self._cell.handled -= self._uncounted
        self._uncounted = 0
        self._latest = None

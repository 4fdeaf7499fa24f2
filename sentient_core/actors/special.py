"""Messages that want something of the runtime at the moment they are taken from the queue.

Most messages stand in the queue as they are, and the cell finds their handler by their type. One that
carries more than itself (a deadline, a fingerprint, the timer it belongs to) stands there wrapped in a
`Special`. No dispatch table has such a type, so the cell meets it where it finds no handler anyway: what
a wrapped message costs, the others do not pay.

Only the queue knows wrappers. Handlers, dead letters and errors get the user's message: whoever looks at
`entry[0]` outside of the cell's loop asks `plain` for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.handlers import Handler
    from sentient_core.backend import Slot
    from sentient_core.mailbox.envelope import Entry, Sender
    from sentient_core.store.records import Event

__all__ = ["Opened", "Special", "is_discarded_at_end", "kept_of", "plain"]


class Special:
    """A message in the queue that is asked before it is handled. Wrappers may be nested."""

    __slots__ = ("message",)

    is_discarded_at_end: ClassVar[bool] = False
    """It becomes no dead letter when the queue is given up: nobody sent it (a timer's tick)."""

    is_kept: ClassVar[bool] = False
    """It holds also for what becomes of the message after its turn has come: in the stash, in other hands."""

    handler: Handler | None = None
    """What handles it instead of the actor's table."""

    def __init__(self, message: object) -> None:
        self.message: object = message
        """What the handler gets: the user's message, or another wrapper."""

    def opens(self, cell: Cell, entry: Entry) -> bool:
        """Called when `entry`, which holds this, has been taken from the queue of `cell`.

        True: `message` is to be handled. False: it is not, and this call has settled it (dead letter,
        asker, or nothing at all). It must not raise or wait.
        """
        raise NotImplementedError


class Opened(tuple["object", "Sender | None", "Slot[Any] | None", "Event | None"]):  # noqa: SLOT001 - a tuple has no room for them
    """The entry of a message in hand that came in a wrapper which is kept."""

    kept: Special

    @classmethod
    def of(cls, entry: Entry, kept: Special) -> Self:
        """That entry, with what is kept of its wrappers."""
        opened = cls(entry)
        opened.kept = kept
        return opened


def kept_of(entry: Entry) -> Special | None:
    """What is kept of the wrappers that the message in hand came in."""
    return entry.kept if isinstance(entry, Opened) else None


def plain(entry: Entry) -> Entry:
    """The entry with the user's message in it instead of a wrapper."""
    message = entry[0]
    if not isinstance(message, Special):
        return entry
    while isinstance(message, Special):
        message = message.message
    return message, entry[1], entry[2], entry[3]


def is_discarded_at_end(entry: Entry) -> bool:
    """Nobody misses it when the queue that holds it is given up."""
    message = entry[0]
    while isinstance(message, Special):
        if message.is_discarded_at_end:
            return True
        message = message.message
    return False

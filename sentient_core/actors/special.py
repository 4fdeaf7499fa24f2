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

__all__ = [
    "Opened",
    "Special",
    "came_in",
    "inside",
    "is_discarded_at_end",
    "kept_of",
    "plain",
    "tries_of",
    "without_asker",
]


class Special:
    """A message in the queue that is asked before it is handled. Wrappers may be nested."""

    __slots__ = ("message",)

    is_discarded_at_end: ClassVar[bool] = False
    """It becomes no dead letter when the queue is given up: nobody sent it (a timer's tick)."""

    is_kept: ClassVar[bool] = False
    """It holds also for what becomes of the message after its turn has come: in the stash, in other hands."""

    handler: Handler | None = None
    """What handles it instead of the actor's table."""

    tries: int = 0
    """How often a handler has failed with the message."""

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
    """The entry of a message that came in a wrapper which says something of what may become of it."""

    wrapper: Special

    @classmethod
    def of(cls, entry: Entry, wrapper: Special) -> Self:
        """That entry, with its outermost wrapper of this kind."""
        opened = cls(entry)
        opened.wrapper = wrapper
        return opened


def came_in(entry: Entry) -> Special | None:
    """The wrapper that a message stands in, or came in if that matters for what becomes of it."""
    if isinstance(entry, Opened):
        return entry.wrapper
    return entry[0] if isinstance(entry[0], Special) else None


def kept_of(entry: Entry) -> Special | None:
    """What is kept of the wrappers that the message in hand came in."""
    wrapper = came_in(entry)
    return wrapper if wrapper is not None and wrapper.is_kept else None


def tries_of(entry: Entry) -> int:
    """How often a handler has failed with a message, queued or in hand."""
    wrapper: object = came_in(entry)
    while isinstance(wrapper, Special):
        if wrapper.tries:
            return wrapper.tries
        wrapper = wrapper.message
    return 0


def inside(entry: Entry) -> Entry:
    """The entry with what is in its wrapper, of which it knows if that matters for what becomes of it."""
    wrapper = entry[0]
    if not isinstance(wrapper, Special):
        return entry
    bare = (wrapper.message, entry[1], entry[2], entry[3])
    if isinstance(entry, Opened):
        return Opened.of(bare, entry.wrapper)
    return Opened.of(bare, wrapper) if wrapper.is_kept or wrapper.is_discarded_at_end else bare


def plain(entry: Entry) -> Entry:
    """The entry with the user's message in it instead of a wrapper."""
    while isinstance(entry[0], Special):
        entry = inside(entry)
    return entry


def without_asker(entry: Entry) -> Entry:
    """The entry of a message whose asker somebody else has to answer by now."""
    rest = (entry[0], entry[1], None, entry[3])
    return Opened.of(rest, entry.wrapper) if isinstance(entry, Opened) else rest


def is_discarded_at_end(entry: Entry) -> bool:
    """Nobody misses it when the queue that holds it is given up."""
    message = entry[0]
    while isinstance(message, Special):
        if message.is_discarded_at_end:
            return True
        message = message.message
    return False

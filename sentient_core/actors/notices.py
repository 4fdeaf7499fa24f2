"""Messages of the runtime's own making, for an actor that asked to be told: ticks, Terminated, timeouts.

A notice counts only if what it tells of still holds when its turn comes: the timer has not been cancelled,
the watch not been taken back, the incarnation not ended. So it stands in the queue as a `Special`, and of
a mirrored actor it is written down when it is handled, not when it is queued: what was discarded has never
been a message. It always finds room, since there is never more than one for each thing asked for.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, ClassVar

from sentient_core.actors import delivery
from sentient_core.actors.special import Special
from sentient_core.errors import InvalidArgument, UncopyableMessage, UnencodableMessage

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.incarnation import Incarnation
    from sentient_core.mailbox.envelope import Entry

__all__ = ["Notice", "check_message", "check_seconds", "notice_entry"]


class Notice(Special):
    """A message that is discarded when what it tells of does not hold any more."""

    __slots__ = ()

    is_discarded_at_end = True

    is_message: ClassVar[bool] = True
    """Its actor knows it as one. Else somebody in the runtime waits for it: no plan of faults loses it."""

    def accept(self) -> bool:
        """Its turn has come. False: it does not hold any more."""
        raise NotImplementedError

    def opens(self, cell: Cell, entry: Entry) -> bool:
        if not self.accept():
            return False
        if entry[3] is not None:
            cell.sent += 1
            cell.runtime.mirror.record(entry[3])
        return True


def notice_entry(life: Incarnation, notice: Notice, sender: Cell, where: str) -> Entry | None:
    """The entry of a notice to an incarnation: the beginning of a conversation.

    None: its message was changed after it was checked, and cannot be copied or encoded now. The actor fails
    with that, in `where`.
    """
    cell, message, event = life.cell, notice.message, None
    try:
        notice.message = delivery.content_for(cell, message)
        if cell.mailbox.is_mirrored:
            event = delivery.event_of(cell, message, sender, None)
    except (UncopyableMessage, UnencodableMessage) as error:
        life.fail(error, where)
        return None
    return notice, sender, None, event


def check_message(cell: Cell, message: object) -> None:
    """Raise now what `tell` would: InvalidArgument, UnencodableMessage, UncopyableMessage, ForeignRef."""
    delivery.content_for(cell, message)
    if cell.mailbox.is_mirrored:
        cell.runtime.mirror.encoded(message, cell.path)


def check_seconds(what: str, seconds: object, *, least: float = 0.0) -> None:
    """Raise InvalidArgument for what is no finite number of seconds of at least `least`."""
    if not isinstance(seconds, int | float) or not least <= seconds <= sys.float_info.max:
        raise InvalidArgument(f"{what} must be a number of seconds of at least {least:g}, not {seconds!r}")

"""What a mailbox holds for one message, and the readable form of it.

The user lane holds plain tuples, since an object per message costs more than everything else a
`tell` does; the `Envelope` is built when somebody looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from sentient_core.backend import Slot

if TYPE_CHECKING:
    from sentient_core.store.records import Event

__all__ = ["Entry", "Envelope", "Sender"]


class Sender(Protocol):
    """The actor that sends: known by its path, within its system's runtime."""

    @property
    def path(self) -> str: ...
    @property
    def runtime(self) -> object: ...


Entry: TypeAlias = "tuple[object, Sender | None, Slot[Any] | None, Event | None]"
"""message, sender (None: outside), where the reply goes (None: a tell), its event if it is mirrored."""


class Envelope(msgspec.Struct, frozen=True):
    """A message and what the runtime knows of it."""

    message: object
    sender: str
    """Path of the sending actor, or `external`."""
    is_ask: bool
    """Somebody waits for the handler's return value."""
    message_id: str | None
    """Unique within the system; None for a message to a volatile actor."""
    correlation_id: str | None
    """The id of the message that the conversation began with."""
    attempt: int = 1
    """1, and one more for every time that the handler has failed with it: see `Actor.max_attempts`."""

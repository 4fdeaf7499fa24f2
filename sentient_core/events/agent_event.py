"""An event: what happened to whom, as it is published, delivered and found in the history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self, TypeAlias
from uuid import uuid4

import msgspec

from sentient_core.errors import InvalidArgument
from sentient_core.events.event_type import EventType, event_type_of
from sentient_core.store.event_filter import check_text
from sentient_core.store.fold import Placed
from sentient_core.store.records import Event
from sentient_core.store.streams import Place
from sentient_core.store.views import event_row

__all__ = ["AgentEvent"]

Fields: TypeAlias = dict[str, Any]  # `dict` is a method below

_KNOWN: Mapping[str, EventType] = {one.value: one for one in EventType}
_TEXTS = ("event_id", "source_agent", "target_agent", "workflow_id", "correlation_id", "causation_id")
_MOST = 4_000
_FIRST, _LAST = datetime(1678, 1, 1, tzinfo=UTC), datetime(2261, 12, 31, tzinfo=UTC)
"""What can be counted in nanoseconds from 1970 on."""


class AgentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, of one `EventType` or of a type of your own (`"shop.order_placed"`).

    ::

        AgentEvent(event_type=EventType.TASK_PROGRESS, source_agent="bob", payload={"progress": 50})

    A plain `'task_progress'` becomes the type; an unknown one is an UnknownEventType. A timestamp without
    a time zone counts as UTC. Raises InvalidArgument for what is no text where one is needed. What a payload
    may hold is checked when it is published.
    """

    event_type: EventType | str
    source_agent: str
    """Path of the actor, or the name of whoever publishes it."""
    target_agent: str | None = None
    workflow_id: str | None = None
    payload: Fields = {}
    event_id: str = msgspec.field(default_factory=lambda: str(uuid4()))
    timestamp: datetime = msgspec.field(default_factory=lambda: datetime.now(UTC))
    correlation_id: str | None = None
    causation_id: str | None = None
    message_type: str | None = None
    """Of a message's event: the tag of its type."""
    incarnation: int = 0
    """Of the source."""
    position: Place | None = None
    """Of a stored event: commit and index, in its stream."""
    cursor: str | None = None
    """Of a delivered one, or one of the history: go on behind it with `after=event.cursor`."""

    def __post_init__(self) -> None:
        if self.position is not None:
            return  # the store has it
        put = msgspec.structs.force_setattr
        put(self, "event_type", event_type_of(self.event_type))
        for name in _TEXTS:
            text = getattr(self, name)
            check_text(name, text)
            if text is None and name in ("event_id", "source_agent"):
                raise InvalidArgument(f"{name} of an event must be a text, not None")
            if text is not None and len(text) > _MOST:
                raise InvalidArgument(f"{name} of an event has {len(text)} characters, more than {_MOST}")
        if not self.event_id:
            raise InvalidArgument("event_id of an event is empty: leave it out, and one is made")
        if not self.source_agent:
            raise InvalidArgument("source_agent of an event is empty: say who publishes it")
        if not isinstance(self.timestamp, datetime):  # pyright: ignore[reportUnnecessaryIsInstance] - the user's
            raise InvalidArgument(f"timestamp must be a datetime, not {self.timestamp!r}")
        if self.timestamp.tzinfo is None:
            put(self, "timestamp", self.timestamp.replace(tzinfo=UTC))
        if not _FIRST <= self.timestamp <= _LAST:
            raise InvalidArgument(
                f"timestamp must be in the years {_FIRST:%Y} to {_LAST:%Y}, not {self.timestamp!r}"
            )

    @classmethod
    def of(cls, placed: Placed[Event], cursor: str) -> Self:
        """The event of a stream, with a payload of its own."""
        row = event_row(placed)
        return cls(
            event_type=_KNOWN.get(row.event_type, row.event_type),
            source_agent=row.source_agent,
            target_agent=row.target_agent,
            workflow_id=row.workflow_id,
            payload=row.payload,
            event_id=row.event_id,
            timestamp=row.timestamp,
            correlation_id=row.correlation_id,
            causation_id=row.causation_id,
            message_type=row.message_type,
            incarnation=row.incarnation,
            position=row.position,
            cursor=cursor,
        )

    def to_dict(self) -> Fields:
        """Its fields by name, the type as a plain text."""
        return {name: getattr(self, name) for name in self.__struct_fields__} | {
            "event_type": str(self.event_type)
        }

    def dict(self) -> Fields:
        """As `to_dict`."""
        return self.to_dict()

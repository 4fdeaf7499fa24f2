"""Which events somebody means, for every store alike."""

from __future__ import annotations

from datetime import datetime

import msgspec

from sentient_core.errors import InvalidArgument
from sentient_core.store.letters import check_time
from sentient_core.store.records import Event
from sentient_core.store.views import nanoseconds

__all__ = ["EventFilter", "check_text"]


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Those that meet all that is given. Raises InvalidArgument for what no event could meet.

    ::

        EventFilter(event_types=("task_progress", "shop.order_placed"), workflow_id="w1")
    """

    agent: str | None = None
    """Path of the source or the target."""
    event_type: str | None = None
    event_types: tuple[str, ...] = ()
    """Of one of these types; empty: of any. Any iterable of them will do."""
    source_agent: str | None = None
    target_agent: str | None = None
    workflow_id: str | None = None
    message_type: str | None = None
    """Tag of the message's type."""
    since: datetime | None = None
    """At this time or later."""
    until: datetime | None = None
    """Before this time."""

    def __post_init__(self) -> None:
        check_time("since", self.since)
        check_time("until", self.until)
        for name in ("agent", "event_type", "source_agent", "target_agent", "workflow_id", "message_type"):
            check_text(name, getattr(self, name))
        types: object = self.event_types
        given = (types,) if isinstance(types, str) else tuple(self.event_types)
        for one in given:
            check_text("event_types", one)
        msgspec.structs.force_setattr(self, "event_types", given)

    @property
    def types(self) -> frozenset[str] | None:
        """All types that an event may have to meet this; None: any."""
        if self.event_type is None:
            return frozenset(map(str, self.event_types)) or None
        if not self.event_types or self.event_type in self.event_types:
            return frozenset((str(self.event_type),))
        return frozenset()

    @property
    def is_by_time(self) -> bool:
        """It names something that events are found by in the order of their times."""
        names = (self.agent, self.source_agent, self.target_agent, self.workflow_id, self.message_type)
        return self.types is not None or any(name is not None for name in names)

    def meets(self, event: Event) -> bool:
        """This is one of them."""
        return (
            (self.agent is None or self.agent in (event.source, event.target))
            and (self.event_type is None or event.event_type == self.event_type)
            and (not self.event_types or event.event_type in self.event_types)
            and (self.source_agent is None or event.source == self.source_agent)
            and (self.target_agent is None or event.target == self.target_agent)
            and (self.workflow_id is None or event.workflow_id == self.workflow_id)
            and (self.message_type is None or event.message_type == self.message_type)
            and (self.since is None or event.at >= nanoseconds(self.since))
            and (self.until is None or event.at < nanoseconds(self.until))
        )

    def is_in_time(self, at: datetime) -> bool:
        """An event of this time is, as far as that goes."""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def check_text(name: str, given: object) -> None:
    """InvalidArgument for what is given and no text that a database could hold."""
    if given is None:
        return
    if not isinstance(given, str):
        raise InvalidArgument(f"{name} must be a text, not {given!r}")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"{name} has a lone surrogate, which no text may have: {given!r}") from None

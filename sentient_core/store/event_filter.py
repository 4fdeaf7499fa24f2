"""Which events somebody means, for every store alike."""

from __future__ import annotations

from datetime import datetime

import msgspec

from sentient_core.store.letters import check_time
from sentient_core.store.records import Event
from sentient_core.store.views import nanoseconds

__all__ = ["EventFilter"]


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Those that meet all that is given. Raises InvalidArgument for a time without a zone."""

    agent: str | None = None
    """Path of the source or the target."""
    event_type: str | None = None
    message_type: str | None = None
    """Tag of the message's type."""
    since: datetime | None = None
    """At this time or later."""
    until: datetime | None = None
    """Before this time."""

    def __post_init__(self) -> None:
        check_time("since", self.since)
        check_time("until", self.until)

    def meets(self, event: Event) -> bool:
        """This is one of them."""
        return (
            (self.agent is None or self.agent in (event.source, event.target))
            and (self.event_type is None or event.event_type == self.event_type)
            and (self.message_type is None or event.message_type == self.message_type)
            and (self.since is None or event.at >= nanoseconds(self.since))
            and (self.until is None or event.at < nanoseconds(self.until))
        )

    def is_in_time(self, at: datetime) -> bool:
        """An event of this time is, as far as that goes."""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

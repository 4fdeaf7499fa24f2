"""Which dead letters somebody means, for every store alike."""

from __future__ import annotations

from datetime import datetime

import msgspec

from sentient_core.errors import InvalidArgument
from sentient_core.mailbox import DeadLetterReason
from sentient_core.store.fold import LetterEffect
from sentient_core.store.records import DeadLetterRecord, LetterStatus
from sentient_core.store.views import nanoseconds

__all__ = ["DeadLetterFilter", "check_time", "meets"]


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters are meant: those that meet all that is given. Without anything, all."""

    reason: DeadLetterReason | str | None = None
    recipient: str | None = None
    """Path."""
    message_type: str | None = None
    """Tag of the message's type."""
    since: datetime | None = None
    """Died at this time or later; with a time zone."""
    until: datetime | None = None
    """Died before this time; with a time zone."""

    def __post_init__(self) -> None:
        if self.reason is not None:
            try:
                DeadLetterReason(self.reason)
            except ValueError:
                names = ", ".join(repr(reason.value) for reason in DeadLetterReason)
                raise InvalidArgument(f"reason is {self.reason!r}; it can be {names}") from None
        for name in ("recipient", "message_type"):
            _check_text(name, getattr(self, name))
        for name in ("since", "until"):
            check_time(name, getattr(self, name))


def meets(
    letter: LetterEffect, record: DeadLetterRecord, matching: DeadLetterFilter, status: LetterStatus | None
) -> bool:
    """A letter, whose last death is `record`, is one of those meant."""
    return (
        (status is None or letter.status is status)
        and (matching.reason is None or record.reason == matching.reason)
        and (matching.recipient is None or record.recipient == matching.recipient)
        and (matching.message_type is None or record.message_type == matching.message_type)
        and (matching.since is None or record.at >= nanoseconds(matching.since))
        and (matching.until is None or record.at < nanoseconds(matching.until))
    )


def _check_text(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise InvalidArgument(f"{name} must be a string, not {value!r}; of an actor it is ref.path")


def check_time(name: str, value: object) -> None:
    """Raise InvalidArgument for what is no time that a row may have, or says no time zone."""
    if value is None:
        return
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidArgument(
            f"{name} must be a datetime with a time zone, such as datetime.now(UTC), not {value!r}"
        )
    if not 1970 <= value.year < 2262:
        raise InvalidArgument(f"{name} must be a time between 1970 and 2262, not {value!r}: leave it out")

"""Rows between two times, found by an index that sorts times in a way of its own."""

from __future__ import annotations

from datetime import datetime, timedelta

from sentient_core.store.views import nanoseconds
from sentient_core.store.wire import bindable

__all__ = ["times_between"]

_SECOND = timedelta(seconds=1)


def times_between(
    since: datetime | None, until: datetime | None, field: str = "timestamp"
) -> dict[str, tuple[str, object]]:
    """The conditions on a field between these times, by the name of what is bound in each, and that.

    The database's index sorts times as texts, with as many digits as each needs, so that a range misses
    rows within the second of its bounds: it is taken wider, and the exact bounds are compared as numbers.
    """
    found: dict[str, tuple[str, object]] = {}
    if since is not None:
        found["from"] = f"{field} > $from", bindable(since - _SECOND)
        found["since"] = f"time::nano({field}) >= $since", nanoseconds(since)
    if until is not None:
        found["to"] = f"{field} < $to", bindable(until + _SECOND)
        found["until"] = f"time::nano({field}) < $until", nanoseconds(until)
    return found

"""Rows between two times, found by an index that sorts times in a way of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sentient_core.store.views import nanoseconds
from sentient_core.store.wire import bindable

__all__ = ["times_between"]

_SECOND = timedelta(seconds=1)
_EARLIEST = datetime(1700, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Between these, nanoseconds fit into 64 bits, and no row is older or newer."""


def times_between(
    since: datetime | None, until: datetime | None, field: str = "timestamp"
) -> dict[str, tuple[str, object]]:
    """The conditions on a field between these times, by the name of what is bound in each, and that.

    The database's index sorts times as texts, with as many digits as each needs, so that a range misses
    rows within the second of its bounds: it is taken wider, and the exact bounds are compared as numbers.
    """
    since = None if since is None or since <= _EARLIEST else min(since, _LATEST)
    until = None if until is None or until >= _LATEST else max(until, _EARLIEST)
    found: dict[str, tuple[str, object]] = {}
    if since is not None:
        found["from"] = f"{field} > $from", bindable(since - _SECOND)
        found["since"] = f"time::nano({field}) >= $since", nanoseconds(since)
    if until is not None:
        found["to"] = f"{field} < $to", bindable(until + _SECOND)
        found["until"] = f"time::nano({field}) < $until", nanoseconds(until)
    return found

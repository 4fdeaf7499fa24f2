"""What a person should look at: told as it comes up (`ActorSystem.alerts`), and as `system_alert` events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from sentient_core.events import EventType

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentient_core.actors.runtime import Runtime
    from sentient_core.feed import Feed, Following, Subscription
    from sentient_core.store.protocols import Outage

__all__ = ["Alert", "Alerts", "StoreAlerts", "raise_alert"]

GAP_SECONDS = 60.0
"""Gaps of the mirror that begin within this time of one another are one alert."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person should look at."""

    alert: str
    """What, in words that stay the same: `supervisor gave up`."""
    path: str
    """Of the actor it is about; empty: the system."""
    cause: str | None
    """Why, in a line."""
    at: datetime
    """When, in UTC."""


class Alerts:
    """The alerts of a system, as they come up. They need no store."""

    def __init__(self, feed: Feed[Alert]) -> None:
        self._feed = feed

    def __repr__(self) -> str:
        count = self._feed.listeners
        who = {0: "nobody listens", 1: "1 listens"}.get(count, f"{count} listen")
        return f"<Alerts from now on: {who}; .subscribe(callback), or .follow() to iterate>"

    def subscribe(self, callback: Callable[[Alert], object]) -> Subscription:
        """Call `callback`, a plain function, with every alert from now on, at once, on the loop's thread.

        It runs in the middle of what went wrong, so it should only hand over. What it raises is logged.
        Raises InvalidArgument.
        """
        return self._feed.subscribe(callback)

    def follow(self, buffer: int = 1_000) -> Following[Alert]:
        """The alerts from now on, to iterate over: `async with system.alerts.follow() as alerts`.

        At most `buffer` of them wait for the iteration; the others are counted in `missed`. Ends with the
        system. Raises InvalidArgument.
        """
        return self._feed.follow(buffer)


def raise_alert(
    runtime: Runtime,
    alert: str,
    cause: str | None,
    *,
    path: str = "",
    incarnation: int = 0,
    force: bool = False,
    **more: Any,
) -> None:
    """Tell everybody who listens, and write the event down, in which `more` stands too.

    `force`: also when the journal's tail is full.
    """
    what = {"alert": alert, "cause": cause, **more}
    runtime.mirror.happened(EventType.SYSTEM_ALERT, path, what, incarnation=incarnation, force=force)
    _publish(runtime, alert, cause, path)


class StoreAlerts:
    """What is wrong with the store of a system: outages, and messages that were not mirrored."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._last_gap: float | None = None

    def outage(self, outage: Outage) -> None:
        """It takes no commits, told at once; or it takes them again, and then the event is written."""
        if not outage.is_over:
            _publish(self._runtime, "store outage", outage.cause, "")
            return
        seconds, records = round(outage.seconds, 3), outage.records
        self._runtime.mirror.happened(
            EventType.SYSTEM_ALERT,
            "",
            {"alert": "store outage", "cause": outage.cause, "seconds": seconds, "records": records},
            force=True,
        )
        _publish(
            self._runtime,
            "store is back",
            f"it was away for {seconds:g} s, and {records} records waited for it",
            "",
        )

    def gap(self) -> None:
        """The journal's tail is full: something is not mirrored, as `mirror_gap` events will say."""
        now = self._runtime.backend.now()
        last, self._last_gap = self._last_gap, now
        if last is not None and now - last < GAP_SECONDS:
            return
        cause = "the store is too far behind: messages are handled without being mirrored"
        self._runtime.log.error("mirror gap", cause=cause)
        raise_alert(self._runtime, "mirror gap", cause, force=True)


def _publish(runtime: Runtime, alert: str, cause: str | None, path: str) -> None:
    runtime.alerts.publish(Alert(alert=alert, path=path, cause=cause, at=datetime.now(UTC)))

"""What a family is busy with: a list of stops, then of starts, taken one step at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentient_core.actors.timekeeper import Alarm
    from sentient_core.supervisor.child import Child

__all__ = ["Job", "Purpose"]


class Purpose(Enum):
    """What a job is for."""

    UP = "up"
    """The owner starts: one child that does not start ends it."""
    AGAIN = "again"
    """A group restart: a child that does not start costs one more restart."""
    DOWN = "down"
    """The owner ends: nothing is started again."""


class Job:
    """Stops, then starts, one step at a time (of a parallel job: all stops at once)."""

    __slots__ = (
        "alarm",
        "cause",
        "is_parallel",
        "kills",
        "later",
        "needs_store",
        "purpose",
        "starts",
        "stops",
        "wait",
    )

    def __init__(
        self,
        purpose: Purpose,
        stops: Iterable[Child],
        starts: Iterable[Child],
        *,
        cause: BaseException | None = None,
        kills: bool = False,
        is_parallel: bool = False,
        wait: float = 0.0,
        later: Iterable[Child] = (),
        needs_store: bool = False,
    ) -> None:
        self.purpose: Purpose = purpose
        # A plain dict finds its last key slowly after deletions.
        self.stops: OrderedDict[Child, None] = OrderedDict.fromkeys(stops)
        """Still to go down, the next one last."""
        self.later: list[Child] = list(later)
        """Those to look at once nobody of `stops` is left, the next one last: there may be very many."""
        self.starts: list[Child] = list(starts)
        """Still to come up, the next one last."""
        self.cause: BaseException | None = cause
        """Of the restart."""
        self.kills: bool = kills
        self.is_parallel: bool = is_parallel
        self.wait: float = wait
        """Seconds between the last stop and the first start."""
        self.needs_store: bool = needs_store
        """It waits for the store as well."""
        self.alarm: Alarm | None = None
        """While it waits."""

    @property
    def next_stop(self) -> Child | None:
        """Who is to go down next."""
        return next(reversed(self.stops), None)

    @property
    def next_start(self) -> Child | None:
        """Who is to come up next, once nobody is left to go down."""
        return self.starts[-1] if self.starts and not self.stops else None

    def take_later(self, most: int) -> list[Child]:
        """The next ones to look at, in start order."""
        taken = self.later[-most:]
        del self.later[-most:]
        return taken

    def drop(self, child: Child) -> bool:
        """Leave a child out of what is still to be done. True: it was next, so the job is to go on."""
        is_next = child in (self.next_stop, self.next_start)
        self.stops.pop(child, None)
        if child in self.starts:
            self.starts.remove(child)
        return is_next

    def silence(self) -> None:
        """It does not wait any more."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None

"""What the agents of one system share: places for tasks at work, and who waits for what becomes of a task.

A `Following` is one task as those see it who wait for it in this process: the newest of its items, and its
ending. It outlives the incarnations of its agent, so that whoever waits does not notice a restart. The rows
of the task are the truth; this only says when to look, and saves looking for who keeps up.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from sentient_core.agents.statuses import TaskStatus
from sentient_core.agents.task_ids import TaskIds

if TYPE_CHECKING:
    from sentient_core.actors.runtime import Runtime
    from sentient_core.agents.desk import Desk

__all__ = ["KEPT_ITEMS", "Crew", "Ending", "Following", "crew_of"]

KEPT_ITEMS = 100
"""Items of a task that are kept in memory for who follows it; who is further behind reads the store."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a task has ended."""

    status: TaskStatus
    position: int
    """Items that it has brought."""
    output: dict[str, Any]
    """Its result, with `status`; for one that was cancelled, what its last item says."""
    is_told: bool = False
    """Its last item says so already."""
    error: str | None = None
    error_type: str | None = None


class Following:
    """One task, for those who wait for it."""

    __slots__ = ("_begins", "_changed", "_items", "ending", "users")

    def __init__(self) -> None:
        self._items: deque[tuple[int, dict[str, Any]]] = deque(maxlen=KEPT_ITEMS)
        self._begins: int | None = None
        """Behind this position, items were brought here; None: none was yet."""
        self._changed = anyio.Event()
        self.ending: Ending | None = None
        self.users: int = 0

    def begin(self, position: int) -> None:
        """Its items up to this position are in the store alone; those behind it will be brought here."""
        if self._begins is None:
            self._begins = position

    def bring(self, position: int, item: dict[str, Any]) -> None:
        """An item is committed."""
        if self._items and position != self._items[-1][0] + 1:
            self._items.clear()  # those between are in the store
            self._begins = None
        self.begin(position - 1)
        self._items.append((position, item))
        self.wake()

    def end(self, ending: Ending) -> None:
        """The ending is committed."""
        self.ending = ending
        self.wake()

    def wake(self) -> None:
        """Let all who wait look again."""
        self._changed.set()
        self._changed = anyio.Event()

    @property
    def news(self) -> anyio.Event:
        """Set when there is something new since now. Take it before you look."""
        return self._changed

    def items_after(self, position: int) -> list[tuple[int, dict[str, Any]]] | None:
        """The items behind a position; None: ask the store for them."""
        begins = self._items[0][0] - 1 if self._items else self._begins
        if begins is None or position < begins:
            return None
        return [(at, item) for at, item in self._items if at > position]


class Crew:
    """See the module."""

    def __init__(self, runtime: Runtime, places: int) -> None:
        self.places: anyio.CapacityLimiter = anyio.CapacityLimiter(places)
        """Tasks at work at the same time, first come, first served."""
        self.ids: TaskIds = TaskIds(runtime)
        self.unfinished: set[str] = set()
        """Ids of the tasks that agents of this process have taken on and not ended."""
        self._followed: dict[str, Following] = {}
        self._desks: dict[str, Desk] = {}
        self._arrivals = anyio.Event()
        self._expected: dict[str, set[str]] = {}

    @property
    def arrivals(self) -> anyio.Event:
        """Set when an agent comes, or comes back, from now on. Take it before you look."""
        return self._arrivals

    def come(self, desk: Desk) -> None:
        """An agent is ready for tasks."""
        self._desks[desk.cell.path] = desk
        self._arrivals.set()
        self._arrivals = anyio.Event()

    def desk_at(self, path: str) -> Desk | None:
        """That of the instance that lives at a path, if it knows its tasks."""
        desk = self._desks.get(path)
        return desk if desk is not None and desk.is_of_now else None

    def desks(self) -> list[Desk]:
        """Those of all living agents."""
        gone = [path for path, desk in self._desks.items() if not desk.cell.is_alive]
        for path in gone:
            del self._desks[path]
        return list(self._desks.values())

    def expect(self, path: str, task_id: str) -> None:
        """A task was given to an agent, which may not have taken it on yet: it counts as its load."""
        self._expected.setdefault(path, set()).add(task_id)

    def expect_no_more(self, path: str, task_id: str) -> None:
        """It is over, or nobody waits for it any more."""
        expected = self._expected.get(path, set())
        expected.discard(task_id)
        if not expected:
            self._expected.pop(path, None)

    def load(self, desk: Desk) -> int:
        """The tasks that an agent has, or is to have."""
        return len(self._expected.get(desk.cell.path, set()) | desk.unfinished.keys())

    def follow(self, task_id: str) -> Following:
        """Begin to follow a task; ends with `leave`."""
        following = self._followed.setdefault(task_id, Following())
        following.users += 1
        return following

    def leave(self, task_id: str) -> None:
        """Stop following."""
        following = self._followed.get(task_id)
        if following is not None:
            following.users -= 1
            if following.users <= 0:
                del self._followed[task_id]

    def followed(self, task_id: str) -> Following | None:
        """A task, if somebody follows it."""
        return self._followed.get(task_id)


def crew_of(runtime: Runtime) -> Crew:
    """That of a system, made on first use."""
    crew = runtime.extensions.get(Crew)
    if not isinstance(crew, Crew):
        crew = runtime.extensions[Crew] = Crew(runtime, runtime.system.settings.max_concurrent_agents)
    return crew

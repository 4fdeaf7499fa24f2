"""Writes down how far a named subscriber is: behind it, one write at a time, always the latest there is.

So a callback does not wait for the database, and after a death of the process what was under way comes again:
an event or the few that were handled within one write. The next one of that name begins where the last
acknowledgement stands. The writes say who they are from: one whose name was taken over hears of it.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio

from sentient_core.errors import StoreError, SubscriberTaken
from sentient_core.events.cursor import Cursor

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from sentient_core.events.agent_event import AgentEvent
    from sentient_core.events.follower import Follower
    from sentient_core.logs import RuntimeLog
    from sentient_core.store.streams import EventStreams

__all__ = ["Acknowledger"]

_ACKNOWLEDGING = "sentient-core event acknowledging"
_HEARTBEAT = 60.0
"""Seconds after which a subscriber says that it is still there, though nothing has come."""
_IDLE_NOTE = 5.0
"""Least seconds between two notes of places alone, where no event was meant for it."""
_PAUSE = 0.25
_LAST_SECONDS = 5.0


class Acknowledger:
    """Of one named subscriber, while it follows: an async context manager around its following.

    Its task is one of the bus's: so it may be left in another task than it was entered in, and a subscriber
    that somebody drops can be ended.
    """

    def __init__(
        self, streams: EventStreams, system: str, name: str, owner: str, log: RuntimeLog, tasks: TaskGroup
    ) -> None:
        self._streams = streams
        self._system = system
        self._name = name
        self._owner = owner
        self._log = log
        self._tasks = tasks
        self._running = anyio.CancelScope()
        self._latest: Cursor | None = None
        self._written: Cursor | None = None
        self._has_event = False
        self._wake = anyio.Event()
        self._is_taken = False

    async def __aenter__(self) -> Self:
        self._tasks.start_soon(self._run, name=_ACKNOWLEDGING)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abandon()
        try:
            with anyio.move_on_after(_LAST_SECONDS, shield=True):
                await self._write_latest()
        except StoreError as failure:
            if error is None:
                raise
            # What ends it, a cancellation too, counts for more; what was not noted comes again.
            self._log.debug("the last acknowledgement is lost", subscriber=self._name, error=str(failure))
        if error is None:
            self.check()

    def abandon(self) -> None:
        """Write nothing more by itself."""
        self._running.cancel()

    def note(self, follower: Follower, event: AgentEvent | None = None) -> None:
        """It is done with an event; None: it has come this far, and nothing was meant for it.

        Raises SubscriberTaken.
        """
        self.check()
        if event is not None and event.cursor is not None:
            marked = Cursor.parse(event.cursor)
            self._latest = Cursor(marked.journal, marked.external)
            self._has_event = True
            self._wake.set()
        else:
            self._latest = follower.cursor

    def check(self) -> None:
        """Raises SubscriberTaken."""
        if self._is_taken:
            raise SubscriberTaken(self._name)

    async def _run(self) -> None:
        with self._running:
            await self._go_on()

    async def _go_on(self) -> None:
        since = anyio.current_time()
        while not self._is_taken:
            with anyio.move_on_after(_IDLE_NOTE):
                await self._wake.wait()
            self._wake = anyio.Event()
            now = anyio.current_time()
            if self._latest == self._written and now - since < _HEARTBEAT:
                continue
            since = now
            try:
                await self._write_latest(is_heartbeat=True)
            except StoreError as error:
                self._log.debug("an acknowledgement is tried again", subscriber=self._name, error=str(error))
                await anyio.sleep(_PAUSE)
                self._wake.set()

    async def _write_latest(self, *, is_heartbeat: bool = False) -> None:
        latest = self._latest
        if latest is None or self._is_taken or (latest == self._written and not is_heartbeat):
            return
        is_mine = await self._streams.acknowledge(
            self._system, self._name, self._owner, latest.journal, latest.external
        )
        self._written = latest
        self._is_taken = not is_mine

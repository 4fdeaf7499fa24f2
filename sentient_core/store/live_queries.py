"""What a server says of a table while it changes (LIVE SELECT), for callers on asyncio and trio.

Each live query has a connection of its own, which ends with it; so notifications never stand between a
request and its answer, and a server that loses the connection forgets the query. A live query is a wake-up
and no record: what happens while it is lost is told to nobody, and the notifications of requests that come
close together are in no particular order (tried on 3.2.5). Who must miss nothing follows the event bus.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import anyio
import cbor2

from sentient_core.backend import Backend, Slot
from sentient_core.errors import LiveQueriesUnavailable, LiveQueryLost, StoreError
from sentient_core.store.engine import Engine
from sentient_core.store.wire import (
    call_request,
    read_notification,
    read_plain,
    table_tag,
)

if TYPE_CHECKING:
    from sentient_core.store.connection import Connection

__all__ = ["LiveNotifications", "begin"]

_ANSWER_SECONDS = 10.0
_END_SECONDS = 2.0


class LiveNotifications:
    """The notifications of one live query: an async iterator, and `get` and `get_nowait` as of a queue.

    Each is a dict: `action` (CREATE, UPDATE, DELETE), `record` (the row's id), `result` (the row; of one
    that was deleted as it was), `id` (of the live query). The iteration ends behind `kill`. It raises
    LiveQueryLost when the connection broke, and when so many were waiting to be taken that the next one had
    no room. Belongs to the event loop that it was made on.
    """

    def __init__(self, backend: Backend, room: int) -> None:
        self._id: UUID | None = None
        self._backend = backend
        self._room = room
        self._engine: Engine | None = None
        self._task: asyncio.Task[None] | None = None
        self._items: deque[dict[str, Any]] = deque()
        self._waiting: deque[Slot[None]] = deque()
        self._is_over = False
        self._lost: str = ""
        self.is_unwanted: bool = False
        """Whoever asked for it has gone away meanwhile."""

    @property
    def id(self) -> UUID:
        """As the server knows it."""
        if self._id is None:
            raise LiveQueryLost("it was not begun")
        return self._id

    @property
    def is_over(self) -> bool:
        """Killed or lost: nothing comes any more but what has come already."""
        return self._is_over

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        try:
            return await self.get()
        except LiveQueryLost:
            if self._lost:
                raise
            raise StopAsyncIteration from None

    async def get(self) -> dict[str, Any]:
        """The next notification, waited for. LiveQueryLost when there will be none."""
        if self._items:
            await self._backend.checkpoint()
        while not self._items:
            self._check_alive()
            slot: Slot[None] = self._backend.slot()
            self._waiting.append(slot)
            try:
                await slot
            except BaseException:
                self._wake_next()  # it may have been woken in that moment
                raise
            finally:
                with suppress(ValueError):
                    self._waiting.remove(slot)
        return self._items.popleft()

    def get_nowait(self) -> dict[str, Any]:
        """The next notification that is there. `asyncio.QueueEmpty` when there is none, also on trio."""
        if self._items:
            return self._items.popleft()
        self._check_alive()
        raise asyncio.QueueEmpty

    async def kill(self) -> None:
        """End the live query on the server, and its connection. Idempotent; shielded and bounded."""
        self.finish("")
        engine, task = self._engine, self._task
        if engine is None or task is None:
            return
        self._engine = None

        async def end() -> None:
            if not task.done():
                with suppress(StoreError):  # it ends with its connection anyway
                    await engine.query("KILL $live", {"live": self._id}, timeout=_END_SECONDS)
                task.cancel()
                await asyncio.wait((task,), timeout=2 * _END_SECONDS)

        with anyio.CancelScope(shield=True), suppress(StoreError):
            await engine.thread.run(end)

    def put(self, notification: dict[str, Any]) -> None:
        """One more. On the loop of who reads."""
        if self._is_over:
            return
        if len(self._items) >= self._room:
            self.finish(
                f"{self._room} notifications were waiting to be taken, and there was no room for more"
            )
            if self._engine is not None and self._task is not None:
                with suppress(StoreError):
                    self._engine.thread.post(self._task.cancel)
            return
        self._items.append(notification)
        self._wake_next()

    def finish(self, why: str) -> None:
        """Nothing more comes; `why` it was lost, empty: it was killed. On the loop of who reads."""
        if self._is_over:
            return
        self._is_over = True
        self._lost = why
        while self._waiting:
            self._wake_next()

    def started(self, engine: Engine, query_id: UUID, task: asyncio.Task[None]) -> None:
        """It is live. On the store's thread, before anybody else has it."""
        self._engine = engine
        self._id = query_id
        self._task = task

    def _check_alive(self) -> None:
        if self._is_over:
            raise LiveQueryLost(self._lost or "it was killed")

    def _wake_next(self) -> None:
        while self._waiting and not self._waiting.popleft().set(None):
            pass


async def begin(engine: Engine, table: str, notifications: LiveNotifications, backend: Backend) -> None:
    """Begin a live query of a table whose notifications come to the caller's loop. On the store's thread."""
    connection = await engine.own_connection()
    if connection is None:
        raise LiveQueriesUnavailable("over HTTP and in an embedded database there are none")
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            (query_id,) = read_plain(await connection.exchange(call_request("live", table_tag(table), False)))
    except BaseException as error:
        await _close(connection)
        if isinstance(error, TimeoutError):
            raise LiveQueryLost("the database server did not begin it in time") from error
        raise
    task = engine.thread.keep(_listen(connection, notifications, backend))
    notifications.started(engine, query_id, task)
    if (
        notifications.is_unwanted
    ):  # looked at last: from here on, who goes away sees that there is something to end
        task.cancel()


async def _listen(connection: Connection, notifications: LiveNotifications, backend: Backend) -> None:
    lost = "the store was closed"
    try:
        with suppress(RuntimeError):  # the loop of who reads has ended
            while True:
                found: Mapping[str, Any] | None = read_notification(await connection.receive())
                if found is None:
                    continue
                if found["action"] == "KILLED":
                    lost = ""
                    return
                backend.call_threadsafe(notifications.put, dict(found))
    except (StoreError, cbor2.CBORDecodeError) as error:
        lost = str(error)
    finally:
        with suppress(RuntimeError):
            backend.call_threadsafe(notifications.finish, lost)
        await _close(connection)


async def _close(connection: Connection) -> None:
    with suppress(Exception):  # it is thrown away, whatever it says
        async with asyncio.timeout(_END_SECONDS):
            await connection.close()

"""A live query on a server, as a wake-up: it says that some stream may have moved, and never which events.

On a connection of its own, that answers nothing else: notifications come whenever they come. Of `ownership`,
not of the events: a commit is one notification, whatever it holds. What is lost with a connection is not
missed, since whoever is woken looks from his own place on; a new connection wakes him first of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from sentient_core.logs import runtime_log
from sentient_core.store.backoff import Backoff
from sentient_core.store.engine import Engine
from sentient_core.store.wire import read_exact, request

if TYPE_CHECKING:
    from sentient_core.store.connection import Connection

__all__ = ["LiveQuery"]

_LIVE = "LIVE SELECT VALUE id FROM ownership WHERE projected != NONE"
_KILL = "KILL $live"
_ANSWER_SECONDS = 5.0
_END_SECONDS = 2.0
_LONGEST_PAUSE = 2.0


class LiveQuery:
    """One live query, kept alive. Lives on the store thread."""

    def __init__(self, engine: Engine, on_move: Callable[[], None]) -> None:
        self._engine = engine
        self._on_move = on_move
        self._task: asyncio.Task[None] | None = None
        self._id: object = None
        self._log = runtime_log(None)
        self.is_live: bool = False
        """The server tells at the moment. Read on any thread."""
        self._has_tried = asyncio.Event()

    async def start(self) -> None:
        """Begin, and return when it is live, or could not be made so at once: then it is tried again."""
        self._task = self._engine.thread.keep(self._run())
        await self.tried()

    async def tried(self) -> None:
        """Return when it is live, or was once tried to be made so."""
        await self._has_tried.wait()

    async def stop(self) -> None:
        """End the query on the server, and its connection. Bounded."""
        task, self._task = self._task, None
        self._has_tried.set()
        if task is not None:
            task.cancel()
            await asyncio.wait((task,), timeout=2 * _END_SECONDS)

    async def _run(self) -> None:
        backoff = Backoff(0.05, _LONGEST_PAUSE)
        while True:
            try:
                connection = await self._engine.own_connection()
                if connection is None:
                    self._has_tried.set()
                    return  # an engine that has no live queries: whoever follows looks by himself
                try:
                    await self._listen(connection, backoff)
                finally:
                    await self._end(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again; nothing rests on it
                self._log.debug("a live query is begun again", error=str(error))
            self._has_tried.set()
            await backoff.wait()

    async def _listen(self, connection: Connection, backoff: Backoff) -> None:
        async with asyncio.timeout(_ANSWER_SECONDS):
            # One of a connection that broke ends with it: the server sees to that.
            (self._id,) = read_exact(await connection.exchange(request(_LIVE, {})))
        self.is_live = True
        self._has_tried.set()
        backoff.reset()
        while True:
            self._on_move()
            await connection.receive()

    async def _end(self, connection: Connection) -> None:
        was_live, self.is_live = self.is_live, False
        if was_live:
            self._on_move()  # from now on whoever follows looks by himself
        with suppress(Exception):  # it is thrown away, whatever it says
            async with asyncio.timeout(_END_SECONDS):
                if connection.is_alive:
                    # What comes first may be a notification; the connection's end ends the query as well.
                    await connection.exchange(request(_KILL, {"live": self._id}))
        with suppress(Exception):
            async with asyncio.timeout(_END_SECONDS):
                await connection.close()

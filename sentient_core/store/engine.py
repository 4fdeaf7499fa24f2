"""The database behind its client, and what the client does not do; the only one that knows the embedded.

Every statement of every answer is checked, every call has a deadline, errors become ours. The embedded
engine (core 3.2.4) stops for ever after about 2.147 GB written since it was opened, since its
memtables are flushed by closing alone; so the bytes are counted, and long before that the database
is closed and opened again while the callers wait (about 0.3 s).

A kill in the middle of a write can leave half a record at the end of the log, which the engine does not
notice when it opens the database again: it appends behind it, and the next time it opens it stops reading
there. What was written in between is lost, whatever was acknowledged. Closing ends the log; so a database
that was not closed is opened, closed and opened again before anything is written to it.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from surrealdb_embedded import AsyncEmbeddedDB

from sentient_core.errors import (
    StoreError,
    StoreInUse,
    StorePathUnusable,
    StoreRefused,
    StoreUnavailable,
)
from sentient_core.logs import LogLevel, runtime_log
from sentient_core.store.backoff import Backoff
from sentient_core.store.faulty import execute
from sentient_core.store.thread import StoreThread
from sentient_core.store.url import Address
from sentient_core.store.wire import Conflict, Reader, read_exact, request, use_request

if TYPE_CHECKING:
    from sentient_core.faults import Faults
    from sentient_core.store.connection import Connection

__all__ = ["DATABASE", "NAMESPACE", "Client", "Connect", "Engine", "embedded"]

REOPEN_BYTES = 512 * 1024 * 1024
"""Bytes written after which the database is closed and opened again: a quarter of its limit."""

NAMESPACE, DATABASE = "sentient_core", "agents"

_ROW_BYTES = 400  # what a row costs in the engine's log beyond its own bytes; measured
_INDEX_BYTES = 700  # and what the entries of its indexes cost (four on agent_event)
_CLOSE_SECONDS = 0.05  # without this pause on its loop, an exit behind close() aborted 4-25 % of processes
_CONFLICT_TRIES = 12
_OPEN_GRACE_SECONDS = 5.0


class Client(Protocol):
    """What is used of the database's client; tests and fault injectors bring their own."""

    async def connect(self) -> None:
        """Open the database."""
        ...

    async def close(self) -> None:
        """Flush and close it."""
        ...

    async def execute(self, cbor_request: bytes) -> bytes:
        """Answer one request."""
        ...


Connect = Callable[[str], Client]


def embedded(url: str) -> Client:
    """The real client for an engine address."""
    return AsyncEmbeddedDB(url)


class Engine:
    """One open database and the thread it lives on.

    All but `start`, `opened` and `stop` are for that thread.
    """

    def __init__(
        self,
        address: Address,
        *,
        connect: Connect = embedded,
        call_timeout: float = 30.0,
        reopen_bytes: int = REOPEN_BYTES,
        namespace: str = NAMESPACE,
        database: str = DATABASE,
        log_level: LogLevel = LogLevel.DEBUG,
        faults: Callable[[], Faults | None] = lambda: None,
    ) -> None:
        self.thread: StoreThread = StoreThread("sentient-core-store")
        self._address = address
        self._connect = connect
        self._call_timeout = call_timeout
        self._reopen_bytes = reopen_bytes
        self._place = (namespace, database)
        self._log = runtime_log(None, log_level)
        self._faults = faults
        self._client: Client | None = None
        self._opening: asyncio.Task[None] | None = None
        self._shutting: asyncio.Task[None] | None = None
        self._is_suspect = False
        self._is_stopped = False
        self._written = 0
        self._in_flight = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._reopening: asyncio.Task[None] | None = None
        self.reopened: int = 0
        """Times the database was closed and opened again."""

    def start(self, prepare: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
        """Begin to open the database and to run `prepare` behind it. From any thread."""
        self.thread.start()
        atexit.register(self._at_exit)
        self.thread.post(self._begin, prepare)

    async def opened(self) -> None:
        """Return when the database is open. From any loop, any number of times.

        Raises StoreInUse, StorePathUnusable, StoreUnavailable, and what `prepare` raised; then
        `stop` is all that is left to do.
        """
        await self.thread.run(self._wait_opened)

    async def stop(self) -> None:
        """Close the database and end the thread. Called from any loop. Idempotent, shielded."""
        atexit.unregister(self._at_exit)
        self._is_stopped = True
        with suppress(StoreUnavailable):
            with anyio.CancelScope(shield=True):
                await self.thread.run(self._shut)
        await self.thread.stop()

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, object] | None = None,
        *,
        rows: int = 0,
        indexed_rows: int = 0,
        timeout: float | None = None,
        read: Reader = read_exact,
    ) -> list[Any]:
        """One result per statement of `sql`. Every value is a bound parameter.

        `rows` and `indexed_rows` say how many rows it writes or deletes. A transaction that loses
        against another one is tried again by itself. Raises StoreUnavailable when there is no
        answer (what was asked may have happened), StoreRefused when there is one and it is no.
        """
        data = request(sql, parameters or {})
        written = len(data) + _ROW_BYTES * rows + (_ROW_BYTES + _INDEX_BYTES) * indexed_rows
        backoff = Backoff(0.002, 0.25)
        for tries_left in reversed(range(_CONFLICT_TRIES)):
            try:
                return read(await self._send(data, written, timeout or self._call_timeout))
            except Conflict as error:
                if not tries_left:
                    raise StoreUnavailable("the database stayed busy with other writers") from error
            await backoff.wait()
        raise AssertionError("unreachable")

    async def own_connection(self) -> Connection | None:
        """A connection beside all others, for what a server says by itself. None: there is no such thing.

        Whoever asked for it closes it. Raises StoreError.
        """
        dial = getattr(self._client, "own_connection", None)
        return None if dial is None else await dial()

    @property
    def is_served(self) -> bool:
        """The database is behind a server, which may stop answering."""
        return self._address.endpoint is not None

    async def ping(self, seconds: float) -> None:
        """Raise StoreUnavailable if a server that is asked something does not answer a ping in time."""
        ping = getattr(self._client, "ping", None)
        if not self.is_served or ping is None:
            return
        try:
            async with asyncio.timeout(seconds):
                await ping()
        except TimeoutError as error:
            raise StoreUnavailable(
                f"the database server does not answer, not even a ping within {seconds:g} s: is it paused?"
            ) from error

    async def _send(self, data: bytes, written: int, timeout: float) -> bytes:
        while self._reopening is not None or self._must_reopen:
            # A task of its own, that all wait for: a cancelled caller must not leave it half open.
            is_first = self._reopening is None
            reopening = self._reopening = self._reopening or self.thread.keep(self._reopen())
            try:
                await asyncio.shield(reopening)
            except StoreUnavailable:
                if is_first:
                    raise
                # It began before this call did: try once more for this one.
        client = self._client
        if client is None:
            raise StoreUnavailable("the store is closed")
        self._written += written
        self._in_flight += 1
        self._is_idle.clear()
        try:
            async with asyncio.timeout(timeout):
                faults = self._faults()
                return await (client.execute(data) if faults is None else execute(faults, client, data))
        except TimeoutError as error:
            self._is_suspect = True
            raise StoreUnavailable(f"the database did not answer within {timeout:g} s") from error
        except ValueError as error:  # it could not read the request: that is an answer
            raise StoreRefused(f"the database could not read a request: {error}") from error
        except StoreError:
            raise
        except Exception as error:  # the client is foreign code: whatever it raises is an outage
            self._is_suspect = True
            raise StoreUnavailable(f"the database failed: {error}") from error
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._is_idle.set()

    @property
    def _must_reopen(self) -> bool:
        # One in memory has nothing to come back to, and no limit; a server sees to itself.
        if self._address.path is None or self._is_stopped:
            return False
        return self._is_suspect or self._written >= self._reopen_bytes

    def _begin(self, prepare: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
        self._opening = self.thread.keep(self._open_first(prepare))

    async def _wait_opened(self) -> None:
        if self._opening is not None:
            await asyncio.shield(self._opening)

    async def _open_first(self, prepare: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._address.prepare)
        await self._open()
        await prepare(self)

    async def _open(self) -> None:
        if await self._has_log():
            await self._open_once()
            await self._close()
            if await self._has_log():
                raise StoreUnavailable(
                    "the database was not closed, and what is left in its log cannot be written to its "
                    "tables: is the disk full?"
                )
        await self._open_once()

    async def _has_log(self) -> bool:
        return await asyncio.get_running_loop().run_in_executor(None, self._address.has_log)

    async def _open_once(self) -> None:
        try:
            # Kept before it is whole: what fails half open must be closed, or it keeps the lock.
            self._client = self._connect(self._address.engine_url)
            async with asyncio.timeout(self._call_timeout):
                await self._client.connect()
                if self._address.endpoint is None:
                    read_exact(await self._client.execute(use_request(*self._place)))
        except BaseException as error:
            await self._close()
            if isinstance(error, Exception) and not isinstance(error, StoreError):
                raise self._opening_error(error) from error
            raise
        self._written = 0
        self._is_suspect = False

    def _opening_error(self, error: Exception) -> StoreError:
        """What the client's error means: it raises RuntimeError for all, told apart by their text."""
        path = str(self._address.path)
        if isinstance(error, TimeoutError):
            return StoreUnavailable("the database did not open in time")
        if "already locked by another process" in str(error):
            return StoreInUse(path)
        if "IO error" in str(error):
            return StorePathUnusable(path, str(error).rpartition("IO error: ")[2])
        return StoreUnavailable(f"the database cannot be opened: {error}")

    async def _reopen(self) -> None:
        try:
            await self._is_idle.wait()
            written = self._written
            await self._close()
            await self._open()
        except StoreError as error:
            self._is_suspect = True  # the next call tries again
            raise StoreUnavailable(f"the database did not come back: {error}") from error
        finally:
            self._reopening = None
        self.reopened += 1
        self._log.debug("database reopened", written=written)

    async def _shut(self) -> None:
        # Once for all who ask: a second one must not end the thread under the first.
        if self._shutting is None:
            self._shutting = self.thread.keep(self._shut_once())
        await asyncio.shield(self._shutting)

    async def _shut_once(self) -> None:
        if self._opening is not None:
            # Abandoned half open it could keep the directory's lock.
            await asyncio.wait((self._opening,), timeout=_OPEN_GRACE_SECONDS)
        await self._close()

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(self._call_timeout):
                await client.close()
        except Exception as error:  # noqa: BLE001 - it is given up either way
            self._log.warning("the database did not close", error=str(error))
        if self._address.endpoint is None:
            await asyncio.sleep(_CLOSE_SECONDS)

    def _at_exit(self) -> None:
        self.thread.stop_blocking(self._shut)

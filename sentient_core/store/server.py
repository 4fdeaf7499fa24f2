"""A database behind a server, as a client of the engine: a pool of connections that comes back by itself.

A connection has one request in hand at a time, so an answer always belongs to the request before it; one
that failed, or whose answer nobody waited for, is thrown away with all it may still bring. Each new one
signs in and chooses the database before it is used. While the server cannot be reached, all calls fail
at once, and somebody tries again in growing, jittered intervals.

What was sent and not answered may have been done. That is left to the callers: they ask again in ways
that bear it (the journal's numbers, `projected`, ids of rows).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress

from sentient_core.errors import (
    NoSuchStore,
    StoreAccessDenied,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    StoreVersionUnsupported,
)
from sentient_core.store.access import Access
from sentient_core.store.backoff import Backoff
from sentient_core.store.connection import Connection, NotSignedIn, Transport
from sentient_core.store.url import Address
from sentient_core.store.wire import (
    Conflict,
    Refusal,
    call_request,
    read_exact,
    request,
    understood,
    use_request,
)

__all__ = ["SUPPORTED", "ServerClient", "check_version"]

SUPPORTED = "SurrealDB 3.2 and newer releases of 3"
"""What the store was tried on."""

_DIAL_SECONDS = 10.0
_LONGEST_PAUSE = 2.0
_CLOSE_SECONDS = 2.0


class ServerClient:
    """See `Client`. Lives on the store thread."""

    def __init__(self, address: Address, access: Access) -> None:
        self._address = address
        self._access = access
        self._transport: Transport | None = None
        self._places = asyncio.Semaphore(access.pool)
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._at_work: dict[Connection, None] = {}
        """Those with a request in hand, the one that has waited longest first."""
        self._closing: set[asyncio.Task[None]] = set()
        self._dialling = asyncio.Lock()
        self._backoff = Backoff(0.05, _LONGEST_PAUSE)
        self._failure: tuple[StoreError, float] | None = None
        """Why there was no new connection the last time, and until when none is tried."""
        self._sign_in: Mapping[str, str] | None = None
        """The one that was accepted."""
        self._token: str | None = None

    async def connect(self) -> None:
        """Make the first connection and see whether the server can be worked with.

        Raises StoreAccessDenied, StoreTlsFailed, StoreVersionUnsupported and StoreUnavailable; NoSuchStore
        where who only reads finds no such database.
        """
        access = self._access
        self._transport = Transport(
            self._address,
            access.namespace,
            access.database,
            access.tls,
            0,  # without limit: `_places` bounds the pool, and own connections are beside it
            access.largest_request,
        )
        try:
            connection = await self._dial()
            read_exact(await connection.exchange(request("INFO FOR DB", {})))
        except Refusal as error:
            if access.is_reader and error.kind == "NotFound":
                raise NoSuchStore(self._address.url, error.text) from error
            raise StoreAccessDenied(
                error.text,
                f"The namespace '{access.namespace}' and its database '{access.database}' must be there, or "
                "the user must have the right to make them.",
            ) from error
        except NotSignedIn as error:
            raise self._denied() from error
        self._idle.append(connection)

    async def execute(self, cbor_request: bytes) -> bytes:
        """One answer, from any of the connections."""
        async with self._places:
            try:
                return await self._exchange(await self._take(), cbor_request)
            except NotSignedIn:
                # Sign-ins run out, those of the idle connections as well. Who signs in anew goes on.
                self._token = None
                while self._idle:
                    self._discard(self._idle.pop())
            try:
                return await self._exchange(await self._dial(), cbor_request)
            except NotSignedIn as error:
                raise self._denied() from error

    async def own_connection(self) -> Connection | None:
        """One beside the pool, for what the server says by itself; None over HTTP, where it says nothing.

        Whoever asked for it closes it. Raises StoreError.
        """
        if self._address.is_http:
            return None
        connection = await self._open()
        self._all.discard(connection)
        return connection

    async def ping(self) -> None:
        """Return when the server has answered a ping beside a request that it has in hand.

        At once where there is none, or no connection for it. Raises StoreUnavailable. It has no deadline.
        """
        connection = next(iter(self._at_work), None)
        if connection is not None and (connection.keeps_session or not self._places.locked()):
            await connection.ping()

    async def close(self) -> None:
        """End all connections. Bounded, since the server may not answer."""
        transport, self._transport = self._transport, None
        self._idle.clear()
        for connection in list(self._all):
            self._discard(connection)
        if self._closing:
            await asyncio.wait(self._closing)
        if transport is not None:
            await transport.close()

    async def _exchange(self, connection: Connection, cbor_request: bytes) -> bytes:
        self._at_work[connection] = None
        try:
            answer = await connection.exchange(cbor_request)
        except BaseException:
            # Also of a call that was cancelled: its answer may still come, and would be another's.
            self._discard(connection)
            raise
        finally:
            del self._at_work[connection]
        if connection in self._all:
            self._idle.append(connection)
        return answer

    async def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_alive:
                return connection
            self._discard(connection)
        return await self._dial()

    async def _dial(self) -> Connection:
        async with self._dialling:
            now = asyncio.get_running_loop().time()
            if self._failure is not None and now < self._failure[1]:
                raise StoreUnavailable(str(self._failure[0]))
            try:
                connection = await self._open()
            except StoreError as error:
                now = asyncio.get_running_loop().time()
                self._failure = (error, now + self._backoff.next())
                if isinstance(error, StoreRefused):  # coming in, not what is to be asked
                    raise StoreUnavailable(str(error)) from error
                raise
            self._failure = None
            self._backoff.reset()
            return connection

    async def _open(self) -> Connection:
        if self._transport is None:
            raise StoreUnavailable("the store is closed")
        connection = self._transport.connection()
        self._all.add(connection)
        seconds = min(_DIAL_SECONDS, self._access.call_timeout / 2)  # leaves some for the call itself
        try:
            async with asyncio.timeout(seconds):
                await connection.open()
                await self._prepare(connection)
        except TimeoutError as error:
            self._discard(connection)
            raise StoreUnavailable(f"the database server let nobody in within {seconds:g} s") from error
        except BaseException:
            self._discard(connection)
            raise
        return connection

    async def _prepare(self, connection: Connection) -> None:
        """Make a connection one that requests can be sent on."""
        # Each time: a server that was away may come back as another.
        check_version(str(await _call(connection, "version")))
        is_news = connection.keeps_session or self._token is None
        if is_news:
            self._token = await self._signed_in(connection)
        connection.sign(self._token)
        if self._access.is_reader:
            return  # the connection says which database is meant; a `use` would make it
        try:
            await self._use(connection)
        except NotSignedIn as error:
            self._token = None
            if is_news:
                raise self._denied() from error
            connection.sign(None)  # that token was an older one, and has run out
            await self._prepare(connection)

    async def _use(self, connection: Connection) -> None:
        backoff = Backoff(0.002, 0.25)
        while True:  # until the dial has had its time
            with suppress(Conflict):
                choice = use_request(self._access.namespace, self._access.database)
                read_exact(await connection.exchange(choice))
                return
            # It makes the database where there is none, which another start may be doing as well.
            await backoff.wait()

    async def _signed_in(self, connection: Connection) -> str | None:
        if self._access.is_anonymous:
            return None
        known = [self._sign_in] if self._sign_in is not None else []
        for sign_in in known or self._access.sign_ins():
            try:
                token = await _call(connection, "signin", sign_in)
            except NotSignedIn:
                continue
            self._sign_in = sign_in
            return str(token)
        raise StoreAccessDenied(
            "it knows no such user with this password",
            f"Check username= and password= (SURREALDB_USERNAME, SURREALDB_PASSWORD); it may be a user of "
            f"the server, of the namespace '{self._access.namespace}' or of its database "
            f"'{self._access.database}'.",
        )

    def _denied(self) -> StoreAccessDenied:
        if self._access.is_anonymous:
            return StoreAccessDenied(
                "it lets nobody in without signing in",
                "Set SURREALDB_USERNAME and SURREALDB_PASSWORD, or give SurrealStore(url, username=..., "
                "password=...); neither belongs into the address.",
            )
        return StoreAccessDenied(
            "this user may not ask anything of it",
            "Give him the role OWNER or EDITOR of the database.",
        )

    def _discard(self, connection: Connection) -> None:
        if connection not in self._all:
            return  # `close` was faster
        self._all.discard(connection)
        closing = asyncio.get_running_loop().create_task(_end(connection))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def check_version(answer: str) -> None:
    """StoreVersionUnsupported unless the server's word for itself, `surrealdb-3.2.5`, is of one we know."""
    found = re.search(r"(\d+)\.(\d+)", answer)
    if found is None or not (3, 2) <= (int(found[1]), int(found[2])) < (4, 0):
        raise StoreVersionUnsupported(answer, SUPPORTED)


async def _call(connection: Connection, method: str, *parameters: object) -> object:
    answer = understood(await connection.exchange(call_request(method, *parameters)))
    if "error" in answer:
        raise StoreUnavailable(
            f"the database server does not take '{method}': {answer['error'].get('message')}"
        )
    return answer["result"]


async def _end(connection: Connection) -> None:
    with suppress(Exception):  # it is thrown away, whatever it says
        async with asyncio.timeout(_CLOSE_SECONDS):
            await connection.close()

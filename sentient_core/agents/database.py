"""The database of agents as programs set it up and look into it: `SurrealDBConfig`, and what it gives out.

What agents, the event bus and the state manager store goes through the store; a connection is for what is
beside that: questions in SurrealQL, rows of tables of one's own, live queries.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self, TypeAlias
from uuid import UUID

import anyio
import anyio.lowlevel
import msgspec

from sentient_core.config import DEFAULT_SYSTEM, Settings, SettingsArguments, StorageBackend
from sentient_core.errors import InvalidArgument, LiveQueriesUnavailable, StoreRefused, StoreUnavailable
from sentient_core.events.split_streams import streams_of
from sentient_core.own_store import default_url, store_at
from sentient_core.secret import Secret
from sentient_core.store import RecordId, SurrealStore
from sentient_core.store.live_queries import LiveNotifications
from sentient_core.store.streams import EventStreams
from sentient_core.store.url import parse_url
from sentient_core.store.wire import table_tag

__all__ = ["DatabaseConnection", "RecordID", "SurrealDBConfig", "Target", "get_surrealdb_client"]

RecordID = RecordId
"""The id of a row, under the name that the database's own SDK has for it."""

Target: TypeAlias = str | RecordId
"""`"table"`, `"table:id"` or a RecordID. In a text, all behind the first colon is the id, and a text."""

Row: TypeAlias = dict[str, Any]


class SurrealDBConfig:
    """Where the database is, who comes to it, and the store that all share who are given this.

    ::

        async with SurrealDBConfig("wss://db.example:8000", username="bank", password=secret) as config:
            bus, states = EventBus(config), StateManager(config)
            async with ActorSystem("bank", store=config) as system: ...
            async with config.get_connection() as db:
                await db.select("agent_state")

    What is not given is as the settings say (`Settings.load()`): `SURREALDB_URL` and so on. Without any URL
    it is the embedded database of `ActorSystem()`, or one in memory if `STATE_PERSISTENCE_BACKEND` says so.
    `connection_pool_size` bounds the connections to a server, and how many `get_connection` gives out at
    once; an embedded database has one engine, and the number bounds who uses it. Whoever made it closes it:
    an actor system, a bus or a state manager that is given it does not.

    Raises InvalidSetting, InvalidArgument and InvalidStoreUrl; nothing is opened yet.
    """

    def __init__(
        self,
        url: str | None = None,
        namespace: str | None = None,
        database: str | None = None,
        username: Secret | str | None = None,
        password: Secret | str | None = None,
        connection_pool_size: int | None = None,
        enable_live_queries: bool | None = None,
        *,
        settings: Settings | None = None,
    ) -> None:
        given: SettingsArguments = {
            "surrealdb_url": url,
            "surrealdb_namespace": namespace,
            "surrealdb_database": database,
            "surrealdb_username": username,
            "surrealdb_password": password,
            "surrealdb_connection_pool_size": connection_pool_size,
            "enable_live_queries": enable_live_queries,
        }
        if settings is None:
            settings = Settings.load(**given)
        else:
            changes = {name: value for name, value in given.items() if value is not None}
            settings = msgspec.structs.replace(settings, **changes)
        self.settings: Settings = settings
        """All that counts here."""
        is_in_memory = settings.state_persistence_backend is StorageBackend.MEMORY and url is None
        self.url: str = "mem://" if is_in_memory else default_url(settings, DEFAULT_SYSTEM)
        self.namespace: str = settings.surrealdb_namespace
        self.database: str = settings.surrealdb_database
        self.username: Secret | None = settings.surrealdb_username
        self.password: Secret | None = settings.surrealdb_password
        self.connection_pool_size: int = settings.surrealdb_connection_pool_size
        self.enable_live_queries: bool = settings.enable_live_queries
        if username is not None and parse_url(self.url).endpoint is None:
            raise InvalidArgument("username and password are for servers; an embedded database has no users")
        self.store: SurrealStore = store_at(self.url, settings)
        """Shared by all who are given this."""
        self.event_streams: EventStreams = streams_of(self.store, settings)
        """Of the store, for event buses; what they publish is in memory where EVENT_BUS_BACKEND says so."""
        self._places: anyio.Semaphore | None = None
        """Made by the first who wants one: it belongs to his event loop; the next use may be on another."""
        self._live: dict[UUID, LiveNotifications] = {}

    def __repr__(self) -> str:
        return (
            f"SurrealDBConfig(url={self.url!r}, namespace={self.namespace!r}, database={self.database!r}, "
            f"connection_pool_size={self.connection_pool_size}, "
            f"enable_live_queries={self.enable_live_queries})"
        )

    async def __aenter__(self) -> Self:
        try:
            await self.initialize_connection_pool()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def initialize_connection_pool(self) -> None:
        """Open the database, see whether it can be worked with, and define what is missing of the schema.

        Idempotent, and what the first use does otherwise. Connections are made when they are needed. Raises
        what `Store.open_journal` raises: StoreAccessDenied, StoreUnavailable, StoreInUse and their kin.
        """
        await self.store.query("RETURN 1")

    async def setup_schema(self) -> None:
        """Define the tables, fields and indexes that are missing, also those that somebody has removed.

        Idempotent and versioned; what is there stays as it is. Also while an actor system runs on it.
        """
        await self.store.set_up_schema()

    @asynccontextmanager
    async def get_connection(self) -> AsyncGenerator[DatabaseConnection]:
        """A connection, for as long as the block lasts. Who finds the pool empty waits in line.

        Do not wait for a second one while you hold one: with all held by such as wait, nobody gets any.
        """
        connection = await self.lease()
        try:
            yield connection
        finally:
            connection.give_back()

    async def lease(self) -> DatabaseConnection:
        """As `get_connection`, to be ended by its `close()` or `give_back()`."""
        places = self._places
        if places is None:
            places = self._places = anyio.Semaphore(self.connection_pool_size)
        await places.acquire()
        return DatabaseConnection(self, places.release)

    async def begin_live(self, table: str) -> LiveNotifications:
        """Begin a live query, see `SurrealStore.live`; it ends by `end_live` or `close`.

        LiveQueriesUnavailable also where `enable_live_queries` is off.
        """
        if not self.enable_live_queries:
            raise LiveQueriesUnavailable("they are switched off here (ENABLE_LIVE_QUERIES)")
        notifications = await self.store.live(table)
        self._live = {id_: live for id_, live in self._live.items() if not live.is_over}
        self._live[notifications.id] = notifications
        return notifications

    def live_query(self, query_id: UUID) -> LiveNotifications | None:
        """The live query of this id, if it was begun here and not killed."""
        return self._live.get(query_id)

    async def end_live(self, query_id: UUID) -> bool:
        """Kill a live query that was begun here. False: there is none of this id."""
        notifications = self._live.pop(query_id, None)
        if notifications is None:
            return False
        await notifications.kill()
        return True

    async def close(self) -> None:
        """End the live queries and close the database. Idempotent; used again, it opens again.

        While an actor system is still on it, the database closes behind that.
        """
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:  # each may have to wait for a server that hangs
                for query_id in list(self._live):
                    tasks.start_soon(self.end_live, query_id)
            await self.store.close()
        self._places = None


class DatabaseConnection:
    """A place in the pool. Rows come as dicts of plain values, as from the database's own SDK (release 3).

    Times are aware UTC datetimes, decimals Decimals, ids of rows (also `row["id"]`) RecordIDs, NONE is None.
    Every value is bound, none becomes part of a statement: quotes, colons and SurrealQL in ids and data are
    harmless. All methods raise StoreRefused for what the database does not do (no such table, say),
    StoreUnavailable when it cannot be reached or the connection was given back; and InvalidArgument for a
    value that no row can hold (sets, keys that are no texts, times without zone). A connection to a server
    that breaks is replaced: the call fails, the next one goes through.
    """

    def __init__(self, config: SurrealDBConfig, on_end: Callable[[], object]) -> None:
        self._config = config
        self._on_end: Callable[[], object] | None = on_end

    def __repr__(self) -> str:
        stands = "open" if self._on_end is not None else "given back"
        return f"<DatabaseConnection to {self._config.url}: {stands}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def query(self, sql: str, variables: Mapping[str, object] | None = None) -> list[Any]:
        """One result per statement, in order: a list of rows for most. `variables` are `$name` in it."""
        return await self._store().query(sql, **dict(variables or {}))

    async def create(self, target: Target, data: Mapping[str, object] | None = None) -> Row:
        """Make a row and return it. In a table, its id is `data["id"]`, or the database's choice.

        StoreRefused if there is one of this id already.
        """
        row: Row = await self._one("CREATE ONLY $target CONTENT $data", target, dict(data or {}))
        return row

    async def select(self, target: Target) -> Any:
        """The row of an id, None if there is none; the rows of a table, a list."""
        found = _target(target)
        if isinstance(found, RecordId):
            return await self._one("SELECT * FROM ONLY $target", found)
        (rows,) = await self._store().query("SELECT * FROM $target", target=table_tag(found))
        return rows

    async def merge(self, target: Target, data: Mapping[str, object]) -> Any:
        """Write these fields over those that the row has; the others stay.

        Returns the row, None if there is none (it is not made); of a table all its rows, a list.
        """
        found = _target(target)
        if isinstance(found, RecordId):
            (rows,) = await self._store().query("UPDATE $target MERGE $data", target=found, data=dict(data))
            return rows[0] if rows else None
        (rows,) = await self._store().query(
            "UPDATE $target MERGE $data", target=table_tag(found), data=dict(data)
        )
        return rows

    async def live(self, table: str, diff: bool = False) -> UUID:
        """Begin a live query; it goes on when this connection is given back. Its id is for the two below.

        LiveQueriesUnavailable in an embedded database, over HTTP and where they are switched off: the event
        bus tells of events there, too.
        """
        if diff:
            raise InvalidArgument("diff is not supported: notifications have the whole row")
        self._store()
        found = _target(table)
        if isinstance(found, RecordId):
            raise InvalidArgument(f"a live query is of a table, not of one row: {table!r}")
        return (await self._config.begin_live(found)).id

    async def subscribe_live(self, query_id: UUID | str) -> LiveNotifications:
        """The notifications of a live query: to iterate over, or as a queue. Each goes to one reader.

        InvalidArgument for an id of none that was begun here.
        """
        self._store()
        id_ = _uuid(query_id)
        found = self._config.live_query(id_)
        if found is None:
            raise InvalidArgument(f"no live query {id_} has been begun here, or it was killed")
        return found

    async def kill(self, query_id: UUID | str) -> None:
        """End a live query, whoever has begun it. One that has ended is no mistake."""
        store = self._store()
        id_ = _uuid(query_id)
        if not await self._config.end_live(id_):
            with suppress(StoreRefused):  # there is none of this id any more
                await store.query("KILL $id", id=id_)

    async def close(self) -> None:
        """Give it back. Of one by `get_surrealdb_client()`, which has a database of its own, close that."""
        self.give_back()
        await anyio.lowlevel.checkpoint()

    def give_back(self) -> None:
        """Let the next one have the place; this object can be used no more. Idempotent."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    async def _one(self, sql: str, target: Target, data: Mapping[str, object] | None = None) -> Any:
        found = _target(target)
        bound = found if isinstance(found, RecordId) else table_tag(found)
        (row,) = await self._store().query(sql, target=bound, data=data)
        return row

    def _store(self) -> SurrealStore:
        if self._on_end is None:
            raise StoreUnavailable(
                "this connection was given back, or closed: `async with config.get_connection() as db` is one"
            )
        return self._config.store


class _OwnDatabase(DatabaseConnection):
    """A connection that has its database with it."""

    async def close(self) -> None:
        self.give_back()
        await self._config.close()


async def get_surrealdb_client(config: SurrealDBConfig | None = None) -> DatabaseConnection:
    """A connection for who wants nothing but one; `close()` it, or use it in `async with`.

        db = await get_surrealdb_client()
        await db.create("note", {"text": "hello"})
        await db.close()

    Of `config`'s pool. Without it, of the database that the settings say, opened for this and closed with it:
    an embedded one cannot be open twice, so programs with an actor system share its `config`.
    """
    if config is not None:
        return await config.lease()
    own = SurrealDBConfig()
    try:
        await own.initialize_connection_pool()
    except BaseException:
        await own.close()
        raise
    return _OwnDatabase(own, lambda: None)


def _target(target: object) -> RecordId | str:
    """A row's id, or the name of a table. InvalidArgument for what is neither."""
    if isinstance(target, RecordId):
        return target
    if not isinstance(target, str):
        raise InvalidArgument(f"{target!r} is neither 'table', 'table:id' nor a RecordID")
    table, colon, key = target.partition(":")
    if not table or (colon and not key) or "\0" in target:
        raise InvalidArgument(f"{target!r} is neither 'table' nor 'table:id'")
    return RecordId(table, key) if colon else table


def _uuid(query_id: object) -> UUID:
    if isinstance(query_id, UUID):
        return query_id
    try:
        return UUID(str(query_id))
    except ValueError:
        raise InvalidArgument(f"{query_id!r} is no id of a live query: live() returns one") from None

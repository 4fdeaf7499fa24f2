"""The store on SurrealDB, embedded or a server: one database, shared by any number of systems."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from sentient_core.backend import current_backend
from sentient_core.errors import InvalidArgument, LiveQueriesUnavailable, StoreError, StoreUnavailable
from sentient_core.faults import Faults
from sentient_core.logs import LogLevel
from sentient_core.store.access import Access
from sentient_core.store.audit import Audit
from sentient_core.store.auditing import audit_of
from sentient_core.store.engine import DATABASE, NAMESPACE, REOPEN_BYTES, Client, Connect, Engine, embedded
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.journal import SurrealJournal
from sentient_core.store.letters import DeadLetterFilter
from sentient_core.store.live_queries import LiveNotifications, begin
from sentient_core.store.migrations import migrate
from sentient_core.store.protocols import (
    LARGEST_RECORD,
    AgentRow,
    CheckpointRow,
    DeadLetterRow,
    EventRow,
    JournalOptions,
    Outage,
)
from sentient_core.store.queries import Queries, started_systems
from sentient_core.store.records import LetterStatus
from sentient_core.store.recovery import take_ownership
from sentient_core.store.row_models import Row, RowQuery, RowWrite, plan_of
from sentient_core.store.row_values import checked_writes, wanted
from sentient_core.store.row_writer import RowWriter
from sentient_core.store.surreal_streams import SurrealStreams
from sentient_core.store.url import Address, parse_url
from sentient_core.store.wire import bindable, read_plain

__all__ = ["SurrealStore"]

T = TypeVar("T")

_CALL_TIMEOUT = 30.0
_HTTP_REQUEST = 4 * 1024 * 1024
_WS_REQUEST = 128 * 1024 * 1024
_AROUND_RECORD = 64 * 1024  # a dead letter's traceback and cause, its statement, and the ends of its window
_POOL = 10
_NO_BOUND = 1_000_000
_BATCH_ROWS = 500
_WINDOW_BYTES = 16 * 1024 * 1024
_WINDOWS_PER_REQUEST = 4  # rows are larger than records, dead letters more than twice as large
_BATCH_ROWS_IN_MEMORY = 200  # there the cost of a transaction grows faster than its size


class SurrealStore:
    """A `Store` at `surrealkv://path` (one process at a time), `mem://` (gone when closed) or a server.

        store = SurrealStore("surrealkv://bank.db")
        store = SurrealStore("wss://db.example:8000", username="bank", password=secret)
        async with ActorSystem("bank", store=store) as system: ...
        async with store:
            await store.query("SELECT * FROM agent_event WHERE payload.amount > $least", least=100)

    The database is opened by the first use and stays open until `close`; then it can be used again.
    One object serves several systems, and several starts of the same one: the newest owns it. Open
    and close it from one thread. `mem://` is for tests: SurrealDB 3.2's engine for memory, also a server's,
    now and then commits two transactions that are in conflict (surrealdb#7473); `RowWrite.expects` rests on
    that they are not.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = NAMESPACE,
        database: str = DATABASE,
        username: str | None = None,
        password: str | None = None,
        pool: int = _POOL,
        tls: ssl.SSLContext | None = None,
        call_timeout: float = _CALL_TIMEOUT,
        largest_request: int | None = None,
        connect: Connect | None = None,
        reopen_bytes: int = REOPEN_BYTES,
        log_level: LogLevel = LogLevel.DEBUG,
    ) -> None:
        """InvalidStoreUrl for an address that cannot be one, InvalidArgument for the rest.

        For a server (`ws://`, `wss://`, `http://`, `https://`): `username` and `password` of a user of it,
        of the namespace or of the database, with the role OWNER or EDITOR; they are kept for signing in
        again, and shown nowhere. `pool` bounds the connections; half of them are kept from queries, for
        the journal. `tls` says which certificates are trusted (default: those the machine trusts).
        Namespace and database are made where the user may. `call_timeout`, in seconds, is how long one
        request may take. `largest_request` is how many bytes one may have, where the server was told another
        number than those it begins with: 4 MiB over HTTP (`SURREAL_HTTP_MAX_RPC_BODY_SIZE`), 128 MiB over
        WebSocket (`SURREAL_WEBSOCKET_MAX_MESSAGE_SIZE`). A message or state may have nearly half of that,
        since as a dead letter it stands twice in a row, and at most 32 MiB.

        `connect` makes the database's client: fault injectors wrap the real one. `reopen_bytes` is
        for tests. What the store logs below `log_level` is not written.
        """
        self._address = parse_url(url)
        self._access = Access(
            namespace=namespace,
            database=database,
            username=username,
            password=password,
            pool=pool,
            call_timeout=call_timeout,
            tls=tls,
            largest_request=largest_request or (_HTTP_REQUEST if self._address.is_http else _WS_REQUEST),
        )
        if self._address.endpoint is None and largest_request is not None:
            raise InvalidArgument("largest_request is for servers; an embedded database has no such limit")
        if self._address.endpoint is None and not self._access.is_anonymous:
            raise InvalidArgument("username and password are for servers; an embedded database has no users")
        self._connect = connect or _client_of(self._address, self._access)
        self._call_timeout = call_timeout
        self._reopen_bytes = reopen_bytes
        self._log_level = log_level
        self._shared: _Shared | None = None
        self._is_retired = False
        self.faults: Faults | None = None
        """What is to go wrong here, if anything: see `faulty`."""
        self._streams = SurrealStreams(
            self._ask,
            self._run,
            _BATCH_ROWS_IN_MEMORY if self._address.is_in_memory else _BATCH_ROWS,
            self.largest_record,
            is_shared=self._address.endpoint is not None,
        )

    def retire(self) -> None:
        """Refuse everything from now on: the actor system that made this store has ended with it."""
        self._is_retired = True

    @property
    def largest_record(self) -> int:
        """Most bytes of a message or a state here. `JournalOptions(record_bytes=...)` lowers it."""
        if self._address.endpoint is None:
            return LARGEST_RECORD
        return min((self._access.largest_request - _AROUND_RECORD) // 2, LARGEST_RECORD)

    def __repr__(self) -> str:
        return f"<SurrealStore {self.url}>"

    @property
    def url(self) -> str:
        """The address, as it was given."""
        return self._address.url

    @property
    def pool(self) -> int:
        """Most connections to a server at once."""
        return self._access.pool

    @property
    def event_streams(self) -> SurrealStreams:
        """See `Store.event_streams`."""
        return self._streams

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open_journal(
        self,
        system: str,
        *,
        options: JournalOptions | None = None,
        on_fenced: Callable[[StoreError], None] | None = None,
        on_outage: Callable[[Outage], None] | None = None,
    ) -> SurrealJournal:
        """See `Store.open_journal`."""
        settings = options or JournalOptions()
        backend = current_backend()
        shared = await self._enter()
        try:
            writer = uuid.uuid4().hex
            start = await shared.engine.thread.run(
                lambda: take_ownership(
                    shared.engine,
                    system,
                    writer,
                    accepts_damage=settings.accepts_damage,
                    log_level=settings.log_level,
                )
            )
        except BaseException:
            await self._leave(shared)
            raise

        async def leave() -> None:
            shared.journals.discard(journal)
            await self._leave(shared)

        journal = SurrealJournal(
            shared.engine,
            system,
            writer,
            start,
            settings,
            backend,
            largest_record=self.largest_record,
            # Half a request: rows of small records are nearly twice as large.
            largest_turn=min(self._access.largest_request // 2, 2 * LARGEST_RECORD),
            batch_rows=_BATCH_ROWS_IN_MEMORY if self._address.is_in_memory else _BATCH_ROWS,
            window_bytes=min(_WINDOW_BYTES, self._access.largest_request // _WINDOWS_PER_REQUEST),
            on_fenced=on_fenced,
            on_outage=on_outage,
            on_end=leave,
            on_rows=self._streams.moved,
            is_followed=lambda: self._streams.is_watched(system),
            is_shared=self._address.endpoint is not None,
        )
        shared.journals.add(journal)
        try:
            for path in start.forgotten:  # an earlier start has begun to
                await journal.forget(path)
        except BaseException:
            await journal.close(0)
            raise
        return journal

    async def query(self, sql: str, /, **parameters: object) -> list[Any]:
        """The results of SurrealQL statements, one per statement, as plain values.

            events, letters = await store.query("SELECT ...; SELECT ...", agent="bank/alice")

        Every value is bound as `$name`. Times come as aware UTC datetimes, record ids as
        `RecordId` (which can be bound again), decimals as Decimal. Raises InvalidArgument for a
        value that cannot be bound, StoreRefused when any statement failed.
        """
        bound = {name: bindable(value) for name, value in parameters.items()}
        return await self._ask(lambda engine: engine.query(sql, bound, read=read_plain))

    async def live(self, table: str, *, room: int = 10_000) -> LiveNotifications:
        """What happens to the rows of a table from now on, as the server says it: see `LiveNotifications`.

        On a connection of its own, beside the pool. At most `room` notifications wait to be taken; the next
        one ends it. It stays until it is killed or the store is closed. Raises LiveQueriesUnavailable
        for an embedded database and over HTTP, StoreRefused for a table that is not there.
        """
        if self._address.endpoint is None:
            raise LiveQueriesUnavailable("an embedded database has none in Python")
        if self._address.is_http:
            raise LiveQueriesUnavailable("over HTTP a server says nothing by itself; use its ws:// address")
        backend = current_backend()
        notifications = LiveNotifications(backend, room)
        shared = await self._enter()
        try:
            await shared.engine.thread.run(lambda: begin(shared.engine, table, notifications, backend))
        except BaseException:
            notifications.is_unwanted = True
            await notifications.kill()  # of a caller that is cancelled in the last moment
            raise
        finally:
            await self._leave(shared)
        return notifications

    async def set_up_schema(self) -> None:
        """Define what is missing of the tables, fields and indexes; also while systems run on them.

        Idempotent. The first use of the store has done it; this is for what was removed since. Raises
        StoreSchemaTooNew, RestoreUnfinished and StoreDamaged, before anything is changed.
        """
        await self._ask(migrate)

    async def events(
        self,
        system: str,
        *,
        agent: str | None = None,
        event_type: str | None = None,
        message_type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[EventRow]:
        """See `Store.events`."""
        wanted = EventFilter(
            agent=agent, event_type=event_type, message_type=message_type, since=since, until=until
        )
        return await self._ask(lambda engine: Queries(engine).events(system, wanted, limit))

    async def systems(self) -> list[str]:
        """The names of the systems that have started on it, sorted."""
        return await self._ask(started_systems)

    async def agents(self, system: str) -> list[AgentRow]:
        """See `Store.agents`."""
        return await self._ask(lambda engine: Queries(engine).agents(system))

    async def checkpoint_rows(self, system: str, path: str) -> list[CheckpointRow]:
        """See `Store.checkpoint_rows`."""
        return await self._ask(lambda engine: Queries(engine).checkpoint_rows(system, path))

    async def dead_letters(
        self,
        system: str,
        *,
        matching: DeadLetterFilter | None = None,
        status: LetterStatus | None = None,
        limit: int = 100,
    ) -> list[DeadLetterRow]:
        """See `Store.dead_letters`."""
        wanted = matching or DeadLetterFilter()
        return await self._ask(lambda engine: Queries(engine).dead_letters(system, wanted, status, limit))

    async def open_letters(self, system: str, matching: DeadLetterFilter) -> list[str]:
        """See `Store.open_letters`."""
        return await self._ask(lambda engine: Queries(engine).open_letters(system, matching))

    async def letters_by_id(self, system: str, message_ids: Sequence[str]) -> list[DeadLetterRow]:
        """See `Store.letters_by_id`."""
        return await self._ask(lambda engine: Queries(engine).letters_by_id(system, message_ids))

    async def rows(self, system: str, query: RowQuery) -> list[Row]:
        """See `Store.rows`."""
        wanted(plan_of(query).shape, query)  # refused here, before anything is asked
        return await self._ask(lambda engine: Queries(engine).rows(system, query))

    async def write_rows(self, system: str, writes: Sequence[RowWrite]) -> None:
        """See `Store.write_rows`."""
        largest = LARGEST_RECORD
        if self._address.endpoint is not None:
            largest = min(largest, self._access.largest_request - _AROUND_RECORD)
        checked = checked_writes(writes, largest)
        if checked:
            await self._ask_shared(lambda shared: shared.row_writer.write(system, writes, checked))

    async def audit(self, system: str) -> Audit:
        """See `Store.audit`."""
        return await self._ask(lambda engine: audit_of(engine, system))

    async def close(self) -> None:
        """See `Store.close`. With journals still open, the database closes behind the last of them.

        A journal whose event loop has ended counts as gone: nobody can close it any more.
        """
        shared = self._shared
        if shared is None:
            await current_backend().checkpoint()
            return
        shared.is_closing = True
        shared.users += 1
        try:
            for journal in [journal for journal in shared.journals if journal.is_abandoned]:
                shared.journals.discard(journal)
                shared.users -= 1
                await journal.halt()
        finally:  # also of one that is cancelled meanwhile
            await self._leave(shared)

    async def _ask(self, question: Callable[[Engine], Coroutine[Any, Any, T]]) -> T:
        return await self._ask_shared(lambda shared: question(shared.engine))

    async def _ask_shared(self, question: Callable[[_Shared], Coroutine[Any, Any, T]]) -> T:
        shared = await self._enter()

        async def ask() -> T:
            async with shared.questions:
                return await question(shared)

        try:
            return await shared.engine.thread.run(ask)
        finally:
            await self._leave(shared)

    async def _run(self, work: Callable[[Engine], Coroutine[Any, Any, T]]) -> T:
        """As `_ask`, for what has an order of its own in which it waits."""
        shared = await self._enter()
        try:
            return await shared.engine.thread.run(lambda: work(shared.engine))
        finally:
            await self._leave(shared)

    async def _enter(self) -> _Shared:
        if self._is_retired:
            raise StoreUnavailable(
                "this store has ended with its actor system. To look into the database afterwards: "
                f"async with SurrealStore({self.url!r}) as store: await store.query(...)"
            )
        shared = self._shared
        if shared is not None and shared.is_ended:
            await shared.engine.stop()  # until then it holds the directory
            shared = self._shared
        if shared is None or shared.is_ended:
            shared = self._shared = _Shared(
                Engine(
                    self._address,
                    connect=self._connect,
                    call_timeout=self._call_timeout,
                    reopen_bytes=self._reopen_bytes,
                    namespace=self._access.namespace,
                    database=self._access.database,
                    log_level=self._log_level,
                    faults=lambda: self.faults,
                ),
                _NO_BOUND if self._address.endpoint is None else max(1, self._access.pool // 2),
            )
            shared.engine.start(migrate)
        shared.users += 1
        shared.is_closing = False
        try:
            await shared.engine.opened()
        except StoreError:
            shared.is_ended = shared.is_closing = True  # the next use tries anew
            await self._leave(shared)
            raise
        except BaseException:
            await self._leave(shared)
            raise
        return shared

    async def _leave(self, shared: _Shared) -> None:
        shared.users -= 1
        if shared.is_closing and not shared.users:
            shared.is_ended = True
            await shared.engine.stop()
            if self._shared is shared:
                self._shared = None


def _client_of(address: Address, access: Access) -> Connect:
    if address.endpoint is None:
        return embedded

    def connect(_: str) -> Client:
        # Here, so that only those who talk to a server pay for importing what it takes.
        from sentient_core.store.server import ServerClient  # noqa: PLC0415

        return ServerClient(address, access)

    return connect


class _Shared:
    """One opening of the database and who uses it."""

    def __init__(self, engine: Engine, questions: int) -> None:
        self.engine = engine
        self.row_writer = RowWriter(engine)
        self.questions = asyncio.Semaphore(questions)
        """Who asks a server waits here: half of the connections stay free for the journals."""
        self.users = 0
        self.journals: set[SurrealJournal] = set()
        self.is_closing = False
        self.is_ended = False

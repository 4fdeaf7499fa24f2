"""The store under measurement, with a window onto its journal, and the engine's own bulk insert beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from benchmarks.notes import READERS, Note
from sentient_core import JournalOptions
from sentient_core.codec import Codec
from sentient_core.errors import StoreError
from sentient_core.store import SurrealStore
from sentient_core.store.engine import Client, Engine, embedded
from sentient_core.store.fold import Placed
from sentient_core.store.journal import SurrealJournal
from sentient_core.store.migrations import migrate
from sentient_core.store.protocols import Outage
from sentient_core.store.records import Event
from sentient_core.store.rows import RowEncoder
from sentient_core.store.url import parse_url
from sentient_core.store.wire import array

__all__ = ["GAPS", "MESSAGES", "Bulk", "WatchedClient", "WatchedStore", "bulk_insert", "url_of"]

_INSERT = "INSERT IGNORE INTO agent_event $rows RETURN NONE"


MESSAGES = """SELECT VALUE count FROM
    (SELECT count() FROM agent_event WHERE event_type = 'message_sent' GROUP ALL);"""
"""The number of messages that have rows, in a list."""

GAPS = "SELECT VALUE payload.count FROM agent_event WHERE event_type = 'mirror_gap';"
"""How many messages went unmirrored, by recorded gap."""


def url_of(folder: Path) -> str:
    """The address of an embedded database in `folder`."""
    return f"surrealkv://{folder}"


class WatchedClient:
    """The real client of the engine; counts how many inserts of event rows are in flight, and can hold calls.

    Made on the store's thread; `hold` and `release` may be called from any other.
    """

    def __init__(self, url: str) -> None:
        self._client = embedded(url)
        self._loop = asyncio.get_running_loop()
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._in_flight = 0
        self.most_in_flight = 0

    async def connect(self) -> None:
        await self._client.connect()

    async def close(self) -> None:
        await self._client.close()

    async def execute(self, cbor_request: bytes) -> bytes:
        await self._goes_on.wait()
        if b"INTO agent_event" not in cbor_request[:100]:
            return await self._client.execute(cbor_request)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return await self._client.execute(cbor_request)
        finally:
            self._in_flight -= 1

    def hold(self) -> None:
        """From now on, no call gets an answer."""
        self._loop.call_soon_threadsafe(self._goes_on.clear)

    def release(self) -> None:
        """Calls that were held go on."""
        self._loop.call_soon_threadsafe(self._goes_on.set)


class WatchedStore(SurrealStore):
    """A store whose journal and client a benchmark can look at."""

    def __init__(self, url: str) -> None:
        super().__init__(url, connect=self._connect_watched)
        self.clients: list[WatchedClient] = []
        self._journals: list[SurrealJournal] = []

    @property
    def journal(self) -> SurrealJournal:
        """The one opened last."""
        return self._journals[-1]

    @property
    def most_in_flight(self) -> int:
        """Greatest number of inserts of event rows that the projector had under way."""
        return max(client.most_in_flight for client in self.clients)

    async def open_journal(
        self,
        system: str,
        *,
        options: JournalOptions | None = None,
        on_fenced: Callable[[StoreError], None] | None = None,
        on_outage: Callable[[Outage], None] | None = None,
    ) -> SurrealJournal:
        journal = await super().open_journal(
            system, options=options, on_fenced=on_fenced, on_outage=on_outage
        )
        self._journals.append(journal)
        return journal

    def _connect_watched(self, url: str) -> Client:
        client = WatchedClient(url)
        self.clients.append(client)
        return client


class Bulk(msgspec.Struct, frozen=True):
    """How the engine's own bulk insert went."""

    rows: int
    seconds: float
    cpu: float
    """Seconds of processor time, of all threads."""

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


async def bulk_insert(
    folder: Path,
    notes: list[Note],
    batch: int,
    in_flight: int,
    *,
    seconds: float | None = None,
    rows: int | None = None,
) -> Bulk:
    """Insert rows of `agent_event` as fast as the engine takes them; for so long, or so many.

    The same rows as mirrored notes become, by the same encoder, into the same schema, on the store's own
    thread. The next batch is encoded while those before it are in flight.
    """
    engine = Engine(parse_url(url_of(folder)))
    engine.start(migrate)
    try:
        await engine.opened()
        batches = _batches(notes, batch)
        return await engine.thread.run(lambda: _insert_all(engine, batches, in_flight, seconds, rows))
    finally:
        await engine.stop()


def _batches(notes: list[Note], size: int) -> Iterator[list[Placed[Event]]]:
    encode = Codec().encode
    payloads = [encode(note) for note in notes]
    seq = number = 0
    while True:
        number += 1
        batch: list[Placed[Event]] = []
        for index in range(size):
            seq += 1
            payload = payloads[seq % len(payloads)]
            at = time.time_ns()
            event = Event(
                "message_sent", seq, "external", READERS[seq % len(READERS)], Note.__name__, payload, at, seq
            )
            batch.append(Placed(number, index, 1, event))
        yield batch


async def _insert_all(
    engine: Engine,
    batches: Iterator[list[Placed[Event]]],
    in_flight: int,
    seconds: float | None,
    rows: int | None,
) -> Bulk:
    encoder = RowEncoder("bench")
    places = asyncio.Semaphore(in_flight)
    sent = 0

    async def insert(encoded: list[bytes]) -> None:
        try:
            await engine.query(_INSERT, {"rows": array(encoded)}, indexed_rows=len(encoded))
        finally:
            places.release()

    started, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as inserts:
        for batch in batches:
            encoded = [encoder.event(placed) for placed in batch]
            await places.acquire()
            inserts.create_task(insert(encoded))
            await asyncio.sleep(0)  # it is sent before the next batch is encoded
            sent += len(encoded)
            if rows is not None and sent >= rows:
                break
            if seconds is not None and time.perf_counter() - started >= seconds:
                break
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu

    (found,) = await engine.query("SELECT VALUE count FROM (SELECT count() FROM agent_event GROUP ALL)")
    assert found == [sent], f"{sent} rows were inserted, {found} are there"
    return Bulk(sent, elapsed, cpu)

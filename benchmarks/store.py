"""The store under measurement, with a window onto its journal. The engine alone: `benchmarks.engine`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from sentient_core import JournalOptions
from sentient_core.errors import StoreError
from sentient_core.store import SurrealStore
from sentient_core.store.engine import Client, embedded
from sentient_core.store.journal import SurrealJournal
from sentient_core.store.protocols import Outage

__all__ = ["GAPS", "MESSAGES", "WatchedClient", "WatchedStore", "url_of"]


MESSAGES = """SELECT VALUE count FROM
    (SELECT count() FROM agent_event WHERE event_type = 'message_sent' GROUP ALL);"""
"""The number of messages that have rows, in a list."""

GAPS = "SELECT VALUE payload.count FROM agent_event WHERE event_type = 'mirror_gap';"
"""How many messages went unmirrored, by recorded gap."""


def url_of(folder: Path) -> str:
    """The address of an embedded database in `folder`."""
    return f"surrealkv://{folder}"


class WatchedClient:
    """The real client of the engine; counts what goes through it, and can hold calls.

    Made on the store's thread; `hold`, `hold_rows` and `release` may be called from any other.
    """

    def __init__(self, url: str) -> None:
        self._client = embedded(url)
        self._loop = asyncio.get_running_loop()
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._rows_go_on = asyncio.Event()
        self._rows_go_on.set()
        self._in_flight = 0
        self.most_in_flight = 0
        """Greatest number of inserts of event rows under way."""
        self.commits = 0
        """Entries of the journal."""
        self.journal_bytes = 0
        """Bytes of the requests that made them."""
        self.windows = 0
        """Windows of the projector."""

    async def connect(self) -> None:
        await self._client.connect()

    async def close(self) -> None:
        await self._client.close()

    async def execute(self, cbor_request: bytes) -> bytes:
        await self._goes_on.wait()
        head = cbor_request[:100]
        if b"INTO agent_event" not in head:
            if b"CREATE ONLY $id SET body" in head:
                self.commits += 1
                self.journal_bytes += len(cbor_request)
            elif b"LET $moved" in head:
                self.windows += 1
            return await self._client.execute(cbor_request)
        await self._rows_go_on.wait()
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return await self._client.execute(cbor_request)
        finally:
            self._in_flight -= 1

    def hold(self) -> None:
        """From now on, no call gets an answer."""
        self._loop.call_soon_threadsafe(self._goes_on.clear)

    def hold_rows(self) -> None:
        """From now on, no insert of event rows gets an answer: the projector stands still."""
        self._loop.call_soon_threadsafe(self._rows_go_on.clear)

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

    @property
    def commits(self) -> int:
        """Entries of the journal so far."""
        return sum(client.commits for client in self.clients)

    @property
    def journal_bytes(self) -> int:
        """Bytes of the requests that made the journal's entries so far."""
        return sum(client.journal_bytes for client in self.clients)

    @property
    def windows(self) -> int:
        """Windows that the projector has settled, or begun to, so far."""
        return sum(client.windows for client in self.clients)

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

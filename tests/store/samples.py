"""Records and databases that the tests of the store share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import cbor2

from sentient_core.store.access import Access
from sentient_core.store.engine import DATABASE, NAMESPACE, Client, Connect, embedded
from sentient_core.store.server import ServerClient
from sentient_core.store.url import parse_url
from sentient_core.testing.store_conformance.samples import (
    NOW,
    accepted,
    answered,
    checkpoint,
    dead_letter,
    discarded,
    event,
    redriven,
    sent_as,
    status,
)

__all__ = [
    "NOW",
    "Faults",
    "accepted",
    "answered",
    "checkpoint",
    "dead_letter",
    "discarded",
    "event",
    "is_claim",
    "is_commit",
    "is_rows",
    "is_settlement",
    "redriven",
    "sent_as",
    "status",
    "until",
]


async def until(condition: Callable[[], bool], within: float = 60.0) -> None:
    """Return once `condition` holds; it is brought about by another thread."""
    with anyio.fail_after(within):
        while not condition():  # noqa: ASYNC110 - what changes it belongs to another thread
            await anyio.sleep(0.001)


class Faults:
    """What a faulty database does; changed by the test while it runs."""

    def __init__(self, real: Connect | None = None) -> None:
        self._real = real or _real
        self.fail: Callable[[bytes], bool] = lambda _: False
        """These requests fail before anything is done."""
        self.lose: Callable[[bytes], bool] = lambda _: False
        """These are done, and their answer is lost."""
        self.hang: Callable[[bytes], bool] = lambda _: False
        """These are never answered."""
        self.refuse: Callable[[bytes], bool] = lambda _: False
        """These are answered with a refusal of their statement."""
        self.before: Callable[[bytes], Awaitable[None]] | None = None
        """Awaited on the store's thread (asyncio) before a request is done."""
        self.sent: list[bytes] = []
        self.opened = 0

    def connect(self, url: str) -> Client:
        """A client with these faults, for `SurrealStore(..., connect=faults.connect)`."""
        self.opened += 1
        return _FaultyClient(self._real(url), self)


def _real(url: str) -> Client:
    address = parse_url(url)
    if address.endpoint is None:
        return embedded(url)
    return ServerClient(address, Access(namespace=NAMESPACE, database=DATABASE))


class _FaultyClient:
    def __init__(self, client: Client, faults: Faults) -> None:
        self._client = client
        self._faults = faults

    async def connect(self) -> None:
        await self._client.connect()

    async def close(self) -> None:
        await self._client.close()

    async def execute(self, cbor_request: bytes) -> bytes:
        faults = self._faults
        faults.sent.append(cbor_request[:400])
        if faults.before is not None:
            await faults.before(cbor_request)
        if faults.fail(cbor_request):
            raise RuntimeError("injected: not done")
        if faults.hang(cbor_request):
            await asyncio.sleep(3600)  # the store's thread runs asyncio, whatever the test runs
        if faults.refuse(cbor_request):
            return cbor2.dumps(
                {"id": "1", "result": [{"status": "ERR", "kind": "Thrown!", "result": "injected"}]}
            )
        answer = await self._client.execute(cbor_request)
        if faults.lose(cbor_request):
            raise RuntimeError("injected: done, answer lost")
        return answer


def is_commit(request: bytes) -> bool:
    """The request is a group commit of a journal."""
    return b"CREATE ONLY $id SET body" in request


def is_settlement(request: bytes) -> bool:
    """The request is the transaction that ends a window."""
    return b"LET $moved" in request


def is_claim(request: bytes) -> bool:
    """The request takes the ownership for a new start."""
    return b"LET $claimed" in request


def is_rows(request: bytes) -> bool:
    """The request inserts event rows."""
    return b"INSERT IGNORE INTO agent_event" in request

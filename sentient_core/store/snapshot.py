"""One moment of a server's database, to be read in as many requests as it takes.

A transaction that is begun over a WebSocket sees the database as it was then, whatever is written
meanwhile, and holds up nobody who writes. It is never committed, so nothing that is asked in it changes
anything. It lives and ends with its connection: what breaks in the middle has to be begun anew.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, cast

import cbor2
import msgspec

from sentient_core.errors import StoreError, StoreUnavailable
from sentient_core.store.access import Access
from sentient_core.store.server import ServerClient
from sentient_core.store.url import Address
from sentient_core.store.wire import call_request, within

__all__ = ["SnapshotClient", "over_websocket"]

_GONE = "Transaction not found"


class SnapshotClient:
    """See `Client`. All requests between `connect` and `close` are answered from one moment.

    `address` is one over WebSocket, see `over_websocket`; `access` has a pool of one connection.
    """

    def __init__(self, address: Address, access: Access) -> None:
        self._server = ServerClient(address, access)
        self._transaction: object = None

    async def connect(self) -> None:
        """As `ServerClient.connect`; then the moment is chosen."""
        await self._server.connect()
        answer = _answer(await self._server.execute(call_request("begin")))
        if "result" not in answer:
            raise StoreUnavailable(f"the database server gives no snapshot: {answer['error'].get('message')}")
        self._transaction = answer["result"]

    async def execute(self, cbor_request: bytes) -> bytes:
        """One answer. Raises StoreUnavailable as well once the moment cannot be seen any more."""
        data = await self._server.execute(within(cbor_request, self._transaction))
        if len(data) < 1_000 and _GONE in str(_answer(data).get("error")):
            raise StoreUnavailable(
                "the snapshot that was read from has ended with its connection, or by the server's doing: "
                "begin again"
            )
        return data

    async def close(self) -> None:
        """Let the moment go, and the connection."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            with suppress(StoreError):  # it ends with the connection anyway
                await self._server.execute(call_request("cancel", transaction))
        await self._server.close()


def over_websocket(address: Address) -> Address:
    """The address of the same server for requests over a WebSocket."""
    if not address.is_http or address.endpoint is None:
        return address
    return msgspec.structs.replace(address, endpoint=f"ws{address.endpoint.removeprefix('http')}")


def _answer(data: bytes) -> dict[str, Any]:
    return cast("dict[str, Any]", cbor2.loads(data))

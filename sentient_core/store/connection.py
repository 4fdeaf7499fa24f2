"""Connections to a database server, over WebSocket and over HTTP: requests out, answers in.

The requests are put together in `wire`; so what is needed of a client library is the transport alone,
and the SDK's own connections would take every row apart and encode it anew, in Python. This is the only
module that knows aiohttp, and its errors end here.
"""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from typing import Literal, Protocol

import aiohttp

from sentient_core.errors import StoreError, StoreRefused, StoreTlsFailed, StoreUnavailable
from sentient_core.store.url import Address
from sentient_core.store.wire import call_request, is_not_allowed

__all__ = ["Connection", "NotSignedIn", "Transport"]

_WS_TIMEOUT = aiohttp.ClientWSTimeout(ws_close=1.0)  # pyright: ignore[reportCallIssue] - made by attrs
_AT_ONCE_BYTES = 512 * 1024
_MEDIA_TYPE = "application/cbor"
_PINGS = (aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG)


class NotSignedIn(StoreError):
    """The server does not know (any more) who asks; it did nothing."""

    def __init__(self) -> None:
        super().__init__("the database server wants a user to sign in")


class Connection(Protocol):
    """One request at a time. After an error, or a cancelled exchange, there is nothing to do but `close`."""

    @property
    def is_alive(self) -> bool:
        """As far as is known without asking."""
        ...

    @property
    def keeps_session(self) -> bool:
        """Sign-in and choice of a database stay with the connection, and with it alone."""
        ...

    async def open(self) -> None:
        """Raises StoreTlsFailed, StoreUnavailable."""
        ...

    async def exchange(self, request: bytes) -> bytes:
        """The answer. Raises NotSignedIn, StoreRefused (not done) and StoreUnavailable (who knows)."""
        ...

    async def receive(self) -> bytes:
        """What the server says by itself, the next of it. Raises StoreUnavailable."""
        ...

    async def ping(self) -> None:
        """Return when the other side has shown that it is there; of use while an exchange waits.

        Raises NotSignedIn, StoreRefused, StoreUnavailable.
        """
        ...

    def sign(self, token: str | None) -> None:
        """Show this token from now on, where the connection does not remember who signed in."""
        ...

    async def close(self) -> None:
        """End it, whatever its state."""
        ...


class Transport:
    """Makes connections to one server. Made and closed on the loop that uses it."""

    def __init__(
        self,
        address: Address,
        namespace: str,
        database: str,
        tls: ssl.SSLContext | None,
        connections: int,
        largest_request: int,
    ) -> None:
        self._url = address.engine_url
        self._tls = tls or True
        self._place = {"Surreal-NS": namespace, "Surreal-DB": database}
        self._largest_request = largest_request
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # who calls has deadlines
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def connection(self) -> Connection:
        """A connection that is not open yet."""
        if self._url.startswith("ws"):
            return _WebSocket(self._http, self._url, self._tls, self._place, self._largest_request)
        return _Requests(self._http, self._url, self._tls, self._place)

    async def close(self) -> None:
        """Close what its connections share."""
        await self._http.close()


class _WebSocket:
    """A WebSocket, which has a session on the server."""

    keeps_session: Literal[True] = True

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        tls: ssl.SSLContext | bool,
        place: dict[str, str],
        largest_request: int,
    ) -> None:
        self._http = http
        self._url = url
        self._tls = tls
        self._place = place
        self._largest_request = largest_request
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._is_there = asyncio.Event()

    @property
    def is_alive(self) -> bool:
        # The transport is gone as soon as the other side has ended it; `closed` knows it when it is read.
        socket = self._socket
        return socket is not None and not socket.closed and socket.get_extra_info("socket") is not None

    async def open(self) -> None:
        try:
            self._socket = await self._http.ws_connect(
                self._url,
                headers=self._place,
                protocols=("cbor",),
                max_msg_size=0,
                ssl=self._tls,
                timeout=_WS_TIMEOUT,
                autoping=False,  # it would keep the answers to pings to itself
            )
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error, self._url) from error

    async def exchange(self, request: bytes) -> bytes:
        socket = self._socket
        if socket is None:
            raise StoreUnavailable("the connection to the database server is not open")
        if len(request) > self._largest_request:  # the server would say so by hanging up
            raise StoreRefused(
                f"the database server takes no message of {len(request)} bytes (largest_request, and its "
                "SURREAL_WEBSOCKET_MAX_MESSAGE_SIZE)"
            )
        try:
            await socket.send_bytes(request)
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error, self._url) from error
        answer = await self.receive()
        if is_not_allowed(answer):
            raise NotSignedIn
        return answer

    async def receive(self) -> bytes:
        socket = self._socket
        if socket is None:
            raise StoreUnavailable("the connection to the database server is not open")
        try:
            while (message := await socket.receive()).type in _PINGS:
                if message.type is aiohttp.WSMsgType.PING:
                    await socket.pong(message.data)
                else:
                    self._is_there.set()
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error, self._url) from error
        self._is_there.set()
        if message.type is not aiohttp.WSMsgType.BINARY:
            raise StoreUnavailable("the database server ended the connection")
        data: bytes = message.data
        return data

    async def ping(self) -> None:
        if self._socket is None:
            raise StoreUnavailable("the connection to the database server is not open")
        self._is_there.clear()
        try:
            await self._socket.ping()
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error, self._url) from error
        await self._is_there.wait()

    def sign(self, token: str | None) -> None:
        pass  # the session knows

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()


class _Requests:
    """HTTP requests, which the server treats one by one: each says who asks, and of which database."""

    keeps_session: Literal[False] = False
    is_alive: Literal[True] = True

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        tls: ssl.SSLContext | bool,
        place: dict[str, str],
    ) -> None:
        self._http = http
        self._url = url
        self._tls = tls
        self._headers = {"Content-Type": _MEDIA_TYPE, "Accept": _MEDIA_TYPE} | place

    async def open(self) -> None:
        pass  # the first request opens what it needs

    async def exchange(self, request: bytes) -> bytes:
        try:
            async with self._http.post(
                self._url,
                data=_body(request),
                headers=self._headers,
                ssl=self._tls,
                allow_redirects=False,
                # Otherwise a server that does not want it may hang up before it has said so.
                expect100=len(request) > _AT_ONCE_BYTES,
            ) as response:
                answer = await response.read()
                status = response.status
        except (aiohttp.ClientError, OSError) as error:
            raise _unreachable(error, self._url) from error
        if status in (401, 403) or is_not_allowed(answer):
            raise NotSignedIn
        if status == 413:
            raise StoreRefused(
                f"the database server takes no request of {len(request)} bytes over HTTP: use its ws:// or "
                "wss:// address, or raise its SURREAL_HTTP_MAX_RPC_BODY_SIZE"
            )
        if status == 400:
            raise StoreRefused("the database could not read a request (HTTP 400)")
        if status != 200:
            raise StoreUnavailable(
                f"what answers at {self._url} is no database server that is ready (HTTP {status})"
            )
        return answer

    async def receive(self) -> bytes:
        raise StoreUnavailable("over HTTP a database server says nothing by itself")

    async def ping(self) -> None:
        await self.exchange(call_request("version"))

    def sign(self, token: str | None) -> None:
        if token is None:
            self._headers.pop("Authorization", None)
        else:
            self._headers["Authorization"] = f"Bearer {token}"

    async def close(self) -> None:
        pass  # its sockets belong to all


def _body(request: bytes) -> bytes | io.BytesIO:
    # Large bytes would be sent in one go, which aiohttp warns of; a file in memory goes in pieces.
    return request if len(request) <= _AT_ONCE_BYTES else io.BytesIO(request)


def _unreachable(error: Exception, url: str) -> StoreError:
    """What an error of the transport means. Its own text may say anything, so it is not repeated."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return StoreTlsFailed(_of_certificate(error.certificate_error))
    if isinstance(error, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return StoreTlsFailed("what answers at the address does not speak TLS as expected")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return StoreUnavailable(
            f"the name of the database server at {url} is not known: is the address right?"
        )
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return StoreUnavailable(
            f"what answers at {url} is no database server that is ready for WebSockets (HTTP {error.status})"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        # Not its `strerror`: asyncio puts the address there.
        number = error.os_error.errno
        why = os.strerror(number) if number else type(error.os_error).__name__
        return StoreUnavailable(f"the database server at {url} cannot be reached ({why}): is it running?")
    return StoreUnavailable(f"the connection to the database server broke ({type(error).__name__})")


def _of_certificate(error: Exception) -> str:
    why = getattr(error, "verify_message", "") or type(error).__name__
    return f"its certificate is not trusted ({why})"

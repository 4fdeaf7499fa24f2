"""A directory over HTTP, for the browsers of this machine.

h11 speaks HTTP and does no I/O; anyio's listener carries it, so the same lines serve on asyncio and on trio,
every connection is a task of the group that is given, and no thread waits for anybody. A connection carries
one request: browsers of the same machine do not notice, and there is nothing to keep open.

Who asks for a name that only looks like this machine's (a page elsewhere can have its own name resolved to
127.0.0.1) is refused: 421.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from http import HTTPStatus
from typing import BinaryIO
from urllib.parse import quote, unquote_to_bytes

import anyio
import h11
import msgspec
from anyio import to_thread
from anyio.abc import ByteStream

from sentient_core.agents.confined import ConfinedDirectory
from sentient_core.agents.sandbox_paths import Parts, is_servable

__all__ = ["Asked", "DirectoryServer", "asked_of", "media_type"]

_HEAD_BYTES = 16 * 1024
_CHUNK_BYTES = 256 * 1024
_PATIENCE_SECONDS = 10.0
"""Within which a request must be there, and within which a part of its answer must be taken."""
_AT_ONCE = 64
_USUAL_PORT = 80

_INDEX = "index.html"
_TEXT = "; charset=utf-8"
_MEDIA_TYPES = {
    # Not from `mimetypes`, which answers as the machine's own tables say.
    "avif": "image/avif",
    "css": "text/css" + _TEXT,
    "csv": "text/csv" + _TEXT,
    "gif": "image/gif",
    "htm": "text/html" + _TEXT,
    "html": "text/html" + _TEXT,
    "ico": "image/x-icon",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "js": "text/javascript" + _TEXT,
    "json": "application/json",
    "map": "application/json",
    "md": "text/markdown" + _TEXT,
    "mjs": "text/javascript" + _TEXT,
    "mp4": "video/mp4",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain" + _TEXT,
    "wasm": "application/wasm",
    "webmanifest": "application/manifest+json",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "xml": "application/xml",
}


class Asked(msgspec.Struct, frozen=True):
    """What the target of a request names."""

    parts: Parts
    is_folder: bool


class _Found(msgspec.Struct, frozen=True):
    """What answers it: an open file, or where else to ask, or nothing."""

    file: BinaryIO | None = None
    name: str = ""
    location: str | None = None


def media_type(name: str) -> str:
    """What a browser is told that a file of this name is. Of an unknown ending: bytes, to be saved."""
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")


def asked_of(target: bytes) -> Asked | None:
    """The names in a request's target, decoded. None: it can name nothing here."""
    path, _, _ = target.partition(b"?")
    try:
        empty, *names = unquote_to_bytes(path).decode().split("/")
    except UnicodeDecodeError:
        return None
    is_folder = bool(names) and names[-1] == ""
    parts = tuple(names[:-1] if is_folder else names)
    if empty or not names or not all(part and is_servable(part) for part in parts):
        return None
    return Asked(parts, is_folder)


class DirectoryServer:
    """Answers GET and HEAD with the files of one directory. A folder is its `index.html`, or is not there."""

    def __init__(self, directory: ConfinedDirectory, port: int) -> None:
        self._directory = directory
        names = ("127.0.0.1", "localhost")
        self._hosts = {f"{name}:{port}".encode() for name in names}
        if port == _USUAL_PORT:  # browsers leave it out then
            self._hosts |= {name.encode() for name in names}
        self._room = anyio.Semaphore(_AT_ONCE)

    def is_mine(self, host: bytes) -> bool:
        """Whether a request's `Host` is this server's."""
        return host.lower() in self._hosts

    async def answer(self, stream: ByteStream) -> None:
        """Read one request, answer it, close. Whatever the other side does, nothing is raised."""
        async with stream, self._room:
            wire = _Wire(stream)
            try:
                try:
                    request = await wire.request()
                except h11.RemoteProtocolError as error:
                    await wire.refuse(error.error_status_hint)
                else:
                    if request is not None:
                        await self._answer(wire, request)
            except (OSError, h11.ProtocolError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                # It has gone away, or is too slow (TimeoutError is an OSError), or a file got shorter
                # meanwhile: that a connection ends early is the answer.
                pass

    async def _answer(self, wire: _Wire, request: h11.Request) -> None:
        hosts = [value for name, value in request.headers if name == b"host"]
        if not all(map(self.is_mine, hosts)):
            await wire.refuse(421)
        elif request.method not in (b"GET", b"HEAD"):
            await wire.refuse(405, ("Allow", "GET, HEAD"))
        else:
            found = await to_thread.run_sync(self._find, asked_of(request.target))
            if found.file is not None:
                with found.file:
                    await wire.send_file(found.file, found.name)
            elif found.location is not None:
                await wire.refuse(308, ("Location", found.location))
            else:
                await wire.refuse(404)

    def _find(self, asked: Asked | None) -> _Found:
        if asked is None:
            return _Found()
        parts = (*asked.parts, _INDEX) if asked.is_folder else asked.parts
        file = self._directory.open(parts)
        if file is None and not asked.is_folder and self._directory.has_folder(parts):
            # With the slash, links of its page lead from inside the folder.
            return _Found(location="/" + "/".join(map(quote, parts)) + "/")
        return _Found(file=file, name=parts[-1])


class _Wire:
    """One connection, on which one request is answered."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        self._has_body = True

    async def request(self) -> h11.Request | None:
        """None: there comes none. Raises h11.RemoteProtocolError, TimeoutError."""
        with anyio.fail_after(_PATIENCE_SECONDS):
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Request):
                    self._has_body = event.method != b"HEAD"
                    return event
                if event is not h11.NEED_DATA:
                    return None
                try:
                    self._http.receive_data(await self._stream.receive())
                except anyio.EndOfStream:
                    self._http.receive_data(b"")

    async def refuse(self, status: int, *headers: tuple[str, str]) -> None:
        """Answer with a status in words."""
        text = f"{status} {HTTPStatus(status).phrase}\n".encode()
        await self._begin(status, media_type("x.txt"), len(text), headers)
        if self._has_body:
            await self._send(h11.Data(data=text))
        await self._send(h11.EndOfMessage())

    async def send_file(self, file: BinaryIO, name: str) -> None:
        """Answer with a file, in parts: it may be larger than what should be held in memory."""
        left = os.fstat(file.fileno()).st_size
        await self._begin(200, media_type(name), left)
        while left and self._has_body:
            part = await to_thread.run_sync(file.read, min(left, _CHUNK_BYTES))
            if not part:
                break  # it got shorter, and h11 says so below
            left -= len(part)
            await self._send(h11.Data(data=part))
        await self._send(h11.EndOfMessage())

    async def _begin(
        self, status: int, media: str, length: int, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        await self._send(
            h11.Response(
                status_code=status,
                reason=HTTPStatus(status).phrase,
                headers=[
                    ("Content-Type", media),
                    ("Content-Length", str(length)),
                    ("Cache-Control", "no-cache"),  # the next call may change what is there
                    ("X-Content-Type-Options", "nosniff"),
                    ("Connection", "close"),
                    *headers,
                ],
            )
        )

    async def _send(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        data = self._http.send(event)
        if data:
            with anyio.fail_after(_PATIENCE_SECONDS):
                await self._stream.send(data)

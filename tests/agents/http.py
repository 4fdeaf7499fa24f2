"""A request, byte by byte: clients would tidy up the paths that the tests are about."""

from __future__ import annotations

import anyio
import msgspec

__all__ = ["Answer", "exchange", "get", "port_of"]


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes


def port_of(url: str) -> int:
    """The port in an address such as `http://127.0.0.1:49152/`."""
    return int(url.rstrip("/").rpartition(":")[2])


async def get(url: str, target: str, *, method: str = "GET", host: str | None = None) -> Answer:
    """Ask for `target`, as it is written."""
    port = port_of(url)
    host = host or f"127.0.0.1:{port}"
    return read(await exchange(port, f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()))


async def exchange(port: int, request: bytes) -> bytes:
    """All that comes back, until the other side closes."""
    came = b""
    with anyio.fail_after(30):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(request)
            try:
                while True:
                    came += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return came


def read(came: bytes) -> Answer:
    head, _, body = came.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return Answer(int(first.split()[1]), headers, body)

"""One connection through a proxy: two ways, each of which is two tasks with a bounded line between them.

One task reads, and says of each piece when it is due; the other waits until then, and sends it. So latency
delays a stream without narrowing it, and who sends faster than the toxics allow is held up, as by a real
network.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias

import anyio
import msgspec
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from sentient_core.testing.toxics import Direction, Toxics

__all__ = ["ProxiedConnection", "Way"]

_READ_BYTES = 65_536
_LINE_PIECES = 64
"""What is on its way at most, beside what the sockets hold."""
_CONNECT_SECONDS = 10.0
_RATE_SECONDS = 0.02
"""With a limited bandwidth, what is sent at once takes so long."""
_AT_ONCE = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing drops what is unsent, and tells the other end by a reset."""

_TimedPiece: TypeAlias = tuple[float, bytes]


class Way:
    """What all connections of a proxy meet in one direction."""

    def __init__(self) -> None:
        self.toxics: Toxics = Toxics()
        self.has_held: anyio.Event = anyio.Event()
        self._is_free = anyio.Event()
        self._is_free.set()

    def set(self, toxics: Toxics) -> None:
        """Put these in place of those there are."""
        self.toxics = toxics
        if toxics.black_hole_at is not None:
            self.has_held = anyio.Event()
        if not toxics.black_hole:
            self._is_free.set()
        elif self._is_free.is_set():
            self._is_free = anyio.Event()

    def look_at(self, seen: bytes) -> None:
        """Begin the black hole if its bytes are there."""
        begin = self.toxics.black_hole_at
        if begin is not None and begin in seen:
            self.has_held.set()
            self.set(msgspec.structs.replace(self.toxics, black_hole=True, black_hole_at=None))

    async def free(self) -> None:
        """Return when there is no black hole."""
        while self.toxics.black_hole:
            await self._is_free.wait()


class ProxiedConnection:
    """The client's end `near`, and a connection of its own to the server."""

    def __init__(
        self, near: SocketStream, target: tuple[str, int], ways: Mapping[Direction, Way], seed: str
    ) -> None:
        self._near = near
        self._target = target
        self._ways = ways
        self._seed = seed
        self._scope = anyio.CancelScope()
        self.is_reset: bool = False
        """It ends, or has ended, by a reset of both ends."""

    def reset(self) -> None:
        """Break it off, as soon as the event loop comes to it."""
        self.is_reset = True
        self._scope.cancel()

    async def carry(self) -> None:
        """Return when both ends have said all they had to say, or the connection broke."""
        far: SocketStream | None = None
        try:
            with self._scope:
                try:
                    far = await self._connect()
                    await self._carry_both_ways(far)
                except* (OSError, anyio.BrokenResourceError):  # of one end: the other one hears of it
                    self.is_reset = True
        finally:
            with anyio.CancelScope(shield=True):
                for end in (self._near, far):
                    if end is not None:
                        await self._close(end)

    async def _connect(self) -> SocketStream:
        try:
            with anyio.fail_after(_CONNECT_SECONDS):
                return await anyio.connect_tcp(*self._target)
        except OSError:
            await self._ways[Direction.TO_CLIENT].free()  # no news in a black hole
            raise

    async def _carry_both_ways(self, far: SocketStream) -> None:
        async with anyio.create_task_group() as tasks:
            for direction, source, target in (
                (Direction.TO_SERVER, self._near, far),
                (Direction.TO_CLIENT, far, self._near),
            ):
                way, back = self._ways[direction], self._ways[direction.other]
                dice = random.Random(f"{self._seed}/{direction.value}")
                inlet, outlet = anyio.create_memory_object_stream[_TimedPiece](_LINE_PIECES)
                tasks.start_soon(self._read, way, source, inlet, dice)
                tasks.start_soon(self._send, way, back, outlet, target, random.Random(dice.random()))

    async def _read(
        self,
        way: Way,
        source: SocketStream,
        line: MemoryObjectSendStream[_TimedPiece],
        dice: random.Random,
    ) -> None:
        before = b""
        with line, suppress(anyio.EndOfStream):
            while True:
                try:
                    piece = await source.receive(_READ_BYTES)
                except anyio.BrokenResourceError:
                    await way.free()  # no news in a black hole
                    self.is_reset = True  # known before the line ends: its end is no end of the stream
                    raise
                toxics = way.toxics
                if toxics.black_hole_at is not None:
                    seen = before + piece
                    before = seen[-len(toxics.black_hole_at) :]  # they may be cut in two
                    way.look_at(seen)
                delay = toxics.latency + dice.random() * toxics.jitter
                # One that is due before the one in front of it goes right behind that: the line keeps order.
                await line.send((anyio.current_time() + delay, piece))

    async def _send(
        self,
        way: Way,
        back: Way,
        line: MemoryObjectReceiveStream[_TimedPiece],
        target: SocketStream,
        dice: random.Random,
    ) -> None:
        with line:
            try:
                async for due, piece in line:
                    await anyio.sleep_until(due)
                    await way.free()
                    if dice.random() < way.toxics.reset:
                        self.reset()
                    for part in _parts(piece, way.toxics, dice):
                        await way.free()
                        await target.send(part)
                        await _pause(way.toxics, len(part))
                await way.free()
                if not self.is_reset:
                    await target.send_eof()
            except anyio.BrokenResourceError:
                await back.free()  # as above: it is the target's news
                raise

    async def _close(self, end: SocketStream) -> None:
        if self.is_reset:
            with suppress(OSError):  # it is closed already
                raw = end.extra_attributes[SocketAttribute.raw_socket]()
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        await anyio.aclose_forcefully(end)


async def _pause(toxics: Toxics, sent: int) -> None:
    """What sending so many bytes takes, and what is to pass before the next ones."""
    seconds = 0.0 if toxics.bandwidth is None else sent / toxics.bandwidth
    if toxics.slice_bytes is not None:
        seconds += toxics.slice_pause
    await anyio.sleep(seconds)


def _parts(piece: bytes, toxics: Toxics, dice: random.Random) -> Iterator[bytes]:
    """The piece, in as many parts as it is to be sent in."""
    most = len(piece)
    if toxics.bandwidth is not None:
        most = max(1, int(toxics.bandwidth * _RATE_SECONDS))
    if toxics.slice_bytes is not None:
        most = min(most, toxics.slice_bytes)
    start = 0
    while start < len(piece):
        size = dice.randint(1, most) if toxics.slice_bytes is not None else most
        yield piece[start : start + size]
        start += size

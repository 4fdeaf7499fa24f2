"""A way to a server that is slow, breaks off, or keeps what is sent until told."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import anyio
from anyio.abc import Listener, SocketAttribute, SocketStream, TaskGroup

from sentient_core.errors import InvalidArgument
from sentient_core.testing.background import leave
from sentient_core.testing.proxied import ProxiedConnection, Way
from sentient_core.testing.toxics import Direction, Toxics

__all__ = ["ToxicProxy"]


class ToxicProxy:
    """Passes connections on to a server, and does to them what a network may do: an async context manager.

    ::

        async with (
            ToxicProxy("127.0.0.1", server_port, seed=7) as proxy,
            ActorSystem("bank", store=proxy.url("ws")) as system,
        ):
            proxy.set(Toxics(latency=0.05, jitter=0.02))
            ...
            proxy.set(Toxics(black_hole=True), Direction.TO_CLIENT)
            ...
            proxy.heal()

    It listens on 127.0.0.1, on a port of its own. Toxics hold from the call on, also for open connections;
    what is on its way already arrives when it is due. What is random is drawn from the seed, for each way of
    each connection by itself. The block belongs to one task; leaving it breaks off what is still open. All of
    it is used on the event loop's thread. Raises InvalidArgument for a host or a port that
    cannot be.
    """

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        if not host:
            raise InvalidArgument("host is empty: it must be the server's name or address")
        if type(port) is not int or not 0 < port < 65_536:
            raise InvalidArgument(f"port must be the server's, 1 to 65535, not {port!r}")
        self._target = (host, port)
        self._seed = seed
        self._ways = {direction: Way() for direction in Direction}
        self._connections: set[ProxiedConnection] = set()
        self._tasks: TaskGroup | None = None
        self.port: int = 0
        """Where it listens; 0 before the block is entered."""
        self.accepted: int = 0
        """Connections so far."""
        self._ended_by_reset = 0

    async def __aenter__(self) -> Self:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        self.port = listener.extra_attributes[SocketAttribute.local_port]()
        self._tasks = tasks = anyio.create_task_group()
        await tasks.__aenter__()
        tasks.start_soon(self._listen, listener, tasks, name="toxic proxy")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return None if self._tasks is None else await leave(self._tasks, kind, error, trace)

    @property
    def open_connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    @property
    def resets(self) -> int:
        """Connections so far that were reset: by chance, by `reset`, or because the server did it."""
        return self._ended_by_reset + sum(connection.is_reset for connection in self._connections)

    def url(self, scheme: str = "ws") -> str:
        """The server's address by this way: `ws://127.0.0.1:port`.

        Raises InvalidArgument before the block is entered.
        """
        if not self.port:
            raise InvalidArgument("the proxy listens nowhere yet: enter it first, `async with proxy:`")
        return f"{scheme}://127.0.0.1:{self.port}"

    def toxics(self, direction: Direction) -> Toxics:
        """Those of one way, as they are now."""
        return self._ways[direction].toxics

    def set(self, toxics: Toxics, direction: Direction | None = None) -> None:
        """Put these in place of those there are, on one way or (None) on both. Raises InvalidArgument."""
        if not isinstance(toxics, Toxics):  # pyright: ignore[reportUnnecessaryIsInstance] - users check less
            raise InvalidArgument(f"set takes Toxics(...), such as Toxics(latency=0.1), not {toxics!r}")
        if not (direction is None or isinstance(direction, Direction)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidArgument(
                f"a direction is one of {', '.join(map(str, Direction))}, not {direction!r}"
            )
        for way in self._ways.values() if direction is None else (self._ways[direction],):
            way.set(toxics)

    def heal(self) -> None:
        """No toxics any more; what was held goes on its way."""
        self.set(Toxics())

    def reset(self) -> None:
        """Reset all connections there are, both ends; new ones are taken."""
        for connection in self._connections:
            connection.reset()

    async def held(self, direction: Direction = Direction.TO_SERVER) -> None:
        """Return once the bytes of `black_hole_at`, as last set, have come, and are held.

        Raises InvalidArgument where none are set, which would wait for ever.
        """
        way = self._ways[direction]
        if way.toxics.black_hole_at is None and not way.has_held.is_set():
            raise InvalidArgument(f"nothing will be held {direction.value}: no black_hole_at is set there")
        await way.has_held.wait()

    def __repr__(self) -> str:
        host, port = self._target
        toxics = {way.name.lower(): self.toxics(way) for way in Direction if self.toxics(way) != Toxics()}
        said = "".join(f", {way}: {toxic!r}" for way, toxic in toxics.items())
        return (
            f"<ToxicProxy {self.port or 'not entered'} to {host}:{port}, {len(self._connections)} open{said}>"
        )

    async def _listen(self, listener: Listener[SocketStream], tasks: TaskGroup) -> None:
        async with listener:
            await listener.serve(self._accept, tasks)

    async def _accept(self, near: SocketStream) -> None:
        self.accepted += 1
        connection = ProxiedConnection(near, self._target, self._ways, f"{self._seed}/{self.accepted}")
        self._connections.add(connection)
        try:
            await connection.carry()
        finally:
            self._connections.discard(connection)
            self._ended_by_reset += connection.is_reset

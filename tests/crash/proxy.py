"""A way to the database server that is slow, breaks off, or keeps what is sent until told."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

__all__ = ["Proxy"]


class Proxy:
    """Forwards connections to a port, from a thread of its own. Settings may be changed at any time."""

    def __init__(self, port: int, seed: int = 0) -> None:
        self._target = port
        self._dice = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._is_free = asyncio.Event()
        self._is_free.set()
        self.delay: float = 0.0
        """Seconds that each piece takes, either way."""
        self.losses: float = 0.0
        """How many of a hundred answers are lost, each with its connection: what was asked is done."""
        self.lost: int = 0
        """Answers that were lost."""
        self.keeps: bytes | None = None
        """A request with this in it is kept, and whatever is sent behind it, until `release`."""
        self.has_kept = threading.Event()
        """There is one."""
        self.port: int = 0
        """Where it listens."""

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._run(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, scheme: str = "http") -> str:
        """The address of the server by this way. What is kept is seen in `http` alone: `ws` is masked."""
        return f"{scheme}://127.0.0.1:{self.port}"

    def release(self) -> None:
        """Send what was kept."""
        self.keeps = None
        self._loop.call_soon_threadsafe(self._is_free.set)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        far_end: asyncio.StreamWriter | None = None
        try:
            far, far_end = await asyncio.open_connection("127.0.0.1", self._target)
            ways = {
                asyncio.create_task(self._forward(near, far_end, self._keep)),
                asyncio.create_task(self._forward(far, to_near, self._lose)),
            }
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the server is away
        finally:
            for end in (to_near, far_end):
                if end is not None:
                    end.close()

    async def _forward(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        look: Callable[[bytes], Coroutine[Any, Any, bool]],
    ) -> None:
        with suppress(OSError):
            while piece := await source.read(1 << 20):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not await look(piece):
                    return
                target.write(piece)
                await target.drain()

    async def _keep(self, request: bytes) -> bool:
        if self.keeps is not None and self.keeps in request:
            self._is_free.clear()
            self.has_kept.set()
            await self._is_free.wait()
        return True

    async def _lose(self, answer: bytes) -> bool:
        is_lost = self._dice.random() * 100 < self.losses
        self.lost += is_lost
        return not is_lost

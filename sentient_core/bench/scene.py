"""Where one row runs: its store, its dice, how often it repeats, and the system it harms."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sentient_core.bench.server import DatabaseServer
from sentient_core.bench.stores import Database, Databases, StoreKind
from sentient_core.config import Settings
from sentient_core.logs import LogLevel
from sentient_core.store import SurrealStore
from sentient_core.system import ActorSystem

__all__ = ["Scene"]

T = TypeVar("T")


class Scene:
    """What a row is given. One per row, store and event loop."""

    def __init__(
        self,
        *,
        row: str,
        backend: str,
        store: StoreKind,
        seed: int,
        is_quick: bool,
        folder: Path,
        server: DatabaseServer | None,
        on_progress: Callable[[int, int], object],
    ) -> None:
        self.backend: str = backend
        """`asyncio` or `trio`."""
        self.store: StoreKind = store
        self.seed: int = seed
        self.is_quick: bool = is_quick
        self.folder: Path = folder
        """An empty one, of this scene alone."""
        self.server: DatabaseServer | None = server
        """The server that the databases are on, to be paused or killed; up again when the row ends. None for
        another store."""
        self._row = row
        self._databases = Databases(store, folder, server)
        self._on_progress = on_progress

    def pick(self, *, quick: T, full: T) -> T:
        """One of two, by how much time there is."""
        return quick if self.is_quick else full

    def dice(self, of: str = "") -> random.Random:
        """Random numbers of their own for each purpose: the same ones for the same seed, on every store."""
        return random.Random(f"{self.seed}/{self._row}/{of}")

    def progress(self, done: int, total: int) -> None:
        """Say how far the row is, in repetitions or whatever it counts."""
        self._on_progress(done, total)

    def database(self) -> Database:
        """A new and empty one, of the scene's kind."""
        return self._databases.new()

    @asynccontextmanager
    async def system(
        self, name: str = "bench", *, at: Database | None = None, way: str | None = None, **options: Any
    ) -> AsyncGenerator[ActorSystem]:
        """A running system, on a new database or on one that others have used; `options` are ActorSystem's.

        `way` is another address to come to the database by, a proxy's.
        """
        store = (at or self.database()).open(way=way)
        options.setdefault("settings", Settings(log_level=LogLevel.CRITICAL))  # nobody's environment counts
        async with AsyncExitStack() as stack:
            if isinstance(store, SurrealStore):
                await stack.enter_async_context(store)
            yield await stack.enter_async_context(ActorSystem(name, store=store, **options))

"""Places for data of every kind: what a test over several kinds of store asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sentient_core.store import MemoryStore, Store, SurrealStore
from tests.long import IS_LONG
from tests.store.server import Server

__all__ = ["Database", "database_of", "databases", "stores"]


class Database:
    """One place for data; `store` is what uses it now."""

    def __init__(self, make: Callable[[], Store], is_lasting: bool) -> None:
        self._make = make
        self._is_lasting = is_lasting
        self.store: Store = make()

    async def restart(self) -> Store:
        """As another process would find it, as far as the data outlives this one."""
        if self._is_lasting:
            await self.store.close()
            self.store = self._make()
        return self.store


def database_of(kind: str, request: pytest.FixtureRequest, directory: Path) -> Database:
    """One that nobody has used: memory, mem, surrealkv, ws or http."""
    if kind == "memory":
        return Database(MemoryStore, is_lasting=False)
    if kind in ("ws", "http"):
        server: Server = request.getfixturevalue("open_server")
        name = server.fresh_database()
        return Database(lambda: SurrealStore(server.url(kind), database=name), is_lasting=True)
    url = "mem://" if kind == "mem" else f"surrealkv://{directory}/db"
    return Database(lambda: SurrealStore(url), is_lasting=kind == "surrealkv")


def databases(*kinds: str, long: tuple[str, ...] = ()) -> Any:
    """A fixture, which has to be named `database`: one of each kind, some in a long run only.

    But for `memory` they are asked from one event loop each, unless the run is long (see tests/conftest.py).
    """

    @pytest.fixture(params=[*kinds, *(long if IS_LONG else ())])
    async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
        database = database_of(request.param, request, tmp_path)
        yield database
        await database.store.close()

    return database


def stores(*kinds: str, long: tuple[str, ...] = ()) -> Any:
    """The same for what wants the store alone: to be named `store`."""

    @pytest.fixture(params=[*kinds, *(long if IS_LONG else ())])
    async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
        database = database_of(request.param, request, tmp_path)
        yield database.store
        await database.store.close()

    return store

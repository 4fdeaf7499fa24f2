"""What rows run on: a database in memory, in a directory, on a server."""

from __future__ import annotations

import shutil
from enum import StrEnum
from itertools import count
from pathlib import Path

from sentient_core.bench.server import PASSWORD, USER, DatabaseServer
from sentient_core.errors import InvalidArgument
from sentient_core.store import MemoryStore, SurrealStore

__all__ = ["CONNECTIONS", "Database", "Databases", "StoreKind"]


CONNECTIONS = 10
"""In the pool of a store on a server."""

_IN_A_DIRECTORY = "surrealkv://"


class StoreKind(StrEnum):
    """Where a system of the benchmark keeps its journal and rows."""

    MEMORY = "memory"
    EMBEDDED = "embedded"
    SERVER = "server"

    @property
    def sync(self) -> str:
        """When a commit is on the disk."""
        return "nothing is written to a disk" if self is StoreKind.MEMORY else "fsync per commit"


class Database:
    """One database. `open` it as often as systems start on it, one after the other: what it holds stays."""

    def __init__(
        self, *, url: str | None = None, name: str = "agents", memory: MemoryStore | None = None
    ) -> None:
        self.url: str | None = url
        """Its address, for another process; None for one in memory."""
        self.name: str = name
        """The name of the database there."""
        self._memory = memory

    def copy(self, folder: Path) -> Database:
        """One that holds the same, in `folder`, which is made; of one in a directory that nobody has open."""
        if self.url is None or not self.url.startswith(_IN_A_DIRECTORY):
            raise InvalidArgument("only a database in a directory can be copied")
        shutil.copytree(self.url.removeprefix(_IN_A_DIRECTORY), folder)
        return Database(url=f"{_IN_A_DIRECTORY}{folder}")

    def open(self, *, way: str | None = None) -> SurrealStore | MemoryStore:
        """A store, which whoever asked for it closes; `way` is another address to come by, a proxy's."""
        if self._memory is not None:
            return self._memory
        url = way or self.url
        if url is None:
            raise InvalidArgument("a database in memory has no address")
        if url.startswith(_IN_A_DIRECTORY):
            return SurrealStore(url)
        return SurrealStore(url, database=self.name, username=USER, password=PASSWORD, pool=CONNECTIONS)


class Databases:
    """Makes databases of one kind, each as new as if nobody had ever used it."""

    def __init__(self, kind: StoreKind, folder: Path, server: DatabaseServer | None) -> None:
        self._kind = kind
        self._folder = folder
        self._server = server
        self._numbers = count(1)

    def new(self) -> Database:
        """One more."""
        if self._kind is StoreKind.MEMORY:
            return Database(memory=MemoryStore())
        if self._kind is StoreKind.EMBEDDED:
            return Database(url=f"{_IN_A_DIRECTORY}{self._folder}/database-{next(self._numbers)}")
        if self._server is None:
            raise InvalidArgument("there is no server to make a database on")
        return Database(url=self._server.url(), name=self._server.fresh_database())

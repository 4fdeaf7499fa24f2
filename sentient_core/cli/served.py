"""How the command gets at a server's database: looking at it changes nothing, and systems may run on it.

Each request is answered from a moment of its own, which is what questions of the store are made for. What
takes many and has to belong together is read from one moment, which a server has over WebSocket alone: so
it is asked there, also where the address is one for HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from sentient_core.cli.failing import CannotRun
from sentient_core.cli.place import Place
from sentient_core.errors import NoSuchStore, StoreUnavailable
from sentient_core.store.engine import Client, Engine
from sentient_core.store.migrations import look
from sentient_core.store.schema import VERSION
from sentient_core.store.server import ServerClient
from sentient_core.store.snapshot import SnapshotClient, over_websocket

__all__ = ["served", "to_write"]


@asynccontextmanager
async def served(place: Place, *, one_moment: bool, any_version: bool) -> AsyncGenerator[Engine]:
    """A server's database, to be read; with `one_moment` as it is now, however long that takes.

    `any_version`: also one whose schema is an older release's. Raises StoreAccessDenied, StoreTlsFailed,
    StoreVersionUnsupported, StoreUnavailable, NoSuchStore, StoreSchemaTooNew, RestoreUnfinished, CannotRun.
    """
    access = place.access(is_reader=True)
    address = over_websocket(place.address) if one_moment else place.address

    def connect(_: str) -> Client:
        return SnapshotClient(address, access) if one_moment else ServerClient(address, access)

    async def check(engine: Engine) -> None:
        found = await look(engine)
        if "store_schema" not in found.tables:
            raise NoSuchStore(place.name, "it is a database, but without the tables of sentient-core")
        if found.version < VERSION and not any_version:
            raise CannotRun(
                f"the store has schema version {found.version} of an older release, and this one reads "
                f"{VERSION}: the next start of a system with this release brings it up to date. `sentient "
                "backup` works before that, too"
            )

    try:
        async with _opened(place, connect, check) as engine:
            yield engine
    except StoreUnavailable as error:
        if address is place.address:
            raise
        raise StoreUnavailable(
            f"{error}. It was asked at its WebSocket, {address.endpoint}: only there can one moment of a "
            "database be read in parts"
        ) from error


@asynccontextmanager
async def to_write(place: Place) -> AsyncGenerator[Engine]:
    """A server's database, made if it is not there. Raises as `served`."""
    access = place.access(is_reader=False)

    async def nothing(_: Engine) -> None:
        pass

    async with _opened(place, lambda _: ServerClient(place.address, access), nothing) as engine:
        yield engine


@asynccontextmanager
async def _opened(
    place: Place, connect: Callable[[str], Client], prepare: Callable[[Engine], Coroutine[Any, Any, None]]
) -> AsyncGenerator[Engine]:
    engine = Engine(place.address, connect=connect, call_timeout=600.0)
    engine.start(prepare)
    try:
        await engine.opened()
        yield engine
    finally:
        await engine.stop()

"""One moment of a server's database, whatever is written meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sentient_core.errors import NoSuchStore, StoreUnavailable
from sentient_core.store import SurrealStore
from sentient_core.store.access import Access
from sentient_core.store.engine import Client, Engine
from sentient_core.store.snapshot import SnapshotClient, over_websocket
from sentient_core.store.url import parse_url
from tests.store.server import PASSWORD, USER, Server

COUNT = "SELECT VALUE n FROM t ORDER BY n"


@pytest.fixture
def database(server: Server) -> str:
    """A database of the shared server that nobody has used."""
    return server.fresh_database()


@pytest.fixture
async def owner(server: Server, database: str) -> AsyncIterator[SurrealStore]:
    """Who writes to it."""
    async with server.store(database=database) as store:
        await store.query("DEFINE TABLE t; CREATE t:1 SET n = 1; CREATE t:2 SET n = 2")
        yield store


async def seen_from(server: Server, database: str) -> Engine:
    """A moment of the database, open."""
    address = over_websocket(parse_url(server.url("http")))
    access = Access(
        namespace="sentient_core",
        database=database,
        username=USER,
        password=PASSWORD,
        pool=1,
        is_reader=True,
    )

    def connect(_: str) -> Client:
        return SnapshotClient(address, access)

    async def nothing(_: Engine) -> None:
        pass

    engine = Engine(address, connect=connect)
    engine.start(nothing)
    try:
        await engine.opened()
    except BaseException:
        await engine.stop()
        raise
    return engine


async def test_it_stays_as_it_was_and_holds_nobody_up(
    server: Server, database: str, owner: SurrealStore
) -> None:
    engine = await seen_from(server, database)
    before = await engine.thread.run(lambda: engine.query(COUNT))

    await owner.query("CREATE t:3 SET n = 3; DELETE t:1; UPDATE t:2 SET n = 20; DEFINE TABLE u")

    assert before == [[1, 2]]
    assert await engine.thread.run(lambda: engine.query(COUNT)) == before
    (info,) = await engine.thread.run(lambda: engine.query("INFO FOR DB"))
    assert "u" not in info["tables"]
    assert await owner.query(COUNT) == [[3, 20]]
    await engine.stop()


async def test_what_is_written_in_it_is_written_nowhere(
    server: Server, database: str, owner: SurrealStore
) -> None:
    engine = await seen_from(server, database)
    await engine.thread.run(lambda: engine.query("CREATE t:3 SET n = 3"))
    await engine.stop()

    assert await owner.query(COUNT) == [[1, 2]]


async def test_it_ends_with_its_connection_and_says_so(own_server: Server) -> None:
    async with own_server.store(database="d") as store:
        await store.query("DEFINE TABLE t; CREATE t:1 SET n = 1")
    engine = await seen_from(own_server, "d")
    own_server.kill()
    own_server.start()

    with pytest.raises(StoreUnavailable, match="begin again"):
        await engine.thread.run(lambda: engine.query(COUNT))
    await engine.stop()


async def test_it_makes_no_database(server: Server) -> None:
    with pytest.raises(NoSuchStore, match="'nobodys' does not exist"):
        await seen_from(server, "nobodys")


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://h:1", "ws://h:1/rpc"),
        ("https://h/db/rpc", "wss://h/db/rpc"),
        ("ws://h", "ws://h/rpc"),
        ("mem://", None),
    ],
)
def test_the_same_server_over_a_websocket(url: str, endpoint: str | None) -> None:
    assert over_websocket(parse_url(url)).endpoint == endpoint

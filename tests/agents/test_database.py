"""`SurrealDBConfig` and its connections, on an embedded database and on a server, on asyncio and trio."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

from sentient_core import (
    ActorSystem,
    InvalidArgument,
    InvalidSetting,
    InvalidStoreUrl,
    LiveQueriesUnavailable,
    LiveQueryLost,
    Settings,
    StoreAccessDenied,
    StoreInUse,
    StoreRefused,
    StoreUnavailable,
    SurrealStore,
)
from sentient_core.agents import RecordID, SurrealDBConfig, get_surrealdb_client
from sentient_core.store.protocols import store_of
from sentient_core.store.schema import TABLES, VERSION
from tests.probes import Add, Counter, Save, Total
from tests.store.server import PASSWORD, USER, Server

HOSTILE = ["a'b", 'a"b', "a:b:c", "⟨a⟩`b`", "x; REMOVE TABLE note; --", "1", "ä\n🎭", "['a', 1]", " "]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of this file share, each with a database of its own."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(params=["memory", "disk", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Where the database is, as arguments."""
    if request.param == "memory":
        return {"url": "mem://"}
    if request.param == "disk":
        return {"url": f"surrealkv://{tmp_path}/db"}
    server: Server = request.getfixturevalue("server")
    return {
        "url": server.url(),
        "database": server.fresh_database(),
        "username": USER,
        "password": PASSWORD,
    }


@pytest.fixture
async def config(place: dict[str, Any]) -> AsyncIterator[SurrealDBConfig]:
    """One with a table of ours beside those of the schema."""
    async with SurrealDBConfig(**place) as config:
        await config.store.query("DEFINE TABLE note")
        yield config


async def on_server(server: Server, **more: Any) -> SurrealDBConfig:
    config = SurrealDBConfig(
        server.url(), database=server.fresh_database(), username=USER, password=PASSWORD, **more
    )
    await config.store.query("DEFINE TABLE note")
    return config


async def test_rows_are_made_read_and_changed(config: SurrealDBConfig) -> None:
    now = datetime.now(UTC).replace(microsecond=123456)
    data = {"text": "x", "at": now, "deep": {"list": [1, {"none": None}]}, "price": Decimal("1.50")}
    async with config.get_connection() as db:
        made = await db.create("note:one", data)
        assert made["id"] == RecordID("note", "one")
        assert made["at"] == now
        assert made["price"] == Decimal("1.50")

        assert await db.select("note:one") == await db.select(RecordID("note", "one")) == made
        assert await db.merge("note:one", {"text": "y"}) == {**made, "text": "y"}
        chosen = await db.create("note")
        assert await db.select(chosen["id"]) == chosen
        named = await db.create("note", {"id": "two", "text": "z"})
        assert await db.select("note:two") == named
        assert len(await db.select("note")) == 3
        assert [row["n"] for row in await db.merge("note", {"n": 1})] == [1, 1, 1]
        assert repr(db) == f"<DatabaseConnection to {config.url}: open>"
    assert repr(db).endswith(": given back>")


async def test_what_is_not_there_is_none_and_what_is_there_is_not_made_again(config: SurrealDBConfig) -> None:
    async with config.get_connection() as db:
        assert await db.select("note:nobody") is None
        assert await db.select("note") == []
        assert await db.merge("note:nobody", {"a": 1}) is None
        assert await db.select("note:nobody") is None
        await db.create("note:one")
        with pytest.raises(StoreRefused, match="already exists"):
            await db.create("note:one")
        with pytest.raises(StoreRefused, match="does not exist"):
            await db.select("no_such_table")


@pytest.mark.parametrize("key", HOSTILE)
async def test_whatever_stands_in_an_id_is_nothing_but_an_id(config: SurrealDBConfig, key: str) -> None:
    async with config.get_connection() as db:
        await db.create("note:bystander")

        made = await db.create(f"note:{key}", {"text": key})

        assert made == {"id": RecordID("note", key), "text": key}
        assert await db.select(f"note:{key}") == made
        assert (await db.merge(f"note:{key}", {"text": f"{key}'"}))["text"] == f"{key}'"
        assert len(await db.select("note")) == 2
        assert await db.query("SELECT VALUE text FROM note WHERE text = $t", {"t": f"{key}'"}) == [
            [f"{key}'"]
        ]


async def test_a_table_with_any_name_is_nothing_but_a_table(config: SurrealDBConfig) -> None:
    name = "no'te; REMOVE TABLE note"
    async with config.get_connection() as db:
        await db.create(f"{name}:1", {"a": 1})

        assert await db.select(name) == [{"id": RecordID(name, "1"), "a": 1}]
        assert await db.select("note") == []


@pytest.mark.parametrize("target", ["", ":", ":a", "note:", "no\0te", 3, None, b"note"])
async def test_what_is_neither_a_table_nor_an_id_is_refused(config: SurrealDBConfig, target: Any) -> None:
    async with config.get_connection() as db:
        for call in (db.create(target), db.select(target), db.merge(target, {})):
            with pytest.raises(InvalidArgument, match="neither"):
                await call


@pytest.mark.parametrize(
    "value",
    [{1, 2}, {1: 2}, object(), datetime(2026, 1, 1)],  # noqa: DTZ001 - that is what is wrong with it
    ids=["set", "number as key", "object", "time without zone"],
)
async def test_what_no_row_can_hold_is_refused_before_anything_is_sent(
    config: SurrealDBConfig, value: object
) -> None:
    async with config.get_connection() as db:
        with pytest.raises(InvalidArgument):
            await db.create("note:one", {"value": value})
        assert await db.select("note") == []


async def test_a_query_has_a_result_per_statement_and_any_name_for_a_variable(
    config: SurrealDBConfig,
) -> None:
    async with config.get_connection() as db:
        assert await db.query("RETURN $sql; RETURN $self + 1", {"sql": "a", "self": 1}) == ["a", 2]
        with pytest.raises(StoreRefused):
            await db.query("RETURN 1; THROW 'no'")


async def test_who_finds_the_pool_empty_waits_in_line(place: dict[str, Any]) -> None:
    order: list[int] = []
    async with SurrealDBConfig(**place, connection_pool_size=1) as config, anyio.create_task_group() as tasks:
        first = await config.lease()

        async def ask(n: int) -> None:
            async with config.get_connection() as db:
                order.append(n)
                assert await db.query("RETURN 1") == [1]

        for n in range(5):
            tasks.start_soon(ask, n)
            await anyio.wait_all_tasks_blocked()
        assert order == []
        first.give_back()
    assert order == [0, 1, 2, 3, 4]


async def test_a_wait_that_is_cancelled_and_a_block_that_fails_leave_no_gap_in_the_pool() -> None:
    async with SurrealDBConfig("mem://", connection_pool_size=1) as config:
        async with config.get_connection():
            with anyio.move_on_after(0.01):
                async with config.get_connection():
                    raise AssertionError("there was one only")
        with pytest.raises(ZeroDivisionError):
            async with config.get_connection():
                raise ZeroDivisionError
        async with config.get_connection() as db:
            assert await db.query("RETURN 1") == [1]


async def test_what_was_given_back_is_used_no_more(config: SurrealDBConfig) -> None:
    async with config.get_connection() as db:
        await db.query("RETURN 1")

    for call in (db.query("RETURN 1"), db.select("note"), db.create("note"), db.merge("note", {})):
        with pytest.raises(StoreUnavailable, match="given back"):
            await call


async def test_connections_work_at_the_same_time(config: SurrealDBConfig) -> None:
    async def one(n: int) -> None:
        async with config.get_connection() as db:
            await db.create(f"note:{n}", {"n": n})

    async with anyio.create_task_group() as tasks:
        for n in range(40):
            tasks.start_soon(one, n)

    async with config.get_connection() as db:
        assert sorted(row["n"] for row in await db.select("note")) == list(range(40))


async def test_the_schema_is_set_up_and_what_was_removed_of_it_comes_back(config: SurrealDBConfig) -> None:
    async with config.get_connection() as db:
        await db.query(
            "REMOVE TABLE agent_state; REMOVE TABLE dead_letter; REMOVE FIELD payload ON agent_event;"
            "REMOVE INDEX event_type_idx ON agent_event"
        )
    assert await version_of(config) == VERSION

    await config.setup_schema()
    await config.setup_schema()

    assert await missing_in(config) == []
    assert await version_of(config) == VERSION


async def test_many_set_up_the_schema_at_once(config: SurrealDBConfig) -> None:
    async with config.get_connection() as db:
        await db.query("REMOVE TABLE agent_state; REMOVE TABLE agent_event")

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(config.setup_schema)

    assert await missing_in(config) == []


async def test_the_schema_is_set_up_while_a_system_works_on_it(place: dict[str, Any]) -> None:
    async with SurrealDBConfig(**place) as config, ActorSystem("bank", store=config) as system:
        counter = await system.spawn(Counter, name="a")
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(config.setup_schema)
            for _ in range(50):
                await counter.send(Add())
                if await counter.ask(Total(), timeout=10) % 10 == 0:
                    await counter.ask(Save(), timeout=10)
        await system.flush()

        assert len(await config.store.events("bank", agent="a", limit=1000)) >= 50
        assert await missing_in(config) == []


async def test_systems_share_the_store_and_leave_it_open(place: dict[str, Any]) -> None:
    async with SurrealDBConfig(**place) as config:
        async with ActorSystem("bank", store=config) as bank, ActorSystem("shop", store=config) as shop:
            assert bank.store is shop.store is config.store is store_of(config)
        async with config.get_connection() as db:
            (systems,) = await db.query("SELECT VALUE id.id() FROM ownership WHERE epoch = 1")
        assert sorted(systems) == [["bank"], ["shop"]]


async def test_it_is_closed_and_used_again(tmp_path: Path) -> None:
    config = SurrealDBConfig(f"surrealkv://{tmp_path}/db")
    await config.initialize_connection_pool()
    await config.initialize_connection_pool()
    async with config.get_connection() as db:
        await db.create("note:one")
    await config.close()
    await config.close()

    async with SurrealStore(f"surrealkv://{tmp_path}/db") as other:  # its lock is free
        await other.query("RETURN 1")
    async with config.get_connection() as db:
        assert await db.select("note:one") == {"id": RecordID("note", "one")}
    await config.close()


def test_one_that_was_made_outside_of_a_loop_serves_one_loop_after_another(tmp_path: Path) -> None:
    config = SurrealDBConfig(f"surrealkv://{tmp_path}/db", connection_pool_size=1)

    async def add() -> int:
        async with config:
            async with config.get_connection() as db, anyio.create_task_group() as tasks:
                waiting = anyio.Event()

                async def wait() -> None:
                    waiting.set()
                    async with config.get_connection() as other:
                        await other.create("note")

                tasks.start_soon(wait)
                await waiting.wait()
                await db.create("note")
                await db.close()
            (rows,) = await config.store.query("SELECT * FROM note")
            return len(rows)

    counts = [anyio.run(add, backend=backend) for backend in ("asyncio", "trio", "asyncio")]
    assert counts == [2, 4, 6]


async def test_a_server_that_hangs_holds_up_closing_for_a_moment_only(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        config = await on_server(server)
        for _ in range(4):
            await config.begin_live("note")
        server.pause()
        try:
            with anyio.fail_after(60):
                await config.close()
        finally:
            server.resume()


async def test_what_is_not_given_is_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SURREALDB_URL", "wss://db.example:8000")
    monkeypatch.setenv("SURREALDB_NAMESPACE", "prod")
    monkeypatch.setenv("SURREALDB_USERNAME", "admin")
    monkeypatch.setenv("SURREALDB_PASSWORD", PASSWORD)
    monkeypatch.setenv("ENABLE_LIVE_QUERIES", "no")

    config = SurrealDBConfig(namespace="mine", connection_pool_size=3)

    assert (config.url, config.namespace, config.database) == ("wss://db.example:8000", "mine", "agents")
    assert (config.connection_pool_size, config.store.pool, config.enable_live_queries) == (3, 3, False)
    assert config.password is not None
    assert config.password.reveal() == PASSWORD
    assert PASSWORD not in repr(config) + str(vars(config)) + repr(config.settings)
    assert SurrealDBConfig("mem://").url == "mem://"  # where nobody signs in
    monkeypatch.setenv("STATE_PERSISTENCE_BACKEND", "memory")
    assert SurrealDBConfig().url == "mem://"
    assert SurrealDBConfig(settings=Settings(), database="x").database == "x"


async def test_without_any_url_it_is_the_database_of_a_system_without_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    assert (
        SurrealDBConfig().url
        == ActorSystem().store.url
        == f"surrealkv://{tmp_path}/data/sentient-core/sentient_core"
    )


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"url": "localhost:8000"}, InvalidSetting),
        ({"url": f"ws://root:{PASSWORD}@host"}, InvalidSetting),
        ({"url": "mem://", "connection_pool_size": 0}, InvalidSetting),
        ({"url": "mem://", "connection_pool_size": "x"}, InvalidSetting),
        ({"url": "mem://", "namespace": ""}, InvalidSetting),
        ({"url": "mem://", "enable_live_queries": "perhaps"}, InvalidSetting),
        ({"url": "ws://host", "username": "a"}, InvalidSetting),
        ({"url": "mem://", "username": "a", "password": PASSWORD}, InvalidArgument),
        ({"url": "ws://host", "username": "a", "password": 3}, InvalidSetting),
    ],
)
def test_bad_arguments_are_refused_at_once_and_no_password_is_shown(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        SurrealDBConfig(**arguments)
    with pytest.raises((InvalidArgument, InvalidStoreUrl)):
        SurrealDBConfig(**arguments, settings=Settings())

    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


async def test_a_client_has_its_database_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURREALDB_URL", f"surrealkv://{tmp_path}/db")

    db = await get_surrealdb_client()
    await db.create("agent_checkpoint", {"id": "one", "data": {"phase": "deployed"}})
    with pytest.raises(StoreInUse):
        await get_surrealdb_client()
    await db.close()
    async with await get_surrealdb_client() as again:
        assert await again.select("agent_checkpoint:one") == {
            "id": RecordID("agent_checkpoint", "one"),
            "data": {"phase": "deployed"},
        }
    with pytest.raises(StoreUnavailable, match="given back"):
        await again.select("agent_checkpoint")


async def test_a_client_of_a_config_is_one_of_its_pool() -> None:
    async with SurrealDBConfig("mem://", connection_pool_size=1) as config:
        db = await get_surrealdb_client(config)
        with anyio.move_on_after(0.01):
            async with config.get_connection():
                raise AssertionError("there was one only")
        await db.close()
        async with config.get_connection() as other:
            assert await other.query("RETURN 1") == [1]


async def test_a_wrong_password_is_said_when_it_is_opened(server: Server) -> None:
    config = SurrealDBConfig(server.url(), username=USER, password="another")

    with pytest.raises(StoreAccessDenied) as caught:
        await config.initialize_connection_pool()
    assert "another" not in str(caught.value)
    await config.close()


async def test_a_connection_that_broke_is_replaced(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        config = await on_server(server, connection_pool_size=2)
        try:
            async with config.get_connection() as db:
                await db.create("note:one")
                server.kill()
                with pytest.raises(StoreUnavailable):
                    await db.select("note:one")
                server.start_again()
                assert await patiently(lambda: db.select("note:one")) == {"id": RecordID("note", "one")}
        finally:
            await config.close()


async def test_a_live_query_tells_what_happens_to_a_table(server: Server) -> None:
    config = await on_server(server)
    async with config.get_connection() as db:
        live = await db.live("note")
    async with config.get_connection() as db:
        told = await db.subscribe_live(live)
        made = await db.create("note:one", {"n": 1})
        with anyio.fail_after(60):
            assert await told.get() == {
                "id": live,
                "action": "CREATE",
                "record": RecordID("note", "one"),
                "result": made,
            }
            await db.merge("note:one", {"n": 2})
            await db.query("DELETE note:one")
            first, second = await told.get(), await anext(told)
        assert (first["action"], first["result"]["n"]) == ("UPDATE", 2)
        assert (second["action"], second["record"]) == ("DELETE", RecordID("note", "one"))
        await db.kill(str(live))
        assert [note async for note in told] == []
        with pytest.raises(LiveQueryLost, match="killed"):
            await told.get()
        await db.kill(live)  # it has ended: no mistake
        with pytest.raises(InvalidArgument, match=str(live)):
            await db.subscribe_live(live)
    assert await lives_of(config) == {}
    await config.close()


async def test_no_live_query_is_left_when_it_is_closed(server: Server) -> None:
    config = await on_server(server)
    watcher = server.store(database=config.database)
    async with watcher, config.get_connection() as db:
        for _ in range(3):
            await db.live("note")
        ((info,),) = [await watcher.query("INFO FOR TABLE note")]
        assert len(info["lives"]) == 3

        await config.close()

        ((info,),) = [await watcher.query("INFO FOR TABLE note")]
        assert info["lives"] == {}


async def test_readers_are_told_when_the_connection_breaks(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        config = await on_server(server)
        async with config.get_connection() as db:
            told = await db.subscribe_live(await db.live("note"))
            await db.create("note:one")
            with anyio.fail_after(60):
                assert (await told.get())["action"] == "CREATE"
                server.kill()
                with pytest.raises(LiveQueryLost, match="begin another"):
                    await anext(told)
        await config.close()


async def test_a_reader_that_falls_behind_is_told_so_and_holds_no_more_than_its_room(server: Server) -> None:
    config = await on_server(server)
    told = await config.store.live("note", room=3)

    for n in range(6):
        await config.store.query("CREATE note SET n = $n", n=n)
    with anyio.fail_after(60):
        while not told.is_over:  # noqa: ASYNC110 - a server says when it comes to it; nobody else would know
            await anyio.sleep(0.01)

    assert [(await told.get())["result"]["n"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(LiveQueryLost, match="no room"):
        await told.get()
    await told.kill()
    await config.close()


async def test_a_reader_that_is_cancelled_takes_nothing_along(server: Server) -> None:
    config = await on_server(server)
    told = await config.store.live("note")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(told.get)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()

    await config.store.query("CREATE note SET n = 1")

    with anyio.fail_after(60):
        assert (await told.get())["result"]["n"] == 1
    await config.close()


async def test_where_there_are_no_live_queries_the_error_names_the_event_bus(server: Server) -> None:
    over_http = SurrealDBConfig(server.url("http"), username=USER, password=PASSWORD)
    switched_off = SurrealDBConfig(server.url(), username=USER, password=PASSWORD, enable_live_queries=False)
    for config, why in (
        (SurrealDBConfig("mem://"), "embedded"),
        (over_http, "HTTP"),
        (switched_off, "ENABLE_LIVE_QUERIES"),
    ):
        async with config, config.get_connection() as db:
            with pytest.raises(LiveQueriesUnavailable, match=rf"{why}.*event bus"):
                await db.live("agent_event")


async def test_ids_of_live_queries_that_are_none_are_refused(server: Server) -> None:
    config = await on_server(server)
    async with config.get_connection() as db:
        for bad in ("", "note", "' OR 1", 3):
            with pytest.raises(InvalidArgument):
                await db.subscribe_live(bad)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            with pytest.raises(InvalidArgument):
                await db.kill(bad)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidArgument):
            await db.subscribe_live(uuid4())
        with pytest.raises(InvalidArgument, match="table"):
            await db.live("note:one")
        with pytest.raises(StoreRefused, match="does not exist"):
            await db.live("no_such_table; REMOVE TABLE note")
        assert await db.select("note") == []
    await config.close()


async def patiently(ask: Callable[[], Awaitable[Any]]) -> Any:
    """The answer of a database that may be on its way back."""
    with anyio.fail_after(60):
        while True:
            with suppress(StoreUnavailable):
                return await ask()
            await anyio.sleep(0.05)


async def version_of(config: SurrealDBConfig) -> int:
    ((version,),) = await config.store.query("SELECT VALUE version FROM store_schema")
    return int(version)


async def missing_in(config: SurrealDBConfig) -> list[str]:
    """What of the schema is not there."""
    missing: list[str] = []
    (info,) = await config.store.query("INFO FOR DB")
    for table in TABLES:
        if table.name not in info["tables"]:
            missing.append(table.name)
            continue
        (found,) = await config.store.query(f"INFO FOR TABLE {table.name}")
        missing += [f"{table.name}.{field}" for field in table.fields if field not in found["fields"]]
        missing += [f"{table.name} {index}" for index in table.indexes if index not in found["indexes"]]
    return missing


async def lives_of(config: SurrealDBConfig) -> dict[str, Any]:
    (info,) = await config.store.query("INFO FOR TABLE note")
    lives: dict[str, Any] = info["lives"]
    return lives

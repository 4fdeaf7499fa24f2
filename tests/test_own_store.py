"""The store of a system that is given none, or only an address: the settings say which, and are obeyed."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import (
    ActorSystem,
    InvalidArgument,
    InvalidSetting,
    InvalidStoreUrl,
    MemoryStore,
    Settings,
    StoreAccessDenied,
    SurrealStore,
)
from sentient_core.own_store import data_directory, default_store, place_of_data, store_at
from tests.probes import Add, Counter, Save, Total
from tests.store.server import PASSWORD, USER, Server


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's data directory, and a working directory without a file of settings."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


def there(directory: Path) -> list[str]:
    """What is in a directory, which need not be there."""
    return sorted(path.name for path in directory.glob("*"))


async def test_a_system_without_name_and_store_keeps_its_data_in_the_users_directory(data: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with ActorSystem() as system:
            counter = await system.spawn(Counter, name="a")
            await counter.ask(Add(3), timeout=60)
            await counter.ask(Save(), timeout=60)
        async with ActorSystem() as again:
            assert await (await again.spawn(Counter, name="a")).ask(Total(), timeout=60) == 3

    directory = data / "sentient-core" / "sentient_core"
    assert system.name == "sentient_core"
    assert system.store.url == f"surrealkv://{directory}"
    assert "LOCK" in there(directory)
    assert lines[0] == {
        "event": f"data in {directory}",
        "store": f"surrealkv://{directory}",
        "system": "sentient_core",
        "log_level": "info",
    }


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("memory:", "memory, gone with this process"),
        ("mem://", "memory, gone with this process"),
        ("surrealkv:///data/shop?sync=1s", "/data/shop"),
        ("ws://localhost:8000/rpc", "ws://localhost:8000/rpc"),
    ],
)
def test_where_data_are_is_said_for_people(url: str, place: str) -> None:
    assert place_of_data(url) == place


async def test_systems_of_different_names_run_at_the_same_time(data: Path) -> None:
    async with ActorSystem("bank"), ActorSystem("shop"):
        pass

    assert there(data / "sentient-core") == ["bank", "shop"]


async def test_a_store_that_was_named_is_told_nobody(data: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with ActorSystem(store="mem://") as system:
            assert system.store.url == "mem://"

    assert lines == []
    assert not there(data)


async def test_the_url_of_the_environment_is_where_a_system_without_store_goes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SURREALDB_URL", f"surrealkv://{tmp_path}/mine")
    monkeypatch.setenv("SURREALDB_NAMESPACE", "prod")
    monkeypatch.setenv("SURREALDB_DATABASE", "core")

    async with ActorSystem("bank"):
        pass

    assert not there(data)
    async with SurrealStore(f"surrealkv://{tmp_path}/mine", namespace="prod", database="core") as store:
        assert (await store.query("SELECT VALUE id.id() FROM ownership WHERE epoch = 1")) == [[["bank"]]]


async def test_an_argument_goes_before_the_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SURREALDB_URL", "surrealkv:///nowhere/at/all")
    monkeypatch.setenv("STATE_PERSISTENCE_BACKEND", "memory")

    async with ActorSystem("bank", store="mem://") as system:
        assert isinstance(system.store, SurrealStore)
    store = MemoryStore()
    async with ActorSystem("bank", store=store) as system:
        assert system.store is store


async def test_with_the_backend_in_memory_nothing_is_written_anywhere(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_PERSISTENCE_BACKEND", "memory")
    monkeypatch.setenv("SURREALDB_URL", f"surrealkv://{tmp_path}/mine")

    async with ActorSystem("bank") as system:
        await (await system.spawn(Counter, name="a")).ask(Save(), timeout=60)
        assert isinstance(system.store, MemoryStore)

    assert not there(tmp_path)


async def test_a_system_shares_the_store_of_who_has_one(data: Path) -> None:
    async with SurrealStore("mem://") as store, ActorSystem("bank", store=store) as bank:
        async with ActorSystem("shop", store=bank) as shop:
            assert shop.store is bank.store
        await (await bank.spawn(Counter)).ask(Save(), timeout=60)


async def test_a_servers_user_and_pool_are_those_of_the_settings(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(tmp_path) as server:
        monkeypatch.setenv("SURREALDB_URL", server.url())
        with pytest.raises(StoreAccessDenied):
            async with ActorSystem("bank"):
                pass
        monkeypatch.setenv("SURREALDB_USERNAME", USER)
        monkeypatch.setenv("SURREALDB_PASSWORD", PASSWORD)
        monkeypatch.setenv("SURREALDB_CONNECTION_POOL_SIZE", "2")
        async with ActorSystem("bank") as system:
            assert isinstance(system.store, SurrealStore)
            assert system.store.pool == 2
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(system.store.query, "SELECT * FROM agent_event")
        async with ActorSystem(
            "bank", store=server.url("http")
        ):  # an address alone: the rest as settings say
            pass


def test_users_are_for_servers_alone() -> None:
    settings = Settings.load(
        env_file=None, environ={"SURREALDB_USERNAME": "admin", "SURREALDB_PASSWORD": "x"}
    )

    assert store_at("mem://", settings).url == "mem://"


def test_bad_settings_are_found_before_anything_happens(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_CONCURRENT_AGENTS", "many")

    with pytest.raises(InvalidSetting, match="MAX_CONCURRENT_AGENTS"):
        ActorSystem()
    with pytest.raises(InvalidArgument, match="settings"):
        ActorSystem(settings={"log_level": "INFO"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidStoreUrl):
        ActorSystem(store="nowhere", settings=Settings())
    with pytest.raises(InvalidArgument, match="store"):
        ActorSystem(store=3, settings=Settings())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert not there(data)


def test_settings_that_are_given_are_all_there_is(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_CONCURRENT_AGENTS", "many")
    settings = Settings(max_concurrent_agents=2)

    system = ActorSystem(settings=settings, store="mem://")

    assert system.settings is settings


@given(st.text(max_size=200))
def test_every_name_has_a_directory_of_its_own_right_below(name: str) -> None:
    root = data_directory("a").parent

    directory = data_directory(name)

    assert directory.parent == root
    assert directory.name not in ("", ".", "..")
    assert len(directory.name.encode()) <= 100
    assert (directory == data_directory("a")) == (name == "a")


@pytest.mark.parametrize("name", ["..", ".", "a/../b", "a\\b", "bank", "Bänk", "-x", "a?b", "x" * 200])
def test_the_address_of_a_directory_is_one(name: str) -> None:
    store = default_store(Settings(), name)

    assert isinstance(store, SurrealStore)
    assert store.url == f"surrealkv://{data_directory(name)}"


def test_a_data_directory_whose_address_would_have_options_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "what?sync=never"))
    with pytest.raises(InvalidSetting, match=r"SURREALDB_URL is missing.*sync=never"):
        default_store(Settings(), "bank")

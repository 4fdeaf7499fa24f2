"""Databases for the tests of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sentient_core.store import SurrealStore
from tests.store.samples import Faults
from tests.store.server import Server


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The address of a database on disk that is not there yet."""
    return f"surrealkv://{tmp_path}/db"


@pytest.fixture
async def store(url: str) -> AsyncIterator[SurrealStore]:
    """A store on disk."""
    async with SurrealStore(url) as store:
        yield store


@pytest.fixture
def faults() -> Faults:
    """The faults of `faulty_store`: none at first."""
    return Faults()


@pytest.fixture
async def faulty_store(url: str, faults: Faults) -> AsyncIterator[SurrealStore]:
    """A store on disk whose database fails as told."""
    async with SurrealStore(url, connect=faults.connect, call_timeout=5.0) as store:
        yield store


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A database server that the tests share, each with a database of its own. Nobody kills this one."""
    with Server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another one, which lets everybody in: signing in costs a server 40 ms of computing."""
    # Over HTTP a server takes 4 MiB per request if it is told nothing; the contract has larger messages.
    settings = {"SURREAL_HTTP_MAX_RPC_BODY_SIZE": str(64 * 1024 * 1024)}
    directory = tmp_path_factory.mktemp("server")
    with Server(directory, "--unauthenticated", **settings) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A database server for one test, which may do with it what it wants."""
    with Server(tmp_path) as server:
        yield server


@pytest.fixture
def served_url(tmp_path: Path) -> Iterator[str]:
    """The address of a database on a server of the test's own that lets everybody in."""
    with Server(tmp_path, "--unauthenticated") as server:
        yield server.url()

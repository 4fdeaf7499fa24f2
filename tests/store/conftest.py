"""Databases for the tests of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sentient_core.store import SurrealStore
from tests.store.samples import Faults


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

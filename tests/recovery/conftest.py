"""Stores that outlive a system, as they outlive a process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sentient_core.store import MemoryStore, Store, SurrealStore


@pytest.fixture(params=["memory", "surrealkv"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store, in memory and on disk."""
    store: Store = MemoryStore() if request.param == "memory" else SurrealStore(f"surrealkv://{tmp_path}/db")
    yield store
    await store.close()

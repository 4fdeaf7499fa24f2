"""A system whose process dies: what its store has not committed by then is gone."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from sentient_core import ActorSystem, Fenced, JournalOptions, MemoryStore
from tests.probes import running

__all__ = ["crashing"]


@asynccontextmanager
async def crashing(
    store: MemoryStore, name: str = "test", *, journal: JournalOptions | None = None
) -> AsyncGenerator[ActorSystem]:
    """A running system that ends as by `kill -9`: the store refuses whatever it has not yet committed."""
    try:
        async with running(name, store=store, journal=journal) as system:
            yield system
            await store.open_journal(name)
            await anyio.sleep_forever()
    except* Fenced:
        pass

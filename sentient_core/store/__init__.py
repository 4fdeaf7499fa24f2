"""The store: a journal that takes every record in group commits, and the rows behind it."""

from __future__ import annotations

from sentient_core.store.faulty import faulty
from sentient_core.store.memory import MemoryStore
from sentient_core.store.protocols import Journal, JournalOptions, Store
from sentient_core.store.surreal import SurrealStore
from sentient_core.store.wire import RecordId

__all__ = [
    "Journal",
    "JournalOptions",
    "MemoryStore",
    "RecordId",
    "Store",
    "SurrealStore",
    "faulty",
    "open_store",
]


def open_store(url: str) -> SurrealStore:
    """The store at an address: `surrealkv://path`, `mem://` or a server's; nothing is opened yet.

    Raises InvalidStoreUrl. A server that wants a user needs `SurrealStore(url, username=..., password=...)`.
    """
    return SurrealStore(url)

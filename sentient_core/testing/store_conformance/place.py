"""Where the data of a test is, and the fixtures that all tests of stores share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import pytest

from sentient_core.store import Journal, Store

__all__ = ["Conformance", "Place", "StorePlace"]


class Place(Protocol):
    """One place for data; `store` is what uses it now."""

    store: Store

    async def restart(self) -> Store:
        """As another process would find it, as far as the data outlives this one."""
        ...


class StorePlace:
    """The place of a store that the user of the tests has made."""

    def __init__(self, store: Store, reopen: Callable[[Store], Awaitable[Store]]) -> None:
        self.store: Store = store
        self._reopen = reopen

    async def restart(self) -> Store:
        """See `Place.restart`."""
        self.store = await self._reopen(self.store)
        return self.store


class Conformance:
    """What tests of a store are made of: how to get one, and what they begin with."""

    async def new_store(self) -> Store:
        """A store that nobody has used. It is closed behind the test."""
        raise NotImplementedError("a test of a store says how to make one: async def new_store(self)")

    async def reopened(self, store: Store) -> Store:
        """What another process would find: close this one, and open another on the same data.

        As it is, for stores whose data ends with them.
        """
        return store

    @pytest.fixture
    async def place(self, anyio_backend: object) -> AsyncIterator[Place]:
        """Where a test has its data."""
        place = StorePlace(await self.new_store(), self.reopened)
        yield place
        await place.store.close()

    @pytest.fixture
    def store(self, place: Place) -> Store:
        """That of the test, where it is not opened anew."""
        return place.store

    @pytest.fixture(params=range(2))
    def seed(self, request: pytest.FixtureRequest) -> int:
        """Of a test that does random things; more of them are tried by a `seed` of one's own."""
        seed: int = request.param
        return seed

    @pytest.fixture
    async def journal(self, place: Place) -> AsyncIterator[Journal]:
        """The first start of the system `bank`."""
        journal = await place.store.open_journal("bank")
        yield journal
        await journal.close(5.0)

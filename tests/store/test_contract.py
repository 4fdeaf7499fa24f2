"""What every store promises: the suite that anyone can run, over all of ours."""

from __future__ import annotations

import pytest

from sentient_core.testing.store_conformance import StoreConformance
from sentient_core.testing.store_conformance.payloads import NASTY
from tests.store.places import Database, databases

__all__ = ["NASTY"]

database = databases("memory", "mem", "surrealkv", "ws", "http")


class TestContract(StoreConformance):
    @pytest.fixture
    def place(self, database: Database) -> Database:
        return database


async def test_the_url_says_where_it_is(database: Database) -> None:
    assert database.store.url.split(":")[0] in ("memory", "mem", "surrealkv", "ws", "http")

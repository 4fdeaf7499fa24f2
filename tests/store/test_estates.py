"""What a durable actor has left is the same whatever of it is in rows already: on every kind of store."""

from __future__ import annotations

import pytest

from sentient_core.testing.store_conformance import EstateConformance
from tests.long import few
from tests.store.places import Database, databases

database = databases("memory", "mem", "surrealkv", "ws")


class TestEstates(EstateConformance):
    @pytest.fixture
    def place(self, database: Database) -> Database:
        return database

    @pytest.fixture(params=few(range(7), 2))
    def seed(self, request: pytest.FixtureRequest) -> int:
        seed: int = request.param
        return seed

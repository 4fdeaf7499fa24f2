"""What every store promises of event streams, over several kinds of store."""

from __future__ import annotations

import pytest

from sentient_core.testing.store_conformance import EventConformance
from tests.store.places import Database, databases

database = databases("memory", "mem", "surrealkv", "ws")


class TestEvents(EventConformance):
    @pytest.fixture
    def place(self, database: Database) -> Database:
        return database

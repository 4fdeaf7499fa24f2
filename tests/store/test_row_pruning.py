"""What is over and old, or too much, goes with what belongs to it: on several kinds of store."""

from __future__ import annotations

import pytest

from sentient_core.testing.store_conformance import RowPruningConformance
from tests.store.places import Database, databases

database = databases("memory", "mem", "ws")


class TestRowPruning(RowPruningConformance):
    @pytest.fixture
    def place(self, database: Database) -> Database:
        return database

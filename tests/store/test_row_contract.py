"""What every store promises of the rows that people and actors write, on several kinds of store."""

from __future__ import annotations

import re

import pytest

from sentient_core.errors import UnstorableRow
from sentient_core.store import Store, SurrealStore
from sentient_core.store.row_values import row_change
from sentient_core.testing.store_conformance import RowConformance
from sentient_core.testing.store_conformance.row_samples import TASKS
from sentient_core.testing.store_conformance.samples import NOW
from tests.bad_payloads import BAD
from tests.store.places import Database, databases

database = databases("memory", "surrealkv", "ws", long=("mem", "http"))


class TestRows(RowConformance):
    @pytest.fixture
    def place(self, database: Database) -> Database:
        return database

    async def test_of_concurrent_appends_none_is_lost(self, store: Store) -> None:
        if isinstance(store, SurrealStore) and store.url == "mem://":
            pytest.skip("the engine for memory of SurrealDB 3.2 loses one now and then (surrealdb#7473)")
        await super().test_of_concurrent_appends_none_is_lost(store)


@pytest.mark.parametrize("what", BAD)
def test_what_no_payload_can_hold_no_row_can(what: str) -> None:
    """The others of the rule see `tests/store/test_plain_values.py`; rows may be nested a little deeper."""
    bad = BAD[what]
    with pytest.raises(UnstorableRow, match=re.escape(f"data{bad.place}")) as caught:
        row_change(TASKS, ("t2",), {"data": bad.value}, owner="a", at=NOW)

    assert bad.says in str(caught.value)

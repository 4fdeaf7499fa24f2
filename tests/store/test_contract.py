"""What every store promises of a journal: the suite that anyone can run, over all of ours.

The other parts of the suite run beside what else there is to say of them, over fewer kinds of store.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sentient_core.testing.store_conformance import JournalConformance, StoreConformance
from tests.store.places import Database, databases

database = databases("memory", "mem", "surrealkv", "ws", "http")
PARTS = [part.__name__ for part in StoreConformance.__bases__]


class TestContract(JournalConformance):
    @pytest.fixture
    def place(self, database: Database) -> Database:
        return database


async def test_the_url_says_where_it_is(database: Database) -> None:
    assert database.store.url.split(":")[0] in ("memory", "mem", "surrealkv", "ws", "http")


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_the_suite_is_run_over_ours(part: str) -> None:
    files = Path(__file__).parent.glob("test_*.py")

    assert any(f"({part}):\n" in file.read_text("utf-8") for file in files)

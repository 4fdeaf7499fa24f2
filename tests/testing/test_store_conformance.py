"""Anyone's store: the suite passes where it keeps the contract, and says which part it breaks."""

from __future__ import annotations

from pathlib import Path

from tests.testing.test_plugin import outcomes, run

SUITE = """
    from typing import Any

    from sentient_core import MemoryStore, Store
    from sentient_core.testing.store_conformance import StoreConformance


    class Forgetful(MemoryStore):
        async def events(self, system: str, **query: Any) -> Any:
            return (await super().events(system, **query))[1:]


    class TestMine(StoreConformance):
        async def new_store(self) -> Store:
            return MemoryStore()


    class TestForgetful(StoreConformance):
        async def new_store(self) -> Store:
            return Forgetful()


    class TestNothing(StoreConformance):
        pass
"""


def test_a_store_that_keeps_the_contract_passes(tmp_path: Path) -> None:
    found = run(tmp_path, SUITE, "-k", "TestMine and asyncio")

    failed = {name for name, outcome in outcomes(found).items() if outcome != "PASSED"}
    assert not failed, found["output"]
    assert len(outcomes(found)) > 60


def test_a_store_that_breaks_it_is_caught_where_it_does(tmp_path: Path) -> None:
    name = "test_what_is_flushed_is_in_rows_in_the_order_it_was_appended"
    found = run(tmp_path, SUITE, "-k", f"(TestForgetful or TestNothing) and trio and ({name} or newest)")

    assert outcomes(found) == {
        f"TestForgetful::{name}[trio]": "FAILED",
        "TestForgetful::test_the_newest_checkpoints_come_first[trio]": "PASSED",
        "TestForgetful::test_dead_letters_are_listed_newest_first[trio]": "PASSED",
        f"TestNothing::{name}[trio]": "ERROR",
        "TestNothing::test_the_newest_checkpoints_come_first[trio]": "ERROR",
        "TestNothing::test_dead_letters_are_listed_newest_first[trio]": "ERROR",
    }, found["output"]
    assert "At index 0 diff: 1199 != 1200" in found["output"]  # the asserts of the suite are rewritten
    assert "a test of a store says how to make one: async def new_store(self)" in found["output"]

"""Anyone's store: the suite says which promise one breaks. That others pass shows test_page."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.testing.test_plugin import outcomes, run

FLUSHED = "test_what_is_flushed_is_in_rows_in_the_order_it_was_appended"
LETTERS = "test_dead_letters_are_listed_newest_first"
EXPECTS = "test_a_write_that_expects_another_revision_changes_nothing_at_all"
APPENDS = "test_of_concurrent_appends_none_is_lost"
FOLLOWS = "test_who_follows_is_handed_each_event_once_in_the_order_of_the_commits"
BEGINS = "test_rows_up_to_its_beginning_and_what_is_handed_behind_it_are_all_there_is"
HISTORY = "test_a_history_is_the_newest_of_a_span_and_no_more_than_the_limit"
BEHIND = "test_what_comes_behind_a_place_comes_once_and_in_order"
LATE = "test_an_acknowledgement_that_arrives_late_moves_nobody_back"

BROKEN = {
    "LosesAppend": {FLUSHED, FOLLOWS, BEGINS},
    "DoublesAppend": {FLUSHED, FOLLOWS, BEGINS},
    "ReordersGroup": {FLUSHED, FOLLOWS, BEGINS},
    "ForgetsDeadLetter": {LETTERS},
    "OverlooksConflict": {EXPECTS, APPENDS},
    "WritesHalf": {EXPECTS},
    "TellsTwice": {FOLLOWS, BEGINS},
    "LosesLiveEvent": {FOLLOWS},
    "BeginsLate": {BEGINS},
    "ForgetsItsBound": {HISTORY},
    "TakesOneTooMany": {HISTORY},
    "SkipsRestOfCommit": {BEHIND},
    "MovesSubscriberBack": {LATE},
}
"""Stores of `broken_stores.py`, and which of these tests fail over them."""


def test_a_store_that_breaks_it_is_caught_where_it_does(tmp_path: Path) -> None:
    suite = (Path(__file__).parent / "broken_stores.py").read_text("utf-8")
    tests = " or ".join({name for names in BROKEN.values() for name in names})

    found = run(tmp_path, suite, "-k", tests, users="")

    caught: dict[str, set[str]] = {name: set() for name in ("MemoryStore", *BROKEN)}
    for test, outcome in outcomes(found).items():
        name, _, parameters = test.removeprefix("TestBroken::").partition("[")
        if outcome != "PASSED":
            caught[parameters.partition("-")[0].rstrip("]")].add(name)
    assert caught == {"MemoryStore": set()} | BROKEN, found["output"]
    assert len(outcomes(found)) >= len(caught) * len({FLUSHED, LETTERS, EXPECTS, FOLLOWS, HISTORY})


@pytest.mark.parametrize("place", ["conftest", "test_users"])
def test_the_asserts_of_the_suite_show_what_they_compare(tmp_path: Path, place: str) -> None:
    (tmp_path / "mine.py").write_text(
        """
from typing import Any

from sentient_core import MemoryStore, Store
from sentient_core.testing.store_conformance import StoreConformance


class Forgetful(MemoryStore):
    async def events(self, system: str, **query: Any) -> Any:
        return (await super().events(system, **query))[1:]


class Suite(StoreConformance):
    async def new_store(self) -> Store:
        return Forgetful()
"""
    )
    suite = f"""
        {"from conftest import Suite" if place == "conftest" else "from mine import Suite"}

        class TestForgetful(Suite):
            pass

        class TestNothing(Suite):
            new_store = Suite.__mro__[1].new_store
    """
    if place == "conftest":
        (tmp_path / "mine.py").rename(tmp_path / "conftest.py")

    found = run(tmp_path, suite, "-k", f"trio and ({FLUSHED} or {LETTERS})", users="")

    assert outcomes(found) == {
        f"TestForgetful::{FLUSHED}[trio]": "FAILED",
        f"TestForgetful::{LETTERS}[trio]": "PASSED",
        f"TestNothing::{FLUSHED}[trio]": "ERROR",
        f"TestNothing::{LETTERS}[trio]": "ERROR",
    }, found["output"]
    assert "At index 0 diff: 1199 != 1200" in found["output"]  # the asserts of the suite are rewritten
    assert "a test of a store says how to make one: async def new_store(self)" in found["output"]

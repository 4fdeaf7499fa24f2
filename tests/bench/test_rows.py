"""Every row can be run, and finds what it is there to find, in the runtime as it is and in broken ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sentient_core.actors.ref import ActorRef
from sentient_core.bench import Choice, Report, Row, StoreKind, run_rows
from sentient_core.bench.rows import ROWS, always_failing, storm
from sentient_core.bench.rows.storm import _Add  # pyright: ignore[reportPrivateUsage] - what a broken runtime loses
from sentient_core.supervisor.intensity import RestartWindow


def quick(row: Row, folder: Path, store: StoreKind = StoreKind.MEMORY) -> Report:
    return run_rows(Choice(rows=[row], stores=[store], is_quick=True, folder=folder))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_holds_its_promises_in_memory(row: Row, tmp_path: Path) -> None:
    if StoreKind.MEMORY not in row.stores:
        pytest.skip("it says nothing in memory")

    (result,) = quick(row, tmp_path).results

    assert result.error is None
    assert result.findings.broken == []
    found = result.findings
    assert any(one.is_headline for one in (*found.measured, *found.losses, *found.checks))


def test_a_runtime_that_loses_one_message_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, tell = iter(range(10**9)), ActorRef.tell

    def losing(self: ActorRef[Any], message: Any) -> None:
        if not isinstance(message, _Add) or next(told) != 500:
            tell(self, message)

    monkeypatch.setattr(ActorRef, "tell", losing)

    (result,) = quick(storm.ROW, tmp_path).results

    assert {loss.name: loss.count for loss in result.findings.losses}["lost"] == 1
    assert not result.is_sound


def test_a_runtime_that_handles_one_message_twice_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, tell = iter(range(10**9)), ActorRef.tell

    def doubling(self: ActorRef[Any], message: Any) -> None:
        tell(self, message)
        if isinstance(message, _Add) and next(told) == 500:
            tell(self, message)

    monkeypatch.setattr(ActorRef, "tell", doubling)

    (result,) = quick(storm.ROW, tmp_path).results

    assert {loss.name: loss.count for loss in result.findings.losses}["with two ends"] == 1
    assert not result.is_sound


def test_a_runtime_that_restarts_once_too_often_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: set[RestartWindow] = set()
    spend = RestartWindow.spend

    def generous(self: RestartWindow, now: float) -> bool:
        if spend(self, now) or self in refused:
            return self not in refused
        refused.add(self)
        return True

    monkeypatch.setattr(RestartWindow, "spend", generous)

    (result,) = quick(always_failing.ROW, tmp_path).results

    broken = {check.claim: (check.expected, check.found) for check in result.findings.broken}
    assert broken["restarts with a budget of 3"] == ("3", "4")

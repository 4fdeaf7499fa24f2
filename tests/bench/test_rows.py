"""Every row can be run, and finds what it is there to find, in the runtime as it is and in broken ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from sentient_core.actors.ref import ActorRef
from sentient_core.bench import Choice, Report, Row, StoreKind, run_rows
from sentient_core.bench.entries import Latency, Loss
from sentient_core.bench.result import Result
from sentient_core.bench.rows import ROWS, always_failing, database_gone, process_killed, storm
from sentient_core.bench.rows.storm import _Add  # pyright: ignore[reportPrivateUsage] - what a broken runtime loses
from sentient_core.faults import FaultPoint
from sentient_core.supervisor.intensity import RestartWindow
from tests.store.server import find_program

STORES = [StoreKind.MEMORY, StoreKind.EMBEDDED]


def quick(row: Row, folder: Path, store: StoreKind = StoreKind.MEMORY) -> Report:
    return run_rows(Choice(rows=[row], stores=[store], backends=["asyncio"], is_quick=True, folder=folder))


def losses(result: Result) -> dict[str, int]:
    return {entry.title: entry.count for entry in result.findings.entries if isinstance(entry, Loss)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_every_row_holds_its_promises_in_memory(row: Row, tmp_path: Path) -> None:
    if StoreKind.MEMORY not in row.stores:
        pytest.skip("it says nothing in memory")

    (result,) = quick(row, tmp_path).results

    assert result.error is None
    assert result.findings.broken == []
    assert any(entry.is_headline for entry in result.findings.entries)


def test_a_database_that_is_killed_and_one_behind_a_bad_network_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_program()
    names = ("killed, started again", "answers lost (1 in 20 pieces)")
    monkeypatch.setattr(database_gone, "HARMS", {name: database_gone.HARMS[name] for name in names})
    monkeypatch.setattr(database_gone, "QUICK_TIMES", 1)

    (result,) = quick(database_gone.ROW, tmp_path, StoreKind.SERVER).results

    assert result.error is None
    assert result.findings.broken == []
    assert [line.name for line in result.findings.timelines] == list(names)
    repairs = [entry.samples for entry in result.findings.entries if isinstance(entry, Latency)]
    assert repairs[0] == 1  # it went on behind the kill


@pytest.mark.parametrize("store", STORES)
def test_a_runtime_that_loses_one_message_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: StoreKind
) -> None:
    told, tell = iter(range(10**9)), ActorRef.tell

    def losing(self: ActorRef[Any], message: Any) -> None:
        if not isinstance(message, _Add) or next(told) != 500:
            tell(self, message)

    monkeypatch.setattr(ActorRef, "tell", losing)

    (result,) = quick(storm.ROW, tmp_path, store).results

    assert losses(result)["lost"] == 1
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

    assert losses(result)["with two ends"] == 1
    assert not result.is_sound


@pytest.mark.parametrize("store", STORES)
def test_a_runtime_that_restarts_once_too_often_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: StoreKind
) -> None:
    refused: set[RestartWindow] = set()
    spend = RestartWindow.spend

    def generous(self: RestartWindow, now: float) -> bool:
        if spend(self, now) or self in refused:
            return self not in refused
        refused.add(self)
        return True

    monkeypatch.setattr(RestartWindow, "spend", generous)

    (result,) = quick(always_failing.ROW, tmp_path, store).results

    broken = {check.claim: (check.expected, check.found) for check in result.findings.broken}
    assert broken["restarts with a budget of 3"] == ("3", "4")


# What the broken runtimes of the killed process do: the process that takes deposits runs one of these.
BROKEN = """
from sentient_core.actors.ref import ActorRef
from sentient_core.bench import crash_child

send = ActorRef.send
count = 0

async def broken(self, message, **options):
    global count
    count += 1
    if count == 20:
        {instead}
    return await send(self, message, **options)

ActorRef.send = broken
crash_child.main()
"""
LOSES = "return None  # acknowledged, and never seen again"
DOUBLES = "await send(self, message)  # and once more under its id"


@pytest.mark.parametrize(("instead", "found"), [(LOSES, {"lost": 1}), (DOUBLES, {"doubled": 1})])
def test_a_runtime_that_loses_or_doubles_one_deposit_before_its_process_is_killed_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instead: str, found: dict[str, int]
) -> None:
    program = tmp_path / "broken_child.py"
    program.write_text(BROKEN.format(instead=instead), "utf-8")
    monkeypatch.setattr(process_killed, "CHILD", (sys.executable, "-P", str(program)))
    monkeypatch.setattr(process_killed, "QUICK_POINTS", (FaultPoint.STORE_COMMITTED,))
    monkeypatch.setattr(process_killed, "QUICK_SIZES", ())

    (result,) = quick(process_killed.ROW, tmp_path, StoreKind.EMBEDDED).results

    assert result.error is None
    assert {"lost": 0, "doubled": 0} | found == {name: losses(result)[name] for name in ("lost", "doubled")}
    assert not result.is_sound


def test_of_a_line_that_a_killed_process_did_not_end_no_number_is_taken() -> None:
    numbers = process_killed._numbers  # pyright: ignore[reportPrivateUsage]

    assert list(numbers(b"1\n20\n3")) == [1, 20]
    assert list(numbers(b"3")) == list(numbers(b"")) == []

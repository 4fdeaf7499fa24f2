"""Rounds beside a disk that is calm, or not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from benchmarks import rounds
from benchmarks.measure import Settings
from benchmarks.rounds import Leg, calm_rounds

CALM, SLOW = 0.3, 2.5


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def show(*syncs: float) -> None:
        """What is measured before and behind each round, then calm for ever."""
        left = iter(syncs)

        def fdatasync_p99(folder: Path) -> float:
            return next(left, CALM)

        monkeypatch.setattr(rounds, "fdatasync_p99", fdatasync_p99)

    return show


def settings(folder: Path, *, is_quick: bool = False) -> Settings:
    return Settings(is_quick=is_quick, rounds=2, seed=1, folder=folder)


def counting() -> Leg[int]:
    runs = iter(range(1, 100))
    return Leg("counting", lambda: next(runs))


def test_a_round_beside_a_slow_disk_is_void_and_repeated(tmp_path: Path, disk: Callable[..., None]) -> None:
    leg = counting()
    disk(CALM, CALM, SLOW, CALM, CALM, SLOW)

    found = calm_rounds(settings(tmp_path), "w", [leg])

    assert leg.runs == [1, 4]
    assert not found.is_void
    assert found.figure.spread == (CALM, CALM)


def test_a_disk_that_never_calms_down_leaves_void_rounds_that_say_so(
    tmp_path: Path, disk: Callable[..., None]
) -> None:
    leg = counting()
    disk(CALM, CALM, *[SLOW] * 8)

    found = calm_rounds(settings(tmp_path), "w", [leg])

    assert leg.runs == [1, 2]
    assert found.syncs == [CALM, SLOW]
    assert found.is_void
    assert found.note == "1 of 2 rounds are void (fdatasync p99 above 1 ms)"


def test_a_quick_run_repeats_no_round(tmp_path: Path, disk: Callable[..., None]) -> None:
    leg = counting()
    disk(SLOW, CALM, SLOW, CALM, SLOW, CALM)

    found = calm_rounds(settings(tmp_path, is_quick=True), "w", [leg])

    assert leg.runs == [1, 2]
    assert found.is_void


def test_each_round_begins_with_another_leg(tmp_path: Path, disk: Callable[..., None]) -> None:
    ran: list[str] = []
    legs = [Leg(name, partial(ran.append, name)) for name in ("a", "b")]
    disk()

    calm_rounds(settings(tmp_path), "w", legs)

    assert ran == ["a", "b", "b", "a"]

"""The verdict on a child that is down, as a table; and the options of a strategy."""

from __future__ import annotations

import pytest

from sentient_core import CheckpointUnusable, InvalidArgument, Restart, StoreUnavailable, Supervisor
from sentient_core.supervisor import Verdict, verdict

BOOM = ValueError("boom")
AWAY = StoreUnavailable("away")
TORN = CheckpointUnusable("a", ["torn"])
P, TR, TE = Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY


@pytest.mark.parametrize(
    ("restart", "cause", "expected"),
    [
        (P, None, Verdict.RESTART),
        (P, BOOM, Verdict.RESTART),
        (TR, None, Verdict.BURY),
        (TR, BOOM, Verdict.RESTART),
        (TE, None, Verdict.BURY),
        (TE, BOOM, Verdict.BURY),
    ],
)
def test_the_restart_types_as_in_otp(restart: Restart, cause: Exception | None, expected: Verdict) -> None:
    assert verdict(restart, cause, was_ready=True, is_restart=False) is expected
    assert verdict(restart, cause, was_ready=True, is_restart=True) is expected


@pytest.mark.parametrize("restart", list(Restart))
@pytest.mark.parametrize("cause", [None, BOOM, AWAY, TORN], ids=repr)
def test_a_first_start_that_fails_is_its_starters_to_report(
    restart: Restart, cause: Exception | None
) -> None:
    assert verdict(restart, cause, was_ready=False, is_restart=False) is Verdict.BURY


@pytest.mark.parametrize(
    ("restart", "expected"), [(P, Verdict.RESTART), (TR, Verdict.RESTART), (TE, Verdict.BURY)]
)
def test_a_restart_that_fails_is_a_failure(restart: Restart, expected: Verdict) -> None:
    assert verdict(restart, BOOM, was_ready=False, is_restart=True) is expected


def test_a_restart_that_the_stores_absence_prevents_is_held() -> None:
    assert verdict(P, AWAY, was_ready=False, is_restart=True) is Verdict.HOLD
    assert verdict(TR, AWAY, was_ready=False, is_restart=True) is Verdict.HOLD


def test_a_handler_that_fails_on_the_stores_absence_is_a_failure() -> None:
    assert verdict(P, AWAY, was_ready=True, is_restart=True) is Verdict.RESTART


@pytest.mark.parametrize("restart", [P, TR])
def test_a_restart_without_a_usable_checkpoint_is_quarantined(restart: Restart) -> None:
    assert verdict(restart, TORN, was_ready=False, is_restart=True) is Verdict.QUARANTINE


def test_one_for_one_takes_what_otp_takes() -> None:
    strategy = Supervisor.one_for_one(max_restarts=0, within=0.5)

    assert (strategy.max_restarts, strategy.within) == (0, 0.5)


@pytest.mark.parametrize(
    "options",
    [{"max_restarts": -1}, {"within": 0.0}, {"within": -1.0}, {"within": float("nan")}],
    ids=str,
)
def test_a_strategy_that_cannot_be_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        Supervisor.one_for_one(**options)  # type: ignore[arg-type]

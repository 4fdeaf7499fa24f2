"""The verdict on a child that is down, as a table; the options of a strategy; whose end ends a supervisor."""

from __future__ import annotations

from typing import Any

import pytest

from sentient_core import (
    AutoShutdown,
    Backoff,
    CheckpointUnusable,
    Fenced,
    InvalidArgument,
    InvalidBackoff,
    InvalidDecision,
    InvalidIntensity,
    InvalidStrategy,
    Restart,
    RestartBudget,
    StoreUnavailable,
    Strategy,
    Supervisor,
)
from sentient_core.actors.decision import Decision, Directive
from sentient_core.supervisor import Verdict, verdict
from sentient_core.supervisor.strategy import ends_supervisor

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


@pytest.mark.parametrize("restart", list(Restart))
@pytest.mark.parametrize("is_restart", [True, False])
def test_a_decision_comes_before_the_restart_type(restart: Restart, is_restart: bool) -> None:
    def found(directive: Directive, cause: Exception | None = BOOM) -> Verdict:
        decision = Decision(directive)
        return verdict(restart, cause, was_ready=True, is_restart=is_restart, decision=decision)

    assert found(Directive.STOP) is Verdict.BURY
    assert found(Directive.ESCALATE) is Verdict.ESCALATE
    again = Verdict.BURY if restart is TE else Verdict.RESTART
    for goes_on in (Directive.RESUME, Directive.QUARANTINE, Directive.PAUSE, Directive.RESTART):
        assert found(goes_on) is again  # what is down cannot go on as it is
    orderly = Verdict.RESTART if restart is P else Verdict.BURY
    assert {found(directive, None) for directive in Directive} == {orderly}


@pytest.mark.parametrize("directive", list(Directive))
def test_nothing_decides_otherwise_on_what_cannot_help(directive: Directive) -> None:
    for cause in (TORN, Fenced("test")):
        found = verdict(P, cause, was_ready=False, is_restart=True, decision=Decision(directive))
        assert found is Verdict.QUARANTINE


@pytest.mark.parametrize(("restart", "expected"), [(P, Verdict.HOLD), (TR, Verdict.HOLD), (TE, Verdict.BURY)])
def test_what_is_free_is_held(restart: Restart, expected: Verdict) -> None:
    free = Decision(is_free=True)

    assert verdict(restart, BOOM, was_ready=True, is_restart=True, decision=free) is expected


def test_whose_end_ends_a_supervisor_as_do_auto_shutdown_of_supervisor_erl() -> None:
    for has_others in (True, False):
        assert not ends_supervisor(AutoShutdown.NEVER, has_others=has_others)
        assert ends_supervisor(AutoShutdown.ANY, has_others=has_others)
        assert ends_supervisor(AutoShutdown.ALL, has_others=has_others) is not has_others


def test_a_strategy_takes_words_and_members() -> None:
    assert Strategy(auto_shutdown="any").auto_shutdown is AutoShutdown.ANY  # type: ignore[arg-type]
    assert Supervisor.one_for_all(auto_shutdown=AutoShutdown.ALL).auto_shutdown is AutoShutdown.ALL
    assert Supervisor.dynamic(max_children=1).max_children == 1
    assert Supervisor.rest_for_one(backoff=Backoff(), budget=RestartBudget(0, 1)).backoff == Backoff()


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"max_restarts": -1}, InvalidIntensity),
        ({"max_restarts": 1.5}, InvalidIntensity),
        ({"max_restarts": True}, InvalidIntensity),
        ({"within": 0.0}, InvalidIntensity),
        ({"within": -1.0}, InvalidIntensity),
        ({"within": float("nan")}, InvalidIntensity),
        ({"within": float("inf")}, InvalidIntensity),
        ({"within": "5"}, InvalidIntensity),
        ({"backoff": 1.0}, InvalidBackoff),
        ({"backoff": Backoff}, InvalidBackoff),
        ({"decide": [(KeyError, "explode")]}, InvalidDecision),
        ({"decide": [(int, "stop")]}, InvalidDecision),
        ({"budget": 5}, InvalidStrategy),
        ({"auto_shutdown": "some"}, InvalidStrategy),
        ({"auto_shutdown": None}, InvalidStrategy),
    ],
    ids=str,
)
def test_a_strategy_that_cannot_be_is_refused(options: dict[str, Any], kind: type[InvalidStrategy]) -> None:
    makers: list[Any] = [
        Supervisor.one_for_one,
        Supervisor.one_for_all,
        Supervisor.rest_for_one,
        Supervisor.dynamic,
    ]
    for make in makers:
        with pytest.raises(InvalidStrategy) as caught:
            make(**options)
        assert type(caught.value) is kind
        assert isinstance(caught.value, InvalidArgument)


@pytest.mark.parametrize("most", [0, -1, 1.5, True, "many"])
def test_a_pool_that_could_hold_nobody_is_refused(most: Any) -> None:
    with pytest.raises(InvalidStrategy, match="max_children"):
        Supervisor.dynamic(max_children=most)


@pytest.mark.parametrize(("restarts", "within"), [(-1, 5), (1, 0), ("1", 5), (1, None)], ids=str)
def test_a_budget_that_cannot_be_is_refused(restarts: Any, within: Any) -> None:
    with pytest.raises(InvalidIntensity, match="a budget"):
        RestartBudget(restarts, within)


def test_an_unknown_kind_of_strategy_is_refused() -> None:
    with pytest.raises(InvalidStrategy, match="kind is 'some_for_some'; it can be 'one_for_one'"):
        Strategy(kind="some_for_some")  # type: ignore[arg-type]

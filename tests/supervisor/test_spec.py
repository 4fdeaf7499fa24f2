"""Child specifications: what they take, and what they refuse at once."""

from __future__ import annotations

from typing import Any

import pytest

from sentient_core import (
    Actor,
    ChildSpec,
    DuplicateChild,
    InvalidArgument,
    InvalidBackoff,
    InvalidChildArguments,
    InvalidChildClass,
    InvalidChildSpec,
    InvalidDecision,
    InvalidName,
    InvalidRestart,
    InvalidShutdown,
    InvalidSignificance,
    InvalidStartTimeout,
    InvalidStrategy,
    Restart,
    Supervisor,
)
from tests.ids import named
from tests.probes import Counter, running


def test_a_spec_is_permanent_with_five_seconds_of_grace() -> None:
    spec = ChildSpec(Counter)

    assert (spec.restart, spec.shutdown, spec.name, spec.args, spec.kwargs) == (
        Restart.PERMANENT,
        5.0,
        None,
        (),
        {},
    )


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_the_restart_type_may_be_a_word(restart: str) -> None:
    assert ChildSpec(Counter, restart=restart).restart is Restart(restart)


@pytest.mark.parametrize("shutdown", [0, 0.5, 60, None, "brutal_kill"])
def test_the_grace_may_be(shutdown: Any) -> None:
    assert ChildSpec(Counter, shutdown=shutdown).shutdown == shutdown


WRONG: list[tuple[dict[str, Any], type[InvalidArgument], str]] = [
    ({"cls": int}, InvalidChildClass, "subclass of Actor"),
    ({"cls": "Counter"}, InvalidChildClass, "subclass of Actor"),
    ({"cls": None}, InvalidChildClass, "subclass of Actor"),
    ({"cls": object()}, InvalidChildClass, "subclass of Actor"),
    ({"cls": object.__new__(Counter)}, InvalidChildClass, "pass the class"),
    ({"name": "a/b"}, InvalidName, "a/b"),
    ({"name": ""}, InvalidName, "''"),
    ({"name": 5}, InvalidName, "5"),
    ({"args": 5}, InvalidChildArguments, "args of a child is 5; it can be a tuple"),
    ({"args": "alice"}, InvalidChildArguments, "args of a child is 'alice'"),
    ({"args": {"a": 1}}, InvalidChildArguments, "args of a child"),
    ({"kwargs": 5}, InvalidChildArguments, "kwargs of a child is 5; it can be a mapping"),
    ({"kwargs": {1: 2}}, InvalidChildArguments, "kwargs of a child"),
    ({"restart": "sometimes"}, InvalidRestart, "it can be 'permanent'"),
    ({"restart": None}, InvalidRestart, "it can be"),
    ({"shutdown": -1}, InvalidShutdown, "it can be"),
    ({"shutdown": float("inf")}, InvalidShutdown, "it can be"),
    ({"shutdown": float("nan")}, InvalidShutdown, "it can be"),
    ({"shutdown": 10**400}, InvalidShutdown, "it can be"),
    ({"shutdown": True}, InvalidShutdown, "it can be"),
    ({"shutdown": "soon"}, InvalidShutdown, "it can be"),
    ({"start_timeout": 0}, InvalidStartTimeout, "above 0"),
    ({"start_timeout": -1.0}, InvalidStartTimeout, "above 0"),
    ({"start_timeout": float("inf")}, InvalidStartTimeout, "above 0"),
    ({"start_timeout": "1"}, InvalidStartTimeout, "above 0"),
    ({"significant": True}, InvalidSignificance, "permanent"),
    ({"significant": 1, "restart": "transient"}, InvalidSignificance, "True or False"),
    ({"significant": None}, InvalidSignificance, "True or False"),
    ({"backoff": 1.0}, InvalidBackoff, "make one"),
    ({"decide": "stop"}, InvalidDecision, "it is 'stop'"),
    ({"decide": 0}, InvalidDecision, "it is 0"),
    ({"decide": [(KeyError, "explode")]}, InvalidDecision, "no directive"),
]


@pytest.mark.parametrize(("options", "kind", "why"), WRONG, ids=named)
def test_what_cannot_be_has_an_error_of_its_own(
    options: dict[str, Any], kind: type[InvalidArgument], why: str
) -> None:
    given: dict[str, Any] = {"cls": Counter, **options}

    with pytest.raises(InvalidArgument, match=why) as caught:
        ChildSpec(**given)

    assert type(caught.value) is kind
    assert isinstance(caught.value, InvalidChildSpec | InvalidStrategy | InvalidName)


def test_two_children_of_one_name_are_refused_when_the_class_is_made() -> None:
    children = (ChildSpec(Counter, name="a"), ChildSpec(Counter, name="a"))

    with pytest.raises(DuplicateChild, match="'a' twice"):
        type("Twice", (Supervisor,), {"children": children})


def test_anything_but_specs_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(InvalidChildSpec, match="wrap it"):
        type("Bare", (Supervisor,), {"children": (Counter,)})


def test_a_spec_keeps_its_own_copy_of_the_arguments() -> None:
    kwargs = {"a": 1}
    spec = ChildSpec(Counter, kwargs=kwargs)

    kwargs["a"] = 2

    assert spec.kwargs == {"a": 1}


def test_arguments_may_come_in_any_sequence() -> None:
    assert ChildSpec(Counter, args=["a", 1]).args == ("a", 1)  # type: ignore[arg-type]


SIGNIFICANT = ChildSpec(Counter, restart="transient", significant=True)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"strategy": "one_for_one"}, InvalidStrategy),
        ({"strategy": Supervisor.one_for_one}, InvalidStrategy),
        ({"children": ChildSpec(Counter)}, InvalidChildSpec),
        ({"children": (SIGNIFICANT,)}, InvalidSignificance),
        ({"strategy": Supervisor.dynamic()}, InvalidChildSpec),
        ({"strategy": Supervisor.dynamic(), "children": (ChildSpec(Counter, name="a"),)}, InvalidChildSpec),
        ({"strategy": Supervisor.dynamic(), "children": (ChildSpec(Counter),) * 2}, InvalidChildSpec),
        ({"strategy": Supervisor.dynamic(), "children": (SIGNIFICANT,)}, InvalidSignificance),
    ],
    ids=named,
)
def test_a_supervisor_that_cannot_work_is_refused_when_its_class_is_made(
    body: dict[str, Any], kind: type[InvalidArgument]
) -> None:
    with pytest.raises(kind, match="Wrong"):
        type("Wrong", (Supervisor,), body)


async def test_nothing_starts_of_a_spec_that_is_refused_at_run_time() -> None:
    class Team(Supervisor): ...

    class Pool(Supervisor):
        strategy = Supervisor.dynamic()
        children = (ChildSpec(Counter),)

    wrong: Any
    async with running() as system:
        team, pool = await system.spawn(Team, name="team"), await system.spawn(Pool, name="pool")
        before = len(system.actors(Actor))

        for wrong in (Counter, "a", None, {"cls": Counter}):
            with pytest.raises(InvalidChildSpec, match=r"by a ChildSpec\(\.\.\.\)"):
                await team.start_child(wrong)
        with pytest.raises(InvalidChildSpec, match="those of its spec"):
            await team.start_child(ChildSpec(Counter), 5)
        with pytest.raises(InvalidSignificance, match="auto_shutdown 'never'"):
            await team.start_child(SIGNIFICANT)
        for wrong in (ChildSpec(Counter), None, 5):
            with pytest.raises(InvalidChildSpec, match="is a pool"):
                await pool.start_child(wrong)
        with pytest.raises(InvalidName):
            await pool.start_child("a/b")

        assert len(system.actors(Actor)) == before
        assert (team.which_children(), pool.which_children()) == ([], [])

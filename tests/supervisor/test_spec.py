"""Child specifications: what they take, and what they refuse at once."""

from __future__ import annotations

from typing import Any

import pytest

from sentient_core import ChildSpec, InvalidChildSpec, InvalidName, Restart, Supervisor
from tests.probes import Counter


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


@pytest.mark.parametrize(
    "options",
    [
        {"restart": "sometimes"},
        {"restart": None},
        {"shutdown": -1},
        {"shutdown": float("inf")},
        {"shutdown": float("nan")},
        {"shutdown": "soon"},
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidChildSpec, match="it can be"):
        ChildSpec(Counter, **options)


@pytest.mark.parametrize("cls", [int, "Counter", None, object()], ids=repr)
def test_only_actor_classes_are_children(cls: Any) -> None:
    with pytest.raises(InvalidChildSpec, match="subclass of Actor"):
        ChildSpec(cls)


def test_an_instance_is_refused_with_a_hint() -> None:
    instance: Any = object.__new__(Counter)

    with pytest.raises(InvalidChildSpec, match="pass the class"):
        ChildSpec(instance)


def test_a_name_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidName):
        ChildSpec(Counter, name="a/b")


def test_two_children_of_one_name_are_refused_when_the_class_is_made() -> None:
    children = (ChildSpec(Counter, name="a"), ChildSpec(Counter, name="a"))

    with pytest.raises(InvalidChildSpec, match="'a' twice"):
        type("Twice", (Supervisor,), {"children": children})


def test_anything_but_specs_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(InvalidChildSpec, match="wrap it"):
        type("Bare", (Supervisor,), {"children": (Counter,)})


def test_a_spec_keeps_its_own_copy_of_the_arguments() -> None:
    kwargs = {"a": 1}
    spec = ChildSpec(Counter, kwargs=kwargs)

    kwargs["a"] = 2

    assert spec.kwargs == {"a": 1}

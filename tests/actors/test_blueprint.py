"""What is refused when an actor class is made, with words that say what to do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sentient_core import Actor, CheckpointPolicy, InvalidArgument, handles
from tests.probes import Counter, Say


def test_a_state_needs_a_default_for_every_field() -> None:
    class State(msgspec.Struct):
        balance: int
        owner: str = ""

    with pytest.raises(InvalidArgument, match=r"default for every field.*balance"):
        type("Account", (Actor,), {"State": State})


@pytest.mark.parametrize("state", [dict, object, 3, None], ids=repr)
def test_a_state_is_a_msgspec_struct(state: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"must be a msgspec\.Struct class"):
        type("Account", (Actor,), {"State": state})


@pytest.mark.parametrize("durability", ["durable!", "", None, 3], ids=repr)
def test_a_durability_there_is_not(durability: Any) -> None:
    with pytest.raises(InvalidArgument, match="'volatile', 'mirrored'"):
        type("Account", (Actor,), {"durability": durability})


@pytest.mark.parametrize(
    "options",
    [
        {"messages": 0},
        {"messages": -1},
        {"messages": 1.5},
        {"messages": True},
        {"bytes": 0},
        {"bytes": "1 MB"},
        {"seconds": 0.0},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"idle": 0},
        {"idle": float("inf")},
    ],
    ids=str,
)
def test_a_checkpoint_policy_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="CheckpointPolicy"):
        CheckpointPolicy(**options)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "1 MB"], ids=repr)
def test_the_bytes_that_a_state_may_have(size: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"Odd\.state_bytes must be a whole number, at least 1"):
        type("Odd", (Actor,), {"state_bytes": size})


def test_hooks_that_are_not_overridden_are_not_called() -> None:
    class Plain(Actor):
        @handles
        def say(self, message: Say) -> None: ...

    class Hooked(Plain):
        def on_stop(self) -> None: ...

    class Deeper(Hooked):
        pass

    assert Plain.__blueprint__.hooks == frozenset()
    assert Deeper.__blueprint__.hooks == {"on_stop"}
    assert Plain.__blueprint__.on_receive is None


def test_a_state_is_inherited() -> None:
    class Special(Counter):
        pass

    assert Special.__blueprint__.has_state
    assert Special.__blueprint__.state_type is Counter.State
    assert not Actor.__blueprint__.has_state


@pytest.mark.parametrize("grace", [-1, "brutal_kill", True, float("nan"), float("inf")], ids=repr)
def test_a_default_shutdown_is_a_time(grace: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"Odd\.default_shutdown must be a number of seconds"):
        type("Odd", (Actor,), {"default_shutdown": grace})

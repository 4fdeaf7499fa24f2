"""Names that an actor class had better not have."""

from __future__ import annotations

from typing import Any

import pytest

from sentient_core import Actor, InvalidArgument, InvalidHandler, Supervisor, handles
from sentient_core.actors.class_names import misspelt
from tests.probes import Say


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("on_recieve", "on_receive"),
        ("on_recive", "on_receive"),
        ("on_receives", "on_receive"),
        ("onReceive", "on_receive"),
        ("on_stat", "on_start"),
        ("on_strat", "on_start"),
        ("on_stopp", "on_stop"),
        ("on_failiure", "on_failure"),
        ("on_resart", "on_restart"),
        ("onstart", "on_start"),
    ],
)
def test_one_slip_away_from_a_hook(name: str, hook: str) -> None:
    assert misspelt(name) == hook


@pytest.mark.parametrize(
    "name",
    [
        "on_receive",
        "on_start",
        "on_stop",
        "on_failure",
        "on_restart",
        "on_step",
        "on_state",
        "on_store",
        "on_fail",
    ],
)
def test_hooks_and_other_words_are_not_misspelt(name: str) -> None:
    assert misspelt(name) is None


def test_a_misspelt_hook_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(InvalidHandler, match=r"Mistaken\.on_recieve looks like on_receive misspelt"):

        class Mistaken(Actor):  # pyright: ignore[reportUnusedClass]
            def on_recieve(self, message: Any) -> None: ...

    with pytest.raises(InvalidHandler, match=r"Late\.on_stat looks like on_start"):

        class Late(Supervisor):  # pyright: ignore[reportUnusedClass]
            async def on_stat(self) -> None: ...


def test_what_takes_other_arguments_is_handled_or_stands_beside_the_hook_is_no_misspelling() -> None:
    class Fine(Actor):
        def on_star(self, repository: str) -> None: ...

        @handles
        def on_recive(self, message: Say) -> None: ...

        def on_stop(self) -> None: ...

        def on_top(self) -> None: ...

    assert Fine.__blueprint__.hooks == {"on_stop"}


@pytest.mark.parametrize("name", ["context", "checkpoint", "run_sync", "run_process"])
def test_what_is_the_runtimes_cannot_be_replaced(name: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"Own\.{name} would take the place"):
        type("Own", (Actor,), {name: 3})

    with pytest.raises(InvalidArgument, match=rf"Mixed\.{name} would take the place"):
        type("Mixed", (type("Mixin", (), {name: None}), Actor), {})

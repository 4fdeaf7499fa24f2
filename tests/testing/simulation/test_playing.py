"""What is looked at around a program, and not by its actors: the audit, the tree, who waits, what is left."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
import pytest
import trio

from sentient_core import ActorSystem
from sentient_core.actors.ref import ActorRef
from sentient_core.testing.simulation import Do, Kind, Part, Program, Step, Task, play
from sentient_core.testing.simulation.determinism import deterministic

ONE_SEND = Program(
    seed=1,
    parts=(Part(name="team", kind=Kind.TEAM, children=(Part(name="a", kind=Kind.DURABLE),)),),
    steps=(Step(do=Do.SEND, to="team/a", task=Task("1")),),
)


def complaint() -> str:
    return "; ".join(play(ONE_SEND).complaints)


def test_a_program_that_goes_well_has_no_complaints() -> None:
    assert complaint() == ""


def test_books_that_do_not_add_up_are_complained_of(monkeypatch: pytest.MonkeyPatch) -> None:
    audit = ActorSystem.audit

    async def wrong(self: ActorSystem) -> Any:
        found = await audit(self)
        actors = [msgspec.structs.replace(each, handled=each.handled + 1) for each in found.actors]
        return msgspec.structs.replace(found, actors=actors)

    monkeypatch.setattr(ActorSystem, "audit", wrong)

    assert "the audit is not balanced" in complaint()


def test_a_task_that_is_left_is_complained_of(monkeypatch: pytest.MonkeyPatch) -> None:
    audit = ActorSystem.audit

    async def leaking(self: ActorSystem) -> Any:
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
        return await audit(self)

    monkeypatch.setattr(ActorSystem, "audit", leaking)

    assert "tasks are left" in complaint()


def test_a_name_that_is_there_twice_is_complained_of(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = ActorSystem.tree

    def doubled(self: ActorSystem) -> Any:
        found = tree(self)
        return msgspec.structs.replace(found, children=(*found.children, *found.children))

    monkeypatch.setattr(ActorSystem, "tree", doubled)

    assert "there are two of team, team/a" in complaint()


def test_who_waits_for_a_system_that_has_ended_is_complained_of(monkeypatch: pytest.MonkeyPatch) -> None:
    send = ActorRef.send

    async def untold(self: ActorRef[Any], message: Any, **options: Any) -> None:
        await send(self, message, **options)
        await trio.sleep_forever()

    monkeypatch.setattr(ActorRef, "send", untold)

    assert "the system has ended, and who sent 1 waits still" in complaint()


def test_the_collector_does_not_run_meanwhile() -> None:
    with deterministic(1):
        assert not gc.isenabled()
    assert gc.isenabled()

"""The hooks of an actor that has failed: they have as long as those of one that is stopped."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import Actor, ActorRef, ChildSpec, Supervisor, handles
from sentient_core.actors.ref import cell_of
from sentient_core.supervisor.children import Children
from tests.probes import Fail, Log, Recorder, Say, running


class Lingers(Recorder):
    """Its `on_failure` does not end by itself."""

    kill_grace = 3.0

    async def on_failure(self, cause: Exception) -> None:
        self.log(f"failure {cause}")
        await anyio.sleep_forever()


class LingersToStop(Recorder):
    """The same of its `on_stop`."""

    kill_grace = 3.0

    async def on_stop(self) -> None:
        self.log("stopping")
        await anyio.sleep_forever()


@pytest.mark.parametrize("cls", [Lingers, LingersToStop])
@pytest.mark.parametrize(("shutdown", "seconds"), [(2.0, 2.0), ("brutal_kill", 3.0), ("default", 5.0)])
async def test_they_are_cut_short_after_its_grace_and_it_is_started_again_for_what_it_failed_of(
    cls: type[Recorder], shutdown: Any, seconds: float
) -> None:
    log = Log()
    spec = ChildSpec(cls, name="a", args=(log,), shutdown=shutdown)
    team = type("Team", (Supervisor,), {"children": [spec]})
    async with running() as system:
        await system.spawn(team, name="team")
        child = system.get("team/a")
        begin = anyio.current_time()

        child.tell(Fail("x"))
        child.tell(Say("y"))
        await log.until("a restart x")
        await log.until("y")

        assert anyio.current_time() - begin == seconds
        assert child.incarnation == 2


async def test_without_a_limit_they_are_waited_for() -> None:
    log = Log()
    team = type(
        "Team", (Supervisor,), {"children": [ChildSpec(Lingers, name="a", args=(log,), shutdown=None)]}
    )
    async with running() as system:
        await system.spawn(team, name="team")
        child = system.get("team/a")

        child.tell(Fail("x"))
        await anyio.sleep(500)
        assert log.lines == ["a start", "failure x"]
        child.kill()  # or the end of the system would wait as well

        await log.until("a restart x")


async def test_those_of_a_virtual_actor_have_the_grace_of_its_class() -> None:
    log = Log()

    class Account(Actor):
        default_shutdown = 4.0

        class State(msgspec.Struct):
            total: int = 0

        async def on_stop(self) -> None:
            if self.context.incarnation == 1:
                log("stopping")
                await anyio.sleep_forever()

        @handles
        def fail(self, message: Fail) -> None:
            raise ValueError(message.why)

        @handles
        def say(self, message: Say) -> None:
            log(message.text)

    async with running() as system:
        account = await system.get_or_spawn(Account, "alice")
        begin = anyio.current_time()

        account.tell(Fail("x"))
        account.tell(Say("y"))
        await log.until("y")

        assert anyio.current_time() - begin == 4.0


async def test_a_grace_begins_when_the_child_has_had_its_turn() -> None:
    """Among very many that are asked to end together, none is killed for the others being before it."""
    log = Log()
    team = type(
        "Team", (Supervisor,), {"children": [ChildSpec(Recorder, name="a", args=(log,), shutdown=2.0)]}
    )
    async with running() as system:
        top: ActorRef[Any] = await system.spawn(team, name="team")
        child = system.get("team/a")
        family = cell_of(top).family
        assert isinstance(family, Children)
        (member,) = family.members()

        child.tell(Say("x"))  # ready from here on, and without a turn before this function waits
        family.retire(member)
        family._end_of_grace(member)  # pyright: ignore[reportPrivateUsage] - as if others had taken so long
        await log.until("a stop")

        assert log.lines == ["a start", "a stop"]  # in order, not killed

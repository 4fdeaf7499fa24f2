"""What an incarnation has of its own: who may change it, and that it costs nothing unused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ChildSpec,
    Context,
    NotInTurn,
    StaleIncarnation,
    Supervisor,
    Terminated,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Fail, Log, Recorder, running
from tests.puppet import Do, MirroredPuppet, Puppet, in_turn


class Stateful(Puppet):
    @handles(float, when="counting")
    def count(self, message: float) -> None: ...


CHANGES: dict[str, Callable[[Context, ActorRef[Any]], object]] = {
    "become": lambda context, _: context.become("counting"),
    "behaviour": lambda context, _: context.behaviour,
    "stash": lambda context, _: context.stash(),
    "unstash_all": lambda context, _: context.unstash_all(),
    "timers.once": lambda context, _: context.timers.once("a", 1, "tick"),
    "timers.every": lambda context, _: context.timers.every("a", 1, "tick"),
    "timers.cancel": lambda context, _: context.timers.cancel("a"),
    "timers.is_active": lambda context, _: context.timers.is_active("a"),
    "timers.keys": lambda context, _: context.timers.keys,
    "set_receive_timeout": lambda context, _: context.set_receive_timeout(1),
    "watch": lambda context, other: context.watch(other),
    "unwatch": lambda context, other: context.unwatch(other),
    "link": lambda context, other: context.link(other),
    "unlink": lambda context, other: context.unlink(other),
    "forward": lambda context, other: context.forward(other),
    "pipe_to_self": lambda context, _: context.pipe_to_self(anyio.sleep, 1),
}
"""Everything that belongs to a turn."""

changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())


@changes
async def test_outside_of_a_turn_it_is_refused(change: Callable[[Context, ActorRef[Any]], object]) -> None:
    async with running() as system:
        actors: list[Stateful] = []
        other = await system.spawn(Puppet)
        ref = await system.spawn(Stateful, None, actors.append, name="a")

        with pytest.raises(NotInTurn, match="of 'a' can be used only while it handles a message"):
            change(actors[0].context, other)
        assert await in_turn(ref, lambda _: "goes on") == "goes on"


@changes
async def test_beside_the_handler_it_is_refused(change: Callable[[Context, ActorRef[Any]], object]) -> None:
    async with running() as system:
        other = await system.spawn(Puppet)
        ref = await system.spawn(Stateful)
        refused: list[str] = []

        async def beside(actor: Stateful) -> None:
            with pytest.raises(NotInTurn):
                change(actor.context, other)
            refused.append("task")

        async def act(actor: Stateful) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(beside, actor)

        await in_turn(ref, act)
        assert refused == ["task"]


@changes
async def test_in_the_turn_of_another_actor_it_is_refused(
    change: Callable[[Context, ActorRef[Any]], object],
) -> None:
    async with running() as system:
        actors: list[Stateful] = []
        other = await system.spawn(Puppet)
        await system.spawn(Stateful, None, actors.append)

        def act(_: Puppet) -> None:
            with pytest.raises(NotInTurn):
                change(actors[0].context, other)

        await in_turn(other, act)


@changes
async def test_for_an_instance_that_has_ended_it_is_refused(
    change: Callable[[Context, ActorRef[Any]], object],
) -> None:
    async with running() as system:
        actors: list[Stateful] = []
        other = await system.spawn(Puppet)
        ref = await system.spawn(Stateful, None, actors.append)
        await ref.kill()
        await anyio.sleep(1)

        def act(_: Stateful) -> None:
            with pytest.raises(StaleIncarnation):
                change(actors[0].context, other)

        act(actors[0])
        await in_turn(ref, act)
        await ref.stop()
        with pytest.raises(StaleIncarnation):
            change(actors[1].context, other)


async def test_a_context_that_is_first_looked_at_after_the_end_is_of_an_ended_instance_too() -> None:
    class Hidden(Actor):
        durability = "volatile"

        def __init__(self) -> None:
            made.append(self)

    made: list[Hidden] = []
    async with running() as system:
        ref = await system.spawn(Hidden)
        await ref.kill()
        await anyio.sleep(1)

        with pytest.raises(StaleIncarnation):
            made[0].context.become(None)
        with pytest.raises(NotInTurn):
            made[1].context.become(None)


async def test_what_only_tells_something_can_be_used_anywhere() -> None:
    async with running() as system:
        actors: list[Stateful] = []
        ref = await system.spawn(Stateful, None, actors.append, name="a")
        context = actors[0].context

        assert (context.ref, context.parent, context.children) == (ref, None, ())
        assert context.system is system
        await ref.stop()
        assert (context.ref, context.parent, context.children) == (ref, None, ())


async def test_init_and_hooks_may_use_what_needs_no_message() -> None:
    class Eager(Puppet):
        def __init__(self, log: Log, other: ActorRef[Any]) -> None:
            super().__init__(log)
            self.context.timers.once("init", 1, "set in __init__")
            self.context.watch(other, "other has ended")

        def on_restart(self, cause: BaseException | None) -> None:
            self.context.timers.once("restart", 1, "set in on_restart")

    async with running() as system:
        log = Log()
        other = await system.spawn(Puppet)
        ref = await system.spawn(Eager, log, other)
        await anyio.sleep(2)
        await ref.kill()
        await anyio.sleep(2)
        await other.stop()
        await anyio.sleep(1)

        assert log.lines == ["set in __init__", "set in __init__", "set in on_restart", "other has ended"]


async def test_a_start_that_fails_leaves_nothing_of_its_own() -> None:
    class Fails(Puppet):
        def on_start(self) -> None:  # type: ignore[override]
            self.context.timers.every("a", 1, "tick")
            self.context.watch(other)
            self.context.link(other)
            raise ValueError("on purpose")

    async with running() as system:
        log = Log()
        other = await system.spawn(Puppet, log, name="other")
        with pytest.raises(ValueError, match="on purpose"):
            await system.spawn(Fails, log)
        await anyio.sleep(10)

        assert log.lines == ["other failed: LinkBroken"]
        assert cell_of(other).runtime.watchers == {}


async def test_who_uses_nothing_of_it_has_none() -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log())
        ref.tell(Fail())
        await anyio.sleep(1)

        assert cell_of(ref).life is None


async def test_a_group_restart_ends_what_belonged_to_each_incarnation() -> None:
    class Team(Supervisor):
        strategy = Supervisor.one_for_all()

    log = Log()

    def begin(actor: Puppet) -> None:
        if actor.context.incarnation == 1:
            actor.context.timers.every("a", 1, "tick of the first")

    Team.children = [ChildSpec(Puppet, name=name, args=(log, begin)) for name in ("a", "b")]
    async with running() as system:
        await system.spawn(Team, name="team")
        a, b = system.get("team/a"), system.get("team/b")
        await a.kill()
        await anyio.sleep(10)

        assert [a.incarnation, b.incarnation] == [2, 2]
        assert log.lines == []


async def test_terminated_of_a_child_is_told_to_a_supervisor_that_watches() -> None:
    class Boss(Supervisor):
        async def on_start(self) -> None:
            self.context.watch(await self.context.spawn(Puppet, name="child"))

        @handles
        def ended(self, message: Terminated) -> None:
            log(f"{message.ref.path} ended")

        @handles
        def do(self, message: Do) -> Any:
            return message.act(self)

    log = Log()
    async with running() as system:
        await system.spawn(Boss, name="boss")
        await system.get("boss/child").stop()
        await log.until("boss/child ended")


async def test_a_virtual_actor_does_not_go_while_something_of_its_own_is_to_come() -> None:
    class Keyed(MirroredPuppet):
        passivate_after = 10

        class State(msgspec.Struct):
            seen: int = 0

        def on_receive(self, message: object) -> None:
            super().on_receive(message)
            if message == "set":
                self.context.timers.once("a", 35, "tick")

    log = Log()
    async with running() as system:
        ref = await system.get_or_spawn(Keyed, "key", log)
        ref.tell("set")
        await anyio.sleep(34)
        assert (ref.incarnation, log.lines) == (1, ["set"])
        await anyio.sleep(50)
        assert log.lines == ["set", "tick"]

        ref.tell("again")
        await anyio.sleep(1)
        assert ref.incarnation == 2

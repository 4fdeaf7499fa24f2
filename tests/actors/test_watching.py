"""Watching: exactly one Terminated, for the end for good."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    DeathPactError,
    ForeignRef,
    InvalidArgument,
    MailboxOptions,
    MemoryStore,
    Terminated,
    UnencodableMessage,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Fail, Gate, Log, Recorder, Say, letters, running
from tests.puppet import Do, MirroredPuppet, Puppet, doing, in_turn


class Watcher(Puppet):
    """Writes down who has ended and why."""

    @handles
    def ended(self, message: Terminated) -> None:
        self.log(f"{message.ref.name} ended: {message.cause}")


def watching(*refs: ActorRef[Any], message: object | None = None) -> Any:
    def begin(actor: Actor) -> None:
        for ref in refs:
            actor.context.watch(ref, message)

    return begin


def watches(system: ActorSystem) -> int:
    """How many actors the system knows to be watched."""
    return len(cell_of(system.actors(Actor)[0]).runtime.watchers)


async def test_terminated_comes_once_at_the_end_for_good_and_says_why() -> None:
    async with running() as system:
        log = Log()
        stopped, killed = [await system.spawn(Recorder, Log(), name=name) for name in ("stopped", "killed")]
        failed = await system.spawn(Recorder, Log(), name="failed", restart="temporary")
        ref = await system.spawn(Watcher, log, watching(stopped, killed, failed))

        await stopped.stop()
        failed.tell(Fail())
        await log.until("failed ended: ValueError: asked to")
        for _ in range(4):
            await killed.kill()
        await anyio.sleep(1)

        assert log.lines[:2] == ["stopped ended: None", "failed ended: ValueError: asked to"]
        assert log.lines[2].startswith("killed ended: ActorKilled")
        assert len(log.lines) == 3
        assert ref.is_alive
        assert watches(system) == 0


async def test_a_restart_is_not_told() -> None:
    async with running() as system:
        log = Log()
        target = await system.spawn(Recorder, Log(), name="target")
        await system.spawn(Watcher, log, watching(target))

        await target.kill()
        await anyio.sleep(1)
        assert log.lines == []

        await target.stop()
        await anyio.sleep(1)
        assert log.lines == ["target ended: None"]


async def test_one_that_has_ended_already_is_told_at_once() -> None:
    async with running() as system:
        log = Log()
        target = await system.spawn(Recorder, Log(), name="target", restart="temporary")
        await target.kill()

        await system.spawn(Watcher, log, watching(target))
        await anyio.sleep(0.1)

        assert log.lines == ["target ended: ActorKilled: 'target' was killed"]


async def test_one_that_never_lived_is_unknown() -> None:
    class Refers(msgspec.Struct):
        ref: ActorRef[Any]

    async with running() as system:
        log = Log()
        codec = cell_of(await system.spawn(Puppet)).runtime.codec
        nobody = codec.decode(codec.encode({"ref": "no/where"}), Refers).ref

        await system.spawn(Watcher, log, watching(nobody))
        await anyio.sleep(0.1)

        assert log.lines[0].startswith("where ended: UnknownActor: no actor lives at 'no/where'")


async def test_it_passes_what_is_queued_in_a_full_mailbox() -> None:
    class Small(Watcher):
        mailbox = MailboxOptions(capacity=2)

    async with running() as system:
        log, gate = Log(), Gate()
        first, second = [await system.spawn(Recorder, Log(), name=name) for name in ("first", "second")]
        ref = await system.spawn(Small, log, watching(first, second))

        async def wait(actor: Small) -> None:
            await gate()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_turn, ref, wait)
            await gate.reached.wait()
            ref.tell("queued")
            ref.tell("queued")
            await first.stop()
            await second.stop()
            gate.open.set()

        await log.until("queued", 2)
        assert log.lines == ["first ended: None", "second ended: None", "queued", "queued"]


async def test_a_message_of_its_own_comes_instead_and_watching_again_replaces_it() -> None:
    async with running() as system:
        log = Log()
        target = await system.spawn(Recorder, Log())
        begin = doing(lambda actor: [watching(target, message=m)(actor) for m in ("one", "another")])
        await system.spawn(Watcher, log, begin)

        await target.stop()
        await anyio.sleep(1)

        assert log.lines == ["another"]


async def test_unwatch_takes_it_back_also_when_it_is_under_way() -> None:
    async with running() as system:
        log = Log()
        targets = [await system.spawn(Recorder, Log()) for _ in range(3)]
        ref = await system.spawn(Watcher, log, watching(*targets))

        async def change(actor: Watcher) -> None:
            actor.context.unwatch(targets[0])
            for target in targets:
                await target.stop()
            actor.context.unwatch(targets[1])
            actor.context.watch(targets[2], "told in other words")
            actor.context.unwatch(targets[1])  # without a watch: nothing

        await in_turn(ref, change)
        await anyio.sleep(1)

        assert log.lines == ["told in other words"]
        assert watches(system) == 0


async def test_a_restarted_watcher_has_to_watch_again() -> None:
    async with running() as system:
        log = Log()
        target = await system.spawn(Recorder, Log(), name="target")

        def begin(actor: Watcher) -> None:
            if actor.context.incarnation == 1:
                actor.context.watch(target)

        ref = await system.spawn(Watcher, log, begin)
        await ref.kill()
        assert watches(system) == 0
        await target.stop()
        await anyio.sleep(1)

        assert log.lines == []


async def test_what_is_under_way_is_not_for_the_next_incarnation() -> None:
    async with running() as system:
        log = Log()
        target = await system.spawn(Recorder, Log(), name="target")
        ref = await system.spawn(Watcher, log)

        async def fail_with_it_under_way(actor: Watcher) -> None:
            actor.context.watch(target)
            await target.stop()
            raise ValueError

        ref.tell(Do(fail_with_it_under_way))
        await anyio.sleep(1)

        assert ref.incarnation == 2
        assert [line for line in log if "target" in line] == []


async def test_unhandled_it_fails_the_watcher() -> None:
    class Careless(Recorder):
        @handles
        def watch(self, message: Do) -> None:
            message.act(self)

    async with running() as system:
        log = Log()
        target = await system.spawn(Recorder, Log(), name="target", restart="temporary")
        ref = await system.spawn(Careless, log, name="careless")
        ref.tell(Do(watching(target)))

        target.tell(Fail())
        await log.until(
            "careless restart 'careless' watches 'target', which ended (ValueError: asked to), and "
            "does not handle Terminated. Handle it, or watch with a message of your own."
        )

        assert ref.incarnation == 2
        assert letters(system) == [(Fail(), "failed")]


async def test_the_death_pact_carries_who_and_why() -> None:
    causes: list[Exception] = []

    class Careless(Actor):
        durability = "volatile"

        def __init__(self, target: ActorRef[Any]) -> None:
            self.target = target

        def on_start(self) -> None:
            if self.context.incarnation == 1:
                self.context.watch(self.target)

        def on_failure(self, cause: Exception) -> None:
            causes.append(cause)

    async with running() as system:
        target = await system.spawn(Recorder, Log(), name="target")
        await system.spawn(Careless, target)
        await target.stop()
        await anyio.sleep(1)

        (cause,) = causes
        assert isinstance(cause, DeathPactError)
        assert cause.ref == target
        assert cause.cause is None


async def test_a_message_of_its_own_that_nobody_handles_is_a_dead_letter() -> None:
    class Careless(Recorder):
        def on_start(self) -> None:
            self.context.watch(target, 3.5)

    async with running() as system:
        target = await system.spawn(Recorder, Log(), name="target")
        ref = await system.spawn(Careless, Log())
        await target.stop()
        await anyio.sleep(1)

        assert letters(system) == [(3.5, "unhandled")]
        assert ref.incarnation == 1


async def test_what_comes_before_the_watcher_is_ready_waits_for_it() -> None:
    async with running() as system:
        log = Log()
        target = await system.spawn(Recorder, Log(), name="target")

        async def watch_the_end(actor: Watcher) -> None:
            actor.context.watch(target)
            await target.stop()
            await anyio.sleep(1)
            log("ready")

        await system.spawn(Watcher, log, watch_the_end)
        await anyio.sleep(1)

        assert log.lines == ["ready", "target ended: None"]


async def test_a_child_and_a_whole_branch_that_is_given_up_are_told() -> None:
    class Parent(Watcher):
        async def on_start(self) -> None:
            child = await self.context.spawn(Puppet, name="child")
            grandchild = await in_turn(
                child, lambda actor: actor.context.spawn(Recorder, self.log, name="deep")
            )
            for ref in (child, grandchild):
                self.context.watch(ref)

    async with running() as system:
        log = Log()
        await system.spawn(Parent, log, name="parent")
        await system.get("parent/child").stop()
        await anyio.sleep(1)

        assert [line for line in log if "ended" in line] == ["deep ended: None", "child ended: None"]


async def test_watchers_that_are_still_up_are_told_while_the_system_ends() -> None:
    log = Log()
    async with running() as system:
        outer = await system.spawn(Watcher, log, name="outer")
        branch = await system.spawn(Watcher, log, watching(outer), name="branch")
        child = await in_turn(branch, lambda actor: actor.context.spawn(Puppet, name="child"))
        await in_turn(outer, watching(child))
        runtime = cell_of(outer).runtime

    assert log.lines == ["child ended: None"]
    assert runtime.watchers == {}


async def test_of_a_mirrored_watcher_it_is_an_event_from_the_one_who_ended() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        log = Log()
        targets = [await system.spawn(Recorder, Log(), name=name) for name in ("first", "second")]
        await system.spawn(MirroredPuppet, log, watching(*targets), name="watcher")
        for target in targets:
            await target.stop()
        await system.flush()
        events = await store.events("test", event_type="message_sent")

        assert sorted((e.source_agent, e.target_agent, e.message_type, str(e.payload)) for e in events) == [
            (name, "watcher", "Terminated", f"{{'ref': '{name}', 'cause': None}}")
            for name in ("first", "second")
        ]


async def test_terminated_can_be_stored_and_says_whether_it_was_a_failure() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet, name="a")
        codec = cell_of(ref).runtime.codec
        message = Terminated(ref, "ValueError: why")

        assert codec.decode(codec.encode(message), Terminated) == message
        assert message.is_failure
        assert not Terminated(ref).is_failure


async def test_what_cannot_be_watched_is_refused() -> None:
    async with running() as system, running("other") as other:
        foreign = await other.spawn(Recorder, Log())
        ref = await system.spawn(Puppet, name="a")

        def try_them(actor: Puppet) -> None:
            context = actor.context
            with pytest.raises(InvalidArgument, match="'a' cannot watch itself"):
                context.watch(context.ref)
            with pytest.raises(InvalidArgument, match="takes the ref of an actor, not None"):
                context.watch(None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            with pytest.raises(InvalidArgument, match="takes the ref of an actor, not 'b'"):
                context.unwatch("b")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
            with pytest.raises(ForeignRef):
                context.watch(foreign)

        await in_turn(ref, try_them)
        mirrored: list[BaseException] = []

        def unencodable(actor: Puppet) -> None:
            with pytest.raises(UnencodableMessage) as caught:
                actor.context.watch(ref, object())
            mirrored.append(caught.value)

        await system.spawn(MirroredPuppet, None, unencodable)
        assert len(mirrored) == 1


async def test_a_tell_of_terminated_by_hand_is_a_message_like_others() -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log())
        forged = Terminated(ref)

        ref.tell(forged)
        ref.tell(Say("still there"))
        await anyio.sleep(1)

        assert letters(system) == [(forged, "unhandled")]
        assert ref.incarnation == 1

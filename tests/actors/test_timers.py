"""Keyed timers, under virtual time: exact to the second, for nothing."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from sentient_core import (
    ActorRef,
    HandlerFailed,
    InvalidArgument,
    MailboxOptions,
    MemoryStore,
    Overflow,
    UnencodableMessage,
)
from tests.probes import Gate, Log, letters, running
from tests.puppet import MirroredPuppet, Puppet, alarms, doing, in_turn


class Clocked(Puppet):
    """Writes down when it got what, in seconds since it was made."""

    def __init__(self, log: Log, begin: Any = None) -> None:
        super().__init__(log, begin)
        self.made = anyio.current_time()

    def on_receive(self, message: Any) -> None:
        self.log(f"{message} at {anyio.current_time() - self.made:g}")


async def test_once_comes_once_after_its_time() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Clocked, log)

        await in_turn(ref, lambda actor: actor.context.timers.once("a", 1.5, "tick"))
        await anyio.sleep(100)

        assert log.lines == ["tick at 1.5"]


async def test_every_comes_again_and_again_from_its_first_time_on() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Clocked, log)

        def begin(actor: Clocked) -> None:
            actor.context.timers.every("a", 10, "tick")
            actor.context.timers.every("b", 10, "tock", first=4)
            actor.context.timers.every("c", 10, "now", first=0)

        await in_turn(ref, begin)
        await anyio.sleep(15)

        assert log.lines == ["now at 0", "tock at 4", "tick at 10", "now at 10", "tock at 14"]


async def test_every_does_not_drift_and_skips_what_a_slow_actor_has_missed() -> None:
    async with running() as system:
        log = Log()

        class Slow(Clocked):
            async def on_receive(self, message: Any) -> None:  # type: ignore[override]
                super().on_receive(message)
                await anyio.sleep(25 if len(log.lines) == 2 else 1)

        ref = await system.spawn(Slow, log)

        await in_turn(ref, lambda actor: actor.context.timers.every("a", 10, "tick"))
        await anyio.sleep(75)

        # Of those due at 30 and 40 one was queued; then the rhythm is as before.
        assert log.lines == [f"tick at {at}" for at in (10, 20, 45, 50, 60, 70)]


async def test_a_key_that_is_set_again_replaces_its_timer() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Clocked, log)

        def begin(actor: Clocked) -> None:
            actor.context.timers.once("a", 1, "old")
            actor.context.timers.every("b", 1, "old")
            actor.context.timers.once("a", 2, "new")
            actor.context.timers.once("b", 3, "new")
            assert actor.context.timers.keys == ("a", "b")

        await in_turn(ref, begin)
        await anyio.sleep(10)

        assert log.lines == ["new at 2", "new at 3"]


async def test_a_queued_tick_of_a_cancelled_or_replaced_timer_is_discarded() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Clocked, log)

        async def begin(actor: Clocked) -> None:
            timers = actor.context.timers
            for key in ("cancelled", "replaced", "kept"):
                timers.once(key, 1, key)
            await anyio.sleep(2)
            assert timers.is_active("cancelled")
            assert timers.cancel("cancelled")
            assert not timers.cancel("cancelled")
            timers.once("replaced", 1, "new")

        await in_turn(ref, begin)
        await anyio.sleep(10)

        assert log.lines == ["kept at 2", "new at 3"]
        assert letters(system) == []


async def test_a_timer_is_active_until_its_last_tick_is_handled() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        async def look(actor: Puppet) -> None:
            timers = actor.context.timers
            timers.once("once", 1, "tick")
            timers.every("every", 1, "tick")
            await anyio.sleep(5)
            assert timers.is_active("once")
            assert timers.keys == ("once", "every")

        await in_turn(ref, look)
        await anyio.sleep(0.1)

        assert await in_turn(ref, lambda actor: actor.context.timers.keys) == ("every",)
        assert not await in_turn(ref, lambda actor: actor.context.timers.is_active("other"))


async def test_timers_end_with_their_incarnation() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Puppet, log)

        async def fail_with_a_tick_in_the_queue(actor: Puppet) -> None:
            actor.context.timers.once("queued", 1, "queued tick")
            actor.context.timers.every("to come", 3, "tick to come")
            await anyio.sleep(2)
            raise ValueError

        with pytest.raises(HandlerFailed):
            await in_turn(ref, fail_with_a_tick_in_the_queue)
        ref.tell("after")
        await anyio.sleep(100)

        assert log.lines[1:] == ["after"]
        assert ref.incarnation == 2
        assert [reason for _, reason in letters(system)] == ["failed"]
        assert alarms(system) == 0


async def test_on_start_sets_them_for_each_incarnation() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(
            Clocked,
            log,
            doing(lambda actor: actor.context.timers.once("a", actor.context.incarnation, "tick")),
        )

        await anyio.sleep(5)
        await ref.kill()
        await anyio.sleep(5)

        assert log.lines == ["tick at 1", "tick at 2"]


async def test_an_end_for_good_discards_queued_ticks() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        async def stop_with_a_tick_in_the_queue(actor: Puppet) -> None:
            actor.context.timers.once("a", 1, "tick")
            await anyio.sleep(2)
            actor.context.ref.stop()

        await in_turn(ref, stop_with_a_tick_in_the_queue)
        await ref.stop()

        assert letters(system) == []


async def test_a_full_mailbox_does_not_keep_a_tick_out() -> None:
    class Small(Puppet):
        mailbox = MailboxOptions(capacity=1)

    async with running() as system:
        log = Log()
        ref = await system.spawn(Small, log)

        async def fill_up(actor: Small) -> None:
            actor.context.timers.once("a", 1, "tick")
            ref.tell("filled")
            await anyio.sleep(2)

        await in_turn(ref, fill_up)
        await anyio.sleep(1)

        assert log.lines == ["filled", "tick"]
        assert letters(system) == []


async def test_a_tick_that_an_overflow_policy_drops_does_not_end_its_timer() -> None:
    class Dropping(Puppet):
        mailbox = MailboxOptions(capacity=1, overflow=Overflow.DROP_OLD)

    async with running() as system:
        log = Log()
        ref = await system.spawn(Dropping, log)

        async def lose_the_first_tick(actor: Dropping) -> None:
            actor.context.timers.every("a", 10, "tick")
            actor.context.timers.once("b", 8, "alone")
            await anyio.sleep(9)
            ref.tell("newer")
            await anyio.sleep(2)
            assert not actor.context.timers.is_active("b")
            ref.tell("newest")
            ref.tell("newest of all")

        await in_turn(ref, lose_the_first_tick)
        await anyio.sleep(10)

        assert log.lines == ["newest", "newest of all", "tick"]
        assert letters(system) == [("alone", "dropped"), ("newer", "dropped"), ("tick", "dropped")]


async def test_an_actor_that_drains_gets_no_more_ticks() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Puppet, log, doing(lambda actor: actor.context.timers.every("a", 1, "tick")))

        async def wait(actor: Puppet) -> None:
            await gate()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_turn, ref, wait)
            await gate.reached.wait()
            ref.tell("queued")
            ending = ref.drain()
            await anyio.sleep(10)
            gate.open.set()
            await ending

        assert log.lines == ["queued"]


async def test_a_timer_of_zero_seconds_comes_at_once_but_not_in_this_turn() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Clocked, log)

        def begin(actor: Clocked) -> None:
            actor.context.timers.once("a", 0, "tick")
            log("set")

        await in_turn(ref, begin)
        await anyio.sleep(1)

        assert log.lines == ["set", "tick at 0"]


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, "1", None])
async def test_times_that_are_none_are_refused(seconds: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        def try_them(actor: Puppet) -> None:
            timers = actor.context.timers
            with pytest.raises(InvalidArgument, match="seconds must be a number of seconds"):
                timers.once("a", seconds, "tick")
            with pytest.raises(InvalidArgument):
                timers.every("a", seconds, "tick")
            if seconds is not None:
                with pytest.raises(InvalidArgument, match="first"):
                    timers.every("a", 1, "tick", first=seconds)
            assert timers.keys == ()

        await in_turn(ref, try_them)


async def test_an_interval_below_a_millisecond_and_a_key_that_has_no_hash_are_refused() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        def try_them(actor: Puppet) -> None:
            with pytest.raises(InvalidArgument, match=r"at least 0\.001"):
                actor.context.timers.every("a", 0.0001, "tick")
            with pytest.raises(InvalidArgument, match="hashable"):
                actor.context.timers.once([], 1, "tick")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

        await in_turn(ref, try_them)


async def test_ticks_to_a_mirrored_actor_are_events_from_itself_when_they_are_handled() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        log = Log()

        def begin(actor: Puppet) -> None:
            actor.context.timers.once("a", 1, "tick")
            actor.context.timers.once("b", 2, "never")
            actor.context.timers.once("c", 3, "cancelling")

        class Cancelling(MirroredPuppet):
            def on_receive(self, message: Any) -> None:
                super().on_receive(message)
                self.context.timers.cancel("b")

        await system.spawn(Cancelling, log, begin, name="a")
        await anyio.sleep(10)
        await system.flush()

        assert log.lines == ["tick", "cancelling"]
        events = await store.events("test", event_type="message_sent")
        assert sorted((e.source_agent, e.target_agent, str(e.payload)) for e in events) == [
            ("a", "a", "{'value': 'cancelling'}"),
            ("a", "a", "{'value': 'tick'}"),
        ]


async def test_a_message_that_cannot_be_mirrored_is_refused_when_the_timer_is_set() -> None:
    async with running() as system:
        refused: list[BaseException] = []

        def begin(actor: Puppet) -> None:
            with pytest.raises(UnencodableMessage) as caught:
                actor.context.timers.once("a", 1, object())
            refused.append(caught.value)

        await system.spawn(MirroredPuppet, None, begin)

        assert len(refused) == 1


async def test_a_message_that_has_become_unencodable_fails_the_actor() -> None:
    async with running() as system:
        log, message = Log(), list[Any]()

        def begin(actor: Puppet) -> None:
            if actor.context.incarnation == 1:
                actor.context.timers.once("a", 1, message)
                message.append(object())

        ref: ActorRef[MirroredPuppet] = await system.spawn(MirroredPuppet, log, begin, name="a")
        await log.until("a failed: UnencodableMessage")
        await anyio.sleep(1)

        assert ref.incarnation == 2


async def test_nothing_is_left_of_timers_after_the_end() -> None:
    async with running() as system:
        begin = doing(lambda actor: actor.context.timers.every("a", 1, "tick"))
        for n in range(10):
            ref = await system.spawn(Puppet, None, begin)
            await (ref.kill, ref.stop, ref.drain)[n % 3]()
            if ref.is_alive:
                await ref.stop()
        await system.spawn(Puppet)

        assert alarms(system) == 0

"""Timers that are set in the store: part of the turn, due also when the process that set them has died."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorSystem,
    HandlerFailed,
    InvalidArgument,
    MemoryStore,
    Request,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from tests.probes import Gate, letters


class Tick(msgspec.Struct, frozen=True):
    name: str = "tick"


class Set(Request[None], frozen=True):
    seconds: float
    key: str = "a"
    every: bool = False
    fails: bool = False
    message: Tick = Tick()


class Cancel(Request[bool], frozen=True):
    key: str = "a"
    fails: bool = False


class Keys(Request[list[str]], frozen=True):
    pass


class Ticks(Request[list[str]], frozen=True):
    pass


class Clock(Actor):
    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        ticks: list[str] = []

    state: State

    @handles
    def tick(self, message: Tick) -> None:
        self.state.ticks.append(message.name)

    @handles
    def set(self, message: Set) -> Any:
        timers = self.context.timers
        timer: Callable[..., None] = timers.every if message.every else timers.once
        timer(message.key, message.seconds, message.message, durable=True)
        if message.fails:
            raise ValueError("after all not")

    @handles
    def cancel(self, message: Cancel) -> bool:
        was_active = self.context.timers.cancel(message.key)
        if message.fails:
            raise ValueError("after all not")
        return was_active

    @handles
    def keys(self, _message: Keys) -> list[str]:
        return [str(key) for key in self.context.timers.keys]

    @handles
    def ticks(self, _message: Ticks) -> list[str]:
        return self.state.ticks


def system_on(store: MemoryStore) -> ActorSystem:
    return ActorSystem("test", store=store, watchdog=None)


async def test_it_rings_once_after_its_time() -> None:
    async with system_on(MemoryStore()) as system:
        clock = await system.spawn(Clock, name="clock")
        await clock.ask(Set(5), timeout=1)

        await anyio.sleep(4.5)
        assert await clock.ask(Ticks(), timeout=1) == []
        await anyio.sleep(10)

        assert await clock.ask(Ticks(), timeout=1) == ["tick"]
        assert await clock.ask(Keys(), timeout=1) == []


async def test_a_periodic_one_does_not_drift() -> None:
    async with system_on(MemoryStore()) as system:
        clock = await system.spawn(Clock, name="clock")
        await clock.ask(Set(10, every=True), timeout=1)

        await anyio.sleep(35)

        assert await clock.ask(Ticks(), timeout=1) == ["tick"] * 3
        assert await clock.ask(Keys(), timeout=1) == ["a"]


async def test_it_survives_the_process_and_is_due_by_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    async with system_on(store) as system:
        clock = await system.spawn(Clock, name="clock")
        await clock.ask(Set(3600), timeout=1)
        await clock.ask(Set(7200, key="b", message=Tick("later")), timeout=1)

    hour_later = time.time_ns() + 3_600_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: hour_later)
    async with system_on(store) as system:
        clock = await system.spawn(Clock, name="clock")
        await anyio.sleep(1)
        assert await clock.ask(Ticks(), timeout=1) == ["tick"]
        assert await clock.ask(Keys(), timeout=1) == ["b"]

        await anyio.sleep(3600)
        assert await clock.ask(Ticks(), timeout=1) == ["tick", "later"]


async def test_it_belongs_to_the_actor_and_not_to_an_incarnation() -> None:
    async with system_on(MemoryStore()) as system:
        clock = await system.spawn(Clock, name="clock")
        await clock.ask(Set(5), timeout=1)

        await clock.kill()
        await anyio.sleep(10)

        assert clock.incarnation == 2
        assert await clock.ask(Ticks(), timeout=1) == ["tick"]


async def test_a_turn_that_fails_has_set_and_cancelled_nothing() -> None:
    store = MemoryStore()
    async with system_on(store) as system:
        clock = await system.spawn(Clock, name="clock")
        await clock.ask(Set(5, key="kept"), timeout=1)
        with pytest.raises(HandlerFailed):
            await clock.ask(Set(5, key="never", fails=True), timeout=1)
        with pytest.raises(HandlerFailed):
            await clock.ask(Cancel("kept", fails=True), timeout=1)
        with pytest.raises(HandlerFailed):
            await clock.ask(Set(1, key="kept", message=Tick("other"), fails=True), timeout=1)

        assert await clock.ask(Keys(), timeout=1) == ["kept"]
        await anyio.sleep(10)

        assert await clock.ask(Ticks(), timeout=1) == ["tick"]


async def test_one_that_rings_while_a_turn_replaces_it_is_over_also_if_that_turn_fails() -> None:
    gate = Gate()

    class Slow(Clock):
        reply_errors = (ValueError,)

        @handles
        async def set(self, message: Set) -> Any:
            self.context.timers.once(message.key, message.seconds, message.message, durable=True)
            if message.fails:
                await gate()
                raise ValueError("after all not")

    async with system_on(MemoryStore()) as system, anyio.create_task_group() as tasks:
        clock = await system.spawn(Slow, name="clock")
        await clock.ask(Set(5), timeout=1)

        async def replace() -> None:
            with pytest.raises(ValueError, match="after all not"):
                await clock.ask(Set(50, fails=True), timeout=50)

        tasks.start_soon(replace)
        await anyio.sleep(10)
        gate.open.set()

        assert await clock.ask(Ticks(), timeout=50) == ["tick"]
        assert await clock.ask(Keys(), timeout=1) == []


async def test_what_is_cancelled_does_not_come_back() -> None:
    store = MemoryStore()
    async with system_on(store) as system:
        clock = await system.spawn(Clock, name="clock")
        await clock.ask(Set(5), timeout=1)
        assert await clock.ask(Cancel(), timeout=1)
        assert not await clock.ask(Cancel(), timeout=1)
    async with system_on(store) as system:
        clock = await system.spawn(Clock, name="clock")
        await anyio.sleep(10)

        assert await clock.ask(Ticks(), timeout=1) == []


async def test_an_end_for_good_ends_it() -> None:
    store = MemoryStore()
    async with system_on(store) as system:
        clock = await system.spawn(Clock, name="clock")
        await clock.ask(Set(5), timeout=1)
        await clock.stop()
        clock = await system.spawn(Clock, name="clock")
        await anyio.sleep(10)

        assert await clock.ask(Ticks(), timeout=1) == []
        assert letters(system) == []


async def test_a_tick_that_was_sent_is_a_message_and_survives() -> None:
    store = MemoryStore()
    async with system_on(store) as system:
        clock = await system.spawn(Clock, name="clock")
        await clock.ask(Set(5, every=True), timeout=1)
        clock.pause()
        await anyio.sleep(100)  # one at a time is queued
    async with system_on(store) as system:
        clock = await system.spawn(Clock, name="clock")

        assert await clock.ask(Ticks(), timeout=1) == ["tick"]


async def test_an_outage_delays_it_and_loses_nothing() -> None:
    store = MemoryStore()
    async with system_on(store) as system:
        clock = await system.spawn(Clock, name="clock")
        await clock.ask(Set(5), timeout=1)
        store.pause()
        await anyio.sleep(20)
        store.resume()

        assert await clock.ask(Ticks(), timeout=5) == ["tick"]


class Mirrored(Actor):
    @handles
    def set(self, _message: Set) -> None:
        self.context.timers.once("a", 5, Tick(), durable=True)


async def test_a_mirrored_actor_is_told_what_to_do() -> None:
    async with system_on(MemoryStore()) as system:
        ref = await system.spawn(Mirrored)
        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Set(5), timeout=1)

        cause = caught.value.__cause__
        assert isinstance(cause, InvalidArgument)
        assert 'durability = "durable"' in str(cause)


async def test_its_key_must_be_a_string() -> None:
    class Odd(Actor):
        durability: ClassVar[DurabilityName] = "durable"

        @handles
        def set(self, _message: Set) -> None:
            key: Any = 1
            self.context.timers.once(key, 5, Tick(), durable=True)

    async with system_on(MemoryStore()) as system:
        ref = await system.spawn(Odd)
        with pytest.raises(HandlerFailed, match="must be a string"):
            await ref.ask(Set(5), timeout=1)


@pytest.mark.parametrize("wrong", [Set(1.0, key="no text"), Set(1e12), Set(1e12, every=True)])
async def test_what_the_store_could_not_hold_is_refused_where_it_is_set(wrong: Set) -> None:
    class Odd(Clock):
        @handles
        def set(self, message: Set) -> None:
            if message.key == "no text":
                message = msgspec.structs.replace(message, key="\udcff")
            super().set(message)

    async with system_on(MemoryStore()) as system:
        ref = await system.spawn(Odd)

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(wrong, timeout=1)

        assert isinstance(caught.value.__cause__, InvalidArgument)
        assert await ref.ask(Keys(), timeout=1) == []

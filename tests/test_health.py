"""`system.health()`: what a readiness probe and a person get to see."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import msgspec
import pytest

from sentient_core import (
    ActivationFailed,
    Actor,
    ActorSystem,
    Fenced,
    Health,
    JournalOptions,
    MemoryStore,
    StoreError,
    SystemStatus,
)
from sentient_core.store.memory import MemoryJournal
from sentient_core.store.protocols import Outage
from tests.probes import Add, Counter, Fail, Log, Recorder, Say, Total, VolatileCounter, running
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


async def test_over_a_life() -> None:
    seen: list[Health] = []

    class Curious(Actor):
        def on_stop(self) -> None:
            seen.append(self.context.system.health())

    system = ActorSystem("test", store=MemoryStore())
    seen.append(system.health())
    async with system:
        await system.spawn(Curious)
        seen.append(system.health())
    seen.append(system.health())

    assert [(health.status.value, health.is_ready) for health in seen] == [
        ("starting", False),
        ("running", True),
        ("stopping", False),
        ("stopped", False),
    ]
    assert [health.actors for health in seen] == [0, 1, 1, 0]
    assert seen[0].reasons == ("it has not been entered yet",)
    assert seen[1].reasons == ()
    assert seen[3].reasons == ("it has ended",)


async def test_while_it_is_being_entered_it_is_starting() -> None:
    seen: list[SystemStatus] = []

    class Curious(MemoryStore):
        async def open_journal(
            self,
            system: str,
            *,
            options: JournalOptions | None = None,
            on_fenced: Callable[[StoreError], None] | None = None,
            on_outage: Callable[[Outage], None] | None = None,
        ) -> MemoryJournal:
            seen.append(the_system.health().status)
            return await super().open_journal(
                system, options=options, on_fenced=on_fenced, on_outage=on_outage
            )

    the_system = ActorSystem("test", store=Curious())
    async with the_system:
        pass

    assert seen == [SystemStatus.STARTING]


async def test_one_that_could_not_start_is_stopped() -> None:
    class Broken(MemoryStore):
        async def open_journal(
            self,
            system: str,
            *,
            options: JournalOptions | None = None,
            on_fenced: Callable[[StoreError], None] | None = None,
            on_outage: Callable[[Outage], None] | None = None,
        ) -> MemoryJournal:
            raise OSError("no")

    system = ActorSystem("test", store=Broken())
    with pytest.raises(OSError, match="no"):
        async with system:
            pass

    assert (system.health().status, system.health().is_ready) == (SystemStatus.STOPPED, False)


async def test_an_outage_of_the_store_degrades_it_but_actors_go_on() -> None:
    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=2_000)) as system:
        ref = await system.spawn(Counter, name="a")
        await system.flush()
        store.pause()
        ref.tell(Add())
        await ref.ask(Total(), timeout=1)
        down = system.health()
        for _ in range(20):
            ref.tell(Add())
        full = system.health()
        store.resume()
        await system.flush()
        after = system.health()

    assert (down.status, down.is_ready, down.is_store_reachable) == (SystemStatus.DEGRADED, True, False)
    assert down.backlog.uncommitted == 3
    assert down.reasons == ("the store takes no commits; 3 records wait for it",)
    assert full.backlog.is_full
    assert "without being mirrored" in full.reasons[1]
    assert (after.status, after.reasons, after.is_store_reachable) == (SystemStatus.RUNNING, (), True)


async def test_an_actor_that_is_down_is_named_with_its_cause_until_it_is_back() -> None:
    class Slow(Counter):
        async def on_start(self) -> None:
            if self.context.incarnation > 1:
                await anyio.sleep(1)

    async with running() as system:
        ref = await system.spawn(Slow, name="a")
        ref.tell(Fail("of this"))
        await anyio.sleep(0.5)
        down = system.health()
        await anyio.sleep(1)
        up = system.health()

    assert (down.status, down.is_ready, down.failing) == (SystemStatus.DEGRADED, True, ("a",))
    assert down.reasons == ("down after a failure: 'a' (ValueError: of this)",)
    assert (up.status, up.failing) == (SystemStatus.RUNNING, ())


async def test_an_actor_that_was_given_up_is_named_until_somebody_lives_there_again() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a", restart="permanent")
        for _ in range(4):
            ref.tell(Fail("again"))
        await anyio.sleep(1)
        given_up = system.health()
        await system.spawn(Counter, name="a")
        again = system.health()

    assert (given_up.status, given_up.is_ready) == (SystemStatus.DEGRADED, True)
    assert (given_up.given_up, given_up.failing) == (("a",), ())
    assert "ended for good: 'a' (actor given up: " in given_up.reasons[0]
    assert "restarts within 5 s" in given_up.reasons[0]
    assert (again.status, again.given_up) == (SystemStatus.RUNNING, ())


async def test_somebody_who_lives_there_again_without_a_turn_counts_too() -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter, name="a")
        for _ in range(4):
            ref.tell(Fail("again"))
        await anyio.sleep(1)
        given_up = system.health().given_up
        await system.spawn(VolatileCounter, name="a")

        assert (given_up, system.health().given_up) == (("a",), ())


async def test_a_virtual_actor_that_does_not_start_is_not_failing_for_ever() -> None:
    class Broken(Counter):
        def on_start(self) -> None:
            raise ValueError

    async with running() as system:
        ref = await system.get_or_spawn(Broken, "a key that somebody made up")
        with pytest.raises(ActivationFailed):
            await ref.ask(Total(), timeout=5)

        assert system.health().failing == ()


async def test_many_failing_actors_are_counted_not_listed() -> None:
    class Dead(Recorder):
        async def on_failure(self, cause: Exception) -> None:
            pass

        async def on_restart(self, cause: BaseException | None) -> None:
            await anyio.sleep(1)

    async with running() as system:
        for n in range(10):
            (await system.spawn(Dead, Log(), name=f"a{n}")).tell(Fail())
        await anyio.sleep(0.5)
        health = system.health()
        await anyio.sleep(1)

    assert len(health.failing) == 10
    assert "and 7 more" in health.reasons[0]


async def test_a_fenced_system_is_not_ready() -> None:
    store = MemoryStore()
    seen: list[Health] = []
    system = ActorSystem("test", store=store)

    class Curious(Actor):
        durability = "volatile"

        def on_stop(self) -> None:
            seen.append(system.health())

    async def be_taken_over() -> None:
        async with system:
            await system.spawn(Curious)
            async with ActorSystem("test", store=store):
                await anyio.sleep_forever()

    with pytest.raises(Fenced):
        await be_taken_over()

    assert not seen[0].is_ready
    assert seen[0].is_fenced
    assert any("fenced" in reason for reason in seen[0].reasons)
    assert (system.health().status, system.health().is_fenced) == (SystemStatus.STOPPED, True)


async def test_it_is_plain_data() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        ref.tell(Say("unhandled"))

        body = msgspec.json.decode(msgspec.json.encode(system.health()))

        assert (body["status"], body["is_ready"], body["reasons"]) == ("running", True, [])
        assert msgspec.json.decode(msgspec.json.encode(system.health()), type=Health) == system.health()

"""What a plan does to a store: nothing acknowledged is lost, and callers hear of it or wait."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from sentient_core import Actor, ActorRef, ActorSystem, MemoryStore, handles
from sentient_core.errors import (
    CommitTimeout,
    InvalidArgument,
    SentientError,
    StoreRefused,
    StoreUnavailable,
)
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Faults, Rule
from sentient_core.store import SurrealStore
from sentient_core.store.faulty import damaged, faulty
from tests.probes import Add, Counter, DurableCounter, Save, Total

P, A = FaultPoint, FaultAction


def of(point: FaultPoint, action: FaultAction, **more: Any) -> FaultPlan:
    return FaultPlan(1, (Rule(point=point, action=action, **more),))


def injected(system: ActorSystem) -> int:
    assert isinstance(system.faults, Faults)
    return len(system.faults.injected)


@pytest.mark.parametrize("action", [A.RAISE, A.FULL, A.REJECT])
async def test_a_commit_that_fails_is_tried_again_and_holds_its_sender(action: FaultAction) -> None:
    async with ActorSystem("test", store=MemoryStore(), faults=of(P.STORE_APPEND, action, times=3)) as system:
        counter = await system.spawn(DurableCounter, name="counter")
        began = anyio.current_time()
        await counter.send(Add(1))

        assert anyio.current_time() - began == pytest.approx(0.15, abs=0.05)
        assert await counter.ask(Total(), timeout=60) == 1
        assert (await system.audit()).is_balanced
        assert injected(system) == 3


@pytest.mark.parametrize("point", [P.STORE_APPEND, P.STORE_COMMITTED])
async def test_a_sender_hears_of_no_commit_while_the_store_hangs(point: FaultPoint) -> None:
    store = MemoryStore()
    plan = of(point, A.HANG, nth=3)
    async with ActorSystem("test", store=store, faults=plan, drain_patience=1.0) as system:
        counter = await system.spawn(DurableCounter, name="counter")
        outcomes: list[str] = []
        for amount in (1, 10, 100):
            try:
                await counter.send(Add(amount), timeout=5)
            except CommitTimeout:
                outcomes.append("unknown")
            else:
                outcomes.append("committed")
            await anyio.sleep(1)

        assert outcomes[-1] == "unknown"


async def test_what_was_committed_before_the_answer_was_lost_is_there_once() -> None:
    store = MemoryStore()
    async with ActorSystem(
        "test", store=store, faults=of(P.STORE_COMMITTED, A.RAISE, probability=0.5)
    ) as system:
        counter = await system.spawn(DurableCounter, name="counter")
        for n in range(20):
            await counter.send(Add(1), message_id=f"m{n}")
        assert injected(system) > 3
    async with ActorSystem("test", store=store) as system:
        counter = await system.spawn(DurableCounter, name="counter")

        assert await counter.ask(Total(), timeout=5) == 20


@pytest.mark.parametrize(("action", "error"), [(A.RAISE, StoreUnavailable), (A.REJECT, StoreRefused)])
async def test_a_read_that_fails_is_told_to_who_reads(action: FaultAction, error: type[Exception]) -> None:
    store = faulty(MemoryStore(), of(P.STORE_READ, action, nth=1))

    with pytest.raises(error, match="fault plan"):
        await store.events("test")
    assert await store.events("test") == []


async def test_a_damaged_checkpoint_is_found_and_the_one_before_it_taken() -> None:
    store = MemoryStore()
    async with ActorSystem("test", store=store) as system:
        counter = await system.spawn(Counter, name="counter")
        for amount in (1, 10):
            await counter.send(Add(amount))
            await counter.ask(Save(), timeout=5)
        await system.flush()
    plan = of(P.STORE_READ, A.CORRUPT)
    async with ActorSystem("test", store=store, faults=plan) as system:
        counter = await system.spawn(Counter, name="counter")

        assert await counter.ask(Total(), timeout=5) == 1
        history = await store.events("test", event_type="checkpoint_rejected")
        assert len(history) == 1


async def test_a_store_is_healed_at_the_end_of_the_system_that_made_it_fail() -> None:
    store = MemoryStore()
    async with ActorSystem("test", store=store, faults=of(P.STORE_READ, A.RAISE, probability=0.001)):
        assert store.faults is not None

    assert store.faults is None


def test_a_plan_without_a_rule_for_stores_makes_no_faulty_store() -> None:
    with pytest.raises(InvalidArgument, match="no rule for a store; its points are: store_append, "):
        faulty(MemoryStore(), of(P.RECEIVE, A.RAISE))


def test_a_store_that_knows_no_faults_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="int knows no faults"):
        faulty(5, of(P.STORE_READ, A.RAISE))


def test_damage_is_one_bit_of_the_largest_bytes() -> None:
    answer = {"result": [{"id": b"short", "state": bytes(40)}, ["text", 3]]}

    changed = damaged(answer)

    assert changed["result"][0]["id"] == b"short"
    assert sum(byte.bit_count() for byte in changed["result"][0]["state"]) == 1
    assert damaged({"a": b"abc"}) is None


def test_damage_is_done_to_one_of_two_that_are_equal() -> None:
    one, other = bytes([7] * 40), bytes([7] * 40)

    assert damaged([one, other]) == [damaged(one), other]


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def real_time(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("point", "action"),
    [
        (P.STORE_APPEND, A.RAISE),
        (P.STORE_APPEND, A.FULL),
        (P.STORE_COMMITTED, A.RAISE),
        (P.STORE_COMMITTED, A.DELAY),
        (P.STORE_WRITE, A.RAISE),
        (P.STORE_WRITE, A.FULL),
        (P.STORE_READ, A.RAISE),
        (P.STORE_READ, A.DELAY),
    ],
)
def test_a_database_that_fails_now_and_then_loses_and_doubles_nothing(
    point: FaultPoint, action: FaultAction, real_time: str
) -> None:
    seconds = 0.02 if action is A.DELAY else None
    rules = (Rule(point=point, action=action, probability=0.4, times=20, seconds=seconds),)

    async def run() -> None:
        store = SurrealStore("mem://")
        async with store:
            system = ActorSystem("test", store=store, faults=FaultPlan(5, rules))
            assert system.faults is not None
            system.faults.pause()
            async with system:
                counter = await system.spawn(DurableCounter, name="counter")
                system.faults.resume()
                for n in range(30):
                    await counter.send(Add(1), message_id=f"m{n}")
                assert await counter.ask(Total(), timeout=30) == 30
                system.faults.pause()
                await system.flush()
                assert (await system.audit()).is_balanced
                assert injected(system) > 0 or point in (P.STORE_READ, P.STORE_WRITE)
            async with ActorSystem("test", store=store) as again:
                counter = await again.spawn(DurableCounter, name="counter")
                assert await counter.ask(Total(), timeout=30) == 30

    anyio.run(run, backend=real_time)


async def test_what_a_turn_has_told_others_leaves_in_an_orderly_end_though_its_commit_is_heard_of_late() -> (
    None
):
    seen: list[object] = []

    class Other(Actor):
        @handles
        def add(self, message: Add) -> None:
            seen.append(message)

    class Sender(Actor):
        durability = "durable"

        def __init__(self, other: ActorRef[Other]) -> None:
            self.other = other

        @handles
        def add(self, message: Add) -> None:
            self.other.tell(message)

    plan = of(P.STORE_COMMITTED, A.DELAY, seconds=2.0)
    async with ActorSystem("test", store=MemoryStore(), faults=plan, watchdog=None) as system:
        system.dead_letters.subscribe(lambda letter: seen.append(letter.message))
        other = await system.spawn(Other, name="other")
        sender = await system.spawn(Sender, other, name="sender")
        sender.tell(Add(1))
        await anyio.wait_all_tasks_blocked()

    assert seen == [Add(1)]


async def test_who_waits_behind_another_try_as_the_system_ends_is_told_so() -> None:
    errors: list[SentientError] = []
    async with anyio.create_task_group() as senders:
        plan = of(P.STORE_READ, A.DELAY, seconds=2.0)
        async with ActorSystem("test", store=MemoryStore(), faults=plan, watchdog=None) as system:
            counter = await system.spawn(DurableCounter, name="counter")

            async def send() -> None:
                try:
                    await counter.send(Add(1), message_id="a")
                except SentientError as error:
                    errors.append(error)

            senders.start_soon(send)
            senders.start_soon(send)
            await anyio.wait_all_tasks_blocked()

    assert sorted(type(error).__name__ for error in errors) == ["StoreUnavailable", "SystemClosed"]

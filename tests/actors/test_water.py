"""High and low water: each crossing is reported once."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
import pytest

from sentient_core import (
    ActorRef,
    ActorSystem,
    EventType,
    InvalidArgument,
    MailboxNotice,
    MailboxOptions,
    MemoryStore,
    Overflow,
)
from tests.probes import Fail, Gate, Log, Pass, Recorder, Say, running

HIGH, LOW = EventType.MAILBOX_HIGH_WATER, EventType.MAILBOX_LOW_WATER


def _kind(durability: str, **options: Any) -> type[Recorder]:
    return type("It", (Recorder,), {"durability": durability, "mailbox": MailboxOptions(**options)})


def _notices(system: ActorSystem, ref: ActorRef[Any]) -> list[tuple[EventType, int]]:
    """What is reported from now on: kind and depth."""
    seen: list[tuple[EventType, int]] = []

    def note(notice: MailboxNotice) -> None:
        assert notice.path == ref.path
        seen.append((notice.event_type, notice.depth))

    system.mailbox_notices.subscribe(note)
    return seen


async def _busy(ref: ActorRef[Any], gate: Gate) -> None:
    ref.tell(Pass())
    await gate.reached.wait()


async def _spawn(system: ActorSystem, gate: Gate, durability: str, **options: Any) -> ActorRef[Any]:
    ref: ActorRef[Any] = await system.spawn(_kind(durability, **options), Log(), gate, name="a")
    return ref


durabilities = pytest.mark.parametrize("durability", ["volatile", "mirrored"])


@durabilities
async def test_each_crossing_is_reported_once(durability: str) -> None:
    async with running() as system:
        gate = Gate()
        ref = await _spawn(system, gate, durability, capacity=10, high_water=5, low_water=2)
        seen = _notices(system, ref)
        await _busy(ref, gate)

        for n in range(4):
            ref.tell(Say(str(n)))
        assert seen == []
        for n in range(4):
            ref.tell(Say(str(n)))
        assert seen == [(HIGH, 5)]
        gate.open.set()
        await ref.ask(Say("x"), timeout=1)

        assert [kind for kind, _ in seen] == [HIGH, LOW]
        assert seen[1][1] <= 2
        assert ref.statistics().high_water == 9


@durabilities
async def test_after_the_low_mark_the_high_one_is_reported_again(durability: str) -> None:
    async with running() as system:
        ref = await _spawn(system, Gate(), durability, capacity=10, high_water=5)
        seen = _notices(system, ref)

        for _ in range(3):
            for n in range(7):
                await ref.send(Say(str(n)))
            await anyio.sleep(1)

        assert [kind for kind, _ in seen] == [HIGH, LOW] * 3


async def test_a_send_and_an_ask_reach_the_mark_as_well() -> None:
    for how in ("send", "ask", "tell with a priority"):
        async with running() as system:
            gate = Gate()
            ref = await _spawn(system, gate, "volatile", high_water=2)
            seen = _notices(system, ref)
            await _busy(ref, gate)
            ref.tell(Say("1"))
            async with anyio.create_task_group() as tasks:
                if how == "send":
                    await ref.send(Say("2"))
                elif how == "ask":
                    tasks.start_soon(partial(ref.ask, Say("2"), timeout=1))
                    await anyio.wait_all_tasks_blocked()
                else:
                    ref.with_options(priority=3).tell(Say("2"))
                assert seen == [(HIGH, 2)], how
                gate.open.set()


@durabilities
async def test_a_mirrored_actor_has_the_crossings_among_its_events(durability: str) -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await _spawn(system, Gate(), durability, capacity=10, high_water=5)
        for n in range(7):
            ref.tell(Say(str(n)))
        await ref.drain()

    rows = [row for row in await store.events("test", limit=100) if row.event_type.startswith("mailbox_")]
    if durability == "volatile":
        assert rows == []
    else:
        high, low = reversed(rows)
        assert (high.event_type, high.source_agent, high.payload) == (HIGH, "a", {"depth": 5, "capacity": 10})
        assert (low.event_type, low.source_agent, low.payload["capacity"]) == (LOW, "a", 10)
        assert low.payload["depth"] <= 2


@durabilities
@pytest.mark.parametrize("high", [1, 3])
async def test_a_mark_does_not_change_what_a_full_mailbox_does(durability: str, high: int) -> None:
    async with running() as system:
        gate = Gate()
        ref = await _spawn(
            system, gate, durability, capacity=3, high_water=high, low_water=0, overflow=Overflow.DROP_NEW
        )
        seen = _notices(system, ref)
        await _busy(ref, gate)
        for n in range(6):
            ref.tell(Say(str(n)))

        assert ref.statistics().depth == 3
        assert system.dead_letters.total == 3
        assert seen == [(HIGH, high)]
        gate.open.set()


async def test_an_actor_that_is_started_again_still_knows_on_which_side_it_is() -> None:
    async with running() as system:
        gate = Gate()
        ref = await _spawn(system, gate, "volatile", capacity=200, high_water=100, low_water=50)
        seen = _notices(system, ref)
        await _busy(ref, gate)
        ref.tell(Fail())
        for n in range(120):
            ref.tell(Say(str(n)))
        gate.open.set()
        await ref.ask(Say("x"), timeout=1)

        assert ref.incarnation == 2
        assert [kind for kind, _ in seen] == [HIGH, LOW]
        assert seen[1][1] <= 50


async def test_notices_can_be_followed_until_the_system_ends() -> None:
    async with running() as system, system.mailbox_notices.follow() as notices:
        ref = await _spawn(system, Gate(), "volatile", capacity=10, high_water=1)
        ref.tell(Say("1"))

        async for notice in notices:
            assert notice == MailboxNotice(event_type=HIGH, path="a", depth=1, capacity=10)
            break


@pytest.mark.parametrize(
    "options",
    [
        {"high_water": 0},
        {"high_water": 11},
        {"high_water": 5, "low_water": 5},
        {"high_water": 5, "low_water": -1},
        {"high_water": 0.8},
        {"high_water": 5, "low_water": "2"},
        {"low_water": 2},
        {"capacity": float("nan")},
        {"capacity": "10"},
        {"capacity": True},
        {"capacity": None},
    ],
    ids=str,
)
def test_marks_and_capacities_that_cannot_be(options: dict[str, Any]) -> None:
    values: dict[str, Any] = {"capacity": 10, **options}
    with pytest.raises(InvalidArgument):
        MailboxOptions(**values)


def test_the_low_mark_is_half_of_the_high_one_unless_it_is_said() -> None:
    assert MailboxOptions(high_water=5).low_water == 2
    assert MailboxOptions(high_water=1).low_water == 0

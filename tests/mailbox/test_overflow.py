"""What a full mailbox does: the decision as a table, and what it comes to for tell, send and ask."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import (
    ActorRef,
    ActorSystem,
    DeliveryError,
    MailboxFull,
    MailboxOptions,
    Overflow,
)
from sentient_core.mailbox.overflow import Room, room_for
from tests.probes import Gate, Log, Pass, Recorder, Say, letters, running


@pytest.mark.parametrize(
    ("overflow", "can_wait", "room"),
    [
        (Overflow.BACKPRESSURE, True, Room.WAIT),
        (Overflow.BACKPRESSURE, False, Room.REFUSE),
        (Overflow.FAIL, True, Room.REFUSE),
        (Overflow.FAIL, False, Room.REFUSE),
        (Overflow.DROP_NEW, True, Room.DROP_NEW),
        (Overflow.DROP_NEW, False, Room.DROP_NEW),
        (Overflow.DROP_OLD, True, Room.DROP_OLD),
        (Overflow.DROP_OLD, False, Room.DROP_OLD),
    ],
)
def test_a_full_mailbox(overflow: Overflow, can_wait: bool, room: Room) -> None:
    assert room_for(overflow, 5, 5, can_wait=can_wait) is room


@given(
    overflow=st.sampled_from(Overflow),
    capacity=st.integers(1, 100),
    depth=st.integers(0, 200),
    can_wait=st.booleans(),
)
def test_a_message_is_taken_if_and_only_if_there_is_room(
    overflow: Overflow, capacity: int, depth: int, can_wait: bool
) -> None:
    room = room_for(overflow, depth, capacity, can_wait=can_wait)

    assert (room is Room.TAKE) == (depth < capacity)
    assert room is not Room.WAIT or can_wait


def _class(overflow: Overflow, durability: str) -> type[Recorder]:
    options = MailboxOptions(capacity=2, overflow=overflow)
    return type("Small", (Recorder,), {"mailbox": options, "durability": durability})


class _Full:
    """An actor that waits at its gate with '1' and '2' queued."""

    def __init__(self, system: ActorSystem, overflow: Overflow, durability: str) -> None:
        self.log = Log()
        self.gate = Gate()
        self._system = system
        self._class = _class(overflow, durability)

    async def spawn(self) -> ActorRef[Any]:
        ref: ActorRef[Any] = await self._system.spawn(self._class, self.log, self.gate)
        ref.tell(Pass())
        await self.gate.reached.wait()
        ref.tell(Say("1"))
        ref.tell(Say("2"))
        return ref

    async def said(self, ref: ActorRef[Any]) -> list[str]:
        self.gate.open.set()
        await ref.drain()
        return [line for line in self.log if line.isdigit()]


pytest_durabilities = pytest.mark.parametrize("durability", ["volatile", "mirrored"])


@pytest_durabilities
async def test_backpressure_makes_a_dead_letter_of_a_tell(durability: str) -> None:
    async with running() as system:
        full = _Full(system, Overflow.BACKPRESSURE, durability)
        ref = await full.spawn()

        ref.tell(Say("3"))

        assert letters(system) == [(Say("3"), "full")]
        assert await full.said(ref) == ["1", "2"]


@pytest_durabilities
async def test_fail_raises_for_send_and_ask_and_makes_a_dead_letter_of_a_tell(durability: str) -> None:
    async with running() as system:
        full = _Full(system, Overflow.FAIL, durability)
        ref = await full.spawn()

        ref.tell(Say("3"))
        for attempt in (ref.send(Say("4")), ref.ask(Say("5"), timeout=10)):
            with pytest.raises(MailboxFull, match="2 messages") as caught:
                await attempt
            assert caught.value.ref is ref

        assert letters(system) == [(Say("3"), "full")]
        assert await full.said(ref) == ["1", "2"]


@pytest_durabilities
async def test_drop_new_drops_the_new_one_of_every_kind(durability: str) -> None:
    async with running() as system:
        full = _Full(system, Overflow.DROP_NEW, durability)
        ref = await full.spawn()

        ref.tell(Say("3"))
        await ref.send(Say("4"))
        with pytest.raises(DeliveryError):
            await ref.ask(Say("5"), timeout=10)

        assert letters(system) == [(Say(str(n)), "dropped") for n in (3, 4, 5)]
        assert await full.said(ref) == ["1", "2"]


@pytest_durabilities
async def test_drop_old_drops_the_oldest_and_takes_the_new_one(durability: str) -> None:
    async with running() as system:
        full = _Full(system, Overflow.DROP_OLD, durability)
        ref = await full.spawn()

        ref.tell(Say("3"))
        await ref.send(Say("4"))
        ref.tell(Say("5"))

        assert letters(system) == [(Say(str(n)), "dropped") for n in (1, 2, 3)]
        assert await full.said(ref) == ["4", "5"]


@pytest_durabilities
async def test_who_asked_with_a_message_that_is_dropped_hears_of_it_at_once(durability: str) -> None:
    async with running() as system:
        full = _Full(system, Overflow.DROP_OLD, durability)
        ref = await full.spawn()

        async def ask() -> None:
            with anyio.fail_after(1), pytest.raises(DeliveryError) as caught:
                await ref.ask(Say("3"), timeout=10)
            assert caught.value.message == Say("3")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            ref.tell(Say("4"))
            ref.tell(Say("5"))

        assert await full.said(ref) == ["4", "5"]


async def test_stop_and_kill_pass_a_full_mailbox() -> None:
    async with running() as system:
        full = _Full(system, Overflow.FAIL, "mirrored")
        ref = await full.spawn()

        await ref.kill()
        await ref.ask(Say("3"), timeout=1)

        assert await full.said(ref) == ["1", "2", "3"]


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_capacity_that_cannot_be_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        MailboxOptions(capacity=capacity)


async def test_a_capacity_of_one_lets_everything_through_in_order() -> None:
    class Narrow(Recorder):
        mailbox = MailboxOptions(capacity=1)

    async with running() as system:
        log = Log()
        ref = await system.spawn(Narrow, log)
        for n in range(20):
            await ref.send(Say(str(n)))
        await ref.drain()

        assert [line for line in log if line.isdigit()] == [str(n) for n in range(20)]

"""Deadlines of messages."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from sentient_core import (
    ActorRef,
    AskTimeout,
    DeadLetterReason,
    DeliveryError,
    InvalidArgument,
    MailboxOptions,
    MessageExpired,
    SendTimeout,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Gate, Log, Pass, Recorder, Say, letters, running


class _Small(Recorder):
    mailbox = MailboxOptions(capacity=1)


@pytest.mark.parametrize("durability", ["volatile", "mirrored"])
async def test_a_message_whose_time_is_over_is_a_dead_letter_and_not_handled(durability: str) -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        kind = type("It", (Recorder,), {"durability": durability})
        ref: ActorRef[Any] = await system.spawn(kind, log, gate)
        ref.tell(Pass())
        await gate.reached.wait()

        ref.with_options(expires=1).tell(Say("late"))
        await ref.with_options(expires=1).send(Say("late as well"))
        ref.with_options(expires=3).tell(Say("in time"))
        ref.tell(Say("whenever"))
        await anyio.sleep(2)
        assert letters(system) == []
        gate.open.set()
        await ref.drain()

        assert letters(system) == [(Say("late"), "expired"), (Say("late as well"), "expired")]
        assert system.dead_letters.counts == {DeadLetterReason.EXPIRED: 2}
        assert log.lines[-3:-1] == ["in time", "whenever"]
        statistics = ref.statistics()
        assert (statistics.expired, statistics.dead, statistics.handled) == (2, 2, 3)


async def test_an_ask_that_has_expired_ends_when_its_turn_comes() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate)
        ref.tell(Pass())
        await gate.reached.wait()

        async def ask() -> None:
            with pytest.raises(MessageExpired, match=r"Say to .*before its turn came") as caught:
                await ref.with_options(expires=1).ask(Say("x"), timeout=100)
            assert (caught.value.message, caught.value.ref) == (Say("x"), ref)
            assert isinstance(caught.value, DeliveryError)
            assert anyio.current_time() < began + 10

        began = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(2)
            gate.open.set()

        assert letters(system) == [(Say("x"), "expired")]
        await ref.stop()


async def test_an_ask_that_is_answered_in_time_does_not_notice_its_deadline() -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log())

        assert await ref.with_options(expires=1, priority=-1).ask(Say("x"), timeout=1) == "x"


async def test_the_wait_for_room_ends_with_the_deadline_of_the_message() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(_Small, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Say("1"))
        began = anyio.current_time()

        with pytest.raises(MessageExpired, match="before there was room") as caught:
            await ref.with_options(expires=1).send(Say("2"))
        assert caught.value.message == Say("2")
        with pytest.raises(MessageExpired):
            await ref.with_options(expires=1).ask(Say("2"), timeout=50)
        assert anyio.current_time() == pytest.approx(began + 2)
        with pytest.raises(SendTimeout):
            await ref.with_options(expires=50).send(Say("2"), timeout=1)
        with pytest.raises(AskTimeout):
            await ref.with_options(expires=50).ask(Say("2"), timeout=1)

        assert ref.statistics().waiting == 0
        assert letters(system) == []
        gate.open.set()


async def test_a_deadline_counts_over_a_restart() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate)
        ref.tell(Pass())
        await gate.reached.wait()
        ref.with_options(expires=1).tell(Say("late"))
        await anyio.sleep(2)

        await ref.kill()
        await ref.drain()

        assert letters(system) == [(Pass(), "stopped"), (Say("late"), "expired")]


async def test_one_that_is_queued_at_an_end_for_good_is_stopped_and_not_expired() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()
        ref.with_options(expires=1, priority=3).tell(Say("x"))

        ref.stop()
        gate.open.set()
        await ref.stop()

        ref.with_options(expires=1).tell(Say("y"))
        assert letters(system) == [(Say("x"), "stopped"), (Say("y"), "stopped")]


@pytest.mark.parametrize("expires", [0, -1.0, math.nan, "1", True])
async def test_a_deadline_that_cannot_be(expires: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log())

        with pytest.raises(InvalidArgument, match="expires"):
            ref.with_options(expires=expires)


async def test_a_deadline_of_infinity_is_none() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log)
        ref.with_options(expires=math.inf).tell(Say("x"))
        await ref.with_options(expires=math.inf).send(Say("y"))
        await ref.drain()

        assert log.lines[1:3] == ["x", "y"]
        assert cell_of(ref).handled == 2

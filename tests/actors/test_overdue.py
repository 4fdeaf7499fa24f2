"""Time limits of handlers and deadlines of messages: what is overdue is cancelled and fails."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, ClassVar

import anyio
import pytest

from sentient_core import (
    Actor,
    ChildSpec,
    HandlerAbandoned,
    HandlerFailed,
    HandlerOverdue,
    InvalidArgument,
    InvalidHandler,
    MessageExpired,
    Request,
    Supervisor,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Gate, Log, Pass, Recorder, Say, letters, running
from tests.puppet import Do, Puppet, alarms, in_turn


class Wait(Request[str], frozen=True):
    seconds: float


class WaitLong(Request[str], frozen=True):
    seconds: float


class WaitPlainly(Request[str], frozen=True):
    seconds: float


class Slow(Recorder):
    """Waits as long as it is told to; two seconds are too long."""

    handler_timeout: ClassVar[float | None] = 2.0

    def __init__(self, log: Log | None = None) -> None:
        super().__init__(log or Log())

    @handles
    async def wait(self, message: Wait) -> str:
        return await self.sleep(message.seconds)

    @handles(timeout=math.inf)
    async def wait_long(self, message: WaitLong) -> str:
        return await self.sleep(message.seconds)

    @handles(timeout=5)
    def wait_plainly(self, message: WaitPlainly) -> Awaitable[str]:
        return self.sleep(message.seconds)

    async def on_receive(self, message: Any) -> str:
        return await self.sleep(float(message))

    async def sleep(self, seconds: float) -> str:
        await anyio.sleep(seconds)
        return f"slept {seconds:g}"


async def overdue(awaitable: Awaitable[Any]) -> HandlerOverdue:
    """What an ask failed with."""
    with pytest.raises(HandlerFailed) as caught:
        await awaitable
    error = caught.value.__cause__
    assert isinstance(error, HandlerOverdue)
    return error


async def test_a_handler_beyond_the_timeout_of_its_class_is_cancelled_and_its_actor_fails() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Slow, log, name="snail")
        message = Wait(100)
        begin = anyio.current_time()

        error = await overdue(ref.ask(message, timeout=50))

        assert anyio.current_time() - begin == 2
        assert (error.path, error.message, error.limit, error.seconds) == ("snail", message, "timeout", 2)
        assert error.handler == "Slow.wait"
        assert "in sleep" in error.stack
        assert letters(system) == [(message, "failed")]
        assert await ref.ask(Say("again"), timeout=1) == "again"
        assert log.lines == [
            "snail start",
            f"snail failure {error}",
            "snail stop",
            f"snail restart {error}",
            "snail start",
            "again",
        ]


@pytest.mark.parametrize(
    ("message", "limit"), [(Wait(1.9), 2.0), (WaitLong(300), math.inf), (WaitPlainly(4.9), 5.0), (1.5, 2.0)]
)
async def test_what_is_in_time_is_not_touched(message: Any, limit: float) -> None:
    async with running() as system:
        ref = await system.spawn(Slow)
        seconds = message if isinstance(message, float) else message.seconds

        assert await ref.ask(message, timeout=2_000) == f"slept {seconds:g}"

        assert ref.incarnation == 1
        assert alarms(system) == 0


@pytest.mark.parametrize(("message", "seconds"), [(WaitPlainly(6), 5), (3.0, 2)])
async def test_plain_functions_that_return_an_awaitable_and_on_receive_have_limits_too(
    message: Any, seconds: float
) -> None:
    async with running() as system:
        ref = await system.spawn(Slow)
        begin = anyio.current_time()

        error = await overdue(ref.ask(message, timeout=50))

        assert error.seconds == seconds
        assert anyio.current_time() - begin == seconds


async def test_one_that_returns_in_the_moment_of_the_alarm_fails_once_or_not_at_all() -> None:
    async with running() as system:
        ref = await system.spawn(Slow)

        with suppress(HandlerFailed):
            await ref.ask(Wait(2.0), timeout=50)
        await anyio.sleep(10)

        assert ref.incarnation == 1 + len(letters(system)) <= 2
        assert await ref.ask(Wait(1), timeout=50) == "slept 1"


async def test_a_method_that_a_proxy_calls_has_the_limit_of_its_class() -> None:
    async with running() as system:
        proxy = (await system.spawn(Slow)).proxy()

        assert await proxy.sleep(1) == "slept 1"
        error = await overdue(proxy.sleep(3))

        assert error.limit == "timeout"
        assert error.handler == "Slow.sleep"


async def test_a_plain_function_keeps_being_answered_at_once() -> None:
    async with running() as system:
        ref = await system.spawn(Slow)

        assert cell_of(ref).handler_at_once(Say("x")) is not None
        assert await ref.ask(Say("x"), timeout=1) == "x"
        assert alarms(system) == 0


async def test_one_that_catches_the_cancellation_and_returns_is_overdue_all_the_same() -> None:
    class Calm(Actor):
        durability = "volatile"

        @handles(timeout=1)
        async def wait(self, message: Wait) -> str:
            with suppress(BaseException):
                await anyio.sleep(message.seconds)
            return "all is well"

    async with running() as system:
        ref = await system.spawn(Calm)

        await overdue(ref.ask(Wait(10), timeout=50))

        assert len(letters(system)) == 1
        await anyio.sleep(20)
        assert ref.incarnation == 2
        assert system.statistics().failures == 1


async def test_what_it_raises_instead_is_the_cause() -> None:
    class Nervous(Actor):
        durability = "volatile"

        @handles(timeout=1)
        async def wait(self, message: Wait) -> str:
            try:
                await anyio.sleep(message.seconds)
            finally:
                raise LookupError("in the clean-up")

        async def on_failure(self, cause: Exception) -> None:
            await anyio.sleep(1)  # in a turn that is not cancelled
            self.context.system.get("log").tell(f"failed: {type(cause).__name__}")

    async with running() as system:
        log = Log()
        await system.spawn(Puppet, log, name="log")
        ref = await system.spawn(Nervous)

        error = await overdue(ref.ask(Wait(10), timeout=50))

        assert isinstance(error.__cause__, LookupError)
        await anyio.sleep(5)
        assert log.lines == ["failed: HandlerOverdue"]
        assert ref.incarnation == 2


async def test_one_that_swallows_it_for_good_is_abandoned() -> None:
    gate = Gate()

    class Mule(Actor):
        durability = "volatile"
        handler_timeout = 1.0
        kill_grace = 3.0

        @handles
        async def wait(self, message: Pass) -> None:
            with anyio.CancelScope(shield=True):
                await gate()

    async with running() as system:
        ref = await system.spawn(Mule)
        begin = anyio.current_time()

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Pass(), timeout=50)

        assert anyio.current_time() - begin == 4
        assert isinstance(caught.value.__cause__, HandlerAbandoned)
        assert isinstance(caught.value.__cause__.__cause__, HandlerOverdue)
        assert system.statistics().failures == 1
        gate.open.set()


async def test_a_kill_while_it_unwinds_ends_it_without_hooks() -> None:
    log, gate = Log(), Gate()

    class Tidy(Recorder):
        @handles(timeout=1)
        async def wait(self, message: Wait) -> None:
            try:
                await anyio.sleep(message.seconds)
            finally:
                with anyio.CancelScope(shield=True):
                    await gate()

    async with running() as system:
        ref = await system.spawn(Tidy, log, name="tidy")
        ref.tell(Wait(10))
        await gate.reached.wait()
        ref.kill()
        gate.open.set()
        await anyio.sleep(1)

        assert log.lines[1].startswith("tidy restart")
        assert "was killed" in log.lines[1]
        assert log.lines[2:] == ["tidy start"]
        assert len(letters(system)) == 1


async def test_what_was_stashed_by_an_overdue_handler_is_not_kept() -> None:
    class Putter(Puppet):
        handler_timeout = 1.0

    async with running() as system:
        ref = await system.spawn(Putter)

        async def act(actor: Any) -> None:
            if actor.context.incarnation == 1:
                actor.context.stash()
                await anyio.sleep(10)

        message = Do(act)
        await overdue(ref.ask(message, timeout=50))
        await anyio.sleep(5)

        assert letters(system) == [(message, "failed")]
        assert ref.statistics().handled == 0


async def test_an_overdue_handler_has_had_an_attempt() -> None:
    class Patient(Slow):
        max_attempts = 3

    async with running() as system:
        ref = await system.spawn(Patient)
        message = Wait(10)
        begin = anyio.current_time()

        await overdue(ref.ask(message, timeout=50))

        assert anyio.current_time() - begin == 6
        assert letters(system) == [(message, "quarantined")]


async def test_its_supervisor_may_let_it_go_on_with_the_next_message() -> None:
    class Team(Supervisor):
        strategy = Supervisor.one_for_one(decide=[(HandlerOverdue, "resume")])
        children = (ChildSpec(Slow, name="slow"),)

    async with running() as system:
        await system.spawn(Team, name="team")
        ref = system.get("team/slow")
        ref.tell(Wait(10))

        assert await ref.ask(Wait(1), timeout=50) == "slept 1"

        assert ref.incarnation == 1
        assert [reason for _, reason in letters(system)] == ["failed"]


async def test_a_deadline_counts_from_the_call_that_sends() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)
        ref.tell(Do(lambda _: anyio.sleep(3)))
        begin = anyio.current_time()

        error = await overdue(ref.with_options(deadline=5).ask(Do(lambda _: anyio.sleep(3)), timeout=50))

        assert anyio.current_time() - begin == 5
        assert (error.limit, error.seconds) == ("deadline", 5)
        assert await ref.with_options(deadline=5).ask(Do(lambda _: 7), timeout=50) == 7
        assert alarms(system) == 0


async def test_a_message_whose_deadline_is_over_when_its_turn_comes_has_expired() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)
        ref.tell(Do(lambda _: anyio.sleep(10)))

        with pytest.raises(MessageExpired):
            await ref.with_options(deadline=5).ask(Do(lambda _: 7), timeout=50)

        assert [reason for _, reason in letters(system)] == ["expired"]
        assert ref.incarnation == 1


async def test_a_deadline_stays_a_messages_own_when_it_is_put_away_or_passed_on() -> None:
    async with running() as system:
        other = await system.spawn(Puppet, name="other")
        ref = await system.spawn(Puppet, name="first")

        async def act(actor: Any) -> str:
            if actor.context.ref != other:
                await anyio.sleep(1)
                actor.context.forward(other)
                return ""
            await anyio.sleep(10)
            return "late"

        begin = anyio.current_time()
        error = await overdue(ref.with_options(deadline=4).ask(Do(act), timeout=50))

        assert anyio.current_time() - begin == 4
        assert error.path == "other"
        assert ref.incarnation == 1


async def test_the_earlier_of_two_limits_holds() -> None:
    async with running() as system:
        ref = await system.spawn(Slow)

        begin = anyio.current_time()
        assert (await overdue(ref.with_options(deadline=1).ask(Wait(9), timeout=50))).limit == "deadline"
        assert anyio.current_time() - begin == 1
        assert (await overdue(ref.with_options(deadline=9).ask(Wait(9), timeout=50))).limit == "timeout"
        assert anyio.current_time() - begin == 3


async def test_an_ask_within_the_handler_is_given_up() -> None:
    async with running() as system:
        gate = Gate()
        recorder = await system.spawn(Recorder, Log(), gate)

        class Asking(Puppet):
            handler_timeout = 2.0

        ref = await system.spawn(Asking)
        await overdue(ref.ask(Do(lambda _: recorder.ask(Pass(), timeout=50)), timeout=50))
        gate.open.set()
        await anyio.sleep(1)

        assert cell_of(ref).runtime.waits == {}
        assert [reason for _, reason in letters(system)].count("late_reply") == 1
        assert await in_turn(ref, lambda actor: actor.context.incarnation) == 2


@pytest.mark.parametrize("seconds", [0, -1, True, "3", math.nan])
def test_limits_that_can_never_work_are_refused(seconds: Any) -> None:
    for name in ("handler_timeout", "handler_heartbeat", "kill_grace"):
        with pytest.raises(InvalidArgument, match=name):
            type("Bad", (Actor,), {name: seconds})
    for name in ("timeout", "heartbeat"):
        with pytest.raises(InvalidHandler, match=name):
            handles(**{name: seconds})


@pytest.mark.parametrize("seconds", [0, -1, True, "3", math.nan])
async def test_a_deadline_that_can_never_work_is_refused(seconds: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)
        with pytest.raises(InvalidArgument, match="deadline"):
            ref.with_options(deadline=seconds)

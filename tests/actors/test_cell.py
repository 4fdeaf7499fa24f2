"""The life of one actor: its hooks, its three ways down, its restarts."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorKilled,
    ActorStopped,
    HandlerCancelled,
    HandlerFailed,
    handles,
)
from tests.probes import (
    Add,
    Counter,
    Fail,
    Gate,
    Log,
    Pass,
    Recorder,
    Say,
    Total,
    VolatileCounter,
    letters,
    running,
)


class GatedHooks(Recorder):
    """Waits at its gate in the hook it is told."""

    def __init__(self, log: Log, gate: Gate, hook: str) -> None:
        super().__init__(log, gate)
        self.hook = hook

    async def _hook(self, name: str) -> None:
        self.log(name)
        if self.hook == name and self.gate is not None:
            await self.gate()
            self.log(f"{name} done")

    async def on_start(self) -> None:
        await self._hook("on_start")

    async def on_stop(self) -> None:
        await self._hook("on_stop")

    async def on_failure(self, cause: Exception) -> None:
        await self._hook("on_failure")

    async def on_restart(self, cause: BaseException | None) -> None:
        await self._hook("on_restart")


async def test_hooks_of_a_life_in_order() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log, name="a")
        ref.tell(Say("hello"))
        ref.tell(Fail("boom"))
        ref.tell(Say("again"))
        await ref.drain()

        assert log.lines == [
            "a start",
            "hello",
            "a failure boom",
            "a stop",
            "a restart boom",
            "a start",
            "again",
            "a stop",
        ]


async def test_hooks_may_be_sync_or_async() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(GatedHooks, log, Gate(), "none")
        ref.tell(Fail())
        await ref.ask(Say("again"), timeout=1)
        await ref.stop()

        assert log.lines == [
            "on_start",
            "on_failure",
            "on_stop",
            "on_restart",
            "on_start",
            "again",
            "on_stop",
        ]


async def test_killing_runs_no_hook_of_the_end() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log, name="a", restart="temporary")

        await ref.kill()

        assert log.lines == ["a start"]
        assert not ref.is_alive


async def test_an_incarnation_after_a_kill_gets_the_cause() -> None:
    causes: list[BaseException | None] = []

    class Curious(Counter):
        def on_restart(self, cause: BaseException | None) -> None:
            causes.append(cause)

    async with running() as system:
        ref = await system.spawn(Curious, name="a")
        await ref.kill()
        await ref.ask(Total(), timeout=1)

    assert len(causes) == 1
    assert isinstance(causes[0], ActorKilled)


async def test_an_instance_whose_on_start_raised_gets_no_further_hook() -> None:
    class Unwilling(Recorder):
        def on_start(self) -> None:
            super().on_start()
            raise OSError("no database")

    async with running() as system:
        log = Log()

        with pytest.raises(OSError, match="no database"):
            await system.spawn(Unwilling, log, name="a")

        assert log.lines == ["a start"]
        assert system.actors(Actor) == []
        await system.spawn(Counter, name="a")  # nothing of it is left: the name is free


async def test_an_init_that_raises_is_a_failed_start() -> None:
    async with running() as system:
        with pytest.raises(TypeError, match="gate"):
            await system.spawn(Recorder, Log(), None, gate=None)

        assert system.actors(Actor) == []


async def test_a_start_that_fails_in_a_restart_spends_the_budget_and_is_tried_again() -> None:
    class Weak(Recorder):
        def on_start(self) -> None:
            super().on_start()
            if self.context.incarnation in (2, 3):
                raise OSError("not yet")

    async with running() as system:
        log = Log()
        ref = await system.spawn(Weak, log, name="a")
        ref.tell(Fail("boom"))

        assert await ref.ask(Say("hello"), timeout=1) == "hello"

        assert ref.incarnation == 4
        assert log.lines == [
            "a start",
            "a failure boom",
            "a stop",
            "a restart boom",
            "a start",
            "a restart not yet",
            "a start",
            "a restart not yet",
            "a start",
            "hello",
        ]


async def test_an_on_stop_that_raises_is_reported_and_makes_the_end_abnormal() -> None:
    class Messy(Recorder):
        def on_stop(self) -> None:
            super().on_stop()
            if self.context.incarnation == 1:
                raise OSError("disk full")

    async with running() as system:
        log = Log()
        ref = await system.spawn(Messy, log, name="a", restart="transient")
        with structlog.testing.capture_logs() as lines:
            await ref.stop()
            await ref.ask(Say("hello"), timeout=1)

        assert ref.incarnation == 2
        assert [(line["error"], line["where"]) for line in lines] == [("OSError: disk full", "on_stop")]


async def test_an_on_failure_that_raises_is_reported_and_on_stop_still_runs() -> None:
    class Messy(Recorder):
        def on_failure(self, cause: Exception) -> None:
            super().on_failure(cause)
            raise OSError("again")

    async with running() as system:
        log = Log()
        ref = await system.spawn(Messy, log, name="a")
        ref.tell(Fail("boom"))
        await ref.ask(Say("hello"), timeout=1)

        assert log.lines == ["a start", "a failure boom", "a stop", "a restart boom", "a start", "hello"]
        assert system.statistics().failures == 2


async def test_stop_finishes_the_message_in_hand_and_leaves_the_rest() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate, name="a")
        ref.tell(Pass())
        ref.tell(Say("queued"))
        await gate.reached.wait()

        ending = ref.stop()
        await anyio.wait_all_tasks_blocked()
        assert log.lines == ["a start", "waiting"]
        gate.open.set()
        await ending

        assert log.lines == ["a start", "waiting", "passed", "a stop"]
        assert letters(system) == [(Say("queued"), "stopped")]


async def test_drain_handles_what_is_queued_and_refuses_what_comes() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate, name="a")
        ref.tell(Pass())
        ref.tell(Say("queued"))
        await gate.reached.wait()

        ending = ref.drain()
        await anyio.wait_all_tasks_blocked()
        gate.open.set()
        await log.until("passed")
        ref.tell(Say("too late"))
        await ending

        assert log.lines == ["a start", "waiting", "passed", "queued", "a stop"]
        assert letters(system) == [(Say("too late"), "stopped")]


async def test_from_the_call_of_drain_on_everything_is_refused() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate, name="a")
        ref.tell(Pass())
        await gate.reached.wait()

        ending = ref.drain()
        ref.tell(Say("too late"))
        with pytest.raises(ActorStopped):
            await ref.send(Say("too late as well"))
        gate.open.set()
        await ending

        assert "too late" not in log.lines


async def test_drain_of_an_idle_actor_ends_it() -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log())

        with anyio.fail_after(1):
            await ref.drain()

        assert not ref.is_alive


async def test_drain_of_more_than_a_turn_handles_all() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        for _ in range(1_000):
            ref.tell(Add())

        await ref.drain()

        assert letters(system) == []
        again = await system.spawn(Counter, name="a")
        assert await again.ask(Total(), timeout=1) == 1_000


async def test_a_drain_goes_on_in_the_next_incarnation_when_a_handler_fails() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate, name="a")
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Fail())
        ref.tell(Say("after"))

        ref.drain()
        gate.open.set()
        await log.until("a stop", times=2)
        await anyio.wait_all_tasks_blocked()

        assert "after" in log.lines
        assert not ref.is_alive


async def test_kill_interrupts_a_suspended_handler_at_once() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate, name="a", restart="temporary")
        ref.tell(Pass())
        ref.tell(Say("queued"))
        await gate.reached.wait()
        begin = anyio.current_time()

        await ref.kill()

        assert log.lines == ["a start", "waiting", "interrupted"]
        assert letters(system) == [(Pass(), "stopped"), (Say("queued"), "stopped")]
        assert anyio.current_time() == begin


async def test_kill_returns_when_the_handler_has_unwound() -> None:
    class Tidy(Recorder):
        @handles
        async def say(self, message: Say) -> None:
            self.log("working")
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(3)
                self.log("tidied up")

    async with running() as system:
        log = Log()
        ref = await system.spawn(Tidy, log, name="a", restart="temporary")
        ref.tell(Say("x"))
        await log.until("working")

        await ref.kill()

        assert log.lines[-1] == "tidied up"


async def test_a_killed_transient_actor_keeps_ref_mailbox_and_order() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate, name="a")
        ref.tell(Pass())
        for n in range(5):
            ref.tell(Say(str(n)))
        await gate.reached.wait()

        await ref.kill()
        await ref.ask(Say("5"), timeout=1)

        assert [line for line in log if line.isdigit()] == ["0", "1", "2", "3", "4", "5"]
        assert ref.incarnation == 2
        assert system.get("a") is ref


async def test_a_handler_that_swallows_its_kill_once_is_down_all_the_same() -> None:
    class Stubborn(Recorder):
        @handles
        async def say(self, message: Say) -> None:
            self.log("working")
            try:
                await anyio.sleep_forever()
            except BaseException:  # noqa: BLE001 - the bad habit under test
                self.log("ignored")

    async with running() as system:
        log = Log()
        ref = await system.spawn(Stubborn, log, name="a")
        ref.tell(Say("x"))
        await log.until("working")

        await ref.kill()
        await log.until("a start", times=2)

        assert log.lines == ["a start", "working", "ignored", "a restart 'a' was killed", "a start"]


async def test_an_actor_kills_itself() -> None:
    class Suicidal(Recorder):
        @handles
        async def say(self, message: Say) -> None:
            self.context.ref.kill()
            self.log("still here")
            await anyio.lowlevel.checkpoint()
            await anyio.sleep(1)
            self.log("not here")

    async with running() as system:
        log = Log()
        ref = await system.spawn(Suicidal, log, name="a", restart="temporary")

        with pytest.raises(ActorStopped):
            await ref.ask(Say("x"), timeout=10)

        assert log.lines == ["a start", "still here"]


async def test_an_actor_stops_itself() -> None:
    class Leaver(Recorder):
        @handles
        async def say(self, message: Say) -> str:
            self.context.ref.stop()
            await anyio.sleep(1)
            return "goodbye"

    async with running() as system:
        log = Log()
        ref = await system.spawn(Leaver, log, name="a")

        assert await ref.ask(Say("x"), timeout=10) == "goodbye"
        await ref.stop()

        assert log.lines == ["a start", "a stop"]
        assert not ref.is_alive


@pytest.mark.parametrize("hook", ["on_start", "on_restart"])
async def test_kill_interrupts_a_restart(hook: str) -> None:
    class Gated(GatedHooks):
        async def _hook(self, name: str) -> None:
            if self.context.incarnation == 2:
                await super()._hook(name)

    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Gated, log, gate, hook)
        ref.tell(Fail())
        await gate.reached.wait()

        await ref.kill()
        await ref.ask(Say("hello"), timeout=1)

        assert f"{hook} done" not in log.lines
        assert ref.incarnation == 3


async def test_kill_of_an_actor_in_its_first_on_start_fails_the_spawn() -> None:
    async with running() as system:
        gate = Gate()

        async def spawn() -> None:
            with pytest.raises(ActorKilled):
                await system.spawn(GatedHooks, Log(), gate, "on_start", name="a")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(spawn)
            await gate.reached.wait()
            await system.get("a").kill()

        assert system.actors(Actor) == []


async def test_stop_of_an_actor_in_its_first_on_start_waits_for_it() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_spawn_gated, system, log, gate, "on_start")
            await gate.reached.wait()
            ending = system.get("a").stop()
            gate.open.set()
            await ending

        assert log.lines == ["on_start", "on_start done", "on_stop"]
        assert system.actors(Actor) == []


async def test_drain_of_an_actor_in_its_first_on_start_is_not_lost() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_spawn_gated, system, log, gate, "on_start")
            await gate.reached.wait()
            ref = system.get("a")
            ref.tell(Say("hello"))
            ending = ref.drain()
            gate.open.set()
            await ending

        assert log.lines == ["on_start", "on_start done", "hello", "on_stop"]


async def _spawn_gated(system: Any, log: Log, gate: Gate, hook: str) -> None:
    await system.spawn(GatedHooks, log, gate, hook, name="a")


@pytest.mark.parametrize("hook", ["on_failure", "on_stop"])
async def test_kill_interrupts_the_hooks_of_the_end(hook: str) -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(GatedHooks, log, gate, hook, restart="temporary")
        ref.tell(Fail())
        await gate.reached.wait()

        await ref.kill()

        assert f"{hook} done" not in log.lines
        assert not ref.is_alive


@pytest.mark.parametrize("hook", ["on_failure", "on_stop"])
async def test_a_stop_while_the_actor_fails_is_not_lost(hook: str) -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(GatedHooks, log, gate, hook, restart="transient")
        ref.tell(Fail())
        await gate.reached.wait()

        ending = ref.stop()
        gate.open.set()
        await ending
        await anyio.wait_all_tasks_blocked()

        assert not ref.is_alive


@pytest.mark.parametrize("hook", ["on_restart", "on_start"])
async def test_a_stop_while_the_actor_restarts_is_not_lost(hook: str) -> None:
    class Gated(GatedHooks):
        async def _hook(self, name: str) -> None:
            if self.context.incarnation == 2:
                await super()._hook(name)

    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Gated, log, gate, hook, restart="transient")
        ref.tell(Fail())
        await gate.reached.wait()

        ending = ref.stop()
        gate.open.set()
        await ending

        assert not ref.is_alive
        assert log.lines[-1] == "on_stop"


async def test_stopping_twice_is_stopping_once() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log, name="a")

        first, second = ref.stop(), ref.stop()
        await second
        await first
        await ref.stop()
        await ref.kill()
        await ref.drain()

        assert log.lines == ["a start", "a stop"]


async def test_many_may_wait_for_one_end() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()
        ended: list[int] = []

        async def wait(n: int) -> None:
            await ref.stop()
            ended.append(n)

        async with anyio.create_task_group() as tasks:
            for n in range(5):
                tasks.start_soon(wait, n)
            await anyio.wait_all_tasks_blocked()
            assert ended == []
            gate.open.set()

        assert sorted(ended) == [0, 1, 2, 3, 4]


async def test_a_cancelled_wait_for_the_end_takes_nothing_back() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()

        with anyio.move_on_after(1):
            await ref.stop()
        gate.open.set()
        await ref.stop()

        assert not ref.is_alive


async def test_a_tell_after_the_end_is_a_dead_letter() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        await ref.stop()

        ref.tell(Add())

        (letter,) = system.dead_letters
        assert (letter.message, letter.reason.value, letter.recipient, letter.sender) == (
            Add(),
            "stopped",
            "a",
            "external",
        )


async def test_a_permanent_actor_that_is_stopped_is_started_again() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log, name="a", restart="permanent")

        await ref.stop()
        await ref.ask(Say("hello"), timeout=1)

        assert ref.incarnation == 2
        assert ref.is_alive
        # no failure: nothing to tell on_restart
        assert log.lines == ["a start", "a stop", "a restart None", "a start", "hello"]


async def test_a_permanent_actor_that_drains_takes_messages_again_afterwards() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a", restart="permanent")
        ref.tell(Add())
        await ref.drain()

        await ref.send(Add())

        assert await ref.ask(Total(), timeout=1) == 2


async def test_a_transient_actor_is_started_again_after_a_failure_only() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, restart="transient")
        ref.tell(Fail())
        await ref.ask(Total(), timeout=1)
        assert ref.incarnation == 2

        await ref.stop()

        assert not ref.is_alive


async def test_a_temporary_actor_is_never_started_again() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, restart="temporary")
        ref.tell(Add())

        with pytest.raises(HandlerFailed):
            await ref.ask(Fail(), timeout=1)
        await ref.stop()

        assert not ref.is_alive
        assert ref.incarnation == 1


async def test_a_new_incarnation_is_a_new_object() -> None:
    class Forgetful(Actor):
        def __init__(self) -> None:
            self.seen = 0

        @handles
        def add(self, message: Add) -> int:
            self.seen += 1
            return self.seen

        @handles
        def fail(self, message: Fail) -> None:
            raise ValueError

    async with running() as system:
        ref = await system.spawn(Forgetful)
        assert [await ref.ask(Add(), timeout=1) for _ in range(2)] == [1, 2]

        ref.tell(Fail())

        assert await ref.ask(Add(), timeout=1) == 1


async def test_a_name_is_free_again_after_the_end_and_the_incarnations_go_on() -> None:
    async with running() as system:
        first = await system.spawn(Counter, name="a")
        first.tell(Add(5))
        await first.drain()
        first.tell(Add())
        assert letters(system) == [(Add(), "stopped")]

        second = await system.spawn(Counter, name="a")

        assert second is not first
        assert second.incarnation == 2
        assert await second.ask(Total(), timeout=1) == 5


async def test_a_ref_is_an_address_it_finds_who_lives_at_its_path() -> None:
    async with running() as system:
        first = await system.spawn(VolatileCounter, name="a")
        await first.stop()

        second = await system.spawn(VolatileCounter, name="a")

        assert first == second
        assert first.is_alive
        first.tell(Add(2))
        await first.send(Add(3))
        assert await first.ask(Total(), timeout=1) == 5
        await first.stop()
        assert not second.is_alive


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [ValueError("\ud800 is half a character"), _Unprintable(), ValueError("x" * 1_000_000), ValueError()],
    ids=["surrogate", "unprintable", "long", "empty"],
)
async def test_an_exception_that_cannot_be_written_down_is_supervised_like_any_other(
    error: Exception,
) -> None:
    class Thrower(Counter):
        @handles
        def say(self, message: Say) -> None:
            raise error

        def on_start(self) -> None:
            if self.context.incarnation == 2:
                raise error

        def on_stop(self) -> None:
            if self.context.incarnation == 1:
                raise error

    async with running() as system:
        ref = await system.spawn(Thrower)

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Say("x"), timeout=1)

        assert caught.value.__cause__ is error
        assert await ref.ask(Total(), timeout=1) == 0
        assert ref.incarnation == 3


async def test_an_exception_group_is_a_failure_like_any_other() -> None:
    class Grouped(Counter):
        @handles
        async def say(self, message: Say) -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._fail)

        async def _fail(self) -> None:
            raise ValueError("inside")

    async with running() as system:
        ref = await system.spawn(Grouped)

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Say("x"), timeout=1)

        assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert await ref.ask(Total(), timeout=1) == 0


async def test_a_cleanup_that_raises_under_a_kill_harms_nobody_else() -> None:
    class Untidy(Recorder):
        @handles
        async def say(self, message: Say) -> None:
            async def child() -> None:
                try:
                    await anyio.sleep_forever()
                finally:
                    raise ValueError("cleanup")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(child)
                self.log("working")
                await anyio.sleep_forever()

    async with running() as system:
        log = Log()
        ref = await system.spawn(Untidy, log, name="a")
        ref.tell(Say("x"))
        await log.until("working")
        await anyio.wait_all_tasks_blocked()

        await ref.kill()
        await log.until("a start", times=2)

        assert ref.incarnation == 2
        # killed: no hook of the end, whatever its unwinding raised
        assert log.lines[:2] == ["a start", "working"]
        assert "a stop" not in log.lines


async def test_an_error_that_replaces_the_cancellation_of_a_kill_is_still_a_kill() -> None:
    class Replacer(Recorder):
        @handles
        async def say(self, message: Say) -> None:
            self.log("working")
            try:
                await anyio.sleep_forever()
            finally:
                raise ValueError("cleanup")

    async with running() as system:
        log = Log()
        ref = await system.spawn(Replacer, log, name="a")
        ref.tell(Say("x"))
        await log.until("working")

        await ref.kill()
        await log.until("a start", times=2)

        assert "a stop" not in log.lines
        assert "a failure cleanup" not in log.lines
        assert ref.incarnation == 2


async def test_a_stray_cancellation_is_a_failure(anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("trio has none")

    class Awaiter(Counter):
        @handles
        async def say(self, message: Say) -> None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.cancel)
            await future

    async with running() as system:
        ref = await system.spawn(Awaiter)

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Say("x"), timeout=1)

        assert isinstance(caught.value.__cause__, HandlerCancelled)
        assert await ref.ask(Total(), timeout=1) == 0
        assert ref.incarnation == 2


@pytest.mark.parametrize("hook", ["on_start", "on_stop"])
async def test_a_stray_cancellation_in_a_hook_is_a_failure(hook: str, anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("trio has none")

    class Awaiter(Counter):
        async def on_start(self) -> None:
            if hook == "on_start":
                await self._stray()

        async def on_stop(self) -> None:
            if hook == "on_stop":
                await self._stray()

        async def _stray(self) -> None:
            if self.context.incarnation == 1:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                future.cancel()
                await future

    async with running() as system:
        if hook == "on_start":
            with pytest.raises(HandlerCancelled):
                await system.spawn(Awaiter)
        else:
            ref = await system.spawn(Awaiter)
            await ref.stop()
            assert await ref.ask(Total(), timeout=1) == 0
            assert ref.incarnation == 2


async def test_a_cancelled_spawn_does_not_leave_half_an_actor() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        with anyio.move_on_after(1):
            await system.spawn(GatedHooks, log, gate, "on_start", name="a")

        gate.open.set()
        await anyio.wait_all_tasks_blocked()

        # Either there is no such actor, or it is one like any other.
        for ref in system.actors(GatedHooks):
            assert await ref.ask(Say("hello"), timeout=1) == "hello"
            await ref.stop()
        await system.spawn(Counter, name="a")


async def test_an_actor_that_stops_itself_in_on_start_is_gone_soon_after() -> None:
    class Hasty(Recorder):
        def on_start(self) -> None:
            self.context.ref.stop()

    async with running() as system:
        log = Log()
        ref = await system.spawn(Hasty, log, name="a")
        await ref.stop()

        assert system.actors(Actor) == []
        assert log.lines == ["a stop"]


async def test_a_drain_whose_last_message_fails_ends_all_the_same() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate, name="a")
        ref.tell(Pass())
        ref.tell(Fail())
        await gate.reached.wait()

        ending = ref.drain()
        gate.open.set()
        with anyio.fail_after(10):
            await ending

        assert not ref.is_alive
        assert log.lines[-2:] == ["a start", "a stop"]

"""Handlers run as in a task of their own: scopes, timeouts, task groups, locks and context variables."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import Any

import anyio
import msgspec
import pytest
import sniffio
import trio
from anyio.lowlevel import checkpoint

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    ActorSystem,
    HandlerFailed,
    MailboxOptions,
    MemoryStore,
    handles,
)
from sentient_core.actors.dispatcher import MOST_IDLE
from sentient_core.actors.ref import cell_of
from sentient_core.mailbox.mailbox import CROWDED
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Recorder, Say, Total, VolatileCounter, running
from tests.puppet import Do, Puppet

REQUEST: ContextVar[str] = ContextVar("REQUEST", default="nobody")


class Run(msgspec.Struct, frozen=True):
    """Run this coroutine function in the handler."""

    what: Any


class Runner(Actor):
    durability = "volatile"

    @handles
    async def run(self, message: Run) -> Any:
        return await message.what(self)


async def test_a_deadline_in_a_handler() -> None:
    async def work(actor: Actor) -> str:
        with anyio.move_on_after(2) as scope:
            await anyio.sleep(60)
        await anyio.sleep(1)
        return f"{scope.cancelled_caught} {anyio.current_time() - begin:g}"

    async with running() as system:
        ref = await system.spawn(Runner)
        begin = anyio.current_time()

        assert await ref.ask(Run(work), timeout=10) == "True 3"


async def test_fail_after_in_a_handler_is_a_failure_of_the_handler_only() -> None:
    async def work(actor: Actor) -> None:
        with anyio.fail_after(2):
            await anyio.sleep(60)

    async with running() as system:
        ref = await system.spawn(Runner)

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Run(work), timeout=10)

        assert isinstance(caught.value.__cause__, TimeoutError)
        assert ref.incarnation <= 2


async def test_the_event_loops_own_timeouts_in_a_handler(anyio_backend_name: str) -> None:
    async def work(actor: Actor) -> str:
        if anyio_backend_name == "trio":
            with trio.move_on_after(2):
                await trio.sleep(60)
        else:
            try:
                async with asyncio.timeout(2):
                    await asyncio.sleep(60)
            except TimeoutError:
                pass
        await checkpoint()
        return f"{anyio.current_time() - begin:g}"

    async with running() as system:
        ref = await system.spawn(Runner)
        begin = anyio.current_time()

        assert await ref.ask(Run(work), timeout=10) == "2"


async def test_a_task_group_in_a_handler() -> None:
    async def work(actor: Actor) -> list[int]:
        done: list[int] = []

        async def part(n: int) -> None:
            await anyio.sleep(n)
            done.append(n)

        async with anyio.create_task_group() as tasks:
            for n in (3, 1, 2):
                tasks.start_soon(part, n)
        return done

    async with running() as system:
        ref = await system.spawn(Runner)

        assert await ref.ask(Run(work), timeout=10) == [1, 2, 3]


async def test_a_kill_cancels_what_the_handler_has_started() -> None:
    log = Log()

    async def work(actor: Actor) -> None:
        async def part(n: int) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                log(f"part {n} cancelled")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(part, 1)
            tasks.start_soon(part, 2)
            log("working")

    async with running() as system:
        ref = await system.spawn(Runner)
        ref.tell(Run(work))
        await log.until("working")
        await anyio.wait_all_tasks_blocked()

        await ref.kill()

        assert sorted(log) == ["part 1 cancelled", "part 2 cancelled", "working"]


async def test_a_kill_after_a_scope_that_was_left_hits_only_what_is_awaited_now() -> None:
    log = Log()

    async def work(actor: Actor) -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await checkpoint()
        with anyio.move_on_after(1000):
            log("working")
            await anyio.sleep_forever()
        log("not reached")

    async with running() as system:
        ref = await system.spawn(Runner)
        ref.tell(Run(work))
        await log.until("working")
        await anyio.wait_all_tasks_blocked()

        await ref.kill()

        assert log.lines == ["working"]


async def test_a_worker_whose_scope_was_cancelled_serves_others_unharmed() -> None:
    async def work(actor: Actor) -> str:
        for _ in range(5):
            await checkpoint()
        await anyio.sleep(1)
        return "fine"

    async with running() as system:
        victims = [await system.spawn(Recorder, Log(), Gate(), name=f"v{n}") for n in range(5)]
        runners = [await system.spawn(Runner) for _ in range(10)]
        for victim in victims:
            victim.tell(Pass())
        await anyio.wait_all_tasks_blocked()

        for victim in victims:
            victim.kill()
        replies: list[str] = []

        async def ask(ref: ActorRef[Runner]) -> None:
            replies.append(await ref.ask(Run(work), timeout=10))

        async with anyio.create_task_group() as tasks:
            for ref in runners:
                tasks.start_soon(ask, ref)

        assert replies == ["fine"] * 10
        await anyio.wait_all_tasks_blocked()
        assert [victim.incarnation for victim in victims] == [2] * 5


async def test_a_lock_is_held_by_the_handler_that_took_it() -> None:
    lock = anyio.Lock()
    inside: list[int] = []

    async def work(actor: Actor) -> None:
        async with lock:
            inside.append(len(inside))
            await anyio.sleep(1)
            assert lock.statistics().locked

    async with running() as system:
        refs = [await system.spawn(Runner) for _ in range(5)]
        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:

            async def ask(ref: ActorRef[Runner]) -> None:
                await ref.ask(Run(work), timeout=10)

            for ref in refs:
                tasks.start_soon(ask, ref)

        assert anyio.current_time() - begin == pytest.approx(5)
        assert len(inside) == 5


async def test_the_async_library_is_known_inside_of_handlers(anyio_backend_name: str) -> None:
    async def work(actor: Actor) -> str:
        await checkpoint()
        return sniffio.current_async_library()

    async with running() as system:
        ref = await system.spawn(Runner)

        assert await ref.ask(Run(work), timeout=1) == anyio_backend_name


async def test_an_async_generator_in_a_handler_is_closed() -> None:
    log = Log()

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            for n in range(10):
                await checkpoint()
                yield n
        finally:
            log("closed")

    async def work(actor: Actor) -> int:
        generator = numbers()
        async for n in generator:
            if n == 3:
                break
        await generator.aclose()
        return 3

    async with running() as system:
        ref = await system.spawn(Runner)

        assert await ref.ask(Run(work), timeout=1) == 3
        assert log.lines == ["closed"]


async def test_thousands_of_actors_wait_at_once_and_the_workers_are_let_go() -> None:
    async with running() as system:
        gate = Gate()
        log = Log()
        refs = [await system.spawn(Recorder, log, gate) for _ in range(1_000)]
        for ref in refs:
            ref.tell(Pass())
        await log.until("waiting", times=1_000)
        other = await system.spawn(Counter)
        assert await other.ask(Total(), timeout=1) == 0

        gate.open.set()
        await log.until("passed", times=1_000)
        await anyio.wait_all_tasks_blocked()

        workers = _workers()
        assert 1 <= workers <= MOST_IDLE + 1


async def test_workers_are_used_again() -> None:
    async def work(actor: Actor) -> None:
        await checkpoint()

    async with running() as system:
        ref = await system.spawn(Runner)
        for _ in range(100):
            await ref.ask(Run(work), timeout=1)

        assert _workers() <= 3


async def test_no_worker_is_left_when_the_system_has_ended() -> None:
    async with running() as system:
        refs = [await system.spawn(Recorder, Log(), Gate()) for _ in range(10)]
        for ref in refs:
            ref.tell(Pass())
        await anyio.wait_all_tasks_blocked()
        assert _workers() >= 10

    assert _workers() == 0
    assert _tasks("timekeeper") == 0


def _workers() -> int:
    return _tasks("worker")


def _tasks(kind: str) -> int:
    return sum(f"sentient-core {kind}" in (task.name or "") for task in anyio.get_running_tasks())


async def test_context_variables_do_not_leak_between_actors() -> None:
    async def set_it(actor: Actor) -> str:
        before = REQUEST.get()
        REQUEST.set(actor.context.ref.name)
        await checkpoint()
        return before

    async def read_it(actor: Actor) -> str:
        await checkpoint()
        return REQUEST.get()

    REQUEST.set("host")
    async with running() as system:
        a = await system.spawn(Runner, name="a")
        b = await system.spawn(Runner, name="b")
        REQUEST.set("host, later")

        assert await a.ask(Run(set_it), timeout=1) == "host"
        assert await b.ask(Run(read_it), timeout=1) == "host"
        assert await a.ask(Run(read_it), timeout=1) == "a"
        assert REQUEST.get() == "host, later"


async def test_what_a_handler_sends_is_sent_by_its_actor() -> None:
    class Named(Actor):
        durability = "volatile"

        def __init__(self, log: Log) -> None:
            self.log = log

        @handles
        async def say(self, message: Say) -> str:
            envelope = self.context.message
            assert envelope is not None
            self.log(f"{message.text} from {envelope.sender} {'ask' if envelope.is_ask else 'tell'}")
            await checkpoint()
            assert self.context.message == envelope
            return "reply"

    log = Log()
    async with running() as system:
        target = await system.spawn(Named, log, name="target")
        runner = await system.spawn(Runner, name="runner")

        async def work(actor: Actor) -> None:
            target.tell(Say("direct"))
            await target.send(Say("sent"))
            await target.ask(Say("asked"), timeout=1)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(target.send, Say("from a task"))
            await checkpoint()
            target.tell(Say("later"))

        await runner.ask(Run(work), timeout=5)
        target.tell(Say("outside"))
        await target.drain()

    assert log.lines == [
        "direct from runner tell",
        "sent from runner tell",
        "asked from runner ask",
        "from a task from runner tell",
        "later from runner tell",
        "outside from external tell",
    ]


async def test_a_tell_from_a_callback_of_the_event_loop(anyio_backend_name: str) -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log, name="a")

        if anyio_backend_name == "trio":
            trio.lowlevel.current_trio_token().run_sync_soon(ref.tell, Say("hello"))
        else:
            asyncio.get_running_loop().call_soon(ref.tell, Say("hello"))
        await log.until("hello")


async def test_a_tell_in_a_cancelled_scope_is_a_tell() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Recorder, log, name="a")

        with anyio.CancelScope() as scope:
            scope.cancel()
            ref.tell(Say("hello"))
            await checkpoint()
        await log.until("hello")


async def test_a_system_entered_in_a_task_that_is_cancelled_serves_to_its_end() -> None:
    log = Log()

    async def serve() -> None:
        async with ActorSystem("test", store=MemoryStore()) as system:
            ref = await system.spawn(Recorder, log, Gate(), name="a")
            ref.tell(Say("hello"))
            await anyio.sleep_forever()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            await log.until("hello")
            tasks.cancel_scope.cancel()

    assert log.lines == ["a start", "hello", "a stop"]


async def test_the_traceback_of_a_failure_leads_to_the_handler() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Fail(), timeout=1)

        frames: list[str] = []
        cause = caught.value.__cause__
        trace = None if cause is None else cause.__traceback__
        while trace is not None:
            frames.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        assert frames[-1] == "fail"
        assert len(frames) <= 3, "the runtime's own frames hide the handler"


async def test_an_actor_that_waits_for_a_reply_can_be_killed_meanwhile() -> None:
    async with running() as system:
        gate = Gate()
        slow = await system.spawn(Recorder, Log(), gate, name="slow")
        runner = await system.spawn(Runner, restart="temporary")

        async def work(actor: Actor) -> Any:
            return await slow.ask(Pass(), timeout=100)

        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with pytest.raises(ActorStopped):
                    await runner.ask(Run(work), timeout=100)

            tasks.start_soon(ask)
            await gate.reached.wait()
            await runner.kill()
        gate.open.set()
        await slow.drain()

        assert [letter.reason.value for letter in system.dead_letters] == ["stopped", "late_reply"]


async def test_actors_that_end_are_not_kept_in_memory() -> None:
    class Heavy(Counter):
        pass

    async with running() as system:
        kept: list[weakref.ref[Any]] = []

        async def spawn_and_stop() -> None:
            class Probe(Heavy):
                def on_start(self) -> None:
                    kept.append(weakref.ref(self))

            ref = await system.spawn(Probe)
            await ref.ask(Total(), timeout=1)
            await ref.stop()

        for _ in range(3):
            await spawn_and_stop()
        await checkpoint()
        for _ in range(3):
            gc.collect()

        assert [ref() for ref in kept] == [None, None, None]


@pytest.mark.parametrize("end", ["fail", "kill", "stop"])
async def test_instances_of_earlier_incarnations_are_not_kept_in_memory(end: str) -> None:
    kept: list[weakref.ref[Any]] = []

    class Probe(Counter):
        async def on_start(self) -> None:
            kept.append(weakref.ref(self))
            await checkpoint()

    async with running() as system:
        ref = await system.spawn(Probe, restart="permanent")
        for _ in range(3):
            if end == "fail":
                ref.tell(Fail())
            elif end == "kill":
                await ref.kill()
            else:
                await ref.stop()
            await ref.ask(Total(), timeout=1)
        for _ in range(3):
            gc.collect()

        assert [alive() is not None for alive in kept] == [False, False, False, True]


class Flood(msgspec.Struct, frozen=True):
    """Send a hundred messages, and yourself this one again."""

    left: int


class Flooder(Actor):
    durability = "volatile"

    def __init__(self, target: ActorRef[Counter]) -> None:
        self.target = target

    @handles
    def flood(self, message: Flood) -> None:
        for _ in range(100):
            self.target.tell(Add())
        if message.left:
            self.context.ref.tell(Flood(message.left - 1))


@pytest.mark.parametrize("cls", [VolatileCounter, Counter])
async def test_many_senders_do_not_pile_up_what_one_could_handle_meanwhile(cls: type[Counter]) -> None:
    class Patient(cls):  # type: ignore[valid-type, misc]
        mailbox = MailboxOptions(capacity=100_000)

    async with running() as system:
        target = await system.spawn(Patient)
        for _ in range(20):
            (await system.spawn(Flooder, target)).tell(Flood(19))

        while await target.ask(Total(), timeout=60) < 40_000:
            await checkpoint()

        assert target.statistics().high_water < 10 * CROWDED
        assert system.dead_letters.total == 0


async def test_a_crowd_for_an_actor_that_waits_holds_nobody_up() -> None:
    async with running() as system:
        gate = Gate()
        busy = await system.spawn(Recorder, Log(), gate)
        busy.tell(Pass())
        await gate.reached.wait()
        flooder = await system.spawn(Flooder, busy)

        flooder.tell(Flood(19))
        while busy.statistics().depth < 2_000:
            await checkpoint()

        assert flooder.is_alive
        await busy.kill()


async def test_starts_without_a_wait_let_the_loop_have_its_turn() -> None:
    passes = 0

    async def count() -> None:
        nonlocal passes
        while True:
            await checkpoint()
            passes += 1

    async with running() as system, anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        before = time.perf_counter()
        while not passes:
            await system.spawn(VolatileCounter)
            assert time.perf_counter() - before < 60, "the loop has had no turn in a minute"
        tasks.cancel_scope.cancel()


async def test_one_who_was_asked_at_once_may_tell_an_asker_with_a_crowd() -> None:
    class Back(Actor):
        durability = "volatile"

        @handles
        def total(self, message: Total) -> int:
            asker.tell(Add())
            return 1

    class Asker(Actor):
        durability = "volatile"

        def __init__(self) -> None:
            self.replies = 0

        @handles
        def add(self, message: Add) -> None:
            pass

        @handles
        async def ask(self, message: Say) -> None:
            self.replies += await back.ask(Total(), timeout=1)

        @handles
        def total(self, message: Total) -> int:
            return self.replies

    async with running() as system:
        back, asker, other = await system.spawn(Back), await system.spawn(Asker), await system.spawn(Asker)
        asker.tell(Say("ask"))
        for _ in range(CROWDED + 10):
            asker.tell(Add())
        other.tell(Add())

        assert await asker.ask(Total(), timeout=10) == 1


async def test_nobody_is_at_work_when_more_workers_than_are_kept_have_nothing_to_do() -> None:
    async with running() as system:
        gate = anyio.Event()
        refs = [await system.spawn(Puppet) for _ in range(3 * MOST_IDLE)]

        async def wait(actor: Puppet) -> None:
            await gate.wait()
            actor.context.become(None)  # which makes another turn, of a worker that has waited

        for ref in refs:
            ref.tell(Do(wait))
        await anyio.sleep(1)
        gate.set()
        await anyio.sleep(1)

        assert cell_of(refs[0]).runtime.dispatcher.running is None


async def test_a_stop_passes_a_crowd_too() -> None:
    async with running() as system:
        log = Log()
        busy, other = await system.spawn(Recorder, log, name="busy"), await system.spawn(VolatileCounter)
        other.tell(Add())
        for _ in range(CROWDED + 10):
            busy.tell(Say("handled"))

        await busy.stop()

        assert log.lines == ["busy start", "busy stop"]


async def test_the_dispatcher_is_busy_while_a_turn_is_in_hand_ready_or_suspended() -> None:
    log, gate = Log(), Gate()
    async with running() as system:
        refs = [await system.spawn(Recorder, log, gate) for _ in range(3)]
        dispatcher = cell_of(refs[0]).runtime.dispatcher
        assert dispatcher.busy == 0

        for ref in refs:
            ref.tell(Pass())
        assert dispatcher.busy == 1, "a worker is about to take them"
        await log.until("waiting", 3)
        await anyio.wait_all_tasks_blocked()
        assert dispatcher.busy == 3, "each is suspended on a worker of its own"

        refs[0].kill()
        await log.until("interrupted")
        await anyio.wait_all_tasks_blocked()
        assert dispatcher.busy == 2

        gate.open.set()
        await anyio.wait_all_tasks_blocked()
        assert dispatcher.busy == 0
        assert log.lines.count("passed") == 2

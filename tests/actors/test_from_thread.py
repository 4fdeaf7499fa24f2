"""An actor system used from other threads, on a real clock: virtual time would jump while they work."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    ActorSystem,
    AskTimeout,
    ChildSpec,
    ForeignRef,
    HandlerFailed,
    InvalidArgument,
    MailboxOptions,
    MemoryStore,
    NameTaken,
    SendTimeout,
    Supervisor,
    SystemClosed,
    UnencodableMessage,
    UnknownActor,
    WaitTimeout,
    WrongThread,
    handles,
)
from sentient_core.actors.lane import LANE_CAPACITY
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Recorder, Say, Total, letters, running

T = TypeVar("T")
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name: str = request.param
    return name, {}


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns in a thread that knows nothing of this loop."""
    slot: list[T] = []
    errors: list[BaseException] = []

    def main() -> None:
        try:
            slot.append(work())
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=main)
    thread.start()
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(thread.join)
    if errors:
        raise errors[0]
    return slot[0]


async def test_a_thread_spawns_tells_asks_and_stops() -> None:
    async with running() as system:
        threads = system.from_thread

        def work() -> tuple[int, bool]:
            ref = threads.spawn(Counter, name="a")
            assert threads.get("a") is ref
            threads.tell(ref, Add(3))
            threads.send(ref, Add(4), timeout=5)
            threads.send(ref, Add(5))
            total = threads.ask(ref, Total(), timeout=5)
            threads.stop(ref, timeout=5)
            return total, ref.is_alive

        assert await in_thread(work) == (12, False)


async def test_a_tell_of_a_thread_has_the_options_of_its_ref_and_the_isolation_of_its_target() -> None:
    class Copying(Recorder):
        isolation = "copy"

        def on_receive(self, message: object) -> None:
            self.log(str(message))

    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Copying, log, gate)
        ref.tell(Pass())
        await gate.reached.wait()
        numbers = [1]

        def work() -> None:
            system.from_thread.tell(ref, numbers)
            numbers.append(2)
            system.from_thread.tell(ref.with_options(priority=1), Say("first"))
            with pytest.raises(InvalidArgument, match="None is no message"):
                system.from_thread.tell(ref, None)

        await in_thread(work)
        gate.open.set()
        await log.until("[1]")

        assert [line for line in log if line in ("first", "[1]", "[1, 2]")] == ["first", "[1]"]


@pytest.mark.parametrize("cls", [Recorder, type("Mirrored", (Recorder,), {"durability": "mirrored"})])
async def test_the_tells_of_a_thread_arrive_in_order(cls: type[Recorder]) -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(cls, log, name="a")

        def work() -> None:
            for n in range(3_000):
                system.from_thread.tell(ref, Say(str(n)))
            system.from_thread.ask(ref, Say("end"), timeout=10)

        await in_thread(work)

        assert log.lines == ["a start", *(str(n) for n in range(3_000)), "end"]


@pytest.mark.parametrize("way", ["tell", "send"])
async def test_options_of_a_ref_hold_for_threads(way: str) -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate, name="a")
        ref.tell(Pass())
        await gate.reached.wait()

        def work() -> None:
            threads = system.from_thread
            threads.send(ref, Say("plain"), timeout=5)
            post: Callable[..., None] = getattr(threads, way)
            post(ref.with_options(priority=1), Say("urgent"))
            post(ref.with_options(expires=1e-9), Say("late"))
            threads.send(ref, Say("end"), timeout=5)

        await in_thread(work)
        gate.open.set()
        await log.until("end")

        assert [line for line in log if line in ("urgent", "plain", "late", "end")] == [
            "urgent",
            "plain",
            "end",
        ]
        assert letters(system) == [(Say("late"), "expired")]


async def test_many_threads_tell_at_once_and_nothing_is_lost() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")

        def work() -> None:
            for _ in range(500):
                system.from_thread.tell(ref, Add())

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(in_thread, work)

        # Asked by a thread, since an ask of the loop's own overtakes what is still on its way.
        assert await in_thread(lambda: system.from_thread.ask(ref, Total(), timeout=10)) == 4_000


async def test_a_thread_gets_a_virtual_actor() -> None:
    async with running() as system:
        threads = system.from_thread

        def work() -> int:
            ref = threads.get_or_spawn(Counter, "a")
            threads.tell(ref, Add(3))
            return threads.ask(ref, Total(), timeout=5)

        assert await in_thread(work) == 3
        assert (await system.get_or_spawn(Counter, "a")).incarnation == 1


async def test_what_it_raises_is_raised_in_the_thread() -> None:
    async with running() as system:
        threads = system.from_thread
        ref = await system.spawn(Counter, name="a")

        with pytest.raises(HandlerFailed) as failed:
            await in_thread(lambda: threads.ask(ref, Fail("mine"), timeout=5))
        with pytest.raises(NameTaken):
            await in_thread(lambda: threads.spawn(Counter, name="a"))
        with pytest.raises(UnknownActor, match="no actor lives at 'b'"):
            await in_thread(lambda: threads.get("b"))

        assert isinstance(failed.value.__cause__, ValueError)


async def test_a_message_that_cannot_be_encoded_is_refused_at_the_tell() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")

        with pytest.raises(UnencodableMessage):
            await in_thread(lambda: system.from_thread.tell(ref, object()))


async def test_a_message_is_recorded_as_it_was_when_it_was_told() -> None:
    class Words(msgspec.Struct):
        words: list[str]

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        message = Words(["then"])

        def work() -> None:
            system.from_thread.tell(ref, message)
            message.words.append("now")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()  # the loop has no chance to take it before
        await ref.ask(Total(), timeout=5)
        await system.flush()

        rows = await store.events("test", message_type="Words")
        assert [row.payload for row in rows if row.event_type == "message_sent"] == [{"words": ["then"]}]


async def test_a_dead_target_makes_a_dead_letter() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        await ref.stop()

        await in_thread(lambda: system.from_thread.tell(ref, Add(7)))
        await in_thread(lambda: system.from_thread.call(lambda: None))

        assert letters(system) == [(Add(7), "stopped")]
        with pytest.raises(ActorStopped):
            await in_thread(lambda: system.from_thread.ask(ref, Total(), timeout=5))


async def test_a_full_mailbox_makes_a_send_wait_and_time_out() -> None:
    class Narrow(Recorder):
        mailbox = MailboxOptions(capacity=1)

    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Narrow, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Say("fills it"))

        with pytest.raises(SendTimeout):
            await in_thread(lambda: system.from_thread.send(ref, Say("x"), timeout=0.02))
        gate.open.set()
        await in_thread(lambda: system.from_thread.send(ref, Say("y")))


async def test_an_ask_times_out_with_what_the_actor_does() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)

        with pytest.raises(AskTimeout, match=r"within 0\.02 s"):
            await in_thread(lambda: system.from_thread.ask(ref, Pass(), timeout=0.02))
        gate.open.set()


async def test_an_ask_times_out_also_when_something_blocks_the_loop() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        def work() -> AskTimeout:
            with pytest.raises(AskTimeout, match="blocked") as caught:
                system.from_thread.ask(ref, Total(), timeout=0.01)
            return caught.value

        seen: list[AskTimeout] = []
        thread = threading.Thread(target=lambda: seen.append(work()))
        thread.start()
        thread.join()  # the loop, until the thread has given up

        assert seen[0].ref is ref
        assert await ref.ask(Total(), timeout=5) == 0
        assert ref.statistics().depth == 0


async def test_who_waits_for_an_end_may_stop_waiting() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate)
        ref.tell(Pass())
        await gate.reached.wait()

        with pytest.raises(WaitTimeout, match="the end of"):
            await in_thread(lambda: system.from_thread.stop(ref, timeout=0.02))
        assert ref.is_alive
        gate.open.set()
        await in_thread(lambda: system.from_thread.stop(ref))

        assert not ref.is_alive


async def test_drain_kill_and_flush() -> None:
    async with running() as system:
        threads = system.from_thread
        log, gate = Log(), Gate()
        first = await system.spawn(Recorder, log, name="first")
        second = await system.spawn(Recorder, log, gate, name="second", restart="temporary")
        second.tell(Pass())
        await gate.reached.wait()

        def work() -> None:
            threads.tell(first, Say("drained"))
            threads.drain(first, timeout=5)
            threads.kill(second, timeout=5)
            threads.flush(timeout=5)

        await in_thread(work)

        assert log.lines[-3:] == ["drained", "first stop", "interrupted"]


async def test_call_runs_anything_on_the_loop_with_the_threads_context() -> None:
    async with running() as system:

        async def both(first: str, second: int) -> str:
            await anyio.lowlevel.checkpoint()
            return f"{first} {second} {WHO.get()}"

        def work() -> tuple[str, int, Any]:
            WHO.set("me")
            threads = system.from_thread
            actors = threads.call(system.statistics).actors
            return threads.call(both, "a", 1), actors, threads.call(threading.get_ident)

        assert await in_thread(work) == ("a 1 me", 0, threading.get_ident())
        assert WHO.get() == "nobody"


async def test_a_thread_with_an_event_loop_of_its_own(anyio_backend_name: str) -> None:
    other = "trio" if anyio_backend_name == "asyncio" else "asyncio"
    async with running() as system:
        ref = await system.spawn(Counter)

        async def ask() -> int:
            await anyio.lowlevel.checkpoint()
            system.from_thread.tell(ref, Add(2))
            return system.from_thread.ask(ref, Total(), timeout=5)

        assert await in_thread(lambda: anyio.run(ask, backend=other)) == 2
        assert await in_thread(lambda: anyio.run(ask, backend=anyio_backend_name)) == 4


async def test_on_the_loops_own_thread_it_is_refused_with_what_to_use() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)
        threads = system.from_thread
        calls: list[Callable[[], object]] = [
            lambda: threads.tell(ref, Add()),
            lambda: threads.send(ref, Add()),
            lambda: threads.ask(ref, Total(), timeout=1),
            lambda: threads.spawn(Counter),
            lambda: threads.get("a"),
            lambda: threads.stop(ref),
            threads.flush,
            lambda: threads.call(system.statistics),
        ]
        for call in calls:
            with pytest.raises(WrongThread, match=r"await ref\.ask"):
                call()

        assert await ref.ask(Total(), timeout=1) == 0


async def test_off_the_loops_thread_a_ref_says_what_to_use() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)

        with pytest.raises(WrongThread, match=r"system\.from_thread\.tell\(ref, message\)"):
            await in_thread(lambda: ref.tell(Add()))


async def test_off_the_loops_thread_groups_topics_and_statistics_say_what_to_use() -> None:
    async with running() as system:
        ref = await system.spawn(Counter)
        group, topic = system.group("workers"), system.topic("news")
        calls: dict[str, Callable[[], object]] = {
            "group.join, ref": lambda: group.join(ref),
            "group.leave, ref": lambda: group.leave(ref),
            "topic.subscribe, ref": lambda: topic.subscribe(ref),
            "topic.unsubscribe, ref": lambda: topic.unsubscribe(ref),
            "ref.statistics": ref.statistics,
        }

        for instead, call in calls.items():
            with pytest.raises(WrongThread, match=rf"system\.from_thread\.call\({instead}\)\."):
                await in_thread(call)

        assert (len(group), topic.subscribers) == (0, ())
        await in_thread(lambda: system.from_thread.call(group.join, ref))
        assert group.members == (ref,)
        statistics = await in_thread(lambda: system.from_thread.call(ref.statistics))
        assert statistics == ref.statistics()


async def test_the_health_is_for_every_thread() -> None:
    async with running() as system:
        await system.spawn(Counter)

        assert await in_thread(system.health) == system.health()


@pytest.mark.parametrize("ref", [None, "a/path", 3])
async def test_what_is_no_ref_is_refused(ref: Any) -> None:
    async with running() as system:
        with pytest.raises(InvalidArgument, match="must be an ActorRef"):
            await in_thread(lambda: system.from_thread.tell(ref, Add()))


async def test_a_ref_of_another_system_is_refused() -> None:
    async with running("one") as one, running("two") as two:
        ref = await one.spawn(Counter, name="a")

        for call in (
            lambda: two.from_thread.tell(ref, Add()),
            lambda: two.from_thread.ask(ref, Total(), timeout=1),
            lambda: two.from_thread.stop(ref),
        ):
            with pytest.raises(ForeignRef, match=r"'one'.*'two'"):
                await in_thread(call)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "1"])
async def test_a_timeout_that_cannot_be_is_refused(timeout: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Counter)
        threads = system.from_thread
        for call in (
            lambda: threads.ask(ref, Total(), timeout=timeout),
            lambda: threads.send(ref, Add(), timeout=timeout),
            lambda: threads.stop(ref, timeout=timeout),
            lambda: threads.flush(timeout=timeout),
        ):
            with pytest.raises(InvalidArgument, match="timeout"):
                await in_thread(call)


async def test_a_system_that_ends_ends_every_wait() -> None:
    errors: list[str] = []
    waiting = threading.Semaphore(0)

    def wait_for(call: Callable[[], object]) -> None:
        waiting.release()
        try:
            call()
        except Exception as error:  # noqa: BLE001 - its type is the result
            errors.append(type(error).__name__)

    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Recorder, Log(), gate, shutdown="brutal_kill")
        threads = system.from_thread
        workers = [
            threading.Thread(target=wait_for, args=(call,))
            for call in (
                lambda: threads.ask(ref, Pass(), timeout=100),
                lambda: threads.call(anyio.sleep_forever),
                lambda: threads.call(anyio.sleep_forever),
            )
        ]
        for worker in workers:
            worker.start()
        await gate.reached.wait()
        await anyio.to_thread.run_sync(lambda: [waiting.acquire(timeout=10) for _ in workers])

    with anyio.fail_after(60):
        for worker in workers:
            await anyio.to_thread.run_sync(worker.join)
    assert sorted(errors) == ["ActorStopped", "SystemClosed", "SystemClosed"]


async def test_after_the_end_it_is_closed() -> None:
    async with running() as system:
        ref = await system.spawn(Recorder, Log())
        threads = system.from_thread

    with pytest.raises(SystemClosed):
        await in_thread(lambda: threads.tell(ref, Say("late")))
    with pytest.raises(SystemClosed):
        await in_thread(lambda: threads.ask(ref, Pass(), timeout=1))
    with pytest.raises(SystemClosed):
        await in_thread(lambda: threads.spawn(Counter))


async def test_what_is_told_while_the_actors_end_is_a_dead_letter() -> None:
    class Last(Recorder):
        async def on_stop(self) -> None:
            threads = self.context.system.from_thread
            # From its own thread while it stops; nobody will handle it.
            await anyio.to_thread.run_sync(threads.tell, self.context.ref, Say("too late"))

    async with running() as system:
        await system.spawn(Last, Log())

    assert letters(system) == [(Say("too late"), "stopped")]


def test_a_loop_that_ended_without_a_word_ends_the_wait() -> None:
    """On asyncio one may close a loop with tasks in it; nothing of the system runs then."""
    loop = asyncio.SelectorEventLoop()
    system = ActorSystem("test", store=MemoryStore(), watchdog=None)
    outcome: list[BaseException] = []

    async def begin() -> ActorRef[Recorder]:
        await system.__aenter__()
        return await system.spawn(Recorder, Log(), Gate())

    ref = loop.run_until_complete(begin())

    def work() -> None:
        try:
            system.from_thread.ask(ref, Pass(), timeout=100)
        except SystemClosed as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop._ready.clear()  # type: ignore[attr-defined]  # else they complain that they were never run
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    thread.join(30)

    assert [type(error) for error in outcome] == [SystemClosed]


async def test_in_a_handlers_thread_the_actor_is_the_sender() -> None:
    store = MemoryStore()

    class Worker(Actor):
        def __init__(self, other: ActorRef[Counter]) -> None:
            self.other = other

        @handles
        async def work(self, message: Total) -> int:
            return await anyio.to_thread.run_sync(self._blocking)

        def _blocking(self) -> int:
            threads = self.context.system.from_thread
            threads.tell(self.other, Add(5))
            return threads.ask(self.other, Total(), timeout=5)

    async with running(store=store) as system:
        other = await system.spawn(Counter, name="other")
        worker = await system.spawn(Worker, other, name="worker")

        assert await worker.ask(Total(), timeout=10) == 5
        await system.flush()

        sent = await store.events("test", agent="other", event_type="message_sent")
        assert [row.source_agent for row in sent] == ["worker", "worker"]
        (first,) = await store.events(
            "test", agent="worker", event_type="message_sent", message_type="Total", limit=1
        )
        assert len({row.correlation_id for row in [*sent, first]}) == 1


async def test_a_thread_far_ahead_of_the_loop_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentient_core.actors.lane.LANE_CAPACITY", 10)
    assert LANE_CAPACITY > 10
    told: list[int] = []
    async with running() as system:
        ref = await system.spawn(Counter)

        def work() -> None:
            for n in range(50):
                system.from_thread.tell(ref, Add())
                told.append(n)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(0.2)  # the loop is kept from taking anything
        seen = len(told)
        await anyio.to_thread.run_sync(thread.join)

        assert seen <= 10
        assert await ref.ask(Total(), timeout=5) == 50


async def test_an_interrupted_wait_takes_the_ask_back() -> None:
    """As Ctrl-C does to a main thread that waits."""

    class Interrupt(BaseException):
        pass

    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.spawn(Recorder, log, gate)
        threads = system.from_thread

        def work() -> None:
            thread_id.append(threading.get_ident())
            with pytest.raises(Interrupt):
                threads.ask(ref, Pass(), timeout=100)

        thread_id: list[int] = []
        thread = threading.Thread(target=work)
        thread.start()
        await gate.reached.wait()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id[0]), ctypes.py_object(Interrupt))
        with anyio.fail_after(60):
            await anyio.to_thread.run_sync(thread.join)
        await in_thread(lambda: threads.call(lambda: None))
        gate.open.set()
        await log.until("passed")
        await in_thread(lambda: threads.call(lambda: None))
        await ref.stop()

        assert [reason for _, reason in letters(system)] == ["late_reply"]


async def test_a_supervisor_is_administered_and_an_actor_paused_by_way_of_the_loops_thread() -> None:
    class Team(Supervisor):
        durability = "volatile"

    async with running() as system:
        top = await system.spawn(Team, name="top")

        def work() -> list[str]:
            ref = system.from_thread.call(top.start_child, ChildSpec(Counter, name="a"))
            with pytest.raises(WrongThread, match="call"):
                asyncio.run(top.terminate_child("a"))
            for call in (ref.pause, ref.resume, top.which_children, top.count_children):
                with pytest.raises(WrongThread):
                    call()
            with pytest.raises(WrongThread):
                top.delete_child("a")
            system.from_thread.call(ref.pause)
            found = [info.status.value for info in system.from_thread.call(top.which_children)]
            system.from_thread.call(top.terminate_child, "a")
            system.from_thread.call(top.delete_child, "a")
            return found

        assert await in_thread(work) == ["paused"]
        assert top.which_children() == []

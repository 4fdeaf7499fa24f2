"""The actor system: entering, leaving in every way there is, names, several at once."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import structlog
from anyio.lowlevel import checkpoint

from sentient_core import (
    Actor,
    ActorStopped,
    ActorSystem,
    Backoff,
    ChildSpec,
    Fenced,
    InvalidArgument,
    InvalidChildSpec,
    InvalidName,
    InvalidSignificance,
    MemoryStore,
    NameTaken,
    SentientError,
    StoreUnavailable,
    Supervisor,
    SystemClosed,
    UnknownActor,
    UnknownChild,
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
    Save,
    Say,
    Total,
    VolatileCounter,
    letters,
    running,
)
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


def a_system(name: str = "test") -> ActorSystem:
    return ActorSystem(name, store=MemoryStore())


async def test_printed_it_says_its_name_its_store_and_how_it_is() -> None:
    async with ActorSystem("bank", store=MemoryStore()) as system:
        assert repr(system) == f"<ActorSystem 'bank' at {system.store.url}: it is running>"
    assert repr(system).endswith("it has ended>")


async def test_leaving_stops_the_actors_last_started_first() -> None:
    log = Log()

    async with a_system() as system:
        for name in "abc":
            await system.spawn(Recorder, log, name=name)

    assert log.lines == ["a start", "b start", "c start", "c stop", "b stop", "a stop"]


async def test_leaving_finishes_the_message_in_hand_and_leaves_the_rest() -> None:
    class Slow(Recorder):
        @handles
        async def wait_at_the_gate(self, message: Pass) -> str:
            self.log("working")
            await anyio.sleep(1)
            self.log("done")
            return "done"

    log = Log()
    async with a_system() as system:
        ref = await system.spawn(Slow, log, name="a")
        ref.tell(Pass())
        ref.tell(Say("queued"))
        await log.until("working")

    assert log.lines == ["a start", "working", "done", "a stop"]
    assert [(letter.message, letter.reason.value) for letter in system.dead_letters] == [
        (Say("queued"), "stopped")
    ]


async def test_an_exception_of_the_body_stops_the_actors_and_passes_as_it_is() -> None:
    log = Log()

    with pytest.raises(KeyError) as caught:  # noqa: PT012
        async with a_system() as system:
            await system.spawn(Recorder, log, name="a")
            raise KeyError("mine")

    assert caught.value.args == ("mine",)
    assert log.lines == ["a start", "a stop"]


async def test_an_exception_group_of_the_body_passes_as_it_is() -> None:
    group = ExceptionGroup("mine", [ValueError("inside")])

    with pytest.raises(ExceptionGroup) as caught:
        async with a_system():
            raise group

    assert caught.value is group


async def test_an_outer_timeout_stops_the_actors_in_order() -> None:
    class Slow(Recorder):
        async def on_stop(self) -> None:
            await anyio.sleep(1)
            self.log("slow stop")

    log = Log()
    begin = anyio.current_time()

    with anyio.move_on_after(2) as scope:
        async with a_system() as system:
            await system.spawn(Slow, log, name="a")
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    assert log.lines == ["a start", "slow stop"]
    assert anyio.current_time() - begin == pytest.approx(3)


async def test_a_cancellation_from_outside_stops_the_actors_in_order() -> None:
    log = Log()

    async def serve() -> None:
        async with a_system() as system:
            await system.spawn(Recorder, log, name="a")
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await log.until("a start")
        tasks.cancel_scope.cancel()

    assert log.lines == ["a start", "a stop"]


async def test_a_sibling_task_that_fails_cancels_the_system_orderly() -> None:
    log = Log()

    async def serve() -> None:
        async with a_system() as system:
            await system.spawn(Recorder, log, name="a")
            await anyio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            await log.until("a start")
            raise KeyError("elsewhere")

    assert isinstance(caught.value.exceptions[0], KeyError)
    assert log.lines == ["a start", "a stop"]


async def test_a_cancellation_while_the_system_stops_does_not_cut_it_short() -> None:
    class Slow(Recorder):
        async def on_stop(self) -> None:
            await anyio.sleep(3)
            self.log("slow stop")

    log = Log()
    with anyio.move_on_after(1):
        async with a_system() as system:
            await system.spawn(Slow, log, name="a")

    assert log.lines == ["a start", "slow stop"]


async def test_a_handler_in_hand_at_the_end_is_finished_within_the_grace() -> None:
    class Slow(Recorder):
        @handles
        async def say(self, message: Say) -> str:
            self.log("working")
            await anyio.sleep(4)
            self.log("done")
            return message.text

    log = Log()
    async with a_system() as system:
        ref = await system.spawn(Slow, log, name="a")
        ref.tell(Say("x"))
        await log.until("working")

    assert log.lines == ["a start", "working", "done", "a stop"]


async def test_an_actor_that_keeps_sending_to_itself_does_not_keep_the_system_open() -> None:
    class Endless(VolatileCounter):
        @handles
        def add(self, message: Add) -> None:
            self.context.ref.tell(message)

    async with a_system() as system:
        ref = await system.spawn(Endless)
        ref.tell(Add())
        for _ in range(10):
            await checkpoint()


async def test_a_crash_loop_at_the_end_does_not_keep_the_system_open() -> None:
    async with a_system() as system:
        ref = await system.spawn(Counter, restart="permanent")
        for _ in range(3):
            ref.tell(Fail())


async def test_spawning_while_the_system_stops_leaves_nothing_behind() -> None:
    class Last(Recorder):
        async def on_stop(self) -> None:
            try:
                ref = await self.context.system.spawn(Recorder, self.log, self.gate, name="late")
            except SentientError as error:
                self.log(type(error).__name__)
            else:
                ref.tell(Pass())
                await anyio.sleep(1)

    log, gate = Log(), Gate()
    with anyio.fail_after(100):
        async with a_system() as system:
            await system.spawn(Last, log, gate, name="last")

    assert log.lines.count("late start") == log.lines.count("late stop")


async def test_on_stop_may_still_ask_those_that_were_started_before() -> None:
    class Reporter(Actor):
        def __init__(self, target: Any, log: Log) -> None:
            self.target = target
            self.log = log

        async def on_stop(self) -> None:
            self.log(f"total {await self.target.ask(Total(), timeout=1)}")

    log = Log()
    async with a_system() as system:
        counter = await system.spawn(Counter)
        counter.tell(Add(7))
        await system.spawn(Reporter, counter, log)

    assert log.lines == ["total 7"]


async def test_entering_twice_is_refused() -> None:
    system = a_system()
    async with system:
        with pytest.raises(SentientError, match="make a new one"):
            async with system:
                pass
        await system.spawn(Counter)  # and does no harm

    with pytest.raises(SentientError, match="make a new one"):
        async with system:
            pass


async def test_before_and_after_it_runs_everything_is_refused_with_what_to_do() -> None:
    system = a_system("bank")
    with pytest.raises(SystemClosed, match="async with ActorSystem"):
        await system.spawn(Counter)
    with pytest.raises(SystemClosed):
        system.statistics()
    async with system:
        ref = await system.spawn(Counter)
        volatile = await system.spawn(VolatileCounter)

    for call in (lambda: system.get("a"), lambda: system.actors(Actor), lambda: ref.tell(Add())):
        with pytest.raises(SystemClosed, match="'bank'"):
            call()
    with pytest.raises(SystemClosed):
        volatile.tell(Add())
    with pytest.raises(SystemClosed, match="'bank'"):
        _ = system.spawn(Counter)
    for coroutine in (system.flush(), ref.send(Add()), ref.ask(Total(), timeout=1)):
        with pytest.raises(SystemClosed, match="'bank'"):
            await coroutine
    await ref.stop()
    await ref.kill()
    assert not ref.is_alive
    assert system.statistics().actors == 0


async def test_asks_from_outside_end_when_the_system_does() -> None:
    gate = Gate()
    ended = anyio.Event()

    async def ask(ref: Any) -> None:
        with pytest.raises(ActorStopped):
            await ref.ask(Pass(), timeout=1_000)
        ended.set()

    async with anyio.create_task_group() as tasks:
        async with a_system() as system:
            ref = await system.spawn(Recorder, Log(), gate, shutdown="brutal_kill")
            tasks.start_soon(ask, ref)
            await gate.reached.wait()
        with anyio.fail_after(1):
            await ended.wait()


async def test_several_systems_do_not_meet() -> None:
    store = MemoryStore()
    async with running("one", store=store) as one, running("two", store=store) as two:
        first = await one.spawn(Counter, name="a")
        second = await two.spawn(Counter, name="a")
        first.tell(Add(1))
        second.tell(Add(2))

        assert (await first.ask(Total(), timeout=1), await second.ask(Total(), timeout=1)) == (1, 2)
        assert one.get("a") is first
        await one.flush()
        await two.flush()
        assert len(await store.events("one", event_type="message_sent")) == 2
        await first.stop()
        assert second.is_alive


async def test_a_system_can_be_made_again_and_again() -> None:
    for n in range(5):
        async with running("again") as system:
            ref = await system.spawn(Counter, name="a")
            ref.tell(Add(n))
            assert await ref.ask(Total(), timeout=1) == n


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "$a", "a\nb", "x" * 201, "external", 3, None, "a\u200bb"],
    ids=["empty", "slash", "dollar", "newline", "long", "external", "number", "none", "invisible"],
)
async def test_a_name_that_cannot_be_is_refused_at_the_call(name: Any) -> None:
    with pytest.raises(InvalidName, match="cannot be a name"):
        ActorSystem(name, store=MemoryStore())
    if name is None:
        return
    async with running() as system:
        with pytest.raises(InvalidName, match="cannot be a name"):
            await system.spawn(Counter, name=name)
        assert system.actors(Actor) == []


async def test_a_name_that_is_taken_comes_with_the_living_ref() -> None:
    async with running() as system:
        first = await system.spawn(Counter, name="a")

        with pytest.raises(NameTaken, match="'a'") as caught:
            await system.spawn(Recorder, Log(), name="a")

        assert caught.value.ref is first
        assert caught.value.path == "a"
        assert await first.ask(Total(), timeout=1) == 0


async def test_of_two_spawns_of_one_name_at_once_one_wins() -> None:
    class Slow(Counter):
        async def on_start(self) -> None:
            await anyio.sleep(1)

    results: list[str] = []
    async with running() as system:

        async def spawn() -> None:
            try:
                await system.spawn(Slow, name="a")
                results.append("spawned")
            except NameTaken:
                results.append("taken")

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(spawn)

    assert sorted(results) == ["spawned", "taken", "taken"]


async def test_an_unknown_path_is_refused_with_near_misses() -> None:
    async with running() as system:
        await system.spawn(Counter, name="alice")

        with pytest.raises(UnknownActor, match="Did you mean 'alice'") as caught:
            system.get("alise")

        assert caught.value.near == ("alice",)
        assert isinstance(caught.value, LookupError)


async def test_anonymous_actors_have_paths_of_their_own() -> None:
    async with running() as system:
        first, second = await system.spawn(Counter), await system.spawn(Counter)

        assert first.path != second.path
        assert system.get(first.path) is first


async def test_actors_of_a_class_and_its_subclasses() -> None:
    async with running() as system:
        counter = await system.spawn(Counter)
        volatile = await system.spawn(VolatileCounter)
        await system.spawn(Supervisor)

        assert set(system.actors(Counter)) == {counter, volatile}
        assert system.actors(VolatileCounter) == [volatile]


async def test_statistics_count() -> None:
    async with running() as system:
        ref = await system.spawn(Counter, name="a")
        ref.tell(Add())
        ref.tell(Say("unhandled"))
        ref.tell(Fail())
        await ref.ask(Total(), timeout=1)

        seen = system.statistics()

        assert (seen.actors, seen.handled, seen.failures, seen.restarts, seen.dead_letters) == (1, 2, 1, 1, 2)
        assert (seen.mirrored, seen.unmirrored) == (5, 0)  # four messages, one reply


async def test_a_store_that_is_down_refuses_the_start_and_leaves_nothing() -> None:
    store = MemoryStore()
    store.pause()
    system = ActorSystem("test", store=store)

    with pytest.raises(StoreUnavailable):
        async with system:
            pass

    store.resume()
    async with ActorSystem("test", store=store) as again:
        await again.spawn(Counter)


async def test_a_store_that_is_down_at_the_end_is_waited_for_with_patience_only() -> None:
    store = MemoryStore()
    begin = 0.0
    with structlog.testing.capture_logs() as lines:
        async with ActorSystem("test", store=store, drain_patience=3) as system:
            ref = await system.spawn(Counter)
            store.pause()
            ref.tell(Add())
            await ref.ask(Total(), timeout=1)
            begin = anyio.current_time()

    assert anyio.current_time() - begin == pytest.approx(3)
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert line["records"] > 0


async def test_a_later_start_fences_the_earlier_one() -> None:
    store = MemoryStore()
    log = Log()

    async def first() -> None:
        with pytest.raises(Fenced, match="'test'"):  # noqa: PT012
            async with ActorSystem("test", store=store) as system:
                await system.spawn(Recorder, log, name="a")
                log("entered")
                await anyio.sleep_forever()
        log("fenced")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await log.until("entered")
        async with ActorSystem("test", store=store) as second:
            await log.until("fenced")
            ref = await second.spawn(Counter, name="a")
            assert await ref.ask(Total(), timeout=1) == 0

    assert log.lines == ["a start", "entered", "a stop", "fenced"]


async def test_a_fenced_system_ends_also_when_its_actors_are_busy() -> None:
    class SlowStop(Recorder):
        async def on_stop(self) -> None:
            await anyio.sleep(1)
            self.log("stopped")

    store = MemoryStore()
    log = Log()
    with anyio.fail_after(100), pytest.raises(Fenced):  # noqa: PT012
        async with ActorSystem("test", store=store) as system:
            refs = [await system.spawn(SlowStop, log, Gate(), name=f"r{n}") for n in range(6)]
            for ref in refs:
                ref.tell(Pass())
            await log.until("waiting", times=6)
            for ref in refs[:4]:
                ref.kill()
            await log.until("interrupted", times=4)
            await anyio.wait_all_tasks_blocked()
            async with ActorSystem("test", store=store):
                await anyio.sleep_forever()

    assert log.lines.count("stopped") == 4


async def test_the_bodys_own_exception_does_not_hide_a_fence() -> None:
    store = MemoryStore()

    with pytest.raises(Fenced):  # noqa: PT012
        async with ActorSystem("test", store=store):
            async with ActorSystem("test", store=store):
                pass
            raise KeyError("mine")


async def test_a_restart_at_the_moment_of_the_fence_changes_nothing() -> None:
    class Stateful(Counter):
        async def on_stop(self) -> None:
            await checkpoint()

    store = MemoryStore()
    with anyio.fail_after(100), pytest.raises(Fenced):  # noqa: PT012
        async with ActorSystem("test", store=store) as system:
            refs = [await system.spawn(Stateful, name=f"a{n}") for n in range(3)]
            for ref in refs:
                await ref.ask(Save(), timeout=1)
            refs[0].tell(Fail())
            await store.open_journal("test")
            refs[1].tell(Fail())
            refs[2].kill()
            await anyio.sleep_forever()


@pytest.mark.usefixtures("fail_on_blocking_call")
async def test_nothing_blocks_the_event_loop() -> None:
    with structlog.testing.capture_logs():
        async with a_system() as system:
            ref = await system.spawn(Counter, name="a")
            ref.tell(Add())
            await ref.ask(Save(), timeout=1)
            ref.tell(Fail())
            assert await ref.ask(Total(), timeout=1) == 1
            await ref.stop()
            await system.flush()


async def test_an_actor_under_the_root_is_started_by_a_spec_and_terminated_for_good() -> None:
    log = Log()
    async with a_system() as system:
        backoff = Backoff(first=60, most=60, jitter=0)
        ref = await system.start_child(ChildSpec(Recorder, name="a", args=(log,), backoff=backoff))
        await ref.stop()
        ref.tell(Say("waits for its restart"))

        await system.terminate_child("a")

        assert not ref.is_alive
        assert letters(system) == [(Say("waits for its restart"), "stopped")]
        await system.start_child(ChildSpec(Recorder, name="a", args=(log,)))
        await system.terminate_child("a")
    assert log.lines == ["a start", "a stop"] * 2


async def test_what_is_no_child_of_the_root_is_not_started_nor_terminated() -> None:
    async with a_system() as system:
        with pytest.raises(InvalidChildSpec, match="a class is for spawn"):
            await system.start_child(Recorder)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidSignificance):
            await system.start_child(ChildSpec(Recorder, restart="transient", significant=True))
        with pytest.raises(UnknownChild, match="the root supervisor has no child 'a'"):
            await system.terminate_child("a")
        with pytest.raises(InvalidArgument):
            await system.terminate_child(None)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(SystemClosed):
        await system.terminate_child("a")


async def test_what_is_no_path_is_an_unknown_actor() -> None:
    async with a_system() as system:
        path: Any = 5
        await system.spawn(VolatileCounter, name="a")
        for look in (system.get, system.tree):
            with pytest.raises(UnknownActor, match="no actor lives at '5'"):
                look(path)

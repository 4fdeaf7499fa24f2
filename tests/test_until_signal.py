"""Running until a signal: the order of drain, stop and kill, and what the process returns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from typing import Any

import anyio
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorSystem,
    Backoff,
    CheckpointPolicy,
    ChildSpec,
    ExitCode,
    InvalidArgument,
    MemoryStore,
    SignalsUnavailable,
    Supervisor,
    SystemClosed,
    SystemStatus,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Counter, Fail, Log, Pass, Recorder, Say, letters
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


class Sent:
    """A source of signals in a test's hands."""

    def __init__(self) -> None:
        self._waiting: list[Signals] = []
        self._news = anyio.Event()
        self.asked_for: tuple[Signals, ...] = ()
        self.is_open = False

    def __call__(self, number: Signals) -> None:
        assert self.is_open
        self._waiting.append(number)
        self._news.set()

    def __aiter__(self) -> AsyncIterator[Signals]:
        return self

    async def __anext__(self) -> Signals:
        while not self._waiting:
            self._news = anyio.Event()
            await self._news.wait()
        return self._waiting.pop(0)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """Signals that the test sends, instead of the operating system's."""
    source = Sent()

    @contextmanager
    def received(signals: tuple[Signals, ...]) -> Generator[Sent]:
        source.asked_for = signals
        source.is_open = True
        yield source
        source.is_open = False

    monkeypatch.setattr("sentient_core.system.received", received)
    return source


@pytest.fixture
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged."""
    with structlog.testing.capture_logs() as captured:
        yield captured


class Working(Recorder):
    """A second for each message, two for its end."""

    @handles
    async def say(self, message: Say) -> None:
        await anyio.sleep(1)
        self.log(message.text)

    async def on_stop(self) -> None:
        await anyio.sleep(2)
        self.log(f"{self.context.ref.name} stop")


class Endless(Recorder):
    """Takes for ever to end, and lets itself be killed."""

    async def on_stop(self) -> None:
        self.log("ending")
        await anyio.sleep_forever()


class Ended:
    """`run_until_signal` beside a test."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.began = self.at = 0.0

    async def run(self, system: ActorSystem, **options: Any) -> None:
        self.code = await system.run_until_signal(**options)
        self.at = anyio.current_time()

    @property
    def is_over(self) -> bool:
        return self.code is not None


async def started(work: Callable[[], object]) -> None:
    """Return when what `work` begins waits."""
    work()
    await anyio.wait_all_tasks_blocked()


async def test_what_is_queued_is_handled_then_the_actors_stop_and_the_code_is_0(
    sent: Sent, lines: list[MutableMapping[str, Any]]
) -> None:
    log, end = Log(), Ended()
    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        refs = [await system.spawn(Working, log, name=name) for name in "ab"]
        tasks.start_soon(end.run, system)
        for text in ("one", "two", "three"):
            refs[0].tell(Say(text))
        await anyio.wait_all_tasks_blocked()
        end.began = anyio.current_time()

        sent(SIGTERM)
        await anyio.sleep(1)
        assert system.health().status is SystemStatus.STOPPING
        assert not system.health().is_ready

    assert sent.asked_for == (SIGTERM, SIGINT)
    assert end.code == ExitCode.ENDED.value == 0
    assert log.lines == ["a start", "b start", "one", "two", "three", "b stop", "a stop"]
    assert end.at - end.began == pytest.approx(7, abs=0.3)
    assert letters(system) == []
    assert [line["event"] for line in lines if line["log_level"] == "info"][-3:] == [
        "drained",
        "still stopping",
        "stopped",
    ]


async def test_a_drain_that_takes_too_long_is_left_and_the_code_says_so(sent: Sent) -> None:
    log, end = Log(), Ended()
    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        ref = await system.spawn(Working, log, name="a")
        tasks.start_soon(lambda: end.run(system, drain=1.5))
        for text in ("one", "two", "three"):
            ref.tell(Say(text))
        await anyio.wait_all_tasks_blocked()
        end.began = anyio.current_time()

        sent(SIGTERM)

    assert end.code is ExitCode.UNDRAINED
    assert log.lines == ["a start", "one", "two", "a stop"]
    assert end.at - end.began == pytest.approx(4, abs=0.3)
    assert letters(system) == [(Say("three"), "stopped")]


async def test_a_second_signal_skips_the_drain(sent: Sent) -> None:
    log, end = Log(), Ended()
    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        ref = await system.spawn(Working, log, name="a")
        tasks.start_soon(end.run, system)
        for text in ("one", "two", "three"):
            ref.tell(Say(text))
        await anyio.wait_all_tasks_blocked()

        sent(SIGTERM)
        await anyio.sleep(0.5)
        sent(SIGINT)

    assert end.code is ExitCode.UNDRAINED
    assert log.lines == ["a start", "one", "a stop"]


async def test_a_third_signal_kills_at_once(sent: Sent) -> None:
    log, end = Log(), Ended()
    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        await system.spawn(Recorder, log, name="below")
        await system.spawn(Endless, log, name="a", shutdown=None)
        tasks.start_soon(lambda: end.run(system, grace=None))
        await anyio.wait_all_tasks_blocked()

        sent(SIGTERM)
        await log.until("ending")
        sent(SIGTERM)
        await anyio.sleep(3600)
        end.began = anyio.current_time()
        sent(SIGTERM)

    assert end.code is ExitCode.KILLED
    assert end.at == end.began
    assert log.lines == ["below start", "a start", "ending"]


async def test_an_actor_that_is_killed_at_the_end_of_its_own_grace_makes_it_a_failure(sent: Sent) -> None:
    log, end = Log(), Ended()
    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        await system.spawn(Recorder, log, name="below")
        await system.spawn(Endless, log, name="a", shutdown=4)
        tasks.start_soon(end.run, system)
        await anyio.wait_all_tasks_blocked()
        end.began = anyio.current_time()

        sent(SIGTERM)

    assert end.code is ExitCode.KILLED
    assert end.at - end.began == pytest.approx(4, abs=0.3)
    assert log.lines == ["below start", "a start", "ending", "below stop"]


async def test_the_grace_of_all_together_is_a_limit_and_what_is_still_to_end_is_told(
    sent: Sent, lines: list[MutableMapping[str, Any]]
) -> None:
    log, end = Log(), Ended()
    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        await system.spawn(Recorder, log, name="below")
        await system.spawn(Endless, log, name="slow", shutdown=None)
        tasks.start_soon(lambda: end.run(system, grace=12))
        await anyio.wait_all_tasks_blocked()
        end.began = anyio.current_time()

        sent(SIGTERM)

    assert end.code is ExitCode.KILLED
    assert end.at - end.began == pytest.approx(12, abs=0.3)
    told = [line for line in lines if line["event"] == "still stopping"]
    assert [(line["actors"], line["at_work"]) for line in told] == [(2, ["slow"])] * 2
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
        "the grace is over: killing what is left"
    ]


async def test_an_actor_that_waits_for_its_restart_with_messages_is_drained_too(sent: Sent) -> None:
    store, log, end = MemoryStore(), Log(), Ended()

    class Unsaved(Counter):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=None)

        @handles
        def say(self, message: Say) -> None:
            log(message.text)

    async with ActorSystem("test", store=store) as system:  # known, but without a checkpoint
        await (await system.spawn(Unsaved, name="a", restart="temporary")).kill()

    async with ActorSystem("test", store=store) as system, anyio.create_task_group() as tasks:
        ref = await system.spawn(Unsaved, name="a")
        store.pause()
        ref.tell(Fail())
        ref.tell(Say("kept"))
        tasks.start_soon(end.run, system)
        await anyio.sleep(3)
        assert log.lines == []

        sent(SIGTERM)
        await anyio.sleep(3)
        store.resume()

    assert end.code is ExitCode.ENDED
    assert log.lines == ["kept"]


async def test_siblings_that_wait_with_the_one_that_failed_are_drained_too(sent: Sent) -> None:
    log, end = Log(), Ended()

    class Pair(Supervisor):
        strategy = Supervisor.one_for_all(backoff=Backoff(first=2, jitter=0))
        children = tuple(ChildSpec(Recorder, name=name, args=(log,)) for name in "ab")

    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        await system.spawn(Pair, name="pair")
        tasks.start_soon(end.run, system)
        system.get("pair/a").tell(Fail())
        await anyio.sleep(1)
        system.get("pair/b").tell(Say("kept"))

        sent(SIGTERM)

    assert end.code is ExitCode.ENDED
    assert "kept" in log.lines


async def test_one_that_was_stopped_and_waits_to_be_started_again_is_drained_too(sent: Sent) -> None:
    log, end = Log(), Ended()

    class Careful(Supervisor):
        strategy = Supervisor.one_for_one(backoff=Backoff(first=2, jitter=0))
        children = (ChildSpec(Recorder, name="a", args=(log,)),)

    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        await system.spawn(Careful, name="careful")
        tasks.start_soon(end.run, system)
        ref = system.get("careful/a")
        ref.stop()
        await anyio.sleep(1)
        ref.tell(Say("kept"))

        sent(SIGTERM)

    assert end.code is ExitCode.ENDED
    assert letters(system) == []


async def test_paused_actors_are_not_waited_for_and_the_code_says_what_they_leave(
    sent: Sent, lines: list[MutableMapping[str, Any]]
) -> None:
    log, end = Log(), Ended()
    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        full, empty = [await system.spawn(Recorder, log, name=name) for name in ("full", "empty")]
        full.pause()
        empty.pause()
        full.tell(Say("left"))
        tasks.start_soon(end.run, system)
        await anyio.wait_all_tasks_blocked()
        end.began = anyio.current_time()

        sent(SIGTERM)

    assert end.code is ExitCode.UNDRAINED
    assert end.at - end.began < 1
    assert letters(system) == [(Say("left"), "stopped")]
    [line] = [line for line in lines if "paused" in line["event"] and line["log_level"] == "warning"]
    assert (line["actors"], line["paused"]) == (1, ["full"])


async def test_actors_that_are_paused_and_have_no_messages_leave_nothing(sent: Sent) -> None:
    end = Ended()
    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        (await system.spawn(Recorder, Log(), name="empty")).pause()
        tasks.start_soon(end.run, system)
        await anyio.wait_all_tasks_blocked()

        sent(SIGTERM)

    assert end.code is ExitCode.ENDED


async def test_what_was_killed_before_the_stopping_is_waited_for(sent: Sent) -> None:
    log, end = Log(), Ended()

    class Careful(Recorder):
        @handles
        async def say(self, message: Say) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(2)
                assert not end.is_over
                self.log("cleaned up")

    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        ref = await system.spawn(Careful, log, name="a")
        tasks.start_soon(end.run, system)
        ref.tell(Say("one"))
        await anyio.wait_all_tasks_blocked()
        root = cell_of(ref).parent
        assert root is not None

        root.kill()  # as a third signal does that comes with the first one
        await anyio.sleep(1)
        sent(SIGTERM)
        sent(SIGTERM)

    assert end.is_over
    assert log.lines == ["a start", "cleaned up"]


async def test_it_returns_when_the_system_is_fenced_and_the_block_raises_nothing(sent: Sent) -> None:
    log, store = Log(), MemoryStore()
    codes: list[int] = []

    async def first() -> None:
        async with ActorSystem("test", store=store) as system:
            ref = await system.spawn(Working, log, name="a")
            ref.tell(Say("in hand"))
            ref.tell(Say("queued"))
            log("entered")
            codes.append(await system.run_until_signal())
        log("left")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await log.until("entered")
        async with ActorSystem("test", store=store):
            await log.until("left")

    assert codes == [ExitCode.FENCED]
    assert log.lines == ["a start", "entered", "in hand", "a stop", "left"]


async def test_it_returns_when_the_system_gives_up_and_the_block_raises_nothing(sent: Sent) -> None:
    log, end = Log(), Ended()
    async with ActorSystem("test", store=MemoryStore(), on_give_up="stop") as system:
        await system.spawn(Recorder, log, name="a")
        (await system.spawn(Recorder, log, name="b", restart="permanent")).tell(Fail())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end.run, system)
            while log.lines.count("b start") < 4:
                await anyio.sleep(0.1)
                if end.code is None:
                    system.get("b").tell(Fail())

    assert end.code is ExitCode.GAVE_UP
    assert log.lines[-1] == "a stop"


async def test_a_cancellation_while_it_waits_or_drains_leaves_the_stopping_to_the_block(sent: Sent) -> None:
    log = Log()
    with anyio.move_on_after(2) as scope:
        async with ActorSystem("test", store=MemoryStore()) as system:
            ref = await system.spawn(Working, log, name="a")
            ref.tell(Say("one"))
            ref.tell(Say("two"))
            ref.tell(Say("three"))
            await anyio.wait_all_tasks_blocked()
            sent.is_open = True
            sent(SIGTERM)
            await system.run_until_signal()

    assert scope.cancelled_caught
    assert log.lines in (
        ["a start", "one", "a stop"],
        ["a start", "one", "two", "a stop"],
        ["a start", "one", "two", "three", "a stop"],
    )


async def test_a_cancellation_while_it_stops_does_not_cut_it_short(sent: Sent) -> None:
    log, codes = Log(), list[int]()
    with anyio.move_on_after(1) as scope:
        async with ActorSystem("test", store=MemoryStore()) as system:
            await system.spawn(Working, log, name="a")
            await anyio.wait_all_tasks_blocked()
            sent.is_open = True
            sent(SIGTERM)
            codes.append(await system.run_until_signal())

    assert scope.cancel_called
    assert log.lines == ["a start", "a stop"]


async def test_after_it_the_system_has_stopped_and_leaving_the_block_finds_that_done(sent: Sent) -> None:
    log = Log()
    async with ActorSystem("test", store=MemoryStore()) as system:
        await system.spawn(Recorder, log, name="a")
        sent.is_open = True
        sent(SIGTERM)
        assert await system.run_until_signal() == 0

        assert log.lines == ["a start", "a stop"]
        with pytest.raises(SystemClosed):
            await system.spawn(Recorder, log, name="b")
        with pytest.raises(SystemClosed):
            await system.run_until_signal()

    assert system.health().status is SystemStatus.STOPPED


async def test_two_that_end_it_at_once_both_wait_for_the_end(sent: Sent) -> None:
    """The block is left while the call, in a task of its own, stops the actors."""
    log, end = Log(), Ended()
    async with anyio.create_task_group() as tasks:
        async with ActorSystem("test", store=MemoryStore()) as system:
            await system.spawn(Working, log, name="a")
            tasks.start_soon(end.run, system)
            await anyio.wait_all_tasks_blocked()
            sent(SIGTERM)
            await anyio.sleep(1)
        assert log.lines == ["a start", "a stop"]

    assert end.code is ExitCode.ENDED


async def test_handlers_that_cannot_be_ended_end_the_process_after_the_store_is_closed(
    sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[tuple[int, SystemStatus]] = []

    def one(_: object) -> int:
        return 1

    def leave(code: int) -> None:
        left.append((code, system.health().status))

    async with ActorSystem("test", store=MemoryStore()) as system:
        monkeypatch.setattr("sentient_core.until_signal._hung", one)
        monkeypatch.setattr(os, "_exit", leave)
        sent.is_open = True
        sent(SIGTERM)
        await system.run_until_signal()

    assert left == [(ExitCode.HUNG, SystemStatus.STOPPING)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"drain": -1}, "drain must be"),
        ({"drain": None}, "drain must be"),
        ({"drain": float("nan")}, "drain must be"),
        ({"grace": "long"}, "grace must be"),
        ({"grace": True}, "grace must be"),
        ({"signals": ()}, "signals is empty"),
        ({"signals": (0,)}, "signals must be"),
        ({"signals": SIGTERM}, "signals must be"),
        ({"signals": (signal.SIGKILL,)}, "no program can catch SIGKILL"),
    ],
)
async def test_what_cannot_be_waited_for_is_refused_before_anything_happens(
    options: dict[str, Any], words: str
) -> None:
    before = signal.getsignal(SIGTERM)
    async with ActorSystem("test", store=MemoryStore()) as system:
        with pytest.raises(InvalidArgument, match=words):
            await system.run_until_signal(**options)

        assert system.health().is_ready
        assert signal.getsignal(SIGTERM) == before


async def test_before_the_block_it_is_refused() -> None:
    with pytest.raises(SystemClosed):
        await ActorSystem("test", store=MemoryStore()).run_until_signal()


async def test_in_an_actor_and_twice_at_once_it_is_refused(sent: Sent) -> None:
    class Suicidal(Actor):
        durability = "volatile"

        @handles
        async def end(self, message: Pass) -> str:
            return str(await self.context.system.run_until_signal())

        reply_errors = (SignalsUnavailable,)

    end = Ended()
    async with ActorSystem("test", store=MemoryStore()) as system, anyio.create_task_group() as tasks:
        ref = await system.spawn(Suicidal)
        with pytest.raises(SignalsUnavailable, match="in an actor"):
            await ref.ask(Pass(), timeout=1)

        tasks.start_soon(end.run, system)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(SignalsUnavailable, match="twice"):
            await system.run_until_signal()
        sent(SIGTERM)

    assert end.code == 0


def test_off_the_main_thread_it_is_refused() -> None:
    errors: list[BaseException] = []

    async def serve() -> None:
        async with ActorSystem("test", store=MemoryStore()) as system:
            await system.run_until_signal()

    def run(backend: str) -> None:
        try:
            anyio.run(serve, backend=backend)
        except SignalsUnavailable as error:
            errors.append(error)

    for backend in ("asyncio", "trio"):
        thread = threading.Thread(target=run, args=(backend,))
        thread.start()
        thread.join()

    assert ["in this thread" in str(error) for error in errors] == [True, True]


def test_on_windows_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve() -> None:
        async with ActorSystem("test", store=MemoryStore()) as system:
            monkeypatch.setattr(sys, "platform", "win32")
            try:
                await system.run_until_signal()
            finally:
                monkeypatch.undo()

    with pytest.raises(SignalsUnavailable, match="on Windows"):
        anyio.run(serve)


# What follows runs as a service does: processes with real signals.

TIMEOUT = 60.0

PROGRAM = """
import signal, sys, anyio, msgspec, structlog
from sentient_core import Actor, ActorSystem, handles, ExitCode

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

class Work(msgspec.Struct, frozen=True):
    seconds: float

class Worker(Actor):
    class State(msgspec.Struct):
        done: int = 0

    state: State

    def on_start(self):
        print("has done", self.state.done, flush=True)

    @handles
    async def work(self, message: Work) -> None:
        print("working", flush=True)
        await anyio.sleep(message.seconds)
        self.state.done += 1

    def on_stop(self):
        print("worker stops", flush=True)

async def main():
    backend, store, seconds = sys.argv[1:4]
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    async with ActorSystem("service", store=store) as system:
        worker = await system.spawn(Worker, name="worker", shutdown=30.0 if seconds == "0.2" else 0.3)
        worker.tell(Work(float(seconds)))
        worker.tell(Work(0.0))
        code = await system.run_until_signal(drain=30.0 if seconds == "0.2" else 0.2)
        assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before
    print("left", flush=True)
    return code

raise SystemExit(anyio.run(main, backend=sys.argv[1]))
"""


class Service:
    """The program in a process of its own."""

    def __init__(self, folder: Path, backend: str, seconds: float, program: str) -> None:
        self.before: list[str] = []
        """Lines that `until` has read."""
        file = folder / "service.py"
        file.write_text(program, "utf-8")
        store = f"surrealkv://{folder / 'service.db'}"
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "error", str(file), backend, store, str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, line: str) -> None:
        assert self.process.stdout is not None
        for found in self.process.stdout:
            self.before.append(found.strip())
            if found.strip() == line:
                return
        raise AssertionError(f"it did not come to {line!r}: {self.process.communicate()[1]}")

    def end(self, *numbers: Signals) -> tuple[int, list[str], str]:
        """Exit code, and what it wrote until then."""
        for number in numbers:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, out.splitlines(), err


@contextmanager
def service(folder: Path, backend: str, seconds: float, program: str = PROGRAM) -> Generator[Service]:
    it = Service(folder, backend, seconds, program)
    try:
        yield it
    finally:
        it.process.kill()
        it.process.communicate()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_a_process_drains_stops_writes_its_state_and_exits_with_0(
    backend: str, number: Signals, tmp_path: Path
) -> None:
    with service(tmp_path, backend, 0.2) as it:
        it.until("working")
        code, out, err = it.end(number)
    assert (code, out[-3:]) == (0, ["working", "worker stops", "left"])
    assert "Traceback" not in err

    with service(tmp_path, backend, 0.2) as it:
        it.until("has done 2")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_process_whose_actors_do_not_end_in_time_exits_with_the_code_for_that(
    backend: str, tmp_path: Path
) -> None:
    with service(tmp_path, backend, 3600) as it:
        it.until("working")
        code, out, _ = it.end(SIGTERM)

    assert (code, out) == (ExitCode.KILLED, ["left"])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_after_it_is_a_keyboard_interrupt_again(backend: str) -> None:
    program = """
        import os, signal, sys, anyio
        from sentient_core import ActorSystem, MemoryStore

        async def main():
            async with ActorSystem("service", store=MemoryStore()) as system:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(system.run_until_signal)
                    await anyio.sleep(0.1)
                    os.kill(os.getpid(), signal.SIGINT)
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await anyio.sleep(10)
            finally:
                print("interrupted", flush=True)

        try:
            anyio.run(main, backend=sys.argv[1])
        except KeyboardInterrupt:
            sys.exit(7)
    """
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", textwrap.dedent(program), backend],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )

    assert (done.returncode, done.stdout.splitlines()[-1]) == (7, "interrupted"), done.stderr


STUBBORN = """
import sys, anyio, msgspec, structlog
from sentient_core import Actor, ActorSystem, handles

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

class Work(msgspec.Struct, frozen=True):
    pass

class Stubborn(Actor):
    durability = "volatile"
    kill_grace = 0.2

    @handles
    async def work(self, message: Work) -> None:
        print("working", flush=True)
        while True:
            try:
                await anyio.sleep_forever()
            except BaseException:
                pass

class Counter(Actor):
    class State(msgspec.Struct):
        total: int = 0

    state: State

    def on_start(self):
        print("total", self.state.total)

    @handles
    def add(self, message: Work) -> None:
        self.state.total += 1

async def main():
    async with ActorSystem("service", store=sys.argv[2]) as system:
        counter = await system.spawn(Counter, name="counter")
        counter.tell(Work())
        stubborn = await system.spawn(Stubborn, name="stubborn", shutdown=0.2)
        stubborn.tell(Work())
        code = await system.run_until_signal(drain=0.2)
    print("not reached")
    return code

raise SystemExit(anyio.run(main, backend=sys.argv[1]))
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_handler_that_swallows_its_cancellation_does_not_keep_the_process(
    backend: str, tmp_path: Path
) -> None:
    """The store is closed in order first, and what was printed is not lost."""
    for total in (0, 1):
        with service(tmp_path, backend, 0.0, STUBBORN) as it:
            it.until("working")
            code, out, err = it.end(SIGTERM)

        assert (code, out) == (ExitCode.HUNG, [])
        assert "ending the process" in err
        assert "did not end in order" not in err
        assert it.before == [f"total {total}", "working"]

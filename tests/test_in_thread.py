"""An actor system in a program that is not async: starting, ending in every way there is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, get_args

import pytest

from sentient_core import (
    Actor,
    ActorStopped,
    ActorSystem,
    Fenced,
    InvalidArgument,
    MemoryStore,
    SentientError,
    StoreInUse,
    SystemClosed,
    handles,
)
from sentient_core.in_thread import BackendName
from tests.probes import Add, Counter, Fail, Total

ROOT = Path(__file__).parents[1]

on_both = pytest.mark.parametrize("backend", get_args(BackendName))


def a_system(name: str = "test", store: MemoryStore | None = None) -> ActorSystem:
    return ActorSystem(name, store=store or MemoryStore())


class Closing(Actor):
    """Says that it has ended in order."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def on_stop(self) -> None:
        self.lines.append("stopped")

    @handles
    def exit(self, message: int) -> None:
        raise SystemExit(message)


@on_both
def test_a_sync_program_uses_it_like_any_object(backend: BackendName) -> None:
    system = a_system()
    with system.in_thread(backend=backend) as shop:
        ref = shop.spawn(Counter, name="a")
        shop.tell(ref, Add(2))
        shop.send(ref, Add(3))

        assert shop.ask(ref, Total(), timeout=60) == 5
        assert shop.system is system
        assert system.health().is_ready
        name = shop.call(threading.current_thread).name
        assert name == "sentient-core system test"

    assert not system.health().is_ready
    assert name not in [thread.name for thread in threading.enumerate()]


@on_both
def test_leaving_ends_it_in_order(backend: BackendName) -> None:
    store, lines = MemoryStore(), list[str]()
    with a_system(store=store).in_thread(backend=backend) as shop:
        shop.spawn(Closing, lines)
        ref = shop.spawn(Counter, name="a")
        shop.tell(ref, Add(7))
        shop.ask(ref, Total(), timeout=60)

    with a_system(store=store).in_thread(backend=backend) as shop:
        assert shop.ask(shop.spawn(Counter, name="a"), Total(), timeout=60) == 7
    assert lines == ["stopped"]


@on_both
def test_the_blocks_own_exception_passes_as_it_is(backend: BackendName) -> None:
    lines: list[str] = []
    error = KeyError("mine")

    with pytest.raises(KeyError) as caught, a_system().in_thread(backend=backend) as shop:  # noqa: PT012
        shop.spawn(Closing, lines)
        raise error

    assert caught.value is error
    assert lines == ["stopped"]


@on_both
def test_what_keeps_it_from_starting_is_raised(backend: BackendName, tmp_path: Path) -> None:
    url = f"surrealkv://{tmp_path / 'db'}"
    first, second = (ActorSystem(name, store=url).in_thread(backend=backend) for name in ("one", "two"))
    before = set(threading.enumerate())

    with first, pytest.raises(StoreInUse), second:
        pass

    assert [thread.name for thread in threading.enumerate() if thread not in before] == []


@on_both
def test_a_system_that_is_fenced_meanwhile_says_so_at_the_end(backend: BackendName) -> None:
    store = MemoryStore()
    with pytest.raises(Fenced), a_system(store=store).in_thread(backend=backend) as first:  # noqa: PT012
        ref = first.spawn(Counter)
        with a_system(store=store).in_thread(backend=backend):
            while True:  # until it is refused
                first.ask(ref, Total(), timeout=60)


@on_both
def test_a_failure_of_the_system_beside_one_of_the_block_is_noted_on_it(backend: BackendName) -> None:
    store = MemoryStore()
    with pytest.raises(KeyError) as caught, a_system(store=store).in_thread(backend=backend) as first:  # noqa: PT012
        with a_system(store=store).in_thread(backend=backend):
            pass
        with pytest.raises(SystemClosed):  # noqa: PT012
            while True:
                first.flush()
        raise KeyError("mine")

    assert "Fenced" in caught.value.__notes__[0]


@on_both
def test_what_ends_the_program_in_a_handler_ends_it_where_the_block_ends(backend: BackendName) -> None:
    lines: list[str] = []
    with pytest.raises(SystemExit) as caught, a_system().in_thread(backend=backend) as shop:  # noqa: PT012
        ref = shop.spawn(Closing, lines, restart="temporary")
        shop.spawn(Closing, lines)
        with pytest.raises((ActorStopped, SystemClosed)):
            shop.ask(ref, 7, timeout=10)

    assert caught.value.code == 7
    assert "stopped" in lines


def test_a_failing_actor_is_restarted_as_anywhere() -> None:
    with a_system().in_thread() as shop:
        ref = shop.spawn(Counter, name="a")
        shop.tell(ref, Fail())

        assert shop.ask(ref, Total(), timeout=60) == 0
        assert shop.call(lambda: ref.incarnation) == 2


def test_a_backend_that_is_none_is_refused() -> None:
    wrong: Any = "curio"
    with pytest.raises(InvalidArgument, match="'asyncio' or 'trio'"):
        a_system().in_thread(backend=wrong)


def test_a_system_runs_once() -> None:
    system = a_system()
    with system.in_thread():
        pass

    with pytest.raises(SentientError, match="make a new one"), system.in_thread():
        pass


PROGRAM = """
import sys, time
from sentient_core import Actor, ActorSystem, MemoryStore, Request, handles

class Wait(Request[None], frozen=True):
    "Never answered."

class Slow(Actor):
    @handles
    async def wait(self, message: Wait) -> None:
        import anyio
        print("ready", flush=True)
        await anyio.sleep_forever()

    def on_stop(self):
        print("not reached: it was killed", flush=True)

class Other(Actor):
    def on_stop(self):
        print("stopped in order", flush=True)

backend, where = sys.argv[1:]
with ActorSystem("test", store=MemoryStore()).in_thread(backend=backend) as shop:
    slow = shop.spawn(Slow, shutdown="brutal_kill")
    shop.spawn(Other)
    if where == "waiting":
        shop.ask(slow, Wait(), timeout=100)
    print("ready", flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize("where", ["waiting", "in the body"])
@on_both
def test_ctrl_c_ends_it_in_order(backend: BackendName, where: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM, backend, where],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()

    lines = [line for line in out.splitlines() if "dead letter" not in line]
    assert lines == ["stopped in order"]
    assert err.splitlines()[-1] == "KeyboardInterrupt"


def test_the_tree_is_read_from_any_thread_by_a_call() -> None:
    system = a_system()
    with system.in_thread() as shop:
        shop.spawn(Counter, name="a")

        tree = shop.call(system.tree)

    assert [node.path for _, node in tree.walk()] == ["", "a"]

"""The watchdog, on a real clock: handlers that block the loop until they are found out."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from sentient_core import Actor, ActorSystem, BlockedHandler, InvalidArgument, MemoryStore, Request, handles
from sentient_core.actors.watchdog import Watchdog, WatchedTime
from tests.probes import Counter, Total

ROOT = Path(__file__).parents[2]
THRESHOLD = 0.02


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name: str = request.param
    return name, {}


@pytest.fixture(autouse=True)
def only_what_the_test_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine stops the loop for as long as the shortest threshold by itself: that is not told."""
    tell = Watchdog._tell  # pyright: ignore[reportPrivateUsage] - all reports pass here

    def tell_of_it(self: Watchdog, report: BlockedHandler) -> None:
        if self._threshold != THRESHOLD or is_by_this(report.stack):  # pyright: ignore[reportPrivateUsage] - as above
            tell(self, report)

    monkeypatch.setattr(Watchdog, "_tell", tell_of_it)


class Block(Request[None], frozen=True):
    """Block until the watchdog has noticed."""


class BlockLater(Request[None], frozen=True):
    """As Block, after having been suspended."""


class Start(msgspec.Struct, frozen=True):
    """Any message."""


class Blocker(Actor):
    @handles
    def block(self, message: Block) -> None:
        block_until_noticed(self.context.system)

    @handles
    async def block_later(self, message: BlockLater) -> None:
        await anyio.sleep(0.001)
        block_until_noticed(self.context.system)


class VolatileBlocker(Blocker):
    durability = "volatile"


class SlowStarter(Actor):
    def on_start(self) -> None:
        block_until_noticed(self.context.system)


def a_system(store: MemoryStore | None = None) -> ActorSystem:
    return ActorSystem("test", store=store or MemoryStore(), watchdog=THRESHOLD)


def block_until_noticed(
    system: ActorSystem, is_enough: Callable[[BlockedHandler], bool] | None = None
) -> None:
    """Keep the loop's thread busy until its being blocked is in the health, or for ten seconds."""
    give_up = time.monotonic() + 10
    while time.monotonic() < give_up:
        seen = system.health().blocked
        if seen is not None and not seen.is_over and (is_enough is None or is_enough(seen)):
            return


def is_by_this(stack: str) -> bool:
    """It was `block_until_noticed` that blocked the loop."""
    return "block_until_noticed" in stack


async def report_when_over(system: ActorSystem) -> BlockedHandler:
    """The report, once the watchdog has seen that the loop goes on."""
    with anyio.fail_after(60):
        while (seen := system.health().blocked) is None or not seen.is_over:  # noqa: ASYNC110 - no event tells
            await anyio.sleep(0.001)
    return seen


@pytest.mark.parametrize(
    ("message", "handler"),
    [(Block(), "Blocker.block"), (BlockLater(), "Blocker.block_later")],
    ids=["sync", "later"],
)
async def test_a_handler_that_blocks_the_loop_is_named(message: Request[None], handler: str) -> None:
    async with a_system() as system:
        ref = await system.spawn(Blocker, name="culprit")
        await system.spawn(Counter, name="other")

        await ref.ask(message, timeout=30)
        report = await report_when_over(system)

        assert (report.path, report.handler, report.incarnation) == ("culprit", handler, 1)
        assert report.message_type == type(message).__name__
        assert report.seconds >= THRESHOLD
        assert "block_until_noticed" in report.stack
        assert "_run_once" not in report.stack, "it begins with the handler"
        assert f"{handler} of 'culprit' with {report.message_type} blocked the event loop for" in str(report)


@pytest.mark.parametrize("member", ["now", "later", "prop"])
async def test_what_a_proxy_called_and_blocks_the_loop_is_named(member: str) -> None:
    class Shop(Actor):
        def now(self) -> None:
            block_until_noticed(self.context.system)

        async def later(self) -> None:
            await anyio.sleep(0.001)
            block_until_noticed(self.context.system)

        @property
        def prop(self) -> None:
            block_until_noticed(self.context.system)

    async with a_system() as system:
        ref = await system.spawn(Shop, name="culprit")
        proxied: Any = getattr(ref.proxy(), member)

        await (proxied if member == "prop" else proxied())
        report = await report_when_over(system)

        assert report.handler is not None
        assert report.handler.endswith(f"Shop.{member}")
        assert report.message_type in {"ProxyCall", "ProxyRead"}
        assert "actors/calls.py" not in report.stack


async def test_a_hook_that_blocks_the_loop_is_named() -> None:
    async with a_system() as system:
        await system.spawn(SlowStarter, name="slow")
        report = await report_when_over(system)

        assert (report.path, report.handler, report.message_type) == ("slow", "SlowStarter.on_start", None)


async def test_an_actor_of_this_package_is_named_like_any_other() -> None:
    space: dict[str, Any] = {"__name__": "sentient_core.agents.ours", "block": block_until_noticed}
    exec("def started(self): block(self.context.system)", space)
    ours = type("Ours", (Actor,), {"on_start": space["started"]})

    async with a_system() as system:
        await system.spawn(ours, name="ours")
        report = await report_when_over(system)

    assert (report.path, report.handler) == ("ours", "started")


async def test_what_blocks_the_loop_outside_of_actors_is_shown_by_its_stack() -> None:
    async with a_system() as system:
        block_until_noticed(system)
        report = await report_when_over(system)

        assert (report.path, report.handler, report.message_type) == (None, None, None)
        assert "block_until_noticed" in report.stack
        assert str(report).startswith("something outside of actors")


async def test_it_is_an_event_of_the_actor_when_it_is_over() -> None:
    store = MemoryStore()
    async with a_system(store) as system:
        ref = await system.spawn(Blocker, name="culprit")
        await ref.ask(Block(), timeout=30)
        await report_when_over(system)
        await (await system.spawn(Counter)).ask(Total(), timeout=10)
        await system.flush()

        events = await store.events("test", event_type="handler_blocks")
        (event,) = [event for event in events if is_by_this(str(event.payload["stack"]))]

        assert (event.source_agent, event.incarnation) == ("culprit", 1)
        assert event.payload["handler"] == "Blocker.block"
        assert event.payload["message_type"] == "Block"
        assert event.payload["seconds"] >= THRESHOLD
        assert "block_until_noticed" in event.payload["stack"]


async def test_of_a_volatile_actor_only_the_log_knows() -> None:
    store = MemoryStore()
    with capture_logs() as lines:
        async with a_system(store) as system:
            ref = await system.spawn(VolatileBlocker, name="culprit")
            await ref.ask(Block(), timeout=30)
            await report_when_over(system)
            await system.flush()

    events = await store.events("test", event_type="handler_blocks")
    assert not [event for event in events if is_by_this(str(event.payload["stack"]))]
    assert {line["path"] for line in lines if is_by_this(line.get("stack", ""))} == {"culprit"}


async def test_the_log_says_it_at_twice_four_times_and_at_the_end() -> None:
    with capture_logs() as lines:
        async with a_system() as system:
            block_until_noticed(system, lambda seen: seen.seconds > 8 * THRESHOLD)
            await report_when_over(system)

    seen = [line for line in lines if is_by_this(line.get("stack", ""))]
    going_on = [line["seconds"] for line in seen if not line["is_over"]]
    doublings = [math.floor(math.log2(seconds / THRESHOLD) + 1e-9) for seconds in going_on]
    assert len(going_on) >= 2
    assert doublings == sorted(set(doublings)), "not at every look"
    assert [line["is_over"] for line in seen] == [False] * len(going_on) + [True]
    assert seen[-1]["seconds"] >= going_on[-1]


async def test_while_it_lasts_the_system_is_not_ready_and_says_why() -> None:
    seen: list[Any] = []

    class Curious(Actor):
        @handles
        def block(self, message: Block) -> None:
            block_until_noticed(self.context.system)
            seen.append(self.context.system.health())

    async with a_system() as system:
        await (await system.spawn(Curious, name="a")).ask(Block(), timeout=30)
        await report_when_over(system)
        after = system.health()

    assert (seen[0].status.value, seen[0].is_ready) == ("degraded", False)
    assert "has been blocking the event loop" in seen[0].reasons[0]
    assert (after.status.value, after.is_ready) == ("degraded", True)
    assert "s ago" in after.reasons[0]


async def test_a_loop_that_is_merely_busy_is_not_blocked() -> None:
    class Endless(Actor):
        durability = "volatile"

        @handles
        def go_on(self, message: Start) -> None:
            self.context.ref.tell(message)

    async with ActorSystem("test", store=MemoryStore(), watchdog=1.0) as system:
        (await system.spawn(Endless)).tell(Start())
        await anyio.sleep(1.2)

        assert system.health().blocked is None


async def test_its_thread_ends_with_the_system_and_none_means_none() -> None:
    def watchdogs() -> list[str]:
        return [thread.name for thread in threading.enumerate() if "watchdog" in thread.name]

    async with a_system():
        assert watchdogs() == ["sentient-core watchdog test"]
    assert watchdogs() == []
    async with ActorSystem("test", store=MemoryStore(), watchdog=None) as system:
        assert watchdogs() == []
        assert system.health().blocked is None


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "1"])
def test_a_threshold_that_cannot_be_is_refused(seconds: Any) -> None:
    with pytest.raises(InvalidArgument, match="watchdog"):
        ActorSystem("test", store=MemoryStore(), watchdog=seconds)


@given(st.lists(st.tuples(st.floats(0, 0.19), st.floats(0, 0.2)), max_size=20))
def test_looks_that_are_in_time_count_whole(looks: list[tuple[float, float]]) -> None:
    clock, now, worked = WatchedTime(0, 0, late=0.2, usual=0.05), 0.0, 0.0
    for passed, at_work in looks:
        now, worked = now + passed, worked + at_work
        assert clock.advance(now, worked) == pytest.approx(now)


@given(st.floats(0.3, 1e6), st.floats(0, 1))
def test_a_suspension_does_not_count_but_work_does(passed: float, share: float) -> None:
    clock = WatchedTime(0, 0, late=0.2, usual=0.05)

    assert clock.advance(passed, passed * share) == (passed if passed * share >= passed / 2 else 0.05)


PROGRAM = """
import anyio
from sentient_core import Actor, ActorSystem, MemoryStore, handles

class Endless(Actor):
    durability = "volatile"

    @handles
    def go_on(self, message: int) -> None:
        self.context.ref.tell(message)

async def main():
    async with ActorSystem("test", store=MemoryStore()) as system:
        (await system.spawn(Endless)).tell(1)
        await anyio.sleep(0.1)
        print("ready", flush=True)
        await anyio.sleep(1)
        await anyio.sleep(0.2)
        print(system.health().blocked, flush=True)

anyio.run(main)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="only where there is SIGSTOP")
def test_a_process_that_was_suspended_has_not_blocked_its_loop() -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        process.send_signal(signal.SIGCONT)

        assert process.stdout.readline() == "None\n"

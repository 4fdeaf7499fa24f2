"""Waits before restarts: how long they are, and what goes on meanwhile."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import anyio
import pytest

from sentient_core import (
    ActorRef,
    ActorSystem,
    Backoff,
    ChildSpec,
    HandlerFailed,
    RateLimited,
    Request,
    Strategy,
    Supervisor,
    handles,
)
from sentient_core.actors.ref import cell_of
from tests.probes import Fail, Log, Recorder, Say, letters, running

STEADY = Backoff(first=1.0, most=8.0, jitter=0.0)


class Limited(Request[None], frozen=True):
    seconds: float


class Clock(Log):
    """A log that knows when it was begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begin = anyio.current_time()


class Timed(Recorder):
    """Writes down when it starts."""

    log: Clock

    def on_start(self) -> None:
        self.log(f"{self.context.ref.name} {anyio.current_time() - self.log.begin:g}")

    def on_stop(self) -> None: ...
    def on_failure(self, cause: Exception) -> None: ...
    def on_restart(self, cause: BaseException | None) -> None: ...

    @handles
    def limited(self, message: Limited) -> None:
        raise RateLimited(message.seconds, attempts=1)


async def start(
    system: ActorSystem, log: Clock, *names: str, strategy: Strategy | None = None, **options: Any
) -> ActorRef[Any]:
    children = [ChildSpec(Timed, name=name, args=(log,), **options) for name in names or "a"]
    strategy = strategy or Supervisor.one_for_one(max_restarts=100, within=1_000.0, backoff=STEADY)
    cls = type("Team", (Supervisor,), {"children": children, "strategy": strategy, "durability": "volatile"})
    return await system.spawn(cls, name="team")


def times(log: Clock) -> list[float]:
    return [float(line.split()[1]) for line in log]


async def fail(ref: ActorRef[Any], message: Any = None) -> None:
    with pytest.raises(HandlerFailed):
        await ref.ask(message or Fail(), timeout=1_000)


async def test_each_restart_waits_longer_up_to_the_cap() -> None:
    async with running() as system:
        log = Clock()
        await start(system, log)

        for _ in range(6):
            await fail(system.get("team/a"))
        await log.until("a 31")

        assert times(log) == [0, 1, 3, 7, 15, 23, 31]


async def test_a_healthy_time_makes_it_begin_anew() -> None:
    async with running() as system:
        log = Clock()
        await start(system, log, backoff=Backoff(first=1.0, most=8.0, jitter=0.0, reset_after=5.0))
        ref = system.get("team/a")
        await fail(ref)
        await fail(ref)
        assert await ref.ask(Say("up"), timeout=10) == "up"  # at 3
        await anyio.sleep(4.9)
        await fail(ref)
        assert await ref.ask(Say("up"), timeout=10) == "up"  # 4 seconds later

        await anyio.sleep(5.5)
        await fail(ref)
        await ref.ask(Say("up"), timeout=10)

        starts = [float(line.split()[1]) for line in log if line != "up"]
        assert starts == pytest.approx([0, 1, 3, 11.9, 18.4])


async def test_a_start_that_fails_counts_as_a_failure() -> None:
    class Reluctant(Timed):
        def on_start(self) -> None:
            super().on_start()
            if 1 < self.context.incarnation < 5:
                raise OSError("not yet")

    async with running() as system:
        log = Clock()
        strategy = Supervisor.one_for_one(max_restarts=100, within=1_000.0, backoff=STEADY)
        body = {"children": [ChildSpec(Reluctant, name="a", args=(log,))], "strategy": strategy}
        await system.spawn(type("Team", (Supervisor,), body), name="team")

        await fail(system.get("team/a"))
        await log.until("a 15")

        assert times(log) == [0, 1, 3, 7, 15]


async def test_each_child_has_waits_of_its_own_and_its_own_backoff_holds() -> None:
    async with running() as system:
        log = Clock()
        strategy = Supervisor.one_for_one(max_restarts=100, within=1_000.0, backoff=STEADY)
        specs = [
            ChildSpec(Timed, name="a", args=(log,)),
            ChildSpec(Timed, name="b", args=(log,)),
            ChildSpec(Timed, name="c", args=(log,), backoff=Backoff(first=5.0, jitter=0.0)),
        ]
        body = {"children": specs, "strategy": strategy, "durability": "volatile"}
        await system.spawn(type("Team", (Supervisor,), body), name="team")

        for name in "aabc":
            system.get(f"team/{name}").tell(Fail())
        await log.until("c 5")

        assert sorted(log.lines) == ["a 0", "a 1", "a 3", "b 0", "b 1", "c 0", "c 5"]


async def test_jitter_comes_of_the_systems_own_chance() -> None:
    async def waits(seed: int) -> list[float]:
        async with running() as system:
            log = Clock()
            await start(system, log, backoff=Backoff(first=10.0, most=10.0, jitter=0.5))
            cell_of(system.get("team")).runtime.chance = Random(seed)
            for _ in range(4):
                await fail(system.get("team/a"))
            await system.get("team/a").ask(Say("up"), timeout=1_000)
            starts = [float(line.split()[1]) for line in log if line != "up"]
            return [round(after - before, 3) for before, after in pairwise(starts)]

    first, again, other = await waits(1), await waits(1), await waits(2)

    assert first == again != other
    assert len(set(first)) == 4
    assert all(5.0 <= wait <= 10.0 for wait in first)


async def test_a_rate_limit_is_a_least_wait_and_the_backoff_may_be_longer() -> None:
    async with running() as system:
        log = Clock()
        await start(system, log)
        ref = system.get("team/a")

        await fail(ref, Limited(3.0))  # instead of 1
        await fail(ref, Limited(0.5))  # 2
        await log.until("a 5")

        assert times(log) == [0, 3, 5]


async def test_who_waits_is_restarting_and_its_mailbox_is_kept() -> None:
    async with running() as system:
        log = Clock()
        top = await start(system, log)
        ref = system.get("team/a")
        ref.tell(Fail())
        await anyio.wait_all_tasks_blocked()

        assert [child.status for child in top.which_children()] == ["restarting"]
        assert (top.count_children().active, top.count_children().specs) == (0, 1)
        assert ref.is_alive
        for text in ("x", "y"):
            ref.tell(Say(text))
        assert ref.statistics().depth == 2

        assert await ref.ask(Say("z"), timeout=10) == "z"

        assert log.lines == ["a 0", "a 1", "x", "y", "z"]


async def test_its_supervisor_ends_meanwhile_without_waiting_for_it() -> None:
    async with running() as system:
        log = Clock()
        top = await start(system, log, backoff=Backoff(first=1_000.0, most=1_000.0))
        system.get("team/a").tell(Fail())
        system.get("team/a").tell(Say("queued"))
        await anyio.wait_all_tasks_blocked()

        await top.kill()
        await anyio.sleep(1)
        assert [child.status for child in top.which_children()] == ["running"]  # both were started again
        assert [log.lines[0], log.lines[2]] == ["a 0", "queued"]

        system.get("team/a").tell(Fail())
    assert anyio.current_time() - log.begin < 2


@pytest.mark.parametrize("how", ["stop", "kill", "drain"])
@pytest.mark.parametrize("restart", ["permanent", "transient"])
async def test_a_request_to_end_reaches_who_waits(how: str, restart: str) -> None:
    async with running() as system:
        log = Clock()
        await start(system, log, restart=restart)
        ref = system.get("team/a")
        ref.tell(Fail())
        ref.tell(Say("queued"))
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()

        await getattr(ref, how)()

        seconds = anyio.current_time() - begin
        await anyio.sleep(5)
        if how == "drain":  # what is queued is handled first, by the next incarnation
            assert 0 < seconds <= 1
            assert log.lines[:3] == ["a 0", "a 1", "queued"]
            assert ref.is_alive is (restart == "permanent")
        elif how == "stop" and restart == "transient":
            assert (seconds, log.lines, ref.is_alive) == (0, ["a 0"], False)
            assert letters(system)[-1] == (Say("queued"), "stopped")
        else:  # a permanent child is started again, and one that was killed has failed already
            assert (seconds, log.lines, ref.is_alive) == (0, ["a 0", "a 1", "queued"], True)


async def test_who_is_terminated_while_it_waits_stays_down_and_can_be_restarted() -> None:
    async with running() as system:
        log = Clock()
        top = await start(system, log)
        system.get("team/a").tell(Fail())
        system.get("team/a").tell(Say("queued"))
        await anyio.wait_all_tasks_blocked()

        await top.terminate_child("a")
        await anyio.sleep(100)
        assert (times(log), [child.status for child in top.which_children()]) == ([0], ["ended"])
        assert letters(system)[-1] == (Say("queued"), "stopped")

        ref = await top.restart_child("a")
        assert await ref.ask(Say("again"), timeout=1) == "again"


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Supervisor.one_for_all, ["a 0", "b 0", "c 0", "a 1", "b 1", "c 1", "a 3", "b 3", "c 3"]),
        (Supervisor.rest_for_one, ["a 0", "b 0", "c 0", "b 1", "c 1", "b 3", "c 3"]),
    ],
)
async def test_a_group_waits_for_the_backoff_of_who_failed(strategy: Any, expected: list[str]) -> None:
    async with running() as system:
        log = Clock()
        made = strategy(max_restarts=9, within=1_000.0, backoff=STEADY)
        top = await start(system, log, "a", "b", "c", strategy=made)
        system.get("team/b").tell(Fail())
        await anyio.sleep(0.5)
        waits = ["restarting" if f"{name} 1" in expected else "running" for name in "abc"]
        assert [child.status for child in top.which_children()] == waits

        await fail(system.get("team/b"))
        await log.until("c 3")

        assert log.lines == expected


async def test_a_group_that_waits_is_ended_with_its_supervisor_at_once() -> None:
    async with running() as system:
        log = Clock()
        backoff = Backoff(first=1_000.0, most=1_000.0)
        top = await start(system, log, "a", "b", strategy=Supervisor.one_for_all(backoff=backoff))
        system.get("team/a").tell(Fail())
        await anyio.wait_all_tasks_blocked()

        await top.stop()
        assert anyio.current_time() - log.begin < 1


async def test_the_window_is_spent_when_a_restart_is_decided_not_when_it_comes() -> None:
    async with running() as system:
        log = Clock()
        strategy = Supervisor.one_for_one(
            max_restarts=2, within=5.0, backoff=Backoff(first=4.0, most=4.0, jitter=0.0)
        )
        top = await start(system, log, strategy=strategy)
        for _ in range(4):  # at 0, 4, 8, 12: never three within five seconds
            await fail(system.get("team/a"))
        await log.until("a 16")

        assert top.incarnation == 1

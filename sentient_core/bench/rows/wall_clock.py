"""The wall clock is set an hour forward or back in the midst of it: decisions stay what they are."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import msgspec

from sentient_core.actors.actor import Actor
from sentient_core.actors.handlers import handles
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.request import Request
from sentient_core.bench.findings import Findings
from sentient_core.bench.load import Arrival, LoadResult, OpenLoad
from sentient_core.bench.others import spawn_others
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind
from sentient_core.errors import AskTimeout, HandlerFailed
from sentient_core.mailbox.dead_letters import DeadLetterReason
from sentient_core.supervisor import ChildSpec, Supervisor
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_HOUR = 3600
_TIMEOUT = 30.0
_TRIES = 6
_BUDGET = 3
_TICK = 0.05
_SLOW, _EXPIRES = 0.4, 0.1
"""Seconds that a handler takes, and after which what waits for it is not wanted any more."""
_PAUSE = 0.2


class _Fail(Request[None], frozen=True):
    pass


class _Wait(Request[None], frozen=True):
    """Do not answer."""


class _Ticks(Request[int], frozen=True):
    """Ask how often the timer has rung."""


class _Tick(msgspec.Struct, frozen=True):
    pass


class _Victim(Actor):
    durability = "mirrored"

    def __init__(self) -> None:
        self.count = 0

    @handles
    def fail(self, message: _Fail) -> None:
        raise ValueError("asked to")

    @handles
    async def wait(self, message: _Wait) -> None:
        await anyio.sleep(_SLOW)

    @handles
    def tick(self, message: _Tick) -> None:
        self.count += 1

    @handles
    def ticks(self, message: _Ticks) -> int:
        return self.count


class _Clocked(_Victim):
    def on_start(self) -> None:
        self.context.timers.every("tick", _TICK, _Tick())


class _Boss(Supervisor):
    strategy = Supervisor.one_for_one(max_restarts=_BUDGET, within=10.0)


class _Decisions(msgspec.Struct, frozen=True):
    """What was decided in one run."""

    restarts: int
    """Of a child that fails again and again: its budget."""
    timeouts: int
    """Asks that were not answered in time."""
    expired: int
    """Messages whose time was over before their turn."""
    ticks: bool
    """A timer went on at its pace: neither still, nor an hour's ticks at once."""


async def _run(scene: Scene, findings: Findings) -> None:
    repetitions = scene.pick(quick=1, full=5)
    shifts = {"not touched": 0, "an hour forward": _HOUR, "an hour back": -_HOUR}
    expected: _Decisions | None = None
    for step, (name, shift) in enumerate(shifts.items()):
        found: list[_Decisions] = []
        arrivals: list[Arrival] = []
        for repetition in range(repetitions):
            async with (
                scene.system() as system,
                OpenLoad(await spawn_others(system), rate=100.0, dice=scene.dice("load")) as load,
            ):
                found.append(await _decide(system, shift))
            arrivals += load.result.arrivals
            scene.progress(step * repetitions + repetition + 1, len(shifts) * repetitions)
        expected = expected or found[0]
        same = sum(decisions == expected for decisions in found)
        others = LoadResult(arrivals)
        findings.latency(f"clock {name}: others meanwhile", others.latencies())
        findings.loss("unanswered", others.unanswered(), len(arrivals), "requests", label=f"clock {name}")
        findings.check(f"clock {name}: runs with the same decisions", repetitions, same, headline=True)
    if expected is not None:
        findings.check("restarts of a child that always fails: its budget", _BUDGET, expected.restarts)
        findings.check("asks that timed out", _TRIES, expected.timeouts)
    findings.note("durable timers and deadlines in the store go by the wall clock, and are not among these")


async def _decide(system: ActorSystem, shift: int) -> _Decisions:
    boss = await system.spawn(_Boss, name="boss")
    victim: ActorRef[_Victim] = await boss.start_child(ChildSpec(_Victim, name="victim"))
    slow = await system.spawn(_Victim, name="slow")
    clock = await system.spawn(_Clocked, name="clock")
    timeouts = 0
    await _fails(victim)
    with _shifted(shift):
        while boss.is_alive and victim.is_alive and victim.incarnation <= _BUDGET:
            await _fails(victim)
        before = await clock.ask(_Ticks(), timeout=_TIMEOUT)
        await anyio.sleep(_PAUSE)
        ticks = await clock.ask(_Ticks(), timeout=_TIMEOUT) - before
        slow.tell(_Wait())
        for _ in range(_TRIES):
            slow.with_options(expires=_EXPIRES).tell(_Tick())
            try:
                await slow.ask(_Ticks(), timeout=0.02)
            except AskTimeout:
                timeouts += 1
        await slow.ask(_Ticks(), timeout=_TIMEOUT)
        expired = system.dead_letters.counts[DeadLetterReason.EXPIRED]
    return _Decisions(victim.incarnation - 1, timeouts, expired, 1 <= ticks <= 2 * _PAUSE / _TICK)


async def _fails(victim: ActorRef[_Victim]) -> None:
    try:
        await victim.ask(_Fail(), timeout=_TIMEOUT)
    except HandlerFailed:
        await anyio.sleep(0.05)


@contextmanager
def _shifted(seconds: int) -> Generator[None]:
    """What Python says of the wall clock is so much later."""
    now, now_ns = time.time, time.time_ns
    time.time, time.time_ns = lambda: now() + seconds, lambda: now_ns() + seconds * 1_000_000_000
    try:
        yield
    finally:
        time.time, time.time_ns = now, now_ns


ROW = Row(
    id="wall-clock",
    injects="wall clock ± 1 h",
    shows="decisions unchanged (durable timers and stored deadlines excepted)",
    stores=(StoreKind.MEMORY, StoreKind.EMBEDDED),
    about=(
        "While others are asked 100 times a second, a child uses up its restarts, a timer ticks, asks time "
        "out and messages expire, `time.time` and `time.time_ns` are set an hour forward or back in this "
        "process, and stay so. Counted are the runs whose decisions are those of a run in which nobody "
        "touches the clock."
    ),
    run=_run,
)

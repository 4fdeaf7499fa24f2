"""Nothing goes wrong: what it costs that something could."""

from __future__ import annotations

import time
from typing import ClassVar

import anyio
import msgspec

from sentient_core.actors.actor import Actor, DurabilityName
from sentient_core.actors.handlers import handles
from sentient_core.actors.request import Request
from sentient_core.bench.findings import Findings
from sentient_core.bench.instructions import FAULT_POINTS, Instructions
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Rule
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_MESSAGES = 300
_TIMEOUT = 30.0
_NEVER = FaultPlan(0, (Rule(point=FaultPoint.RECEIVE, action=FaultAction.RAISE, actor="nobody"),))


class _Add(msgspec.Struct, frozen=True):
    pass


class _Total(Request[int], frozen=True):
    pass


class _Volatile(Actor):
    durability: ClassVar[DurabilityName] = "volatile"

    def __init__(self) -> None:
        self.total = 0

    @handles
    def add(self, message: _Add) -> None:
        self.total += 1

    @handles
    def give(self, message: _Total) -> int:
        return self.total


class _Mirrored(_Volatile):
    durability = "mirrored"


async def _run(scene: Scene, findings: Findings) -> None:
    for cls in (_Volatile, _Mirrored):
        async with scene.system(watchdog=None) as system:
            for what, counted in (await _count(system, cls)).items():
                spent = counted.on_lines_with(FAULT_POINTS, "sentient_core")
                share = 100 * spent / counted.all
                one = f"{what} of a {cls.durability} actor"
                findings.figure(f"{one}: instructions", counted.all / _MESSAGES, "")
                findings.holds(
                    f"{one}: share of its instructions on fault points, below 1 %",
                    share < 1,
                    f"{share:.2f} %",
                    headline=True,
                )
    rounds = scene.pick(quick=5, full=30)
    plain: list[float] = []
    planned: list[float] = []
    for done in range(rounds):
        async with scene.system() as system:
            plain.append(await _seconds(system))
        async with scene.system(faults=_NEVER) as system:
            planned.append(await _seconds(system))
        scene.progress(done + 1, rounds)
    ratios = [with_plan / without for with_plan, without in zip(planned, plain, strict=True)]
    findings.figure("time of a tell with a plan that strikes nobody, to that without a plan", ratios, "×")


async def _count(system: ActorSystem, cls: type[_Volatile]) -> dict[str, Instructions]:
    ref = await system.spawn(cls, name="counted")
    await ref.ask(_Total(), timeout=_TIMEOUT)
    with Instructions() as tells:
        for _ in range(_MESSAGES):
            ref.tell(_Add())
        await anyio.sleep(0.001)
    with Instructions() as asks:
        for _ in range(_MESSAGES):
            await ref.ask(_Total(), timeout=_TIMEOUT)
    return {"tell": tells, "ask": asks}


async def _seconds(system: ActorSystem) -> float:
    ref = await system.spawn(_Volatile, name="timed")
    began = time.perf_counter()
    for _ in range(5_000):
        ref.tell(_Add())
    await ref.ask(_Total(), timeout=_TIMEOUT)
    return time.perf_counter() - began


ROW = Row(
    id="nothing",
    injects="nothing",
    shows="cost of the fault points",
    stores=(StoreKind.MEMORY,),
    about=(
        f"{_MESSAGES} tells and {_MESSAGES} asks, with every instruction of the interpreter counted in all "
        "code that runs, the event loop's included; those on lines that look whether there is a plan are "
        "the points' cost without a plan. Instructions do not depend on the machine, or on what else it "
        "does. With a plan, each point asks it what to do: that costs time, and is measured as such."
    ),
    run=_run,
)

"""An actor that does not start, or never ends starting: when its spawner knows, and what is left of it."""

from __future__ import annotations

import time

import anyio

from sentient_core.actors.actor import Actor
from sentient_core.bench.findings import Findings
from sentient_core.bench.held import settled
from sentient_core.bench.others import loaded, spawn_others
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.errors import SentientError
from sentient_core.supervisor import ChildSpec
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_START_TIMEOUT = 0.05
_NAME = "victim"


class _Fine(Actor[str]):
    durability = "durable"

    def on_receive(self, message: str) -> None:
        pass


class _FailsInInit(_Fine):
    def __init__(self) -> None:
        raise ValueError("not today")


class _FailsInStart(_Fine):
    async def on_start(self) -> None:
        await self.context.spawn(_Fine, name="child")  # goes with it
        raise ValueError("not today")


class _Hangs(_Fine):
    async def on_start(self) -> None:
        await self.context.spawn(_Fine, name="child")
        await anyio.sleep_forever()


async def _run(scene: Scene, findings: Findings) -> None:
    repetitions = scene.pick(quick=10, full=100)
    async with scene.system() as system:
        fine = [await _start(system, _Fine) for _ in range(repetitions)]
        reports: dict[type[_Fine], list[float]] = {cls: [] for cls in (_FailsInInit, _FailsInStart, _Hangs)}
        free = 0
        asks = await spawn_others(system)
        before = await settled(system)
        async with loaded(scene, system, asks=asks) as load:
            for repetition in range(repetitions):
                for cls, seconds in reports.items():
                    seconds.append(await _start(system, cls))
                    free += await _is_free(system)
                scene.progress(repetition + 1, repetitions)
        after = await settled(system)
    findings.latency("until reported, __init__ raises", reports[_FailsInInit])
    findings.latency("until reported, on_start raises", reports[_FailsInStart], headline=True)
    findings.latency("start and end of one that does not fail", fine)
    late = [seconds - _START_TIMEOUT for seconds in reports[_Hangs]]
    findings.latency(
        f"until reported, on_start hangs: beyond its {_START_TIMEOUT * 1e3:g} ms", late, headline=True
    )
    tries = 3 * repetitions
    findings.loss("names not free", tries - free, tries, "starts", headline=True)
    after.beyond(before, findings, tries, "starts", scene.store)
    findings.others(load)


async def _start(system: ActorSystem, cls: type[_Fine]) -> float:
    """Seconds until the start failed, or was done."""
    begin = time.perf_counter()
    try:
        await system.start_child(
            ChildSpec(cls, name=_NAME, restart="temporary", start_timeout=_START_TIMEOUT)
        )
    except (SentientError, ValueError):
        return time.perf_counter() - begin
    await system.terminate_child(_NAME)
    return time.perf_counter() - begin


async def _is_free(system: ActorSystem) -> bool:
    """The name can be taken by another actor."""
    try:
        await system.spawn(_Fine, name=_NAME, restart="temporary")
    except SentientError:
        return False
    await system.terminate_child(_NAME)
    return True


ROW = Row(
    id="start-fails",
    injects="start fails, hangs",
    shows="time to the report; leaked names and tasks",
    about=(
        "A durable actor raises in `__init__`, raises in `on_start` when it has a child already, or hangs "
        f"there with a start_timeout of {_START_TIMEOUT:g} s. After each, another actor is started under "
        "its name."
    ),
    is_about_loop=True,
    run=_run,
)

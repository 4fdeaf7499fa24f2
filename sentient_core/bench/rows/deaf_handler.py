"""A handler that goes on although it is cancelled: how long its end takes, against its grace."""

from __future__ import annotations

import time

import anyio

from sentient_core.actors.actor import Actor
from sentient_core.bench.findings import Findings
from sentient_core.bench.others import VolatileOther, loaded
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind
from sentient_core.supervisor import ChildSpec
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_SHUTDOWNS = (0.05, 0.2)
_KILL_GRACE = 0.1
_PATIENCE = 30.0
"""Seconds after which a runtime that does not do its part is waited for no longer."""
_NAME = "deaf"


class _Deaf(Actor[str]):
    durability = "volatile"
    kill_grace = _KILL_GRACE

    def __init__(self, hears: anyio.Event) -> None:
        self._hears = hears

    async def on_receive(self, message: str) -> None:
        with anyio.CancelScope(shield=True):
            await self._hears.wait()


async def _run(scene: Scene, findings: Findings) -> None:
    repetitions = scene.pick(quick=3, full=30)
    async with scene.system() as system, loaded(scene, system, kinds=(VolatileOther,)) as load:
        for step, shutdown in enumerate(_SHUTDOWNS):
            beyond: list[float] = []
            named = 0
            for _ in range(repetitions):
                seconds, is_named = await _end(system, shutdown)
                beyond.append(seconds - shutdown - _KILL_GRACE)
                named += is_named
            findings.holds(
                f"not before its grace, shutdown {shutdown:g} s",
                min(beyond) > -0.01,
                f"{min(beyond):.3f} s behind",
            )
            findings.latency(
                f"down behind shutdown {shutdown:g} + kill_grace {_KILL_GRACE:g} s", beyond, headline=True
            )
            findings.check(f"handlers named as abandoned, shutdown {shutdown:g} s", repetitions, named)
            scene.progress(step + 1, len(_SHUTDOWNS))
        findings.check("still abandoned once they heard", 0, len(system.health().abandoned))
    findings.others(load, headline=True, allowed=0)


async def _end(system: ActorSystem, shutdown: float) -> tuple[float, bool]:
    """Seconds that ending it took, and whether the runtime says what was left to itself."""
    hears = anyio.Event()
    deaf = await system.start_child(
        ChildSpec(_Deaf, name=_NAME, args=(hears,), restart="temporary", shutdown=shutdown)
    )
    deaf.tell("listen")
    await anyio.sleep(0.01)  # it is in hand
    begin = down = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_hear_in_the_end, hears)
        await system.terminate_child(_NAME)
        down = time.perf_counter()
        tasks.cancel_scope.cancel()
    is_named = bool(system.health().abandoned)
    hears.set()
    with anyio.move_on_after(_PATIENCE):
        while system.health().abandoned:  # noqa: ASYNC110 - nobody is told when the last one has ended
            await anyio.sleep(0.001)
    return down - begin, is_named


async def _hear_in_the_end(hears: anyio.Event) -> None:
    """One that waits for the handler is to be found out."""
    await anyio.sleep(_PATIENCE)
    hears.set()


ROW = Row(
    id="deaf-handler",
    injects="child that ignores cancellation",
    shows="shutdown time against grace",
    about=(
        "A handler waits in a shielded scope while its actor is terminated: `shutdown` seconds to end in "
        "order, `kill_grace` to heed the cancellation, then it is named and left to itself, its name free."
    ),
    stores=(StoreKind.MEMORY,),
    is_about_loop=True,
    run=_run,
)

"""What is read of the store is damaged: is it found, and is something older used, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sentient_core.actors.actor import Actor
from sentient_core.actors.handlers import handles
from sentient_core.actors.request import Request
from sentient_core.bench.findings import Findings
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import Database
from sentient_core.errors import CheckpointUnusable
from sentient_core.events import EventType
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Faults, Rule

__all__ = ["ROW"]

_TIMEOUT = 30.0
_DAMAGE = Rule(point=FaultPoint.STORE_READ, action=FaultAction.CORRUPT)


class _Grow(Request[str], frozen=True):
    """Take a step, and a checkpoint."""


class _Steps(Request[int], frozen=True):
    """Ask for the steps taken."""


class _Grower(Actor):
    """Its newest state is its largest, so that it is the one that is damaged."""

    class State(msgspec.Struct):
        steps: int = 0
        ballast: str = ""

    state: State

    @handles
    async def grow(self, message: _Grow) -> str:
        self.state.steps += 1
        self.state.ballast += "0123456789" * 20
        return await self.checkpoint()

    @handles
    def steps(self, message: _Steps) -> int:
        return self.state.steps


class _Durable(_Grower):
    durability = "durable"


async def _run(scene: Scene, findings: Findings) -> None:
    actors = scene.pick(quick=10, full=100)
    await _checkpoints(scene, findings, actors)
    await _states(scene, findings, actors)


async def _checkpoints(scene: Scene, findings: Findings, actors: int) -> None:
    """A mirrored actor has several: the newest is damaged."""
    names = [f"grower-{number}" for number in range(actors)]
    database = await _grown(scene, _Grower, names)
    used: list[int] = []
    async with scene.system(at=database, faults=FaultPlan(scene.seed, (_DAMAGE,))) as system:
        faults = _paused(system.faults)
        for done, name in enumerate(names):
            faults.resume()
            grower = await system.spawn(_Grower, name=name)
            faults.pause()
            used.append(await grower.ask(_Steps(), timeout=_TIMEOUT))
            scene.progress(done + 1, 2 * actors)
        await system.flush()
        kind = EventType.CHECKPOINT_REJECTED
        rejected = await system.store.events(system.name, event_type=kind, limit=10 * actors)
    findings.check("damaged checkpoints found and reported", actors, len(rejected), headline=True)
    findings.check("actors that went on from the one before", actors, used.count(2), headline=True)


async def _states(scene: Scene, findings: Findings, actors: int) -> None:
    """A durable actor has one state: it does not start on a damaged one, and loses nothing by that."""
    names = [f"durable-{number}" for number in range(actors)]
    database = await _grown(scene, _Durable, names)
    refused, whole = 0, 0
    async with scene.system(at=database, faults=FaultPlan(scene.seed, (_DAMAGE,))) as system:
        faults = _paused(system.faults)
        for done, name in enumerate(names):
            faults.resume()
            try:
                await system.spawn(_Durable, name=name)
            except CheckpointUnusable:
                refused += 1
            faults.pause()
            grower = await system.spawn(_Durable, name=name)
            whole += await grower.ask(_Steps(), timeout=_TIMEOUT) == 3
            scene.progress(actors + done + 1, 2 * actors)
    findings.check("damaged durable states refused", actors, refused, headline=True)
    findings.check("durable actors that had all of it when it was read whole", actors, whole)


async def _grown(scene: Scene, cls: type[_Grower], names: Sequence[str]) -> Database:
    """A database with actors of that class, of three steps each."""
    database = scene.database()
    async with scene.system(at=database) as system:
        for name in names:
            grower = await system.spawn(cls, name=name)
            for _ in range(3):
                await grower.ask(_Grow(), timeout=_TIMEOUT)
    return database


def _paused(faults: Faults | None) -> Faults:
    assert faults is not None  # noqa: S101 - the system was given a plan
    faults.pause()
    return faults


ROW = Row(
    id="corrupt",
    injects="corrupt checkpoint",
    shows="detected, older one used",
    about=(
        "One bit of the largest state in each answer of the store is changed while an actor is started. A "
        "mirrored one goes on from the checkpoint before, with an event that says so; a durable one, which "
        "has no older state that would be right, is not started, and has all of it when it is read undamaged."
    ),
    run=_run,
)

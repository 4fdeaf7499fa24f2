"""Of n siblings, one fails: how many incarnations the strategy changes, and how long that takes."""

from __future__ import annotations

import time

from sentient_core.actors.actor import Actor
from sentient_core.actors.ref import ActorRef
from sentient_core.bench.findings import Findings
from sentient_core.bench.others import loaded
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind
from sentient_core.supervisor import ChildSpec, Supervisor
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_SIBLINGS = 10
_TIMEOUT = 30.0


class _Sibling(Actor[str]):
    durability = "mirrored"

    def on_receive(self, message: str) -> str:
        if message == "fail":
            raise ValueError("asked to")
        return message


_CHILDREN = [ChildSpec(_Sibling, name=str(number)) for number in range(_SIBLINGS)]


class _OneForOne(Supervisor):
    strategy = Supervisor.one_for_one(max_restarts=1_000_000, within=3600.0)
    children = _CHILDREN


class _OneForAll(Supervisor):
    strategy = Supervisor.one_for_all(max_restarts=1_000_000, within=3600.0)
    children = _CHILDREN


class _RestForOne(Supervisor):
    strategy = Supervisor.rest_for_one(max_restarts=1_000_000, within=3600.0)
    children = _CHILDREN


_STRATEGIES = (_OneForOne, _OneForAll, _RestForOne)
_FAILING = {"the first": (0,), "the middle one": (5,), "the last": (9,), "3 at once": (3, 5, 7)}


async def _run(scene: Scene, findings: Findings) -> None:
    repetitions = scene.pick(quick=6, full=60)
    async with scene.system() as system, loaded(scene, system) as load:
        for step, cls in enumerate(_STRATEGIES):
            kind = cls.strategy.kind.value
            seconds: list[float] = []
            for which, failing in _FAILING.items():
                expected = _changed(kind, failing)
                changed, took = await _fail(system, cls, failing, repetitions)
                found = changed.pop() if len(changed) == 1 else sorted(changed)
                claim = f"incarnations changed, {kind}: {which} of {_SIBLINGS}"
                is_telling = which in ("the middle one", "3 at once")
                findings.check(claim, expected, found, headline=is_telling)
                seconds += took
            findings.latency(f"failure until all {_SIBLINGS} answer, {kind}", seconds, headline=True)
            scene.progress(step + 1, len(_STRATEGIES))
    findings.others(load)


def _changed(kind: str, failing: tuple[int, ...]) -> int:
    """How many the strategy is to restart: those that fail at once are restarted at once."""
    return {"one_for_one": len(failing), "one_for_all": _SIBLINGS}.get(kind, _SIBLINGS - min(failing))


async def _fail(
    system: ActorSystem, cls: type[Supervisor], failing: tuple[int, ...], repetitions: int
) -> tuple[set[int], list[float]]:
    """How many incarnations changed, which should be the same each time; seconds until all answer again."""
    name = f"{cls.strategy.kind.value}-{'-'.join(map(str, failing))}"
    await system.spawn(cls, name=name)
    siblings: list[ActorRef[_Sibling]] = [system.get(f"{name}/{number}") for number in range(_SIBLINGS)]
    changed: set[int] = set()
    seconds: list[float] = []
    for _ in range(repetitions):
        before = [sibling.incarnation for sibling in siblings]
        started = time.perf_counter()
        for number in failing:
            siblings[number].tell("fail")
        for number in failing:
            await siblings[number].ask("up?", timeout=_TIMEOUT)
        for sibling in siblings:
            await sibling.ask("up?", timeout=_TIMEOUT)
        seconds.append(time.perf_counter() - started)
        after = [sibling.incarnation for sibling in siblings]
        changed.add(sum(b - a for a, b in zip(before, after, strict=True)))
    await system.terminate_child(name)
    return changed, seconds


ROW = Row(
    id="siblings",
    injects=f"k of {_SIBLINGS} siblings fail, per strategy",
    shows="incarnations changed: k / n / n−i",
    about=(
        "The first, the middle and the last of the children of a supervisor fail, and three of them at once, "
        "each many times. Counted: by how much the incarnations of all siblings have grown when all of them "
        "answer again. Of several that fail at once, i is the first."
    ),
    stores=(StoreKind.MEMORY, StoreKind.EMBEDDED),
    run=_run,
)

"""Of n siblings, one fails: how many incarnations the strategy changes, and how long that takes."""

from __future__ import annotations

import time

from sentient_core.actors.actor import Actor
from sentient_core.actors.ref import ActorRef
from sentient_core.bench.findings import Findings
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


async def _run(scene: Scene, findings: Findings) -> None:
    repetitions = scene.pick(quick=6, full=60)
    middle: dict[str, tuple[object, object]] = {}
    """Of the one in the middle: what is expected, and what was found."""
    async with scene.system() as system:
        for step, cls in enumerate((_OneForOne, _OneForAll, _RestForOne)):
            kind = cls.strategy.kind.value
            for failing in (0, _SIBLINGS // 2, _SIBLINGS - 1):
                expected = {"one_for_one": 1, "one_for_all": _SIBLINGS}.get(kind, _SIBLINGS - failing)
                changed, seconds = await _fail(system, cls, failing, repetitions)
                found = changed.pop() if len(changed) == 1 else sorted(changed)
                claim = f"incarnations changed, {kind}, number {failing} of {_SIBLINGS} fails"
                findings.check(claim, expected, found)
                if failing == _SIBLINGS // 2:
                    middle[kind] = (expected, found)
                findings.latency(f"until all answer, {kind}, number {failing} fails", seconds)
            scene.progress(step + 1, 3)
    findings.check(
        f"incarnations changed, {' / '.join(middle)}",
        " / ".join(str(expected) for expected, _ in middle.values()),
        " / ".join(str(found) for _, found in middle.values()),
        headline=True,
    )


async def _fail(
    system: ActorSystem, cls: type[Supervisor], failing: int, repetitions: int
) -> tuple[set[int], list[float]]:
    """How many incarnations changed, which should be the same each time; seconds until all answer again."""
    name = f"{cls.strategy.kind.value}-{failing}"
    await system.spawn(cls, name=name)
    siblings: list[ActorRef[_Sibling]] = [system.get(f"{name}/{number}") for number in range(_SIBLINGS)]
    changed: set[int] = set()
    seconds: list[float] = []
    for _ in range(repetitions):
        before = [sibling.incarnation for sibling in siblings]
        started = time.perf_counter()
        siblings[failing].tell("fail")
        await siblings[failing].ask("up?", timeout=_TIMEOUT)
        for sibling in siblings:
            await sibling.ask("up?", timeout=_TIMEOUT)
        seconds.append(time.perf_counter() - started)
        after = [sibling.incarnation for sibling in siblings]
        changed.add(sum(b - a for a, b in zip(before, after, strict=True)))
    await system.terminate_child(name)
    return changed, seconds


ROW = Row(
    id="siblings",
    injects=f"1 of {_SIBLINGS} siblings fails, per strategy",
    shows="incarnations changed: 1 / n / n−i",
    about=(
        "The first, the middle and the last of the children of a supervisor fail, each many times. Counted: "
        "by how much the incarnations of all siblings have grown when all of them answer again."
    ),
    stores=(StoreKind.MEMORY, StoreKind.EMBEDDED),
    run=_run,
)

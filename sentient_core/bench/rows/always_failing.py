"""A child that fails at whatever it is given: how often it is restarted, and what waiting costs."""

from __future__ import annotations

import time

import anyio

from sentient_core.actors.actor import Actor
from sentient_core.bench.findings import Findings
from sentient_core.bench.others import loaded
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind
from sentient_core.bench.witness import Witness
from sentient_core.supervisor import Backoff, ChildSpec, Supervisor
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_BUDGETS = (0, 3, 100)
_BACKOFF = Backoff(first=0.1, most=0.1, jitter=0.0)
_TIMEOUT = 60.0


class _Failing(Actor[str]):
    durability = "mirrored"

    def __init__(self, starts: list[float]) -> None:
        self._starts = starts

    def on_start(self) -> None:
        self._starts.append(time.perf_counter())
        self.context.ref.tell("fail")

    def on_receive(self, message: str) -> None:
        raise ValueError(message)


def _supervisor(max_restarts: int, backoff: Backoff | None) -> type[Supervisor]:
    class Boss(Supervisor):
        strategy = Supervisor.one_for_one(max_restarts=max_restarts, within=3600.0, backoff=backoff)

    return Boss


async def _run(scene: Scene, findings: Findings) -> None:
    repetitions = scene.pick(quick=3, full=30)
    async with scene.system() as system, loaded(scene, system) as load:
        for step, budget in enumerate(_BUDGETS):
            starts: set[int] = set()
            seconds: list[float] = []
            for _ in range(repetitions):
                started, took = await _fail(system, budget, None)
                starts.add(started)
                seconds.append(took)
            found = starts.pop() - 1 if len(starts) == 1 else sorted(one - 1 for one in starts)
            findings.check(
                f"restarts with a budget of {budget}", budget, found, headline=budget == _BUDGETS[-1]
            )
            findings.latency(f"first start to escalation, budget {budget}", seconds, headline=budget != 0)
            scene.progress(step + 1, len(_BUDGETS) + 1)
    findings.others(load)
    async with scene.system() as system:
        await _wait(system, findings, scene.pick(quick=4, full=20))


async def _fail(system: ActorSystem, budget: int, backoff: Backoff | None) -> tuple[int, float]:
    """How often it was started, and seconds from its first start to the end of its supervisor for good."""
    starts: list[float] = []
    witness = Witness(system)
    boss = await system.spawn(_supervisor(budget, backoff), name="boss", restart="temporary")
    await witness.watch(boss)
    await boss.start_child(ChildSpec(_Failing, name="child", args=(starts,)))
    with anyio.fail_after(_TIMEOUT):
        await witness.until("boss")
    return len(starts), time.perf_counter() - starts[0]


async def _wait(system: ActorSystem, findings: Findings, restarts: int) -> None:
    """The processor time of a system in which a child waits, beside one in which nothing does."""
    idle_from = time.process_time()
    await anyio.sleep(_BACKOFF.most * restarts)
    idle = time.process_time() - idle_from
    waiting_from = time.process_time()
    started, seconds = await _fail(system, restarts, _BACKOFF)
    waiting = time.process_time() - waiting_from
    findings.check("restarts with a backoff", restarts, started - 1)
    findings.holds(
        f"every restart waits its {_BACKOFF.first:g} s",
        seconds >= _BACKOFF.first * restarts,
        f"{seconds:.2f} s for {restarts}",
    )
    findings.figure(
        "processor during 1 s of backoff (10 restarts)", 1e3 * waiting / seconds, "ms", headline=True
    )
    idle_ms = 1e3 * idle / (_BACKOFF.most * restarts)
    findings.figure("processor during 1 s with nothing to do", idle_ms, "ms", headline=True)


ROW = Row(
    id="always-failing",
    injects="child that always fails",
    shows="restarts until escalation (exactly the budget), time, CPU during backoff",
    about=(
        "Each incarnation sends itself a message and fails at it, until its supervisor has no restart left "
        "and ends: measured from its first start until who watches that supervisor is told. Once more with a "
        "backoff of 0.1 s, alone: the processor time of the whole process meanwhile."
    ),
    stores=(StoreKind.MEMORY, StoreKind.EMBEDDED),
    run=_run,
)

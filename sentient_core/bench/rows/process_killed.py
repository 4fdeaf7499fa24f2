"""The own process is killed, at each point that it comes by: what is lost, and how long until it works."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable
from signal import SIGKILL

import anyio
import msgspec

from sentient_core.bench.crash_child import CrashPlan
from sentient_core.bench.deposits import Deposits, judge
from sentient_core.bench.findings import Findings
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.server import PASSWORD, USER
from sentient_core.bench.stores import Database, StoreKind
from sentient_core.errors import SentientError
from sentient_core.faults import ACTIONS, FaultAction, FaultPlan, FaultPoint, Rule

__all__ = ["ROW"]

_PATIENCE = 120.0
_OFTEN, _SELDOM = 0.01, 0.1
"""How probable the kill is, each time that an actor comes by: deposits do all the time."""
_QUICK = (FaultPoint.RECEIVE, FaultPoint.STORE_APPEND, FaultPoint.STORE_COMMITTED, FaultPoint.STORE_WRITE)
_SELDOM_PASSED = {FaultPoint.START, FaultPoint.STOP, FaultPoint.SPAWN, FaultPoint.PUBLISH, FaultPoint.TIMER}
_STRIDE = 1_000_000
"""Numbers of deposits that each process may use."""


async def _run(scene: Scene, findings: Findings) -> None:
    # A reply is of an ask, and deposits are sent; what a store reads while it opens comes before any of them.
    passed = [p for p in FaultPoint if FaultAction.KILL in ACTIONS[p] and p is not FaultPoint.REPLY]
    points = scene.pick(quick=_QUICK, full=tuple(passed))
    kills = scene.pick(quick=1, full=5)
    sizes = scene.pick(quick=(200, 1_000), full=(1_000, 3_000, 10_000))
    steps, step = len(points) * kills + 2 * len(sizes), 0
    told: set[int] = set()
    present: list[int] = []
    seconds: list[float] = []
    for at, point in enumerate(points):
        database = scene.database()
        done: list[int] = []
        for kill in range(kills):
            first = (at * kills + kill) * _STRIDE
            told |= await _work_until(scene, database, _plan(scene, point, kill), first)
            began = time.perf_counter()
            done, took = await _take_up(scene, database, began)
            seconds.append(took)
            step += 1
            scene.progress(step, steps)
        present += done
    judge(told, present).tell(findings, headline=True)
    findings.figure("processes killed", len(points) * kills, "")
    findings.latency("from the next start to all tills answering", seconds, headline=True)
    for is_drained in (True, False):
        curve: list[tuple[float, float]] = []
        for size in sizes:
            took = await _recover(scene, findings, size, is_drained=is_drained)
            curve.append((size, took))
            step += 1
            scene.progress(step, steps)
        where = "in rows" if is_drained else "in the journal alone"
        findings.curve(
            f"recovery, backlog {where}", "pending messages", "seconds until all are handled", curve
        )
        findings.figure(
            f"{sizes[-1]:,} pending, {where}: until all are handled", curve[-1][1], "s", headline=True
        )


async def _recover(scene: Scene, findings: Findings, size: int, *, is_drained: bool) -> float:
    database = scene.database()
    await _child(_crash_plan(scene, database, backlog=size, is_drained=is_drained))
    done, seconds = await _take_up(scene, database, time.perf_counter())
    kind = "rows" if is_drained else "journal"
    judge(range(size), done).tell(findings, label=f"{size:,} pending, {kind}")
    return seconds


async def _take_up(scene: Scene, database: Database, began: float) -> tuple[list[int], float]:
    """Start on what is left: what was done in the end, and how long that took."""
    async with scene.system(at=database) as system:
        deposits = Deposits()
        await deposits.open(system)
        done = await deposits.done()
        return done, time.perf_counter() - began


def _plan(scene: Scene, point: FaultPoint, kill: int) -> FaultPlan:
    probability = _SELDOM if point in _SELDOM_PASSED else _OFTEN
    seed = scene.dice(f"{point}/{kill}").getrandbits(32)
    return FaultPlan(seed, (Rule(point=point, action=FaultAction.KILL, probability=probability),))


def _crash_plan(
    scene: Scene,
    database: Database,
    *,
    faults: str = "seed = 0",
    first: int = 0,
    backlog: int = 0,
    is_drained: bool = False,
) -> CrashPlan:
    is_served = scene.store is StoreKind.SERVER
    return CrashPlan(
        url=database.url or "",
        database=database.name,
        username=USER if is_served else None,
        password=PASSWORD if is_served else None,
        backend=scene.backend,
        faults=faults,
        first=first,
        backlog=backlog,
        is_drained=is_drained,
    )


async def _work_until(scene: Scene, database: Database, plan: FaultPlan, first: int) -> set[int]:
    """What was acknowledged until the process was dead."""
    lines = await _child(_crash_plan(scene, database, faults=str(plan), first=first))
    return set(_numbers(lines))


async def _child(plan: CrashPlan) -> bytes:
    command = [sys.executable, "-P", "-m", "sentient_core.bench.crash_child"]
    with anyio.fail_after(_PATIENCE):
        ended = await anyio.run_process(
            command, input=msgspec.json.encode(plan), check=False, stderr=subprocess.PIPE
        )
    if ended.returncode != -SIGKILL:
        words = ended.stderr.decode(errors="replace")[-2_000:]
        raise SentientError(f"the process did not kill itself, but ended with {ended.returncode}: {words}")
    return ended.stdout


def _numbers(lines: bytes) -> Iterable[int]:
    whole, _, _ = lines.rpartition(b"\n")
    return map(int, whole.split())


ROW = Row(
    id="process-killed",
    injects="own process SIGKILL at each point",
    shows="lost, doubled, recovery time against backlog",
    stores=(StoreKind.EMBEDDED, StoreKind.SERVER),
    about=(
        "A process of its own takes deposits as fast as it can, and kills itself at a point that a seeded "
        "plan chooses; what it said was acknowledged is compared with what the next start has. Then "
        "processes die over a backlog of accepted deposits that nobody has handled: timed is from the "
        "opening of the store to the last one handled, with the backlog in its rows and in the journal alone."
    ),
    run=_run,
)

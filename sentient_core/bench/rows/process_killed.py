"""The own process is killed, at each point that it comes by: what is lost, and how long until it works."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterable
from signal import SIGKILL

import anyio
import anyio.to_thread
import msgspec

from sentient_core.bench.crash_child import CrashPlan
from sentient_core.bench.deposits import Deposits, Verdict, judge
from sentient_core.bench.findings import Findings
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.server import PASSWORD, USER
from sentient_core.bench.stores import Database, StoreKind
from sentient_core.errors import SentientError
from sentient_core.faults import ACTIONS, FaultAction, FaultPlan, FaultPoint, Rule

__all__ = ["ROW"]

CHILD = (sys.executable, "-P", "-m", "sentient_core.bench.crash_child")
"""The process that is killed."""
_PATIENCE = 120.0
_OFTEN, _SELDOM = 0.01, 0.1
"""How probable the kill is, each time that an actor comes by: deposits do all the time."""
QUICK_SIZES = (200, 1_000)
QUICK_POINTS = (
    FaultPoint.RECEIVE,
    FaultPoint.STORE_APPEND,
    FaultPoint.STORE_COMMITTED,
    FaultPoint.STORE_WRITE,
)
_SELDOM_PASSED = {
    FaultPoint.START,
    FaultPoint.STOP,
    FaultPoint.REPLY,
    FaultPoint.SPAWN,
    FaultPoint.PUBLISH,
    FaultPoint.TIMER,
}
_BACKLOGS = {True: "with checkpoints (in rows)", False: "without (in the journal alone)"}
_LARGE = 10_000
_STRIDE = 1_000_000
"""Numbers of deposits that each process may use."""


async def _run(scene: Scene, findings: Findings) -> None:
    points = scene.pick(
        quick=QUICK_POINTS, full=tuple(point for point in FaultPoint if FaultAction.KILL in ACTIONS[point])
    )
    kills = scene.pick(quick=1, full=3)
    sizes = scene.pick(quick=QUICK_SIZES, full=(1_000, 3_000, 10_000))
    times = {size: _times(scene, size) for size in sizes}
    steps = iter(range(1, 1 + len(points) * kills + 2 * sum(times.values())))
    in_all = len(points) * kills + 2 * sum(times.values())
    told: set[int] = set()
    present: list[int] = []
    seconds: list[float] = []
    for at, point in enumerate(points):
        database = scene.database()
        done: list[int] = []
        for kill in range(kills):
            first = (at * kills + kill) * _STRIDE
            told |= await _work_until(scene, database, _plan(scene, point, kill), first)
            done, took = await _take_up(scene, database)
            seconds.append(took)
            scene.progress(next(steps), in_all)
        present += done
    judge(told, present).tell(findings, headline=True)
    findings.figure("processes killed", len(points) * kills, f"at {len(points)} points")
    findings.latency("next start, without a backlog: until all tills answer", seconds, headline=True)
    for is_drained, what in _BACKLOGS.items():
        curve: dict[float, list[float]] = {}
        verdict = Verdict()
        for size in sizes:
            curve[size] = []
            async for database in _left_behind(scene, size, times[size], is_drained=is_drained):
                found, took = await _take_up(scene, database)
                verdict.add(judge(range(size), found))
                curve[size].append(took)
                scene.progress(next(steps), in_all)
            findings.figure(
                f"next start, {size:,} pending, {what}: until all are handled",
                curve[size],
                "s",
                headline=size == sizes[-1],
            )
        if not curve:
            continue
        verdict.tell(findings, label=f"backlog {what}")
        findings.curve(
            "recovery against backlog", "pending messages", "seconds until all are handled", curve, label=what
        )


def _times(scene: Scene, size: int) -> int:
    """How often a start on so many is measured: where each takes a process of its own that dies, seldom."""
    if scene.is_quick:
        return 1
    if scene.store is not StoreKind.EMBEDDED:
        return 4
    return 30 if size < _LARGE else 10


async def _left_behind(scene: Scene, size: int, times: int, *, is_drained: bool) -> AsyncGenerator[Database]:
    """Databases that a process has died on with so many messages pending: one after the other."""
    if scene.store is not StoreKind.EMBEDDED:
        for _ in range(times):
            yield await _dead_with(scene, size, is_drained=is_drained)
        return
    dead = await _dead_with(scene, size, is_drained=is_drained)
    for number in range(times):
        copy = scene.folder / f"copy-{size}-{is_drained}-{number}"
        yield await anyio.to_thread.run_sync(dead.copy, copy)
        await anyio.to_thread.run_sync(shutil.rmtree, copy)


async def _dead_with(scene: Scene, size: int, *, is_drained: bool) -> Database:
    database = scene.database()
    await _child(_crash_plan(scene, database, backlog=size, is_drained=is_drained))
    return database


async def _take_up(scene: Scene, database: Database) -> tuple[list[int], float]:
    """Start on what is left: what was done in the end, and how long that took."""
    began = time.perf_counter()
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
    with anyio.fail_after(_PATIENCE):
        ended = await anyio.run_process(
            CHILD, input=msgspec.json.encode(plan), check=False, stderr=subprocess.PIPE
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
        "opening of the store to the last one handled, with checkpoints, where the states and the backlog "
        "stand in their rows, and without, where the journal alone has them and is gone through. The "
        "embedded database of a dead process is copied, and each start has a copy; on a server, each "
        "start has a process of its own that died, and there are fewer of them."
    ),
    run=_run,
)

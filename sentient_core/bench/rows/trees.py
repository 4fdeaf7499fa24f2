"""A very deep tree, and a very wide one: how long their ends take when the root is killed."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio

from sentient_core.actors.actor import Actor
from sentient_core.actors.handlers import handles
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.request import Request
from sentient_core.bench.findings import Findings
from sentient_core.bench.others import VolatileOther, loaded
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_TIMEOUT = 300.0


class _Grow(Request[None], frozen=True):
    """Have so many children, or a descent so deep."""

    size: int


class _Node(Actor):
    durability = "volatile"

    @handles
    async def grow(self, message: _Grow) -> None:
        if message.size > 0:
            child = await self.context.spawn(_Node, name="child")
            child.tell(_Grow(message.size - 1))


class _Root(Actor):
    durability = "volatile"

    @handles
    async def grow(self, message: _Grow) -> None:
        for _ in range(message.size):
            await self.context.spawn(_Leaf)


class _Leaf(Actor):
    durability = "volatile"


async def _run(scene: Scene, findings: Findings) -> None:
    repetitions = scene.pick(quick=1, full=5)
    depths = scene.pick(quick=(128, 2_048), full=(256, 512, 1_024, 2_048))
    widths = scene.pick(quick=(500, 5_000), full=(1_000, 10_000, 100_000))
    total = (len(depths) + len(widths)) * repetitions
    async with (
        scene.system(watchdog=None) as system,
        loaded(scene, system, kinds=(VolatileOther,), patience=_TIMEOUT) as load,
    ):
        done, before = 0, system.statistics().actors
        for name, what, sizes, end in (
            ("depth", "a chain of {:,}", depths, _end_of_deep),
            ("children", "{:,} children", widths, _end_of_wide),
        ):
            points: dict[float, list[float]] = {}
            spans: list[tuple[float, float]] = []
            for size in sizes:
                points[size] = []
                for _ in range(repetitions):
                    seconds = await _measured(end, system, size)
                    points[size].append(seconds)
                    if size == sizes[-1]:
                        spans.append((load.now() - seconds, load.now()))
                    done += 1
                    scene.progress(done, total)
            largest = what.format(sizes[-1])
            findings.figure(f"{largest}: kill until all are down", points[sizes[-1]], "s", headline=True)
            findings.figure(f"slope over {name}", _slope(points), "", headline=True)
            findings.curve(f"root killed, by {name}", name, "seconds until all are down", points)
            during = [
                late for began, ended in spans for late in load.result.between(began, ended).latencies()
            ]
            findings.latency(f"others meanwhile, {largest}", during, headline=True)
        findings.check("actors that are left", before, system.statistics().actors)
    findings.latency("others, before", load.result.between(0.0, load.quiet_until).latencies(), headline=True)


async def _measured(
    end: Callable[[ActorSystem, int], Awaitable[float]], system: ActorSystem, size: int
) -> float:
    """Without Python's collector, which looks through all objects there are."""
    gc.collect()
    gc.disable()
    try:
        return await end(system, size)
    finally:
        gc.enable()


async def _end_of_deep(system: ActorSystem, depth: int) -> float:
    before = system.statistics().actors
    root = await system.spawn(_Node, name="root", restart="temporary")
    root.tell(_Grow(depth - 1))
    while system.statistics().actors < before + depth:  # noqa: ASYNC110 - the last one tells nobody
        await anyio.sleep(0.001)
    return await _kill(root)


async def _end_of_wide(system: ActorSystem, children: int) -> float:
    root = await system.spawn(_Root, name="root", restart="temporary")
    await root.ask(_Grow(children), timeout=_TIMEOUT)
    return await _kill(root)


async def _kill(root: ActorRef[Any]) -> float:
    begin = time.perf_counter()
    await root.kill()
    return time.perf_counter() - begin


def _slope(points: Mapping[float, Sequence[float]]) -> float:
    """Between the medians of the smallest and the largest, of the logarithms."""
    least, most = min(points), max(points)
    fast, slow = statistics.median(points[least]), statistics.median(points[most])
    return math.log(slow / fast) / math.log(most / least)


ROW = Row(
    id="trees",
    injects="tree of depth 2,048, of 10⁵ children, root killed",
    shows="time, slope",
    about=(
        "A chain in which each volatile actor is the child of the one before, and a parent with very many "
        "children (quick: 5,000). Measured: from the kill of the root until it, and all below it, are "
        "down; Python's collector is off meanwhile. Beside it, eight volatile actors are asked 100 times "
        "a second: what they notice of the largest ones. The slope is that of the time over the number, "
        "between the smallest and the largest, on a doubly logarithmic scale: at 1 each actor costs the "
        "same."
    ),
    stores=(StoreKind.MEMORY,),
    is_about_loop=True,
    run=_run,
)

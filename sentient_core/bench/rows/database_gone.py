"""The database is killed, paused, or behind a bad network: how long until all is well, and what is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
import anyio.to_thread

from sentient_core.bench.deposits import Deposits, Verdict
from sentient_core.bench.findings import Findings
from sentient_core.bench.load import LoadResult, OpenLoad
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.server import DatabaseServer
from sentient_core.bench.stores import StoreKind
from sentient_core.testing.proxy import ToxicProxy
from sentient_core.testing.toxics import Toxics

__all__ = ["ROW"]

_RATE = 150.0
_WITHIN = 0.25
_LASTS = 0.3
"""Seconds of each fault; a server that was killed is to be started, besides."""
_BEFORE = 0.3
"""Seconds before each fault that are drawn."""
_PATIENCE = 60.0
_CALM = 10
"""Deposits under way at a time when all is well, or more."""
QUICK_TIMES = 2
"""How often each harm is done."""

_Harm: TypeAlias = Callable[[DatabaseServer, ToxicProxy], Awaitable[None]]


async def _run(scene: Scene, findings: Findings) -> None:
    server = scene.server
    if server is None:
        return
    repetitions = scene.pick(quick=QUICK_TIMES, full=30)
    in_all = Verdict()
    before: list[float] = []
    for step, (name, harm) in enumerate(HARMS.items()):

        def progress(repetition: int, step: int = step) -> None:
            scene.progress(step * repetitions + repetition + 1, len(HARMS) * repetitions)

        result, faults, verdict = await _strike(scene, server, name, harm, repetitions, progress)
        repairs = [repair for _, ended in faults if (repair := _repair(result, ended)) is not None]
        findings.latency(f"{name}: until the next acknowledgement", repairs, headline=True)
        during = [seconds for began, ended in faults for seconds in result.between(began, ended).latencies()]
        findings.latency(f"{name}: acknowledged, of those due meanwhile", during)
        before += result.between(0.0, faults[0][0] - _WITHIN).latencies()
        verdict.tell(findings, label=name)
        in_all.add(verdict)
        ends = [*(began for began, _ in faults[1:]), result.end]
        runs = [
            (result.between(began - _BEFORE, end), (began, ended))
            for (began, ended), end in zip(faults, ends, strict=True)
        ]
        findings.timeline(name, runs, within=_WITHIN)
    findings.latency("acknowledged, before", before, headline=True)
    in_all.tell(findings, headline=True)


async def _strike(
    scene: Scene,
    server: DatabaseServer,
    name: str,
    harm: _Harm,
    times: int,
    progress: Callable[[int], None],
) -> tuple[LoadResult, list[tuple[float, float]], Verdict]:
    """One system, its load, and its database harmed again and again."""
    deposits = Deposits()
    faults: list[tuple[float, float]] = []
    async with (
        ToxicProxy("127.0.0.1", server.port, seed=scene.seed) as proxy,
        scene.system(at=scene.database(), way=proxy.url()) as system,
    ):
        await deposits.open(system)
        asks = {"durable": deposits.deposit}
        async with OpenLoad(asks, rate=_RATE, dice=scene.dice(name), patience=_PATIENCE) as load:
            await anyio.sleep(scene.pick(quick=2 * _WITHIN, full=4 * _WITHIN))
            for repetition in range(times):
                began = load.now()
                await harm(server, proxy)
                faults.append((began, load.now()))
                await _until_calm(load)
                await anyio.sleep(scene.pick(quick=_BEFORE, full=2 * _BEFORE))
                progress(repetition)
        verdict = await deposits.judge()
    return load.result, faults, verdict


async def _until_calm(load: OpenLoad) -> None:
    """What has waited is answered: the next fault is to find the system as this one did."""
    with anyio.move_on_after(_PATIENCE):
        while load.under_way > _CALM:  # noqa: ASYNC110 - nobody is told how many are under way
            await anyio.sleep(0.01)


async def _killed(server: DatabaseServer, _: ToxicProxy) -> None:
    server.kill()
    await anyio.sleep(_LASTS)
    await anyio.to_thread.run_sync(server.start_again)


async def _paused(server: DatabaseServer, _: ToxicProxy) -> None:
    server.pause()
    try:
        await anyio.sleep(_LASTS)
    finally:
        server.resume()


async def _reset(_server: DatabaseServer, proxy: ToxicProxy) -> None:
    for _ in range(5):
        proxy.reset()
        await anyio.sleep(_LASTS / 5)


def _toxic(toxics: Toxics) -> _Harm:
    async def harm(_: DatabaseServer, proxy: ToxicProxy) -> None:
        proxy.set(toxics)
        await anyio.sleep(_LASTS)
        proxy.heal()

    return harm


HARMS: dict[str, _Harm] = {
    "killed, started again": _killed,
    "paused": _paused,
    "network cut (black hole)": _toxic(Toxics(black_hole=True)),
    "connections reset": _reset,
    "answers lost (1 in 20 pieces)": _toxic(Toxics(reset=0.05)),
    "50 ms latency, 50 ms jitter": _toxic(Toxics(latency=0.05, jitter=0.05, slice_bytes=500)),
}


def _repair(result: LoadResult, ended: float) -> float | None:
    """Seconds from the end of a fault to the first acknowledgement behind it. None: there was none."""
    done = [arrival.at + arrival.seconds for arrival in result.arrivals if arrival.seconds is not None]
    behind = [at - ended for at in done if at > ended]
    return min(behind, default=None)


ROW = Row(
    id="database-gone",
    injects="database killed, paused; network toxics",
    shows="time to repair, lost, doubled",
    stores=(StoreKind.SERVER,),
    about=(
        f"Durable actors are sent {_RATE:g} deposits a second, each under its id, and again until it is "
        "acknowledged, through a proxy to the server, while it is harmed again and again, each time when "
        "what has waited is answered. A fault is over when the server listens again, or the network is "
        "whole; time to repair is from then to the next "
        "acknowledgement. A killed server is started, ended in order and started once more, as the "
        "durable guide says; that counts as the fault. An embedded database dies with its process: see "
        "process-killed."
    ),
    run=_run,
)

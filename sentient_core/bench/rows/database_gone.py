"""The database is killed, paused, or behind a bad network: how long until all is well, and what is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

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
_BEFORE = 0.5
_PATIENCE = 60.0


async def _run(scene: Scene, findings: Findings) -> None:
    server = scene.server
    if server is None:
        return
    repetitions = scene.pick(quick=1, full=30)
    seconds = scene.pick(quick=0.3, full=0.5)
    harms: dict[str, Callable[[ToxicProxy], Awaitable[None]]] = {
        "killed and started again": lambda _: _killed(server, seconds),
        "paused": lambda _: _paused(server, seconds),
        "network cut (black hole)": lambda proxy: _toxic(proxy, Toxics(black_hole=True), seconds),
        "connections reset": lambda proxy: _reset(proxy, seconds),
        "answers lost (1 in 20 pieces)": lambda proxy: _toxic(proxy, Toxics(reset=0.05), seconds),
        "50 ms latency, 50 ms jitter": lambda proxy: _toxic(
            proxy, Toxics(latency=0.05, jitter=0.05, slice_bytes=500), seconds
        ),
    }
    in_all = Verdict()
    for step, (name, harm) in enumerate(harms.items()):
        repairs: list[float] = []
        verdict = Verdict()
        result: LoadResult | None = None
        fault = 0.0, 0.0
        for repetition in range(repetitions):
            result, fault, found = await _leg(scene, server, name, harm)
            verdict.add(found)
            repair = _repair(result, fault[1])
            if repair is not None:
                repairs.append(repair)
            scene.progress(step * repetitions + repetition + 1, len(harms) * repetitions)
        findings.latency(f"{name}: until the next acknowledgement", repairs, headline=True)
        verdict.tell(findings, label=name)
        in_all.add(verdict)
        if result is not None:
            findings.timeline(f"database {name}", result, within=_WITHIN, fault=fault)
    in_all.tell(findings, headline=True)


async def _leg(
    scene: Scene, server: DatabaseServer, name: str, harm: Callable[[ToxicProxy], Awaitable[None]]
) -> tuple[LoadResult, tuple[float, float], Verdict]:
    deposits = Deposits()
    async with (
        ToxicProxy("127.0.0.1", server.port, seed=scene.seed) as proxy,
        scene.system(at=scene.database(), way=proxy.url()) as system,
    ):
        await deposits.open(system)
        asks = {"durable": deposits.deposit}
        async with OpenLoad(asks, rate=_RATE, dice=scene.dice(name), patience=_PATIENCE) as load:
            await anyio.sleep(_BEFORE)
            began = load.now()
            await harm(proxy)
            ended = load.now()
            await anyio.sleep(2 * _BEFORE)
        verdict = await deposits.judge()
    return load.result, (began, ended), verdict


async def _killed(server: DatabaseServer, seconds: float) -> None:
    server.kill()
    await anyio.sleep(seconds)
    await anyio.to_thread.run_sync(server.start_again)


async def _paused(server: DatabaseServer, seconds: float) -> None:
    server.pause()
    try:
        await anyio.sleep(seconds)
    finally:
        server.resume()


async def _toxic(proxy: ToxicProxy, toxics: Toxics, seconds: float) -> None:
    proxy.set(toxics)
    await anyio.sleep(seconds)
    proxy.heal()


async def _reset(proxy: ToxicProxy, seconds: float) -> None:
    for _ in range(5):
        proxy.reset()
        await anyio.sleep(seconds / 5)


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
        "acknowledged, through a proxy to the server. A fault is over when the server listens again, or the "
        "network is whole; time to repair is from then to the next acknowledgement."
    ),
    run=_run,
)

"""A handler computes without ever awaiting: what all others notice, and when it is named."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio
import structlog

from sentient_core.actors.actor import Actor
from sentient_core.bench.findings import Findings
from sentient_core.bench.others import VolatileOther, loaded
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind
from sentient_core.config import Settings
from sentient_core.logs import LogLevel

__all__ = ["ROW"]

_BLOCKS = 0.3
_PAUSE = 0.3
_WATCHDOG = 0.1
_TICK = 0.001
_IN_TIME = 0.1
_PATH = "blocker"


class _Blocker(Actor[float]):
    """Blocks for so many seconds."""

    durability = "volatile"

    def on_receive(self, message: float) -> None:
        time.sleep(message)


class _Names:
    """When the log named the actor while its handler still blocked: a processor of structlog."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def __call__(self, _logger: object, _method: str, line: Any) -> Any:
        if line.get("path") == _PATH and line.get("is_over") is False:
            self.at.append(time.perf_counter())
        raise structlog.DropEvent


async def _run(scene: Scene, findings: Findings) -> None:
    repetitions = scene.pick(quick=3, full=30)
    until_named: list[float] = []
    lags: list[float] = []
    with _listening() as names:
        settings = Settings(log_level=LogLevel.WARNING)
        async with (
            scene.system(settings=settings, watchdog=_WATCHDOG) as system,
            loaded(scene, system, kinds=(VolatileOther,)) as load,
        ):
            blocker = await system.spawn(_Blocker, name=_PATH)
            begins: list[float] = []
            for repetition in range(repetitions):
                names.at.clear()
                begin = time.perf_counter()
                begins.append(load.now())
                blocker.tell(_BLOCKS)
                lags.append(await _lag(begin + _BLOCKS + _TICK))
                await anyio.sleep(_PAUSE)
                until_named += [at - begin for at in names.at[:1]]
                scene.progress(repetition + 1, repetitions)
    result = load.result
    blocked = [result.between(begin, begin + _BLOCKS) for begin in begins]
    findings.check("handlers named while they blocked", repetitions, len(until_named), headline=True)
    findings.latency(f"until named (threshold {_WATCHDOG:g} s)", until_named, headline=True)
    findings.latency("lag of the loop", lags, headline=True)
    before = result.between(0, load.quiet_until).latencies()
    findings.latency("others, before", before, headline=True)
    during = [seconds for part in blocked for seconds in part.latencies()]
    findings.latency("others, of those due while it blocked", during, headline=True)
    findings.loss("unanswered", result.unanswered(), len(result.arrivals), "requests", label="others")
    runs = [
        (result.between(begin - _PAUSE / 2, begin + _BLOCKS + _PAUSE), (begin, begin + _BLOCKS))
        for begin in begins
    ]
    findings.timeline(f"a handler blocks for {_BLOCKS:g} s", runs, within=_IN_TIME)


async def _lag(end: float) -> float:
    """How late a task is that wants to run all the while, at most."""
    lag, now = 0.0, time.perf_counter()
    while now < end:
        before = now
        await anyio.sleep(_TICK)
        now = time.perf_counter()
        lag = max(lag, now - before - _TICK)
    return lag


@contextmanager
def _listening() -> Generator[_Names]:
    """The runtime's warnings, for this row alone."""
    before, names = structlog.get_config(), _Names()
    structlog.configure(
        processors=[names], wrapper_class=structlog.BoundLogger, cache_logger_on_first_use=False
    )
    try:
        yield names
    finally:
        structlog.configure(**before)


ROW = Row(
    id="blocked-loop",
    injects=f"handler blocks the loop for {_BLOCKS:g} s",
    shows="lag, others' p99, time until named",
    about=(
        "A handler sleeps without awaiting. Named is the moment at which the log says whose it is, while it "
        "still blocks. The load is drawn beforehand: a request that was due while the loop stood counts from "
        "then."
    ),
    stores=(StoreKind.MEMORY,),
    is_about_loop=True,
    run=_run,
)

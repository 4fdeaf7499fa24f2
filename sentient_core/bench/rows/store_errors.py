"""The store fails now and then, always, is slow, or hangs: who notices, and is anything lost."""

from __future__ import annotations

import anyio
import msgspec

from sentient_core.bench.deposits import Deposits, Verdict
from sentient_core.bench.findings import Findings
from sentient_core.bench.load import OpenLoad
from sentient_core.bench.others import VolatileOther, spawn_others
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Rule

__all__ = ["ROW"]

_WITHIN = 0.25
_RATE = 200.0
_SLOW = 0.1
_UNTOUCHED = 0.1
"""Seconds before a fault in which what is due may be caught by it."""


class _Leg(msgspec.Struct, frozen=True):
    """What goes wrong with the commits."""

    action: FaultAction
    probability: float
    seconds: float | None = None


class _Before(msgspec.Struct):
    """Latencies with nothing going wrong, of all legs: what the others are beside."""

    durable: list[float] = []
    volatile: list[float] = []


async def _run(scene: Scene, findings: Findings) -> None:
    seconds = scene.pick(quick=0.45, full=4.0)
    legs = {
        "1 % fail": _Leg(FaultAction.RAISE, 0.01),
        "10 % fail": _Leg(FaultAction.RAISE, 0.1),
        "50 % fail": _Leg(FaultAction.RAISE, 0.5),
        "100 % fail": _Leg(FaultAction.RAISE, 1.0),
        "disk full": _Leg(FaultAction.FULL, 1.0),
        f"{_SLOW * 1e3:g} ms more": _Leg(FaultAction.DELAY, 1.0, _SLOW),
        "hang": _Leg(FaultAction.DELAY, 1.0, seconds),
    }
    if scene.is_quick:  # so few commits that seldom errors would be none
        legs = {name: leg for name, leg in legs.items() if name not in ("1 % fail", "50 % fail")}
    verdict, before = Verdict(), _Before()
    for done, (name, leg) in enumerate(legs.items()):
        verdict.add(await _measure(scene, findings, name, leg, seconds, before))
        scene.progress(done + 1, len(legs))
    findings.latency("acknowledged, before", before.durable)
    findings.latency("volatile actors, before", before.volatile, headline=True)
    verdict.tell(findings, headline=True)


async def _measure(
    scene: Scene, findings: Findings, name: str, leg: _Leg, seconds: float, before: _Before
) -> Verdict:
    around = scene.pick(quick=0.2, full=1.0)
    rule = Rule(
        point=FaultPoint.STORE_APPEND,
        action=leg.action,
        probability=leg.probability,
        seconds=leg.seconds,
    )
    deposits = Deposits()
    async with scene.system(faults=FaultPlan(scene.seed, (rule,))) as system:
        assert system.faults is not None  # noqa: S101 - it was given a plan
        system.faults.pause()
        await system.flush()  # of what the start has written, which the plan may have struck already
        await deposits.open(system)
        durable = OpenLoad({"durable": deposits.deposit}, rate=_RATE, dice=scene.dice(name), patience=30.0)
        async with (
            OpenLoad(
                await spawn_others(system, (VolatileOther,)), rate=100.0, dice=scene.dice("others")
            ) as others,
            durable,
        ):
            await anyio.sleep(around)
            began = durable.now()
            system.faults.resume()
            await anyio.sleep(seconds)
            system.faults.pause()
            ended = durable.now()
            await anyio.sleep(around)
        verdict = await deposits.judge()
    result = durable.result
    # Whoever comes last may be answered in time since the fault is over: that is not the fault's.
    during = result.between(began, ended - _WITHIN)
    available = 100 * during.availability(_WITHIN)
    findings.figure(f"available, {name}", available, f"% of {len(during.arrivals):,}", headline=True)
    findings.latency(f"acknowledged, {name}", result.between(began, ended).latencies())
    findings.latency(
        f"volatile actors, {name}",
        others.result.between(began, ended).latencies(),
        headline=name == "100 % fail",
    )
    before.durable += result.between(0.0, began - _UNTOUCHED).latencies()
    before.volatile += others.result.between(0.0, began).latencies()
    verdict.tell(findings, label=name)
    findings.timeline(f"store: {name}", [(result, (began, ended))], within=_WITHIN)
    return verdict


ROW = Row(
    id="store-errors",
    injects="store errors 1–100 %, full disk, latency, hang",
    shows="availability, isolation of volatile actors, lost",
    about=(
        "Commits of the journal fail before they are done, by a seeded plan, while durable actors are "
        f"sent {_RATE:g} deposits a second (each under its id, and again until it is acknowledged) and "
        "volatile ones are asked 100 times a second. A deposit is delayed, not refused: sooner or later "
        f"each of them is acknowledged. Available: the share acknowledged within {_WITHIN * 1e3:g} ms of "
        "those due while commits went wrong. Lost: acknowledged, and not in the state in the end."
    ),
    run=_run,
)

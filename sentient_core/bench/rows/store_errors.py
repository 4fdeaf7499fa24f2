"""The store fails now and then, always, is slow, or hangs: who notices, and is anything lost."""

from __future__ import annotations

import anyio

from sentient_core.bench.deposits import Deposits, Verdict
from sentient_core.bench.findings import Findings
from sentient_core.bench.load import OpenLoad
from sentient_core.bench.others import VolatileOther, loaded
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Rule

__all__ = ["ROW"]

_WITHIN = 0.25
_RATE = 200.0
_BEFORE = 0.5


async def _run(scene: Scene, findings: Findings) -> None:
    seconds = scene.pick(quick=1.0, full=5.0)
    legs: dict[str, tuple[FaultAction, float, float | None]] = {
        "1 % of commits fail": (FaultAction.RAISE, 0.01, None),
        "10 %": (FaultAction.RAISE, 0.1, None),
        "50 %": (FaultAction.RAISE, 0.5, None),
        "100 %": (FaultAction.RAISE, 1.0, None),
        "the disk is full": (FaultAction.FULL, 1.0, None),
        "each commit takes 0.2 s more": (FaultAction.DELAY, 1.0, 0.2),
        "commits hang": (FaultAction.DELAY, 1.0, seconds),
    }
    verdict = Verdict()
    for done, (name, (action, probability, slow)) in enumerate(legs.items()):
        rule = Rule(point=FaultPoint.STORE_APPEND, action=action, probability=probability, seconds=slow)
        verdict.add(await _leg(scene, findings, name, FaultPlan(scene.seed, (rule,)), seconds))
        scene.progress(done + 1, len(legs))
    verdict.tell(findings, headline=True)


async def _leg(scene: Scene, findings: Findings, name: str, plan: FaultPlan, seconds: float) -> Verdict:
    deposits = Deposits()
    async with scene.system(faults=plan) as system:
        assert system.faults is not None  # noqa: S101 - it was given a plan
        system.faults.pause()
        await deposits.open(system)
        durable = OpenLoad({"durable": deposits.deposit}, rate=_RATE, dice=scene.dice(name), patience=30.0)
        async with loaded(scene, system, kinds=(VolatileOther,)) as others, durable:
            await anyio.sleep(_BEFORE)
            began = durable.now()
            system.faults.resume()
            await anyio.sleep(seconds)
            system.faults.pause()
            ended = durable.now()
            await anyio.sleep(_BEFORE)
        verdict = await deposits.judge()
    verdict.tell(findings, label=name)
    during = durable.result.between(began, ended)
    available = 100 * during.availability(_WITHIN)
    findings.figure(f"{name}: acknowledged within {_WITHIN:g} s meanwhile", available, "%", headline=True)
    volatile = others.result.between(began, ended).latencies()
    findings.latency(f"{name}: volatile actors meanwhile", volatile, headline=name == "100 %")
    findings.timeline(f"store: {name}", durable.result, within=_WITHIN, fault=(began, ended))
    return verdict


ROW = Row(
    id="store-errors",
    injects="store errors 1–100 %, full disk, latency, hang",
    shows="availability, isolation of volatile actors, lost",
    about=(
        "Commits of the journal fail before they are done, by a seeded plan, while durable actors are sent "
        f"{_RATE:g} deposits a second (each under its id, and again until it is acknowledged) and volatile "
        "ones are asked 100 times a second. Lost: acknowledged, and not in the state in the end."
    ),
    run=_run,
)

"""Commits are done, and nobody hears of it: a client that asks again must not be applied twice."""

from __future__ import annotations

import anyio

from sentient_core.bench.deposits import Deposits
from sentient_core.bench.findings import Findings
from sentient_core.bench.load import OpenLoad
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Rule

__all__ = ["ROW"]

_RATE = 300.0


async def _run(scene: Scene, findings: Findings) -> None:
    quiet, seconds = scene.pick(quick=(0.2, 1.0), full=(3.0, 15.0))
    rule = Rule(point=FaultPoint.STORE_COMMITTED, action=FaultAction.RAISE, probability=0.2)
    database, deposits = scene.database(), Deposits()
    async with scene.system(at=database, faults=FaultPlan(scene.seed, (rule,))) as system:
        assert system.faults is not None  # noqa: S101 - it was given a plan
        system.faults.pause()
        await system.flush()  # of what the start has written, which the plan may have struck already
        await deposits.open(system)
        load = OpenLoad({"durable": deposits.deposit}, rate=_RATE, dice=scene.dice("load"), patience=30.0)
        async with load:
            await anyio.sleep(quiet)
            load.quiet_until = load.now()
            system.faults.resume()
            for step in range(10):
                await anyio.sleep(seconds / 10)
                scene.progress(step + 1, 10)
            system.faults.pause()
        (await deposits.judge()).tell(findings, label="seen by the same system", headline=True)
        findings.figure("commits whose answer was lost", len(system.faults.injected), "", headline=True)
    async with scene.system(at=database) as system:
        await deposits.open(system)
        (await deposits.judge()).tell(findings, label="seen by the next start", headline=True)
        balanced = (await system.audit()).is_balanced
        findings.holds("the audit is balanced", balanced, balanced)
    before, meanwhile = load.result.between(0.0, load.quiet_until), load.result.after(load.quiet_until)
    findings.latency("acknowledged, before", before.latencies(), headline=True)
    findings.latency("acknowledged, meanwhile", meanwhile.latencies(), headline=True)


ROW = Row(
    id="commit-lost",
    injects="commit, then the connection is lost (20 % of commits)",
    shows="lost, doubled",
    about=(
        "One in five group commits is done and its answer lost, by a seeded plan. The store reads back what "
        "has become of it; senders whose time runs out send again under the same id."
    ),
    run=_run,
)

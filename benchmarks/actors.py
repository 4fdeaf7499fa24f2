"""Actors beside bare queues: all workloads of one table.

`python -m benchmarks.actors [WORKLOAD …]` is for whoever works on the runtime: within seconds it prints the
ratios of just these workloads, by processor time, which other programs disturb less than the wall's.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable

import structlog

from benchmarks.measure import Figure, Settings, compared, interleaved
from benchmarks.workloads.ask import ask, inline_ask
from benchmarks.workloads.fan_in import fan_in
from benchmarks.workloads.restart import restart_many, restart_one
from benchmarks.workloads.ring import ping_pong, ring
from benchmarks.workloads.skynet import skynet
from benchmarks.workloads.spawn import spawn
from benchmarks.workloads.suspending import suspending
from benchmarks.workloads.tell import tell
from benchmarks.workloads.trial import BACKENDS, CHANNEL, Trial, Workload

__all__ = ["WORKLOADS", "main", "measured"]

WORKLOADS: tuple[Workload, ...] = (
    tell,
    ask,
    inline_ask,
    ping_pong,
    fan_in,
    ring,
    spawn,
    skynet,
    suspending,
    restart_one,
    restart_many,
)

_ROUNDS = 5


def measured(workload: Workload, settings: Settings) -> list[Figure]:
    """One workload on both backends, beside its baselines."""
    count = workload.quick_count if settings.is_quick else workload.count

    def told(round_: int, rates: dict[str, float]) -> None:
        said = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        settings.say(f"{workload.name}  round {round_}/{settings.short_rounds}  per second: {said}")

    found = interleaved(_legs(workload, count, time.perf_counter), settings.short_rounds, told)
    name, unit, base = workload.name, workload.unit, found[workload.baseline]
    figures = [
        compared(
            name, backend, unit, found[backend], workload.baseline, base, goal=goal, limit=workload.limit
        )
        for backend, goal in zip(BACKENDS, workload.goals or (None, None), strict=True)
    ]
    beside = compared(name, "trio, beside its own", unit, found["trio"], CHANNEL, found[CHANNEL])
    return [*figures, beside]


def main() -> None:
    """The ratios of some workloads, by processor time."""
    names = {workload.name: workload for workload in WORKLOADS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.actors", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"by default {_ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--count", type=int, help="how much work, instead")
    parser.add_argument("--channels", action="store_true", help="trio's channel, too")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in names]
    if unknown:
        parser.error(f"no workload '{unknown[0]}'; there are: {', '.join(names)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    print(f"{'workload':22} {'baseline':>11}" + "".join(f"{name:>38}" for name in BACKENDS))
    for name in options.names or names:
        workload = names[name]
        count = options.count or (workload.quick_count if options.quick else workload.count)
        legs = _legs(workload, count, time.process_time)
        if not options.channels:
            del legs[CHANNEL]
        found = interleaved(legs, options.rounds)
        base = found[workload.baseline]
        line = f"{name:22} {statistics.median(base):>9,.0f}/s"
        for leg in list(legs)[1:]:
            ratios = [value / other for value, other in zip(found[leg], base, strict=True)]
            value, ratio = statistics.median(found[leg]), statistics.median(ratios)
            line += f"{value:>13,.0f}/s  {ratio:6.2f} ({min(ratios):5.2f}–{max(ratios):5.2f})"
        print(line, flush=True)


def _legs(workload: Workload, count: int, clock: Callable[[], float]) -> dict[str, Callable[[], float]]:
    """The baseline first."""
    on_asyncio, on_trio = (Trial(count, backend, clock) for backend in BACKENDS)
    return {
        workload.baseline: lambda: workload.run_tasks(on_asyncio),
        "asyncio": lambda: workload.run_actors(on_asyncio),
        "trio": lambda: workload.run_actors(on_trio),
        CHANNEL: lambda: workload.run_channels(on_trio),
    }


if __name__ == "__main__":
    main()

"""Actors beside bare queues and beside other actor libraries: all that is measured of them.

`python -m benchmarks.actors [WORKLOAD …]` is for whoever works on the runtime: within seconds it prints the
ratios of just these workloads, by processor time, which other programs disturb less than the wall's.
"""

from __future__ import annotations

import argparse
import logging
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from benchmarks.checkpoint import checkpoint
from benchmarks.measure import Figure, Measurement, Settings, compared, interleaved
from benchmarks.peer_process import PeerLeg, Peers
from benchmarks.workloads.ask import ask, inline_ask
from benchmarks.workloads.fairness import fairness
from benchmarks.workloads.fan_in import fan_in
from benchmarks.workloads.idle import idle
from benchmarks.workloads.restart import restart_many, restart_one
from benchmarks.workloads.restart_reply import restart_reply
from benchmarks.workloads.ring import ping_pong, ring
from benchmarks.workloads.skynet import skynet
from benchmarks.workloads.spawn import spawn
from benchmarks.workloads.stop import stop_lag, stop_many, stop_very_many
from benchmarks.workloads.suspending import suspending
from benchmarks.workloads.tell import tell
from benchmarks.workloads.trial import BACKENDS, CHANNEL, Trial, Workload

__all__ = ["SUPERVISED", "WORKLOADS", "main", "measured", "measurement", "of_actors", "of_supervision"]

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
)
SUPERVISED: tuple[Workload, ...] = (restart_one, restart_many, stop_many, stop_very_many)
"""What supervisors do: on a page of its own."""

_ROUNDS = 5


def of_supervision(peers: Peers) -> list[Measurement]:
    """Restarts and ends, peers included where they have the workload; from a checkpoint on disk as well."""
    restarts_and_ends = [measurement(workload, peers) for workload in SUPERVISED]
    return [*restarts_and_ends[:2], restart_reply, checkpoint, *restarts_and_ends[2:], stop_lag]


def of_actors(peers: Peers) -> list[Measurement]:
    """All of them, peers included where they have the workload."""
    beside_peers = [measurement(workload, peers) for workload in WORKLOADS]
    return [*beside_peers, fairness, idle(peers)]


def measurement(workload: Workload, peers: Peers) -> Measurement:
    """One workload, by its name on the command line."""
    return Measurement(workload.name, workload.about, partial(measured, workload, peers))


def measured(workload: Workload, peers: Peers, settings: Settings) -> list[Figure]:
    """One workload on both backends, beside its baselines and the peers."""
    count = workload.quick_count if settings.is_quick else workload.count
    rounds = settings.rounds if workload.is_long else settings.short_rounds

    def told(round_: int, rates: dict[str, float]) -> None:
        said = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        settings.say(f"{workload.name}  round {round_}/{rounds}  per second: {said}")

    others = peers.legs(workload.name, count, is_sized=workload.is_sized, is_quick=settings.is_quick)
    bases = {name: _baseline(workload, leg.count, count) for name, leg in others.items()}
    legs = _legs(workload, count, time.perf_counter)
    for name, leg in others.items():
        base, base_count = bases[name]
        legs.setdefault(base, partial(workload.run_tasks, Trial(base_count)))
        legs[name] = leg.run
    found = interleaved(legs, rounds, told, is_warm=workload.is_long)

    return [
        *(
            compared(
                workload.name,
                backend,
                workload.unit,
                found[backend],
                workload.baseline,
                found[workload.baseline],
                goal=goal,
                limit=workload.limit,
            )
            for backend, goal in zip(BACKENDS, workload.goals or (None, None), strict=True)
        ),
        compared(
            workload.name, "trio, beside its own", workload.unit, found["trio"], CHANNEL, found[CHANNEL]
        ),
        *_of_peers(workload, others, found, bases),
    ]


def _of_peers(
    workload: Workload,
    others: dict[str, PeerLeg],
    found: dict[str, list[float]],
    bases: dict[str, tuple[str, int]],
) -> list[Figure]:
    return [
        compared(
            workload.name,
            name,
            workload.unit,
            found[name],
            bases[name][0],
            found[bases[name][0]],
            is_peer=True,
        )
        for name in others
        if not any(map(math.isnan, found[name]))
    ]


def _baseline(workload: Workload, count: int, own_count: int) -> tuple[str, int]:
    """What a peer with so much work is compared with: the name of the leg, and its count."""
    if not workload.is_sized or count == own_count:
        return workload.baseline, own_count
    return f"{workload.baseline}, {count:,}", count


def _legs(workload: Workload, count: int, clock: Callable[[], float]) -> dict[str, Callable[[], float]]:
    """The baseline first."""
    on_asyncio, on_trio = (Trial(count, backend, clock) for backend in BACKENDS)
    return {
        workload.baseline: partial(workload.run_tasks, on_asyncio),
        "asyncio": partial(workload.run_actors, on_asyncio),
        "trio": partial(workload.run_actors, on_trio),
        CHANNEL: partial(workload.run_channels, on_trio),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The ratios of some workloads, by processor time."""
    names = {workload.name: workload for workload in (*WORKLOADS, *SUPERVISED)}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.actors", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help=f"by default {_ROUNDS}")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--count", type=int, help="how much work, instead")
    parser.add_argument("--channels", action="store_true", help="trio's channel, too")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in names]
    if unknown:
        parser.error(f"no workload '{unknown[0]}'; there are: {', '.join(names)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    print(f"{'workload':14} {'baseline':>11}" + "".join(f"{name:>38}" for name in BACKENDS))
    for name in options.names or names:
        workload = names[name]
        count = options.count or (workload.quick_count if options.quick else workload.count)
        legs = _legs(workload, count, time.process_time)
        if not options.channels:
            del legs[CHANNEL]
        found = interleaved(legs, options.rounds, is_warm=workload.is_long)
        base = found[workload.baseline]
        line = f"{name:14} {statistics.median(base):>9,.0f}/s"
        for leg in list(legs)[1:]:
            ratios = [value / other for value, other in zip(found[leg], base, strict=True)]
            value, ratio = statistics.median(found[leg]), statistics.median(ratios)
            line += f"{value:>13,.0f}/s  {ratio:6.2f} ({min(ratios):5.2f}–{max(ratios):5.2f})"
        print(line, flush=True)


if __name__ == "__main__":
    main()

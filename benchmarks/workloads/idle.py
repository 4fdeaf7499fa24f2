"""idle: what actors take that have nothing to do, a thousand, a hundred thousand and a million of them."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import msgspec

from benchmarks.measure import Figure, Goal, Measurement, Settings
from benchmarks.peer_process import Peers
from benchmarks.workloads.crowd import Crowd, Taken
from benchmarks.workloads.trial import BACKENDS, QUEUE, Backend

__all__ = ["idle"]

_TRACED = 1_000
"""So few that only Python's own count of its allocations is exact enough."""
_CROWDS = (100_000, 1_000_000)
_QUEUES = 100_000
"""The baseline's most: a million tasks with a queue take some 5 GB."""
_LIMIT = "an instance with its attributes, a cell, a mailbox, a ref and a place among the living"
_GOAL = Goal(bound=1.2, is_least=False)


def idle(peers: Peers) -> Measurement:
    """With how much the peers' take."""
    return Measurement(
        "idle",
        "Actors without a name that have got no message yet, in a process of their own. Measured: kB (1,000 "
        "bytes) for each, the user's object included, and how many were made per second.",
        partial(_measure, peers),
    )


def _measure(peers: Peers, settings: Settings) -> list[Figure]:
    figures: list[Figure] = []
    for count in (_TRACED, *(() if settings.is_quick else _CROWDS)):
        queues = _taken(settings, QUEUE, count) if count <= _QUEUES else None
        for backend in BACKENDS:
            taken = _taken(settings, backend, count)
            figures += _figures(f"{backend}, {count:,} actors", taken, count)
        if queues is not None:
            figures += _figures(f"{QUEUE}, {count:,} tasks", queues, count, None)
    if settings.is_quick:
        return figures
    return [*figures, *_of_peers(peers)]


def _of_peers(peers: Peers) -> list[Figure]:
    note = "growth of the resident set"
    return [
        Figure(
            workload="idle",
            name=f"{name}, {count:,} actors",
            value=size / 1e3,
            unit="kB each",
            note=note,
            is_peer=True,
        )
        for name, (count, size) in peers.once("idle").items()
    ]


def _figures(name: str, taken: Taken, count: int, goal: Goal | None = _GOAL) -> list[Figure]:
    note = "counted by tracemalloc" if count <= _TRACED else "growth of the resident set"
    note += f"; {taken.each_used / 1e3:.2f} kB after a first message"
    sizes = [
        Figure(
            workload="idle",
            name=name,
            value=taken.each / 1e3,
            unit="kB each",
            goal=goal,
            note=note,
            limit=_LIMIT,
        )
    ]
    if count <= _TRACED:
        return sizes  # tracing slows it down too much to tell a rate
    return [
        *sizes,
        Figure(workload="idle", name=f"{name}, made", value=count / taken.seconds, unit="per second"),
    ]


def _taken(settings: Settings, side: Backend | str, count: int) -> Taken:
    crowd = msgspec.convert({"side": side, "count": count, "is_traced": count <= _TRACED}, Crowd)
    command = [sys.executable, "-P", "-m", "benchmarks.workloads.crowd", crowd.as_json()]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603 - this very program
    taken = msgspec.json.decode(done.stdout, type=Taken)
    settings.say(
        f"idle  {side}, {count:,}: {taken.each:,.0f} bytes each, {taken.each_used:,.0f} after a message, "
        f"{count / taken.seconds:,.0f} per second"
    )
    return taken

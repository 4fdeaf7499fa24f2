"""What a system and its process hold at one moment, to find what a fault has left behind."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from sentient_core.bench.findings import Findings
from sentient_core.bench.stores import CONNECTIONS, StoreKind
from sentient_core.system import ActorSystem, runtime_of

__all__ = ["Held", "settled"]

_DESCRIPTORS = Path("/proc/self/fd")
_WORKER = "sentient-core worker"
_POOLED = ("Trio thread", " from ", "AnyIO worker thread")
"""In the names of such threads; trio calls one that works after what it does, and for whom."""
_PASSES = 50
_COUNTED = "tasks, threads, descriptors, actors, watchers"


class Held(msgspec.Struct, frozen=True):
    """Counted things."""

    tasks: int
    """Of the event loop, without those workers of the runtime that wait for the next turn."""
    threads: int
    """Without those of the event loop's pool, which keeps as many as were in use at once, for a while."""
    descriptors: int
    """Open files and sockets; 0 where the system does not tell."""
    actors: int
    watched: int
    """Actors whose end somebody is to be told of."""

    def beyond(self, before: Held, findings: Findings, of: int, unit: str, store: StoreKind) -> None:
        """What there is more of than `before`, all of it as one loss: any breaks a promise, and is named.

        The connections to a server may be more by then, as many as there are in its pool.
        """
        leaked = 0
        for name in self.__struct_fields__:
            more = max(0, getattr(self, name) - getattr(before, name))
            allowed = CONNECTIONS if name == "descriptors" and store is StoreKind.SERVER else 0
            leaked += more if more > allowed else 0
            if more > allowed:
                findings.loss(f"{name} left behind", more, of, unit)
            elif more:
                findings.note(f"{more} {name} more at the end: connections of the pool, of up to {allowed}")
        findings.loss(f"left behind ({_COUNTED})", leaked, of, unit, allowed=None, headline=True)


async def settled(system: ActorSystem) -> Held:
    """What is held when the loop has got to all that was under way."""
    for _ in range(_PASSES):
        await checkpoint()
    runtime = runtime_of(system, "count what it holds")
    names = [task.name or "" for task in anyio.get_running_tasks()]
    return Held(
        tasks=sum(_WORKER not in name for name in names) + runtime.dispatcher.busy,
        threads=sum(not any(mark in thread.name for mark in _POOLED) for thread in threading.enumerate()),
        descriptors=_descriptors(),
        actors=system.statistics().actors,
        watched=len(runtime.watchers),
    )


def _descriptors() -> int:
    return sum(1 for _ in _DESCRIPTORS.iterdir()) if _DESCRIPTORS.exists() else 0

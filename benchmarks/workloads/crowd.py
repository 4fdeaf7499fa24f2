"""So many idle actors in a process of their own: `python -m benchmarks.workloads.crowd JSON`.

Prints what they took, as JSON. With `is_traced` Python's own allocations are counted, exact also for a few
actors but slow; else the growth of the resident set, which is what the operating system has to give.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
import tracemalloc
from typing import Any, Literal

import anyio
import anyio.lowlevel
import msgspec
import structlog

from benchmarks.resident import resident
from benchmarks.workloads.numbers import CHUNK, Number
from benchmarks.workloads.spawn import Idle
from sentient_core import ActorSystem, MemoryStore

__all__ = ["Crowd", "Taken"]


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """What to make."""

    side: Literal["asyncio", "trio", "asyncio.Queue"]
    count: int
    is_traced: bool

    def as_json(self) -> str:
        return msgspec.json.encode(self).decode()


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What they took."""

    seconds: float
    each: float
    """Bytes per actor before its first message."""
    each_used: float
    """Bytes per actor after its first message."""


class _Meter:
    """Bytes more than when it was made."""

    def __init__(self, crowd: Crowd) -> None:
        if crowd.is_traced:
            tracemalloc.start()
        self._crowd = crowd
        self._before = self._now()

    def each(self) -> float:
        return (self._now() - self._before) / self._crowd.count

    def _now(self) -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if self._crowd.is_traced else resident()


async def _actors(crowd: Crowd) -> None:
    async with ActorSystem("bench", store=MemoryStore()) as system:
        refs: list[Any] = [None] * crowd.count
        (await system.spawn(Idle, -1)).tell(Number(1))  # what the first one of its class takes
        await anyio.sleep(0.01)
        meter, started = _Meter(crowd), time.perf_counter()
        for number in range(crowd.count):
            refs[number] = await system.spawn(Idle, number)
        seconds, each = time.perf_counter() - started, meter.each()
        message = Number(1)
        for number, ref in enumerate(refs):
            ref.tell(message)
            if not number % CHUNK:
                await anyio.lowlevel.checkpoint()
        while system.statistics().handled <= crowd.count:  # noqa: ASYNC110 - an event would be one part more
            await anyio.sleep(0.01)
        _print(Taken(seconds=seconds, each=each, each_used=meter.each()))


async def _tasks(crowd: Crowd) -> None:
    handled = 0

    async def take(queue: asyncio.Queue[Number], total: int) -> None:
        nonlocal handled
        while True:
            total += (await queue.get()).value
            handled += 1

    queues: list[Any] = [None] * crowd.count
    tasks: list[Any] = [None] * crowd.count
    meter, started = _Meter(crowd), time.perf_counter()
    for number in range(crowd.count):
        queue: asyncio.Queue[Number] = asyncio.Queue()
        queues[number] = queue
        tasks[number] = asyncio.create_task(take(queue, number))
    await asyncio.sleep(0)
    seconds, each = time.perf_counter() - started, meter.each()
    message = Number(1)
    for queue in queues:
        queue.put_nowait(message)
    while handled < crowd.count:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    _print(Taken(seconds=seconds, each=each, each_used=meter.each()))


def _print(taken: Taken) -> None:
    print(msgspec.json.encode(taken).decode(), flush=True)
    os._exit(0)  # a million of them take their time to end, and nobody waits for that


def main() -> None:
    """Make the crowd given on the command line."""
    # A collection of a million objects' garbage blocks the loop, which the runtime would report on stdout.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    crowd = msgspec.json.decode(sys.argv[1], type=Crowd)
    if crowd.side == "asyncio.Queue":
        asyncio.run(_tasks(crowd))
    else:
        anyio.run(_actors, crowd, backend=crowd.side)


if __name__ == "__main__":
    main()

"""The event bus: events delivered per second, from publishing to the callback, and the history of a million.

Delivering goes beside a bare fan-out, an `asyncio.Queue` per subscriber; the history beside the same query,
asked of the database as it stands.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from benchmarks.event_rows import WORKFLOWS, fill, time_of
from benchmarks.measure import Figure, Goal, Measurement, Settings, compared, observed
from benchmarks.store import url_of
from sentient_core import ActorSystem, AgentEvent, EventBus, SurrealStore
from sentient_core.bench.samples import percentile

__all__ = ["of_events"]

_TYPE = "bench.note"
_PUBLISHERS = 64
_PROGRAM = "SENTIENT_TEST_SURREAL"
_P99 = Goal(bound=50, is_least=False)
_HISTORY = Goal(bound=10, is_least=False, is_of_value=True)


def of_events() -> list[Measurement]:
    """All measurements of the bus."""
    return [
        *(
            Measurement(
                f"events-{subscribers}",
                f"Events of {_PUBLISHERS} publishers who wait for each commit, delivered to {subscribers} "
                "subscriber(s); counted are calls of callbacks.",
                partial(_delivered, subscribers),
            )
            for subscribers in (1, 100)
        ),
        Measurement(
            "event-latency",
            "From the call of `publish_event` to that of the callback, one event at a time.",
            _latency,
        ),
        Measurement(
            "event-history",
            "`get_event_history(limit=100)` of a million events, by what is asked for.",
            _history,
        ),
    ]


def _delivered(subscribers: int, settings: Settings) -> list[Figure]:
    count = 1_000 if settings.is_quick else 10_000
    ours: list[float] = []
    plain: list[float] = []
    for _ in range(settings.rounds):
        with TemporaryDirectory(dir=settings.folder) as folder:
            ours.append(anyio.run(_deliver, Path(folder) / "db", subscribers, count))
        plain.append(asyncio.run(_fan_out(subscribers, count)))
    settings.say(f"events-{subscribers}  {', '.join(f'{rate:,.0f}' for rate in ours)}")
    return [
        compared(
            f"events-{subscribers}",
            f"delivered to {subscribers}, embedded",
            "events/s",
            ours,
            "an asyncio.Queue each, nothing stored",
            plain,
        )
    ]


async def _deliver(folder: Path, subscribers: int, count: int) -> float:
    async with SurrealStore(url_of(folder)) as store, ActorSystem("bench", store=store) as system:
        bus = system.events
        left, is_done = subscribers * count, anyio.Event()

        def hear(_: AgentEvent) -> None:
            nonlocal left
            left -= 1
            if not left:
                is_done.set()

        for _ in range(subscribers):
            await bus.subscribe(_TYPE, hear).begun()

        async def publish(first: int) -> None:
            for n in range(first, count, _PUBLISHERS):
                await bus.publish_event(_event(n))

        started = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for first in range(_PUBLISHERS):
                tasks.start_soon(publish, first)
        await is_done.wait()
        return subscribers * count / (time.perf_counter() - started)


async def _fan_out(subscribers: int, count: int) -> float:
    queues: list[asyncio.Queue[AgentEvent]] = [asyncio.Queue() for _ in range(subscribers)]

    async def take(queue: asyncio.Queue[AgentEvent]) -> None:
        for _ in range(count):
            await queue.get()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for queue in queues:
            tasks.create_task(take(queue))
        for n in range(count):
            event = _event(n)
            for queue in queues:
                queue.put_nowait(event)
            if n % _PUBLISHERS == 0:
                await asyncio.sleep(0)
    return subscribers * count / (time.perf_counter() - started)


def _latency(settings: Settings) -> list[Figure]:
    count = 100 if settings.is_quick else 1_000
    ways: dict[str, Callable[[Path], Coroutine[Any, Any, list[float]]]] = {
        "system, embedded": partial(_publish_in_turn, count, _system),
        "bus alone, embedded": partial(_publish_in_turn, count, _alone),
        "system, server": partial(_publish_served, count, _system),
        "bus alone, server": partial(_publish_served, count, _alone),
        "another process's system, server": partial(_publish_served, count, _beside),
    }
    figures: list[Figure] = []
    for name, way in ways.items():
        if "server" in name and _program() is None:
            settings.say(f"event-latency  {name}: skipped, no server ({_PROGRAM})")
            continue
        p50: list[float] = []
        p99: list[float] = []
        for _ in range(settings.rounds):
            with TemporaryDirectory(dir=settings.folder) as folder:
                delays = [1_000 * delay for delay in anyio.run(way, Path(folder))]
            p50.append(percentile(delays, 0.5))
            p99.append(percentile(delays, 0.99))
        settings.say(f"event-latency  {name}: p50 {p50}, p99 {p99} ms")
        figures.append(observed("event-latency", f"p50, {name}", "ms", p50))
        figures.append(observed("event-latency", f"p99, {name}", "ms", p99, goal=_P99))
    return figures


@asynccontextmanager
async def _system(store: SurrealStore) -> AsyncGenerator[tuple[EventBus, EventBus]]:
    async with ActorSystem("bench", store=store) as system:
        yield system.events, system.events


@asynccontextmanager
async def _alone(store: SurrealStore) -> AsyncGenerator[tuple[EventBus, EventBus]]:
    async with EventBus(store, system="bench") as bus:
        yield bus, bus


@asynccontextmanager
async def _beside(store: SurrealStore) -> AsyncGenerator[tuple[EventBus, EventBus]]:
    """The journal of a system, followed by a bus that has connections of its own."""
    async with (
        ActorSystem("bench", store=store) as system,
        SurrealStore(store.url) as elsewhere,
        EventBus(elsewhere, system="bench") as bus,
    ):
        yield system.events, bus


async def _publish_in_turn(count: int, buses: Any, folder: Path) -> list[float]:
    async with SurrealStore(url_of(folder / "db")) as store:
        return await _delays(count, buses, store)


async def _publish_served(count: int, buses: Any, folder: Path) -> list[float]:
    async with _server(folder) as url, SurrealStore(url) as store:
        return await _delays(count, buses, store)


async def _delays(count: int, buses: Any, store: SurrealStore) -> list[float]:
    delays: list[float] = []
    async with buses(store) as (publisher, follower):
        heard = anyio.Event()

        def hear(_: AgentEvent) -> None:
            delays.append(time.perf_counter() - began)
            heard.set()

        await follower.subscribe(_TYPE, hear).begun()
        began = 0.0
        for n in range(count):
            heard = anyio.Event()
            began = time.perf_counter()
            await publisher.publish_event(_event(n))
            await heard.wait()
    return delays[count // 20 :]  # the first ones warm up


def _history(settings: Settings) -> list[Figure]:
    rows = 50_000 if settings.is_quick else 1_000_000
    with TemporaryDirectory(dir=settings.folder) as folder:
        times = anyio.run(_ask, Path(folder) / "db", rows, settings)
    figures: list[Figure] = []
    for name, (ours, plain) in times.items():
        figures.append(
            compared(
                "event-history",
                f"{name}, {rows:,} rows",
                "ms",
                ours,
                "the query alone",
                plain,
                goal=_HISTORY,
            )
        )
    return figures


async def _ask(folder: Path, rows: int, settings: Settings) -> dict[str, tuple[list[float], list[float]]]:
    times: dict[str, tuple[list[float], list[float]]] = {}
    settings.say(f"event-history  filling {rows:,} rows")
    async with SurrealStore(url_of(folder)) as store:
        await fill(store, "bench", rows)
    # Closed in between: what is not flushed yet, the engine looks through one by one from the end.
    async with SurrealStore(url_of(folder)) as store:
        bus = EventBus(store, system="bench")
        middle: datetime = time_of(rows // 2)
        asks: dict[str, tuple[dict[str, Any], str]] = {
            "of a workflow": ({"workflow_id": WORKFLOWS[7]}, "event_workflow_idx WHERE workflow_id = $value"),
            "of an agent": ({"agent_id": "team/a5"}, "event_source_idx WHERE source_agent = $value"),
            "of a type": ({"event_type": "agent_started"}, "event_type_idx WHERE event_type = $value"),
            "of an agent before a time": (
                {"agent_id": "team/a5", "until": middle},
                "event_source_idx WHERE source_agent = $value",
            ),
        }
        for name, (ask, plain) in asks.items():
            sql = f"SELECT * FROM agent_event WITH INDEX {plain} ORDER BY timestamp DESC LIMIT 100"  # noqa: S608
            value = next(iter(ask.values()))
            ours: list[float] = []
            alone: list[float] = []
            for _ in range(5 * settings.rounds):
                ours.append(await _timed(partial(bus.get_event_history, limit=100, **ask)))
                alone.append(await _timed(partial(store.query, sql, value=value)))
            times[name] = ours, alone
            settings.say(f"event-history  {name}: {percentile(ours, 0.5):.1f} ms")
    return times


async def _timed(call: Callable[[], Coroutine[Any, Any, list[Any]]]) -> float:
    started = time.perf_counter()
    found = await call()
    assert found
    return 1_000 * (time.perf_counter() - started)


def _event(n: int) -> AgentEvent:
    return AgentEvent(event_type=_TYPE, source_agent="bench", payload={"n": n, "text": "x" * 60})


def _program() -> str | None:
    return shutil.which(os.environ.get(_PROGRAM, "surreal"))


@asynccontextmanager
async def _server(folder: Path) -> AsyncGenerator[str]:
    """A database server of its own on a free port, on disk."""
    program = _program()
    assert program is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = await anyio.open_process(
        [
            *(program, "start", "--no-banner", "--log", "error", "--unauthenticated"),
            *("--bind", f"127.0.0.1:{port}", f"surrealkv://{folder}/served"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with anyio.fail_after(20):
            while True:
                try:
                    await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
                except OSError:
                    await anyio.sleep(0.02)
                else:
                    break
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.terminate()
        with anyio.CancelScope(shield=True):
            await process.wait()

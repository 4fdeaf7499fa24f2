"""One run of the mirror at full speed: senders, a probe of the commits, a ticker on the loop."""

from __future__ import annotations

import time
from pathlib import Path

import anyio
import msgspec

from benchmarks.notes import READERS, Note, Reader
from benchmarks.store import MESSAGES, WatchedStore, url_of
from sentient_core import ActorRef, ActorSystem, JournalOptions

__all__ = ["MirrorRun", "run_mirror"]

_AHEAD = 12_000
"""Records in the tail above which the senders wait: a few windows of the projector."""
_TAIL_BYTES = 5 * 1024 * 1024
"""So many records take three quarters of it. With less than half of it full, rows wait for the probe."""
_CHUNK = 32
_PROBE_SECONDS = 0.01
_TICK_SECONDS = 0.002


class MirrorRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run showed."""

    rows: int
    seconds: float
    """From the first message to the last row."""
    cpu: float
    """Seconds of processor time, of all threads."""
    commits: list[float]
    """Seconds from `tell` to its group's commit, of probes under the load."""
    lags: list[float]
    """Seconds by which the loop's ticks were late."""
    in_flight: int
    """Most inserts of event rows that the projector had under way."""

    @property
    def rate(self) -> float:
        return self.rows / self.seconds


async def run_mirror(folder: Path, seconds: float, texts: list[Note]) -> MirrorRun:
    """Send for so many seconds, wait for the last row, and look whether every message has one."""
    commits: list[float] = []
    lags: list[float] = []
    options = JournalOptions(tail_bytes=_TAIL_BYTES)
    async with (
        WatchedStore(url_of(folder)) as store,
        ActorSystem("bench", store=store, journal=options) as system,
    ):
        readers = [await system.spawn(Reader, name=name) for name in READERS]
        probed = await system.spawn(Reader, name="probed")
        await system.flush()
        started, cpu = time.perf_counter(), time.process_time()
        async with anyio.create_task_group() as ticking:
            ticking.start_soon(_tick, lags)
            async with anyio.create_task_group() as probing:
                probing.start_soon(_probe, store, probed, texts[0], commits)
                async with anyio.create_task_group() as senders:
                    for reader in readers:
                        senders.start_soon(_send, store, reader, texts, started + seconds)
                probing.cancel_scope.cancel()
            await system.flush()
            ticking.cancel_scope.cancel()
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
        found = system.statistics()
        assert not found.unmirrored, f"{found.unmirrored} messages went unmirrored"
        assert not found.dead_letters, f"{found.dead_letters} messages found no room"
        (rows,) = await store.query(MESSAGES)
        assert rows == [found.mirrored], f"{found.mirrored} messages mirrored, {rows} rows"
    return MirrorRun(
        rows=found.mirrored,
        seconds=elapsed,
        cpu=cpu,
        commits=commits,
        lags=lags,
        in_flight=store.most_in_flight,
    )


async def _send(store: WatchedStore, reader: ActorRef[Reader], texts: list[Note], until: float) -> None:
    """Send without end, but for a full tail."""
    backlog, tell = store.journal.backlog, reader.tell
    position = 0
    while time.perf_counter() < until:
        if backlog().records > _AHEAD:
            await anyio.sleep(0.002)
            continue
        for _ in range(_CHUNK):
            position += 1
            tell(texts[position % len(texts)])
        await anyio.lowlevel.checkpoint()


async def _probe(store: WatchedStore, probed: ActorRef[Reader], note: Note, commits: list[float]) -> None:
    """How long a message takes from `tell` to its commit."""
    while True:
        await anyio.sleep(_PROBE_SECONDS)
        started = time.perf_counter()
        probed.tell(note)
        await store.journal.committed()
        commits.append(time.perf_counter() - started)


async def _tick(lags: list[float]) -> None:
    """How late the loop wakes who sleeps."""
    while True:
        started = time.perf_counter()
        await anyio.sleep(_TICK_SECONDS)
        lags.append(time.perf_counter() - started - _TICK_SECONDS)

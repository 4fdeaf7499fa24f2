"""The mirror at full speed on an embedded database: what it carries, and what that costs those who wait.

Senders keep the projector busy without end and hold the tail between bounds, so that nothing goes unmirrored;
the clock stops when every row can be queried. Beside it, in the same rounds and each in a folder of its own,
the engine's bulk insert of the same rows. A round before or behind which the disk needed more than a
millisecond for the slowest of a hundred fdatasyncs is void; it is repeated a few times, and if the disk never
calms down the void rounds are reported as such.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.lowlevel
import msgspec

from benchmarks.machine import fdatasync_p99
from benchmarks.measure import Figure, Goal, Settings, compared, observed, percentile, rotated
from benchmarks.notes import READERS, Note, Reader, notes
from benchmarks.store import MESSAGES, WatchedStore, bulk_insert, url_of
from sentient_core import ActorRef, ActorSystem

__all__ = ["mirror"]

_BATCHES = ((100, 1), (100, 2), (500, 1), (500, 2))
_VOID_ABOVE = 1.0
"""Milliseconds of fdatasync's p99."""
_MOST_VOID = 3
"""Rounds that are repeated because they were void."""
_AHEAD = 12_000
"""Records in the tail above which the senders wait: a few windows of the projector."""
_CHUNK = 32
_PROBE_SECONDS = 0.01
_TICK_SECONDS = 0.002


class _Round(msgspec.Struct):
    """What one run of the mirror showed."""

    rate: float
    seconds: float
    commits: list[float]
    """Seconds from `tell` to its group's commit, of probes under the load."""
    lags: list[float]
    """Seconds by which the loop's ticks were late."""
    in_flight: int


def mirror(settings: Settings) -> list[Figure]:
    """Sustained mirroring beside bulk inserts, with commit latency and the loop's lag meanwhile."""
    seconds = 1.5 if settings.is_quick else 10.0
    batches = _BATCHES[1::2] if settings.is_quick else _BATCHES
    texts = notes(settings.seed)
    rounds: list[dict[str, _Round | float]] = []
    void: list[dict[str, _Round | float]] = []
    syncs: list[float] = []
    void_syncs: list[float] = []
    while len(rounds) < settings.rounds:
        number = len(rounds) + len(void)
        before = fdatasync_p99(settings.folder)
        found = _round(settings, number, seconds, batches, texts)
        sync = max(before, fdatasync_p99(settings.folder))
        is_void = sync > _VOID_ABOVE
        settings.say(f"mirror  fdatasync p99 {sync:.2f} ms" + (": the round is void" if is_void else ""))
        if not is_void:
            rounds.append(found)
            syncs.append(sync)
            continue
        void.append(found)
        void_syncs.append(sync)
        if len(void) >= (1 if settings.is_quick else _MOST_VOID):
            # The disk does not calm down: what is missing is taken from the void rounds, and said so.
            missing = settings.rounds - len(rounds)
            while len(void) < missing:
                void.append(_round(settings, len(rounds) + len(void), seconds, batches, texts))
                void_syncs.append(fdatasync_p99(settings.folder))
            rounds += void[:missing]
            syncs += void_syncs[:missing]
            break
    return _figures(rounds, syncs)


def _round(
    settings: Settings, number: int, seconds: float, batches: tuple[tuple[int, int], ...], texts: list[Note]
) -> dict[str, _Round | float]:
    found: dict[str, _Round | float] = {}

    def mirrored(backend: str) -> None:
        with TemporaryDirectory(dir=settings.folder) as folder:
            run = anyio.run(_mirror, Path(folder) / "db", seconds, texts, backend=backend)
        found[backend] = run
        p50, p99 = (percentile(run.commits, share) * 1e3 for share in (0.5, 0.99))
        lag = percentile(run.lags, 0.99) * 1e3
        settings.say(
            f"mirror  round {number + 1}  {backend}: {run.rate:,.0f} rows/s  ({run.seconds:.1f} s)  "
            f"commit p50 {p50:.1f} p99 {p99:.1f} ms, lag p99 {lag:.1f} ms"
        )

    def bulk(batch: int, in_flight: int) -> None:
        with TemporaryDirectory(dir=settings.folder) as folder:
            run = anyio.run(
                partial(bulk_insert, Path(folder) / "db", texts, batch, in_flight, seconds=seconds)
            )
        name = _bulk(batch, in_flight)
        found[name] = run.rate
        settings.say(f"mirror  round {number + 1}  {name}: {run.rate:,.0f} rows/s  ({run.seconds:.1f} s)")

    legs = [partial(mirrored, "asyncio"), partial(mirrored, "trio")]
    # In between, so that each mirror has a bulk insert on either side.
    for place, shape in enumerate(batches):
        legs.insert(2 * place + 1 if place < 2 else len(legs), partial(bulk, *shape))
    for leg in rotated(legs, number):
        leg()
    return found


def _bulk(batch: int, in_flight: int) -> str:
    return f"bulk {batch} x {in_flight}"


async def _mirror(folder: Path, seconds: float, texts: list[Note]) -> _Round:
    commits: list[float] = []
    lags: list[float] = []
    async with WatchedStore(url_of(folder)) as store, ActorSystem("bench", store=store) as system:
        readers = [await system.spawn(Reader, name=name) for name in READERS]
        probed = await system.spawn(Reader, name="probed")
        await system.flush()
        started = time.perf_counter()
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
        elapsed = time.perf_counter() - started
        found = system.statistics()
        assert not found.unmirrored, f"{found.unmirrored} messages went unmirrored"
        assert not found.dead_letters, f"{found.dead_letters} messages found no room"
        (rows,) = await store.query(MESSAGES)
        assert rows == [found.mirrored], f"{found.mirrored} messages mirrored, {rows} rows"
    return _Round(found.mirrored / elapsed, elapsed, commits, lags, store.most_in_flight)


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


def _figures(rounds: list[dict[str, _Round | float]], syncs: list[float]) -> list[Figure]:
    calm = sum(sync <= _VOID_ABOVE for sync in syncs)
    note = (
        ""
        if calm == len(syncs)
        else f"void rounds: {len(syncs) - calm} of {len(syncs)} (fdatasync p99 > 1 ms)"
    )
    figures: list[Figure] = []
    for backend in ("asyncio", "trio"):
        runs = [run for round_ in rounds if isinstance(run := round_[backend], _Round)]
        in_flight = max(run.in_flight for run in runs)
        alike = [_best(round_, f" x {min(in_flight, 2)}") for round_ in rounds]
        best = [_best(round_, "") for round_ in rounds]
        rates = [run.rate for run in runs]
        figures += [
            compared(
                "mirror",
                f"{backend}, every row projected",
                "rows/s",
                rates,
                f"bulk insert, {min(in_flight, 2)} in flight",
                alike,
                goal=Goal(bound=0.8),
                note=note,
                limit=_RATE_LIMIT,
            ),
            compared(
                "mirror",
                f"{backend}, beside the best",
                "rows/s",
                rates,
                "best bulk insert",
                best,
                goal=Goal(bound=0.5),
                note=note,
                limit=_RATE_LIMIT,
            ),
        ]
        for share, goal in ((0.5, Goal(bound=10, is_least=False)), (0.95, None), (0.99, None)):
            figures.append(
                observed(
                    "mirror",
                    f"{backend}, tell to commit p{share * 100:.0f}",
                    "ms",
                    [percentile(run.commits, share) * 1e3 for run in runs],
                    goal=goal,
                    note=note,
                    limit=_COMMIT_LIMIT,
                )
            )
        for share, goal in ((0.5, None), (0.99, Goal(bound=20, is_least=False))):
            figures.append(
                observed(
                    "mirror",
                    f"{backend}, loop lag p{share * 100:.0f}",
                    "ms",
                    [percentile(run.lags, share) * 1e3 for run in runs],
                    goal=goal,
                    note=note,
                    limit=_LAG_LIMIT,
                )
            )
    for name in sorted({name for round_ in rounds for name in round_ if name.startswith("bulk")}):
        values = [value for round_ in rounds if isinstance(value := round_[name], float)]
        figures.append(observed("mirror", name, "rows/s", values, note="the engine's own"))
    figures.append(
        observed("mirror", "fdatasync p99", "ms", syncs, note=note or "before and behind each round")
    )
    return figures


def _best(round_: dict[str, _Round | float], ending: str) -> float:
    return max(
        rate
        for name, rate in round_.items()
        if isinstance(rate, float) and name.startswith("bulk") and name.endswith(ending)
    )


_RATE_LIMIT = (
    "the database: writing event rows with their indexes takes nearly all of its time; the journal's commits, the "
    "transaction behind each window and the removal of its entries share the engine and its log with the rows, "
    "and encoding and decoding on the store's thread shares Python's global lock with the senders"
)
_COMMIT_LIMIT = "a commit shares the engine's log and the store thread with batches of event rows"
_LAG_LIMIT = "the store thread holds Python's global lock while it encodes and decodes"

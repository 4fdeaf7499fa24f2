"""A burst that the buffer takes whole: what the sender and the actor pay for the mirror, rows apart.

The same burst to a mirrored actor and to a volatile one of the same system, measured until all of it is
handled; the rows are written behind, outside of the measurement, before the next round begins.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.lowlevel

from benchmarks.measure import Figure, Goal, Settings, compared, rotated
from benchmarks.notes import Note, Reader, VolatileReader, notes
from benchmarks.store import WatchedStore, url_of
from sentient_core import ActorRef, ActorSystem

__all__ = ["burst"]

_CHUNK = 100


def burst(settings: Settings) -> list[Figure]:
    """Mirror on beside mirror off."""
    count = 5_000 if settings.is_quick else 20_000
    figures: list[Figure] = []
    for backend in ("asyncio", "trio"):
        with TemporaryDirectory(dir=settings.folder) as folder:
            on, off = anyio.run(_bursts, settings, Path(folder) / "db", count, backend=backend)
        rates = ", ".join(f"{a:,.0f} ({b:,.0f})" for a, b in zip(on, off, strict=True))
        settings.say(f"burst  {backend}, on (off): {rates}")
        figures.append(
            compared(
                "burst",
                f"{backend}, {count:,} messages",
                "messages/s",
                on,
                "mirror off",
                off,
                goal=Goal(bound=0.5, is_later=True),
                limit=_LIMIT,
            )
        )
    return figures


async def _bursts(settings: Settings, folder: Path, count: int) -> tuple[list[float], list[float]]:
    texts = notes(settings.seed)
    rates: dict[bool, list[float]] = {True: [], False: []}
    async with WatchedStore(url_of(folder)) as store, ActorSystem("bench", store=store) as system:
        mirrored = await system.spawn(Reader, name="reader")
        volatile = await system.spawn(VolatileReader, name="volatile")
        for round_ in range(settings.short_rounds + 1):  # the first one warms up
            for is_on in rotated([True, False], round_):
                rate = await _burst(system, mirrored if is_on else volatile, texts, count)
                await system.flush()
                if round_:
                    rates[is_on].append(rate)
        assert not system.statistics().unmirrored, "the burst did not fit into the buffer"
    return rates[True], rates[False]


async def _burst(system: ActorSystem, reader: ActorRef[Reader], texts: list[Note], count: int) -> float:
    before = system.statistics().handled
    started = time.perf_counter()
    for start in range(0, count, _CHUNK):
        for position in range(start, start + _CHUNK):
            reader.tell(texts[position % len(texts)])
        await anyio.lowlevel.checkpoint()
    while system.statistics().handled < before + count:
        await anyio.lowlevel.checkpoint()
    return count / (time.perf_counter() - started)


_LIMIT = (
    "a mirrored `tell` encodes its message, makes an event of it and appends that to the journal, all on the "
    "sender's thread (six times the price of a volatile one); the store's thread commits and encodes rows "
    "meanwhile, and the two share Python's global lock"
)

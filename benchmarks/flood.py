"""One flood in a process of its own, for `benchmarks.memory`: `python -m benchmarks.flood FOLDER JSON`.

Prints what it found as JSON. The growth is that of the greatest resident set since just before the flood
(on Linux; elsewhere it is 0).
"""

from __future__ import annotations

import gc
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Literal

import anyio
import anyio.lowlevel
import msgspec
import structlog

from benchmarks.engine import bulk_insert, note_batches
from benchmarks.notes import Note, notes
from benchmarks.resident import forget_peak, peak, resident
from benchmarks.store import GAPS, MESSAGES, WatchedStore, url_of
from sentient_core import Actor, ActorSystem, JournalOptions, MailboxOptions, handles

__all__ = ["Flood", "Outcome"]

_CHUNK = 64


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """What to do."""

    kind: Literal["stalled", "outpaced", "bulk"]
    messages: int
    tail_bytes: int
    seed: int

    def as_json(self) -> str:
        return msgspec.json.encode(self).decode()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    sent: int
    rows: int
    """Messages found in the database."""
    in_gaps: int
    """Messages that recorded gaps say were not mirrored."""
    grown: int
    """Bytes by which the resident set grew at most."""


class SmallReader(Actor):
    """A reader whose mailbox adds nothing to the growth."""

    mailbox = MailboxOptions(capacity=1_000)

    @handles
    def note(self, message: Note) -> None:
        pass


async def flood(folder: Path, plan: Flood) -> Outcome:
    """Send without pacing; count what is left of it."""
    texts = notes(plan.seed)
    options = JournalOptions(tail_bytes=plan.tail_bytes, tail_seconds=3600, call_timeout=600)
    async with WatchedStore(url_of(folder)) as store:
        async with ActorSystem("bench", store=store, journal=options, drain_patience=600) as system:
            reader = await system.spawn(SmallReader, name="reader")
            reader.tell(texts[0])
            await system.flush()
            before = _start_watching()
            if plan.kind == "stalled":
                store.clients[-1].hold()
            for position in range(1, plan.messages):
                await reader.send(texts[position % len(texts)])
                if not position % _CHUNK:
                    await anyio.lowlevel.checkpoint()
            grown = peak() - before
            store.clients[-1].release()
        rows, gaps = await store.query(MESSAGES + GAPS)
    return Outcome(sent=plan.messages, rows=sum(rows), in_gaps=sum(gaps), grown=grown)


async def bulk(folder: Path, plan: Flood) -> Outcome:
    """How much the engine grows by so many rows."""
    await bulk_insert(folder, note_batches(notes(plan.seed), 500), 2, rows=500)  # what the first use takes
    before = _start_watching()
    batches = note_batches(notes(plan.seed), 500)
    done = await bulk_insert(folder.with_name("other"), batches, 2, rows=plan.messages)
    return Outcome(sent=done.rows, rows=done.rows, in_gaps=0, grown=peak() - before)


def _start_watching() -> int:
    """Forget the greatest resident set so far; returns the present one in bytes."""
    gc.collect()
    forget_peak()
    return resident()


def main() -> None:
    """Run the flood given on the command line."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    plan = msgspec.json.decode(sys.argv[2], type=Flood)
    run = bulk if plan.kind == "bulk" else flood
    outcome = anyio.run(partial(run, Path(sys.argv[1]), plan))
    print(msgspec.json.encode(outcome).decode())


if __name__ == "__main__":
    main()

"""Durable actors with large states: what a turn writes to the disk, and how many there are in a second.

Ten documents, each with a caller who waits for every answer. A turn changes one of a document's sections, its
counter at the beginning and its last lines at the end. The same with every state written whole, as it
would be without deltas, takes turns with it.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar
from unittest.mock import patch

import anyio
import msgspec

from benchmarks.disk_writes import written_bytes
from benchmarks.measure import Figure, Measurement, Settings, compared, observed
from benchmarks.rounds import Disk, Leg, calm_rounds
from benchmarks.store import WatchedStore, url_of
from sentient_core import Actor, ActorRef, ActorSystem, Request, handles
from sentient_core.actors.actor import DurabilityName
from sentient_core.store import deltas

__all__ = ["large_states"]

_DOCUMENTS = 10
_SIZES = {"10 kB": 10_000, "100 kB": 100_000, "1 MB": 1_000_000}
_SECTION_BYTES = 55
_LINES = 20
_PATIENCE = 120.0


class Edit(Request[int], frozen=True):
    """Change something; the reply says how many changes there were."""

    number: int


class Section(msgspec.Struct):
    """A part of a document."""

    title: str
    score: float
    tags: list[str]


class Document(Actor):
    """Keeps many sections."""

    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        """What it keeps."""

        edits: int = 0
        sections: dict[str, Section] = {}
        lines: list[str] = []

    state: State

    def __init__(self, size: int) -> None:
        self.size = size

    def on_start(self) -> None:
        """It is of its size from the beginning."""
        self.state.sections = {
            f"section {number}": Section(f"about {number}", number * 1.5, ["a", "b"])
            for number in range(self.size // _SECTION_BYTES)
        }

    @handles
    def edit(self, message: Edit) -> int:
        state = self.state
        state.edits += 1
        state.sections[f"section {message.number * 7919 % len(state.sections)}"].score = message.number * 2.5
        state.lines = [*state.lines[1 - _LINES :], f"edit {message.number}"]
        return state.edits


class _Edits(msgspec.Struct, frozen=True):
    turns: int
    seconds: float
    cpu: float
    """Seconds of processor time, of all threads."""
    written: int
    """Bytes that the system wrote to disk for this process, until the last row was there."""


def _measure(settings: Settings) -> list[Figure]:
    seconds = 0.3 if settings.is_quick else 5.0
    sizes = dict(list(_SIZES.items())[:1]) if settings.is_quick else _SIZES
    legs: dict[tuple[str, bool], Leg[_Edits]] = {
        (name, is_whole): Leg(name, partial(_run, settings, name, size, seconds, is_whole=is_whole))
        for name, size in sizes.items()
        for is_whole in (False, True)
    }
    disk = calm_rounds(settings, "large-states", list(legs.values()))
    figures: list[Figure] = []
    for name in sizes:
        figures += _figures(name, legs[name, False].runs, legs[name, True].runs, disk)
    return [*figures, disk.figure]


def _run(settings: Settings, name: str, size: int, seconds: float, *, is_whole: bool) -> _Edits:
    least = 2**62 if is_whole else deltas.LEAST_BYTES
    with TemporaryDirectory(dir=settings.folder) as folder, patch.object(deltas, "LEAST_BYTES", least):
        run = anyio.run(_edit, Path(folder) / "db", size, seconds)
    settings.say(
        f"large-states  {name}{', whole' if is_whole else ''}: {run.turns / run.seconds:,.0f} turns/s, "
        f"{run.written / run.turns / 1000:,.1f} kB a turn"
    )
    return run


async def _edit(folder: Path, size: int, seconds: float) -> _Edits:
    async with WatchedStore(url_of(folder)) as store, ActorSystem("bench", store=store) as system:
        documents = [await system.spawn(Document, size, name=f"doc-{n}") for n in range(_DOCUMENTS)]
        for document in documents:
            await document.ask(Edit(0), timeout=_PATIENCE)
        await system.flush()
        turns = [0] * _DOCUMENTS
        written, cpu, started = written_bytes(), time.process_time(), time.perf_counter()

        async def keep_editing(place: int, document: ActorRef[Document]) -> None:
            while time.perf_counter() < started + seconds:
                turns[place] += 1
                edits = await document.ask(Edit(turns[place]), timeout=_PATIENCE)
                assert edits == turns[place] + 1, f"after {turns[place]} edits it knows {edits}"

        async with anyio.create_task_group() as callers:
            for place, document in enumerate(documents):
                callers.start_soon(keep_editing, place, document)
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
        await system.flush()
        return _Edits(sum(turns), elapsed, cpu, written_bytes() - written)


def _figures(name: str, ours: list[_Edits], whole: list[_Edits], disk: Disk) -> list[Figure]:
    def rates(runs: list[_Edits]) -> list[float]:
        return [run.turns / run.seconds for run in runs]

    def sizes(runs: list[_Edits]) -> list[float]:
        return [run.written / run.turns for run in runs]

    return [
        compared(
            "large-states",
            f"{name}, written to disk",
            "B/turn",
            sizes(ours),
            "states whole",
            sizes(whole),
            note=disk.note,
            is_void=disk.is_void,
        ),
        compared(
            "large-states",
            f"{name}, turns",
            "turns/s",
            rates(ours),
            "states whole",
            rates(whole),
            note=disk.note,
            is_void=disk.is_void,
        ),
        observed(
            "large-states",
            f"{name}, processor time",
            "µs/turn",
            [run.cpu / run.turns * 1e6 for run in ours],
            note="encoding and checking the state are most of it",
        ),
    ]


large_states = Measurement(
    "large-states",
    f"{_DOCUMENTS} documents of a size, a caller each: what has changed of a state is written, or all of it.",
    _measure,
)

"""Runs rows one after the other, each on every store and event loop that was asked for."""

from __future__ import annotations

import gc
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio
import msgspec

from sentient_core.bench.findings import Findings
from sentient_core.bench.machine import fdatasync_p99, file_system, load, this_machine
from sentient_core.bench.progress import RunProgress
from sentient_core.bench.result import Report, Result, RowTitle
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.server import VARIABLE, DatabaseServer, server_program
from sentient_core.bench.stores import StoreKind
from sentient_core.causes import in_a_line

__all__ = ["Choice", "run_rows"]

_QUICK_SYNCS, _SYNCS = 40, 200


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured, and how."""

    rows: Sequence[Row]
    stores: Sequence[StoreKind] = tuple(StoreKind)
    backends: Sequence[str] = ("asyncio",)
    seed: int = 1
    is_quick: bool = False
    folder: Path | None = None
    """Where databases go: a folder on a real disk. None: a temporary one."""
    command: str = ""
    """How it was asked for, for the report."""


def run_rows(choice: Choice) -> Report:
    """Measure, with progress on stderr. A row that fails, or a server that is not there, is in the report.

    Blocks; each row runs on an event loop of its own.
    """
    started, load_before = time.perf_counter(), load()
    began = datetime.now(UTC).isoformat(timespec="seconds")
    program = server_program() if StoreKind.SERVER in choice.stores else None
    skipped: dict[str, str] = {}
    stores = list(choice.stores)
    if StoreKind.SERVER in stores and program is None:
        stores.remove(StoreKind.SERVER)
        skipped["server"] = f"no `surreal` on PATH, and no {VARIABLE} that names it"
    cases = [
        (row, store, backend)
        for row in choice.rows
        for store in stores
        if store in row.stores
        for backend in choice.backends
    ]
    results: list[Result] = []
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="sentient-bench-", dir=choice.folder or _disk())
            )
        )
        progress = stack.enter_context(RunProgress(len(cases)))
        for number, (row, store, backend) in enumerate(cases):
            title = f"{row.id}, {store}, {backend}"
            progress.begin(title)
            with ExitStack() as around:
                place = folder / str(number)
                place.mkdir()
                server = None
                if store is StoreKind.SERVER and program is not None:
                    server = around.enter_context(DatabaseServer(program, place))
                scene = Scene(
                    row=row.id,
                    backend=backend,
                    store=store,
                    seed=choice.seed,
                    is_quick=choice.is_quick,
                    folder=place,
                    server=server,
                    on_progress=progress.step,
                )
                result = _run(row, scene, progress)
            results.append(result)
            progress.end(title, result)
        machine = this_machine(folder, load_before)
    return Report(
        command=choice.command,
        seed=choice.seed,
        is_quick=choice.is_quick,
        started=began,
        seconds=time.perf_counter() - started,
        machine=machine,
        rows=[RowTitle(id=r.id, injects=r.injects, shows=r.shows, about=r.about) for r in choice.rows],
        results=results,
        skipped=skipped,
    )


def _run(row: Row, scene: Scene, progress: RunProgress) -> Result:
    findings = Findings()
    syncs = _QUICK_SYNCS if scene.is_quick else _SYNCS
    sync_ms = None if scene.store is StoreKind.MEMORY else fdatasync_p99(scene.folder, syncs)
    gc.collect()  # what the row before has left is not this one's
    started = time.perf_counter()
    error: str | None = None
    try:
        anyio.run(partial(row.run, scene, findings), backend=scene.backend)
    except Exception as failure:  # noqa: BLE001 - the other rows are measured all the same
        error = in_a_line(_innermost(failure))
        progress.say("".join(traceback.format_exception(failure)))
    return Result(
        row=row.id,
        backend=scene.backend,
        store=scene.store,
        sync=scene.store.sync,
        fdatasync_p99_ms=sync_ms,
        seconds=time.perf_counter() - started,
        findings=findings,
        error=error,
    )


def _innermost(failure: BaseException) -> BaseException:
    """Of a group of one, that one: task groups make them, and say nothing themselves."""
    inside: tuple[BaseException, ...] = getattr(failure, "exceptions", ())
    return _innermost(inside[0]) if len(inside) == 1 else failure


def _disk() -> str | None:
    """A folder for databases that is not in memory: the default one, or the present one."""
    for folder in (tempfile.gettempdir(), "."):
        if not file_system(Path(folder)).endswith("(in memory!)"):
            return folder
    return None

"""Runs rows one after the other, each on every store and event loop that was asked for."""

from __future__ import annotations

import gc
import shutil
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
from sentient_core.bench.peers.process import PEER_PACKAGES
from sentient_core.bench.progress import RunProgress
from sentient_core.bench.result import Report, Result, RowTitle
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.server import VARIABLE, DatabaseServer, server_program, server_version
from sentient_core.bench.stores import StoreKind
from sentient_core.causes import in_a_line
from sentient_core.errors import InvalidArgument

__all__ = ["Choice", "run_rows"]

_QUICK_SYNCS, _SYNCS = 40, 200
_INTERRUPTED = "interrupted"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured, and how."""

    rows: Sequence[Row]
    stores: Sequence[StoreKind] = tuple(StoreKind)
    backends: Sequence[str] | None = None
    """Event loops. None: asyncio, and trio beside it in memory for the rows that are about the loop."""
    seed: int = 1
    is_quick: bool = False
    folder: Path | None = None
    """Where databases go: a folder on a real disk. None: a temporary one."""
    command: str = ""
    """How it was asked for, for the report."""


def run_rows(choice: Choice) -> Report:
    """Measure, with progress on stderr. A row that fails, or a server that is not there, is in the report.

    Blocks; each row runs on an event loop of its own. Ctrl-C ends it with what was measured until then, of
    the row under way too. Raises InvalidArgument where nothing is left to measure.
    """
    started, load_before = time.perf_counter(), load()
    began = datetime.now(UTC).isoformat(timespec="seconds")
    program = server_program() if StoreKind.SERVER in choice.stores else None
    skipped = {kind.value: "not asked for" for kind in StoreKind if kind not in choice.stores}
    stores = list(choice.stores)
    if StoreKind.SERVER in stores and program is None:
        stores.remove(StoreKind.SERVER)
        skipped["server"] = f"no `surreal` on PATH, and no {VARIABLE} that names it"
    cases = _cases(choice, stores)
    if not cases:
        rows = ", ".join(row.id for row in choice.rows)
        why = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise InvalidArgument(f"there is nothing to measure for {rows or 'no row'} ({why})")
    results: list[Result] = []
    is_interrupted = False
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
            try:
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
                shutil.rmtree(place, ignore_errors=True)  # what follows has the disk to itself
            except KeyboardInterrupt:
                is_interrupted = True
            else:
                is_interrupted = result.error == _INTERRUPTED
                results.append(result)
                progress.end(title, result)
            if is_interrupted:
                left = [f"{row.id}, {store}, {backend}" for row, store, backend in cases[len(results) :]]
                skipped |= dict.fromkeys(left, _INTERRUPTED)
                break
        packages = {} if program is None else {"SurrealDB server": server_version(program)}
        machine = this_machine(folder, load_before, PEER_PACKAGES, packages)
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
        is_interrupted=is_interrupted,
    )


def _cases(choice: Choice, stores: Sequence[StoreKind]) -> list[tuple[Row, StoreKind, str]]:
    return [
        (row, store, backend)
        for row in choice.rows
        for store in stores
        if store in row.stores
        for backend in choice.backends or _loops(row, store)
    ]


def _loops(row: Row, store: StoreKind) -> tuple[str, ...]:
    return ("asyncio", "trio") if row.is_about_loop and store is StoreKind.MEMORY else ("asyncio",)


def _run(row: Row, scene: Scene, progress: RunProgress) -> Result:
    findings = Findings()
    syncs = _QUICK_SYNCS if scene.is_quick else _SYNCS
    sync_ms = None if scene.store is StoreKind.MEMORY else fdatasync_p99(scene.folder, syncs)
    gc.collect()  # what the row before has left is not this one's
    started = time.perf_counter()
    error: str | None = None
    try:
        anyio.run(partial(row.run, scene, findings), backend=scene.backend)
    except BaseException as failure:  # the other rows are measured all the same
        cause = _innermost(failure)
        if isinstance(cause, KeyboardInterrupt):
            error = _INTERRUPTED
        elif isinstance(failure, Exception):
            error = in_a_line(cause)
            progress.say("".join(traceback.format_exception(failure)))
        else:
            raise
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

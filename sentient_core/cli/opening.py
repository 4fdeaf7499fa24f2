"""How the command gets at a store: by a copy, since opening a database changes it.

The database's lock is a `flock` on its file LOCK, held while a process has it open. It can be tried without
changing anything. A store in use is refused, not copied: its files change under the copy, and only the
process itself can bring what it has in memory. A store that is opened while it is copied is found by the
lock and by the files' sizes and times, and refused, too.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from sentient_core.cli.options import CannotRun
from sentient_core.cli.output import Reporter
from sentient_core.errors import NoSuchStore, StoreError, StoreInUse, StorePathUnusable
from sentient_core.store.engine import Engine
from sentient_core.store.migrations import migrate
from sentient_core.store.url import Address, parse_url

__all__ = ["copy_of", "new_database", "only_system", "path_of", "systems_in"]

_LOCK = "LOCK"
_PARTS = ("manifest", "sstables", "wal")


@asynccontextmanager
async def copy_of(url: str, reporter: Reporter) -> AsyncGenerator[Engine]:
    """The database at an address, as a copy that is open and brought to this release's schema.

    Raises InvalidStoreUrl, NoSuchStore, StoreInUse, StoreSchemaTooNew, OSError.
    """
    path = path_of(url)
    _check(path)
    with tempfile.TemporaryDirectory(prefix="sentient-") as directory:
        copy = Path(directory) / "db"
        with reporter.step(f"copying {path}"):
            await anyio.to_thread.run_sync(_copy, path, copy)
        async with _opened(copy, path) as engine:
            yield engine


@asynccontextmanager
async def new_database(path: Path) -> AsyncGenerator[Engine]:
    """An empty database in a directory that is not there yet."""
    async with _opened(path, None) as engine:
        yield engine


def path_of(url: str) -> Path:
    """The directory of an address. Raises InvalidStoreUrl, and CannotRun for a store in memory."""
    path = parse_url(url).path
    if path is None:
        raise CannotRun("a store in memory ends with its process: there is nothing to look at")
    return path


async def only_system(engine: Engine, wanted: str | None) -> str:
    """The system that is meant: the one asked for, or the only one. Raises CannotRun."""
    known = await systems_in(engine, wanted)
    if len(known) != 1:
        listed = ", ".join(known) or "none"
        raise CannotRun(f"say which system is meant, by --system NAME. There are: {listed}")
    return known[0]


async def systems_in(engine: Engine, wanted: str | None) -> list[str]:
    """The systems that are meant: the one asked for, or all that there are. Raises CannotRun."""

    async def names() -> list[str]:
        (ids,) = await engine.query("SELECT VALUE id FROM ownership WHERE epoch != NONE")
        return sorted(str(id_.key[0]) for id_ in ids)

    known = await engine.thread.run(names)
    if wanted is None:
        return known
    if wanted not in known:
        raise CannotRun(f"the store knows no system '{wanted}'. There are: {', '.join(known) or 'none'}")
    return [wanted]


@asynccontextmanager
async def _opened(path: Path, original: Path | None) -> AsyncGenerator[Engine]:
    async def prepare(engine: Engine) -> None:
        (info,) = await engine.query("INFO FOR DB")
        if original is not None and "store_schema" not in info["tables"]:
            raise NoSuchStore(str(original), "it is a database, but without the tables of sentient-core")
        await migrate(engine)

    engine = Engine(Address(f"surrealkv://{path}", path), call_timeout=600.0)
    engine.start(prepare)
    try:
        await engine.opened()
        yield engine
    finally:
        await engine.stop()


def _check(path: Path) -> None:
    if not path.exists():
        raise NoSuchStore(str(path), "nothing is there")
    if not path.is_dir() or not all((path / part).is_dir() for part in _PARTS):
        raise NoSuchStore(str(path), "it is not the directory of a database")
    if _is_locked(path):
        raise StoreInUse(str(path))


def _is_locked(path: Path) -> bool:
    try:
        with (path / _LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _copy(path: Path, copy: Path) -> None:
    before = _marks(path)
    needed, free = sum(size for size, _ in before.values()), shutil.disk_usage(copy.parent).free
    if needed > free:
        raise StorePathUnusable(
            str(copy.parent), f"a copy of the store needs {needed:,} bytes, {free:,} are free (see TMPDIR)"
        )
    try:
        shutil.copytree(path, copy, ignore=shutil.ignore_patterns(_LOCK))
    except shutil.Error as error:
        if _is_locked(path) or _marks(path) != before:
            raise StoreInUse(str(path)) from error
        raise StoreError(f"the store at '{path}' cannot be copied: {error.args[0][0][2]}") from error
    if _is_locked(path) or _marks(path) != before:
        raise StoreInUse(str(path))


def _marks(path: Path) -> dict[str, tuple[int, int]]:
    return {
        str(file): (stat.st_size, stat.st_mtime_ns)
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != _LOCK and (stat := file.stat())
    }

"""How the command gets at a store: a directory's by a copy, since opening a database changes it.

The database's lock is a `flock` on its file LOCK, held while a process has it open. It can be tried without
changing anything. A store in use is refused, not copied: its files change under the copy, and only the
process itself can bring what it has in memory. A store that is opened while it is copied is found by the
lock and by the files' sizes and times, and refused, too. A server's is looked at where it is: see `served`.
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

from sentient_core.cli.failing import CannotRun
from sentient_core.cli.output import Reporter
from sentient_core.cli.place import Place
from sentient_core.cli.served import served
from sentient_core.errors import NoSuchStore, StoreError, StoreInUse, StorePathUnusable
from sentient_core.store.engine import Engine
from sentient_core.store.migrations import look, migrate
from sentient_core.store.queries import started_systems
from sentient_core.store.url import Address

__all__ = ["new_database", "only_system", "systems_in", "to_read"]

_LOCK = "LOCK"
_PARTS = ("manifest", "sstables", "wal")


@asynccontextmanager
async def to_read(
    place: Place, reporter: Reporter, *, one_moment: bool = False, any_version: bool = False
) -> AsyncGenerator[Engine]:
    """The database at a place, open to be read; what is there stays as it is.

    Of a directory it is a copy, brought to this release's schema. `one_moment`: all that is read of a
    server belongs together; `any_version`: also with a schema of an older release. Raises
    StoreError, OSError, CannotRun.
    """
    path = place.address.path
    if path is None:
        async with served(place, one_moment=one_moment, any_version=any_version) as engine:
            yield engine
        return
    _check(path)
    with tempfile.TemporaryDirectory(prefix="sentient-") as directory:
        copy = Path(directory) / "db"
        with reporter.step(f"copying {path}"):
            await anyio.to_thread.run_sync(_copy, path, copy)
        async with _opened(place, copy, path) as engine:
            yield engine


@asynccontextmanager
async def new_database(place: Place, path: Path) -> AsyncGenerator[Engine]:
    """An empty database in a directory that is not there yet; the place says which of its databases."""
    async with _opened(place, path, None) as engine:
        yield engine


async def only_system(engine: Engine, wanted: str | None) -> str:
    """The system that is meant: the one asked for, or the only one. Raises CannotRun."""
    known = await systems_in(engine, wanted)
    if len(known) != 1:
        listed = ", ".join(known) or "none"
        raise CannotRun(f"say which system is meant, by --system NAME. There are: {listed}")
    return known[0]


async def systems_in(engine: Engine, wanted: str | None) -> list[str]:
    """The systems that are meant: the one asked for, or all that there are. Raises CannotRun."""
    known = await engine.thread.run(lambda: started_systems(engine))
    if wanted is None:
        return known
    if wanted not in known:
        raise CannotRun(f"the store knows no system '{wanted}'. There are: {', '.join(known) or 'none'}")
    return [wanted]


@asynccontextmanager
async def _opened(place: Place, path: Path, original: Path | None) -> AsyncGenerator[Engine]:
    async def prepare(engine: Engine) -> None:
        if original is not None and "store_schema" not in (await look(engine)).tables:
            raise NoSuchStore(
                str(original),
                "it is a database, but without the tables of sentient-core in its "
                f"{place.namespace}/{place.database}",
            )
        await migrate(engine)

    engine = Engine(
        Address(f"surrealkv://{path}", path),
        call_timeout=600.0,
        namespace=place.namespace,
        database=place.database,
    )
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

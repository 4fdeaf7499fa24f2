"""Starting over: what an earlier run has left is removed, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from examples.site.errors import OutputUnusable, StoreUnusable
from examples.site.files import MARK, is_ours
from sentient_core import StoreError, StoreInUse
from sentient_core.store import SurrealStore

__all__ = ["remove_output", "remove_store", "store_folder"]

PARTS_OF_A_DATABASE = {"LOCK", "manifest", "sstables", "vlog", "wal"}


def store_folder(url: str) -> Path | None:
    """The folder of an embedded database; None for one in memory. `url` is a valid address."""
    scheme, _, path = url.partition("://")
    return Path(path.partition("?")[0]) if scheme == "surrealkv" else None


def remove_output(out: Path) -> None:
    """Remove the output folder, if this program has made it. Raises OutputUnusable."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not is_ours(out):
        raise OutputUnusable(str(out), "this program has not made it, so it will not remove it either")
    try:
        for path in out.iterdir():
            if path.name == MARK:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        shutil.rmtree(out)  # the mark last: killed before, this can be done again
    except OSError as error:
        raise OutputUnusable(str(out), f"it cannot be removed: {error.strerror}") from error


async def remove_store(url: str) -> None:
    """Remove an embedded database that no process uses. Raises StoreInUse and StoreUnusable."""
    folder = store_folder(url)
    if folder is None or not folder.exists():
        return
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if found and not found & PARTS_OF_A_DATABASE:
        raise StoreUnusable(f"'{folder}' is not a database: it will not be removed")
    try:
        async with SurrealStore(url) as store:  # takes the lock, if nobody has it
            await store.query("RETURN 1")
    except StoreInUse:
        raise
    except StoreError:
        pass  # one that cannot be opened any more is all the more to be removed
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreUnusable(f"the database '{folder}' cannot be removed: {error.strerror}") from error

"""Files on disk: digests, and writing so that nobody ever sees half a file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from examples.site.errors import OutputUnusable

__all__ = ["MARK", "claim", "digest_of", "digest_on_disk", "is_ours", "remove", "write"]

MARK = ".made-by-sentient-core-site"
"""An output folder holds a file of this name: only such a folder is ever written into or cleared."""


def digest_of(*parts: bytes) -> str:
    """32 hex digits that stand for these bytes, in this order."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.hexdigest()


def digest_on_disk(path: Path) -> str | None:
    """The digest of a file's bytes; None if there is no such file."""
    try:
        return digest_of(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def write(path: Path, content: bytes) -> None:
    """Put a file in place as a whole: whatever happens, the old one or the new one is there.

    Blocks until it is on the disk. Raises OSError. Only one may write a path at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Always the same name: what a killed process has left is overwritten by the next try.
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    _sync_folder(path.parent)


def remove(out: Path, files: Iterable[str]) -> None:
    """Remove files below `out`, and the folders that this leaves empty. Blocks; raises OSError."""
    for file in files:
        path = out / file
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == out or not folder.is_dir() or any(folder.iterdir()):
                break
            folder.rmdir()


def claim(out: Path) -> None:
    """Make the output folder ours. Raises OutputUnusable, also for a folder with files that are not."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not is_ours(out):
            if any(out.iterdir()):
                raise OutputUnusable(
                    str(out),
                    "it holds files that this program has not written; choose an empty or new folder",
                )
            # Not by `write`, whose temporary file would be somebody else's if this was killed just then.
            (out / MARK).write_text("What the program has put into this folder, it replaces and removes.\n")
        if not os.access(out, os.W_OK | os.X_OK):
            raise OutputUnusable(str(out), "no permission to write there")
    except OSError as error:
        in_the_way = isinstance(error, FileExistsError | NotADirectoryError)
        why = "there is a file in the way" if in_the_way else error.strerror or str(error)
        raise OutputUnusable(str(out), why) from error


def is_ours(out: Path) -> bool:
    """This program has made the folder."""
    return (out / MARK).is_file()


def _sync_folder(folder: Path) -> None:
    # Without it the new name, or the whole folder, may be gone after a power cut.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

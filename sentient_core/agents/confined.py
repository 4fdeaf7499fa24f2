"""Files below one directory and nothing outside of it, whatever names and links say.

A path is never handed to the operating system as a whole: every folder on the way is opened by its own name
below the one before it, and no link is followed (`openat` with `O_NOFOLLOW`). So there is no moment between
looking and doing in which somebody could put a link in between. The directory itself is opened once, and
stays the same one if its path comes to lead elsewhere.

All of it blocks: for threads, of which any may be at it when another one closes it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sentient_core.agents.sandbox_paths import UNFINISHED, Parts
from sentient_core.errors import SandboxPathRefused, SandboxUnusable

__all__ = ["ConfinedDirectory"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe that somebody left there would wait for its other end.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ConfinedDirectory:
    """An open directory. `close` it.

    Raises SandboxUnusable: it cannot be made, or another sandbox holds it, of this process or another one.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self._guard = threading.Lock()
        """Of the number below: once closed, the operating system gives it to whatever is opened next."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._root: int | None = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (OSError, ValueError) as error:  # ValueError: there is a NUL in it, or half a surrogate pair
            raise SandboxUnusable(str(path), _said(error)) from error
        try:
            # The operating system lets go of it when the process ends, however it does.
            fcntl.flock(self._root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._root)
            is_taken = isinstance(error, BlockingIOError)
            why = "another sandbox is using it" if is_taken else f"it cannot be locked: {_said(error)}"
            raise SandboxUnusable(str(path), why) from error

    def close(self) -> None:
        """Let go of the directory, or have the thread that still writes there do so. Again: nothing.

        Files that are open stay readable.
        """
        with self._guard:
            root, self._root = self._root, None
        if root is not None:
            os.close(root)

    def write(self, files: Mapping[Parts, bytes]) -> None:
        """Put files in place, each as a whole: whoever reads finds the old one or the new one.

        All contents are on the disk before the first name changes. Folders are made. Raises
        SandboxPathRefused: something that is there is in the way, or leads elsewhere; nothing was written.
        SandboxUnusable: no room, no permission, or something has come in the way since; some may have been.
        """
        for parts in files:
            _check_together(parts, files)
        try:
            with self._held() as root:
                for parts in files:
                    _check(root, parts)
                try:
                    for parts, content in files.items():
                        _stage(root, parts, content)
                    for parts in files:
                        _put_in_place(root, parts)
                except OSError:
                    _remove_staged(root, files)
                    raise
        except OSError as error:
            raise SandboxUnusable(str(self.path), _said(error)) from error

    def open(self, parts: Parts) -> BinaryIO | None:
        """A regular file, to be read. None: there is none, or none that may be read."""
        with (
            suppress(OSError),
            self._held() as root,
            _folder(root, parts[:-1]) as folder,
            ExitStack() as undo,
        ):
            descriptor = os.open(parts[-1], _FILE, dir_fd=folder)
            undo.callback(os.close, descriptor)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            undo.pop_all()
            return os.fdopen(descriptor, "rb")
        return None

    def has_folder(self, parts: Parts) -> bool:
        """Whether there is a folder of this name."""
        try:
            with self._held() as root, _folder(root, parts):
                return True
        except OSError:
            return False

    @contextmanager
    def _held(self) -> Generator[int]:
        """The directory, which nobody closes meanwhile. OSError: somebody has before."""
        with self._guard:
            if self._root is None:
                raise OSError(errno.EBADF, "it was closed")
            held = os.dup(self._root)  # of one lock with it: no other sandbox comes before the last is closed
        try:
            yield held
        finally:
            os.close(held)


@contextmanager
def _folder(root: int, parts: Parts, *, makes: bool = False) -> Generator[int]:
    folder = os.open(".", _FOLDER, dir_fd=root)
    try:
        for name in parts:
            if makes:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=folder)
            inner = os.open(name, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _stage(root: int, parts: Parts, content: bytes) -> None:
    name = _staged(parts[-1])
    with _folder(root, parts[:-1], makes=True) as folder:
        # Always the same name: what a killed process has left goes with the next try.
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        with os.fdopen(os.open(name, _NEW, 0o644, dir_fd=folder), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _put_in_place(root: int, parts: Parts) -> None:
    with _folder(root, parts[:-1]) as folder:
        # If a link is there by now, this replaces the link, not what it leads to.
        os.rename(_staged(parts[-1]), parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)


def _remove_staged(root: int, files: Iterable[Parts]) -> None:
    for parts in files:
        with suppress(OSError), _folder(root, parts[:-1]) as folder:
            os.unlink(_staged(parts[-1]), dir_fd=folder)


def _check_together(parts: Parts, files: Mapping[Parts, bytes]) -> None:
    for depth in range(1, len(parts)):
        if parts[:depth] in files:
            here = "/".join(parts[:depth])
            raise SandboxPathRefused("/".join(parts), f"'{here}' is to be a file as well")


def _check(root: int, parts: Parts) -> None:
    """Nothing that is there is in the way of this file."""
    with ExitStack() as opened:
        folder = root
        for depth, name in enumerate(parts, 1):
            try:
                mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
            except FileNotFoundError:
                return
            _check_kind(parts, depth, mode)
            if depth < len(parts):
                folder = _opened(opened, parts, name, folder)


def _check_kind(parts: Parts, depth: int, mode: int) -> None:
    here = "/".join(parts[:depth])
    if stat.S_ISLNK(mode):
        raise SandboxPathRefused("/".join(parts), f"'{here}' is a link")
    if depth < len(parts) and not stat.S_ISDIR(mode):
        raise SandboxPathRefused("/".join(parts), f"'{here}' is no folder")
    if depth == len(parts) and not stat.S_ISREG(mode):
        raise SandboxPathRefused("/".join(parts), "what is there is no file")


def _opened(opened: ExitStack, parts: Parts, name: str, folder: int) -> int:
    try:
        inner = os.open(name, _FOLDER, dir_fd=folder)
    except OSError as error:
        raise SandboxPathRefused("/".join(parts), f"'{name}' cannot be opened: {_said(error)}") from error
    opened.callback(os.close, inner)
    return inner


def _staged(name: str) -> str:
    return UNFINISHED + hashlib.blake2b(name.encode(), digest_size=12).hexdigest()


def _said(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)

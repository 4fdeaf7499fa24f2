"""Files below one directory and nothing outside of it, whatever names and links say.

A path is never handed to the operating system as a whole: every folder on the way is opened by its own name
below the one before it, and no link is followed (`openat` with `O_NOFOLLOW`). So there is no moment between
looking and doing in which somebody could put a link in between. The directory itself is opened once, and
stays the same one if its path comes to lead elsewhere.

All of it blocks: for a thread.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sentient_core.errors import SandboxPathRefused, SandboxUnusable

__all__ = ["ConfinedDirectory", "Parts", "is_servable", "parts_of"]

_NAME_BYTES = 200  # file systems take 255
_PATH_BYTES = 1_000
_DEEPEST = 32
_UNFINISHED = ".sandbox-"
"""What the names of files begin with that are being written. Nobody else may use it."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe that somebody left there would wait for its other end.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Parts = tuple[str, ...]


def parts_of(path: object) -> Parts:
    """The names along a path such as `pages/index.html`. Raises SandboxPathRefused.

    There is one way to write each: relative, with `/` between names, without empty ones, `.` and `..`.
    """
    if not isinstance(path, str):
        raise SandboxPathRefused(path, "it is no text")
    if path.startswith("/"):
        raise SandboxPathRefused(path, "it is absolute")
    parts = tuple(path.split("/"))
    if ".." in parts:
        raise SandboxPathRefused(path, "it climbs out by '..'")
    if not path or "" in parts or "." in parts:
        raise SandboxPathRefused(path, "a name in it is empty or '.'")
    why = next((why for part in parts if (why := _why_not(part))), "")
    if not why and (len(path.encode()) > _PATH_BYTES or len(parts) > _DEEPEST):
        why = f"it is longer than {_PATH_BYTES} bytes, or deeper than {_DEEPEST} folders"
    if why:
        raise SandboxPathRefused(path, why)
    return parts


def is_servable(part: str) -> bool:
    """Whether a name, as somebody asks for it, can be that of a file or folder here."""
    return part not in (".", "..") and not _why_not(part)


def _why_not(name: str) -> str:
    if "\0" in name:
        return "there is a NUL in it"
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "there is a control character in it"
    if "\\" in name:
        return "there is a backslash in it"
    try:
        if len(name.encode()) > _NAME_BYTES:
            return f"a name in it is longer than {_NAME_BYTES} bytes"
    except UnicodeEncodeError:
        return "it is no valid Unicode"
    if name.startswith(_UNFINISHED):
        return f"names that begin with '{_UNFINISHED}' are the sandbox's own"
    return ""


class ConfinedDirectory:
    """An open directory. `close` it.

    Raises SandboxUnusable: it cannot be made, or another sandbox holds it, of this process or another one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise SandboxUnusable(str(path), _said(error)) from error
        try:
            # The operating system lets go of it when the process ends, however it does.
            fcntl.flock(self._root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._root)
            raise SandboxUnusable(str(path), "another sandbox is using it") from error

    def close(self) -> None:
        """Let go of the directory. Files that are open stay readable."""
        os.close(self._root)

    def write(self, files: Mapping[Parts, bytes]) -> None:
        """Put files in place, each as a whole: whoever reads finds the old one or the new one.

        All contents are on the disk before the first name changes. Folders are made. Raises
        SandboxPathRefused: something that is there is in the way, or leads elsewhere; nothing was written.
        SandboxUnusable: no room, no permission, or something has come in the way since; some may have been.
        """
        for parts in files:
            _check_together(parts, files)
            self._check(parts)
        try:
            for parts, content in files.items():
                self._stage(parts, content)
            for parts in files:
                self._put_in_place(parts)
        except OSError as error:
            self._remove_staged(files)
            raise SandboxUnusable(str(self.path), _said(error)) from error

    def open(self, parts: Parts) -> BinaryIO | None:
        """A regular file, to be read. None: there is none, or none that may be read."""
        with suppress(OSError), self._folder(parts[:-1]) as folder, ExitStack() as undo:
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
            with self._folder(parts):
                return True
        except OSError:
            return False

    def _check(self, parts: Parts) -> None:
        """Nothing that is there is in the way of this file."""
        with ExitStack() as opened:
            folder = self._root
            for depth, name in enumerate(parts, 1):
                try:
                    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                except FileNotFoundError:
                    return
                except OSError as error:
                    raise SandboxUnusable(str(self.path), _said(error)) from error
                _check_kind(parts, depth, mode)
                if depth < len(parts):
                    folder = _opened(opened, parts, name, folder)

    @contextmanager
    def _folder(self, parts: Parts, *, makes: bool = False) -> Generator[int]:
        folder = os.open(".", _FOLDER, dir_fd=self._root)
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

    def _stage(self, parts: Parts, content: bytes) -> None:
        name = _staged(parts[-1])
        with self._folder(parts[:-1], makes=True) as folder:
            # Always the same name: what a killed process has left goes with the next try.
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            with os.fdopen(os.open(name, _NEW, 0o644, dir_fd=folder), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())

    def _put_in_place(self, parts: Parts) -> None:
        with self._folder(parts[:-1]) as folder:
            # If a link is there by now, this replaces the link, not what it leads to.
            os.rename(_staged(parts[-1]), parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def _remove_staged(self, files: Iterable[Parts]) -> None:
        for parts in files:
            with suppress(OSError), self._folder(parts[:-1]) as folder:
                os.unlink(_staged(parts[-1]), dir_fd=folder)


def _check_together(parts: Parts, files: Mapping[Parts, bytes]) -> None:
    for depth in range(1, len(parts)):
        if parts[:depth] in files:
            here = "/".join(parts[:depth])
            raise SandboxPathRefused("/".join(parts), f"'{here}' is to be a file as well")


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
    return _UNFINISHED + hashlib.blake2b(name.encode(), digest_size=12).hexdigest()


def _said(error: OSError) -> str:
    return error.strerror or str(error)

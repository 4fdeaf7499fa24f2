"""How files in a sandbox can be named, whoever asks for them: pure."""

from __future__ import annotations

from sentient_core.errors import SandboxPathRefused

__all__ = ["UNFINISHED", "Parts", "is_servable", "parts_of"]

UNFINISHED = ".sandbox-"
"""What the names of files begin with that are being written. Nobody else may use it."""

_NAME_BYTES = 200  # file systems take 255
_PATH_BYTES = 1_000
_DEEPEST = 32

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
    if name.startswith(UNFINISHED):
        return f"names that begin with '{UNFINISHED}' are the sandbox's own"
    return ""

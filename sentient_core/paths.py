"""Names and paths: an actor's path is the names from below the root to it, joined by '/'.

The path is also the actor's id in the store (`agent_id`), stable over restarts of the actor and of
the process. A name that begins with '$' was made by the runtime, for an actor spawned without one:
it means nothing to the next start.
"""

from __future__ import annotations

from sentient_core.errors import InvalidName

__all__ = ["EXTERNAL", "check_name", "collective", "is_anonymous", "join"]

EXTERNAL = "external"
"""The sender of a message that comes from outside any actor."""

_MOST = 200


def check_name(name: object) -> str:
    """Return `name` if it can be part of a path, else raise InvalidName."""
    if not isinstance(name, str):
        raise InvalidName(name, f"it is a {type(name).__qualname__}, not a str")
    if not name:
        raise InvalidName(name, "it is empty")
    if len(name) > _MOST:
        raise InvalidName(name, f"it has {len(name)} characters")
    if "/" in name:
        raise InvalidName(name, "it contains '/'")
    if name.startswith("$"):
        raise InvalidName(name, "names that begin with '$' are the runtime's own")
    if not name.isprintable():
        raise InvalidName(name, "it contains characters that cannot be printed")
    if name == EXTERNAL:
        raise InvalidName(name, "it stands for senders outside the system")
    return name


def is_anonymous(path: str) -> bool:
    """Whether a part of `path` was made by the runtime."""
    return path.startswith("$") or "/$" in path


def collective(path: str) -> str:
    """What an actor is counted as: itself, or, with all that were never named, the child `$*` of its parent.

    Those are as many as a system has ever had; what is kept of each would grow for ever.
    """
    if not is_anonymous(path):
        return path
    parent, is_below, _ = path.partition("/$")
    return "$*" if not is_below or path.startswith("$") else f"{parent}/$*"


def join(parent: str, name: str) -> str:
    """The path of the child `name` of the actor at `parent` ('' for the root)."""
    return f"{parent}/{name}" if parent else name

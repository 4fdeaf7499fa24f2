"""Names in an actor class that would go wrong without a word: found when the class is made.

A hook whose name is misspelt is never called; a class that replaces `context` breaks what the runtime builds
on it. The first is a guess, so it is a narrow one: see `misspelt`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from sentient_core.codec import tag_of
from sentient_core.errors import InvalidArgument, InvalidHandler
from sentient_core.paths import check_name

__all__ = ["check_aliases", "check_names", "misspelt"]

_HOOKS: Mapping[str, int] = {"on_receive": 1, "on_start": 0, "on_stop": 0, "on_failure": 1, "on_restart": 1}
"""What users override, and how many arguments it takes besides self."""

_RESERVED = ("context", "checkpoint", "heartbeat", "run_sync", "run_process")
"""What every actor has from the runtime, for its own use."""


def check_aliases(cls: type, aliases: Iterable[str]) -> tuple[str, ...]:
    """What the store may know a class as from before. Raises InvalidArgument."""
    given: Any = aliases
    if isinstance(given, str) or not hasattr(given, "__iter__"):
        raise InvalidArgument(
            f"{cls.__qualname__}: aliases are names, such as aliases=('Konto',), not {aliases!r}"
        )
    names = tuple(map(check_name, given))
    if tag_of(cls) in names:
        raise InvalidArgument(f"{cls.__qualname__}: '{tag_of(cls)}' is its name today: no alias is needed")
    return names


def check_names(cls: type, base: type, handlers: frozenset[str]) -> None:
    """Raise InvalidArgument for what is the runtime's, InvalidHandler for hooks that look misspelt.

    `handlers` are the names of the methods that are handlers.
    """
    for name in _RESERVED:
        if inspect.getattr_static(cls, name) is not inspect.getattr_static(base, name):
            raise InvalidArgument(
                f"{cls.__qualname__}.{name} would take the place of what every actor has from the runtime "
                "under this name. Give it another one."
            )
    for name, value in vars(cls).items():
        if not inspect.isfunction(value) or name in handlers:
            continue
        hook = misspelt(name)
        if hook is None or hook in vars(cls) or _arguments(value) != _HOOKS[hook]:
            continue
        raise InvalidHandler(
            f"{cls.__qualname__}.{name} looks like {hook} misspelt, and nothing would call it. Name it "
            f"{hook}, or something less like it."
        )


def misspelt(name: str) -> str | None:
    """The hook that a name is one slip away from; None: it is a hook, or something else.

    A slip is a letter left out or too many, two that have changed places, or another way to write
    several words (`onStart`). Another letter is none: `on_step` is not `on_stop`.
    """
    if name in _HOOKS:
        return None
    for hook in _HOOKS:
        if _words(name) == _words(hook) or name in _left_out(hook) or hook in _left_out(name):
            return hook
        if len(name) == len(hook) and any(name == _swapped(hook, at) for at in range(len(hook) - 1)):
            return hook
    return None


def _words(name: str) -> str:
    return name.replace("_", "").lower()


def _left_out(name: str) -> set[str]:
    return {name[:at] + name[at + 1 :] for at in range(len(name))}


def _swapped(name: str, at: int) -> str:
    return name[:at] + name[at + 1] + name[at] + name[at + 2 :]


def _arguments(method: object) -> int | None:
    code = getattr(method, "__code__", None)
    return None if code is None else code.co_argcount - 1

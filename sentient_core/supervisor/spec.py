"""What a supervisor needs to know to start a child, end it, and start it again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, TypeGuard, get_origin

from sentient_core.actors.actor import Actor
from sentient_core.actors.cell import NO_KWARGS
from sentient_core.errors import InvalidChildSpec
from sentient_core.paths import check_name

__all__ = ["BRUTAL_KILL", "ChildSpec", "Restart"]

BRUTAL_KILL: Literal["brutal_kill"] = "brutal_kill"
"""`shutdown` of a child that is killed at once."""


class Restart(StrEnum):
    """When a child that has ended is started again. As in OTP's supervisor."""

    PERMANENT = "permanent"
    """Always, also after an orderly end that somebody asked for."""
    TRANSIENT = "transient"
    """After a failure (`kill` is one), not after an orderly end."""
    TEMPORARY = "temporary"
    """Never."""


class ChildSpec:
    """A child of a supervisor: its class, its arguments, and how it is kept.

    `args` and `kwargs` go to the class's `__init__`, at every start. `shutdown` is the grace in
    seconds between the request to stop and the kill; None: no limit; `"brutal_kill"`: no grace;
    `"default"`: 5 seconds, or no limit for a supervisor, whose children have theirs.
    `name` None makes an anonymous child. Raises InvalidChildSpec and InvalidName for
    what could never start.
    """

    __slots__ = ("args", "cls", "kwargs", "name", "restart", "shutdown")

    def __init__(
        self,
        cls: type[Actor],
        *,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        restart: Restart | str = Restart.PERMANENT,
        shutdown: float | str | None = "default",
    ) -> None:
        self.cls: type[Actor] = cls if _is_actor_class(cls) else _without_brackets(cls)
        self.name: str | None = None if name is None else check_name(name)
        self.args: tuple[Any, ...] = args if type(args) is tuple else tuple(args)
        self.kwargs: Mapping[str, Any] = dict(kwargs) if kwargs else NO_KWARGS
        self.restart: Restart = restart if isinstance(restart, Restart) else _restart(restart)
        self.shutdown = self.cls.default_shutdown if shutdown == "default" else _shutdown(shutdown)

    def __repr__(self) -> str:
        return f"ChildSpec({self.cls.__qualname__}, name={self.name!r}, restart={self.restart.value!r})"


def _without_brackets(cls: object) -> type[Actor]:
    plain: object = get_origin(cls)  # what Cache[int] says beyond Cache is for type checkers
    if _is_actor_class(plain):
        return plain
    hint = ", not an instance: pass the class and its args" if isinstance(cls, Actor) else ""
    raise InvalidChildSpec(f"a child must be a subclass of Actor{hint} (got {cls!r})")


def _is_actor_class(value: object) -> TypeGuard[type[Actor]]:
    return isinstance(value, type) and issubclass(value, Actor)


def _restart(restart: object) -> Restart:
    try:
        return Restart(str(restart))
    except ValueError:
        names = ", ".join(repr(r.value) for r in Restart)
        raise InvalidChildSpec(f"restart is {restart!r}; it can be {names}") from None


def _shutdown(shutdown: object) -> float | Literal["brutal_kill"] | None:
    if shutdown is None or shutdown == BRUTAL_KILL:
        return None if shutdown is None else BRUTAL_KILL
    if isinstance(shutdown, int | float) and shutdown >= 0 and math.isfinite(shutdown):
        return float(shutdown)
    raise InvalidChildSpec(
        f"shutdown is {shutdown!r}; it can be a number of seconds, None (no limit) or 'brutal_kill'"
    )

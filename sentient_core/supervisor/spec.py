"""What a supervisor needs to know to start a child, end it, and start it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Literal, TypeGuard, get_origin

from sentient_core.actors.actor import Actor
from sentient_core.actors.cell import NO_KWARGS
from sentient_core.actors.decision import Rule, Rules, check_rules
from sentient_core.errors import (
    InvalidBackoff,
    InvalidChildArguments,
    InvalidChildClass,
    InvalidRestart,
    InvalidShutdown,
    InvalidSignificance,
    InvalidStartTimeout,
)
from sentient_core.paths import check_name
from sentient_core.supervisor.backoff import Backoff
from sentient_core.supervisor.intensity import is_seconds

__all__ = ["BRUTAL_KILL", "ChildSpec", "Restart", "check_backoff"]

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

    `args` and `kwargs` go to the class's `__init__`, at every start. `restart` says when it is started
    again. `shutdown` is the grace in seconds between the request to stop and the kill; None: no limit;
    `"brutal_kill"`: no grace; `"default"`: `default_shutdown` of the class, which is 5 seconds, and no limit
    for a supervisor, whose children have theirs.
    `start_timeout`: seconds that each start may take, `on_start` and the children included; one that takes
    longer is cancelled and has failed (StartTimeout). None: no limit. `significant`: its end may end its
    supervisor (`auto_shutdown` of the strategy). `backoff` and `decide` are as those of a strategy, for this
    child alone: its backoff takes the place of the strategy's, its rules come before those.

    `name` None makes an anonymous child. Raises InvalidName and the kinds of InvalidChildSpec,
    InvalidBackoff and InvalidDecision for what could never start or be kept.
    """

    __slots__ = (
        "args",
        "backoff",
        "cls",
        "is_plain",
        "kwargs",
        "name",
        "restart",
        "rules",
        "shutdown",
        "significant",
        "start_timeout",
    )

    def __init__(
        self,
        cls: type[Actor],
        *,
        name: str | None = None,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        restart: Restart | str = Restart.PERMANENT,
        shutdown: float | str | None = "default",
        start_timeout: float | None = None,
        significant: bool = False,
        backoff: Backoff | None = None,
        decide: Rules | None = None,
    ) -> None:
        self.cls: type[Actor] = cls if _is_actor_class(cls) else _without_brackets(cls)
        self.name: str | None = None if name is None else check_name(name)
        self.args: tuple[Any, ...] = args if type(args) is tuple else _args(args)
        has_kwargs = kwargs is not None and kwargs != {}
        self.kwargs: Mapping[str, Any] = _kwargs(kwargs) if has_kwargs else NO_KWARGS
        self.restart: Restart = restart if isinstance(restart, Restart) else _restart(restart)
        self.shutdown: float | Literal["brutal_kill"] | None = (
            self.cls.default_shutdown if shutdown == "default" else _shutdown(shutdown)
        )
        self.start_timeout: float | None = None if start_timeout is None else _start_timeout(start_timeout)
        self.significant: bool = significant
        self.backoff: Backoff | None = backoff
        self.rules: tuple[Rule, ...] = () if decide is None else check_rules(decide)
        self.is_plain: bool = (
            start_timeout is None and backoff is None and decide is None and significant is False
        )
        """Nothing of it is needed after the start, but for its restart type and its grace."""
        if backoff is not None:
            check_backoff(backoff)
        if significant is not False:
            _check_significant(significant, self.restart)

    def of_pool(self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> ChildSpec:
        """The same for one child of many, with what that one gets beyond the others."""
        spec = object.__new__(ChildSpec)
        for slot in ChildSpec.__slots__:
            setattr(spec, slot, getattr(self, slot))
        spec.name = check_name(name)
        spec.args = (*self.args, *args)
        spec.kwargs = {**self.kwargs, **kwargs} if kwargs else self.kwargs
        return spec

    def __repr__(self) -> str:
        return f"ChildSpec({self.cls.__qualname__}, name={self.name!r}, restart={self.restart.value!r})"


def check_backoff(backoff: object) -> None:
    """Raise InvalidBackoff for what is none."""
    if not isinstance(backoff, Backoff):
        raise InvalidBackoff(f"backoff is {backoff!r}; make one: Backoff(first=0.1, most=30.0)")


def _without_brackets(cls: object) -> type[Actor]:
    plain: object = get_origin(cls)  # what Cache[int] says beyond Cache is for type checkers
    if _is_actor_class(plain):
        return plain
    given: object = cls
    hint = ", not an instance: pass the class and its args" if isinstance(cls, Actor) else ""
    raise InvalidChildClass(given, hint)


def _is_actor_class(value: object) -> TypeGuard[type[Actor]]:
    return isinstance(value, type) and issubclass(value, Actor)


def _args(args: object) -> tuple[Any, ...]:
    given: Any = args
    # Of a str each letter would be an argument, which nobody means.
    if isinstance(args, str | bytes | Mapping) or not isinstance(args, Iterable):
        raise InvalidChildArguments("args", given)
    return tuple(given)


def _kwargs(kwargs: object) -> Mapping[str, Any]:
    given: Any = kwargs
    if isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in given):
        return dict(given) if given else NO_KWARGS
    raise InvalidChildArguments("kwargs", given)


def _restart(restart: object) -> Restart:
    try:
        return Restart(str(restart))
    except ValueError:
        raise InvalidRestart(restart, [r.value for r in Restart]) from None


def _shutdown(shutdown: object) -> float | Literal["brutal_kill"] | None:
    if shutdown is None or shutdown == BRUTAL_KILL:
        return None if shutdown is None else BRUTAL_KILL
    if is_seconds(shutdown):
        return float(shutdown)
    raise InvalidShutdown(shutdown)


def _start_timeout(seconds: object) -> float:
    if is_seconds(seconds) and seconds > 0:
        return float(seconds)
    raise InvalidStartTimeout(seconds)


def _check_significant(significant: object, restart: Restart) -> None:
    if not isinstance(significant, bool):
        raise InvalidSignificance(f"significant is {significant!r}; it can be True or False")
    if restart is Restart.PERMANENT:
        raise InvalidSignificance(
            "a permanent child cannot be significant, since it never ends by itself: make it transient or "
            "temporary"
        )

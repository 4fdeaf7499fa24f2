"""What of an actor a proxy can reach: the public methods and attributes that its own classes define.

Left out are private names and everything that the runtime's own classes (Actor, Supervisor) bring along:
hooks, `state`, `context`, `checkpoint`, options. A name is looked up on the class, so a mistake is
found before anything is sent; only what `__init__` sets on the instance is not known there.
"""

from __future__ import annotations

import inspect
from enum import Enum, auto
from functools import cached_property
from typing import Any

from sentient_core.errors import InvalidCall, NotExposed

__all__ = ["MemberKind", "Members"]


class MemberKind(Enum):
    """What a name of an actor class stands for."""

    METHOD = auto()
    ATTRIBUTE = auto()
    UNKNOWN = auto()
    """Not in the class: it may be an attribute of the instance."""


class Members:
    """The public members of one actor class."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self._signatures: dict[str, tuple[inspect.Signature, bool] | None] = {}

    @cached_property
    def names(self) -> list[str]:
        """All that the class knows of, sorted."""
        own = (name for base in self.cls.__mro__ for name in _names_in(base))
        return sorted({name for name in own if not name.startswith("_")} - self._reserved)

    @cached_property
    def _reserved(self) -> frozenset[str]:
        return frozenset(
            name for base in self.cls.__mro__ if _is_the_runtimes(base) for name in _names_in(base)
        )

    def kind(self, name: str) -> MemberKind:
        """What `name` is. Raises NotExposed for what a proxy never reaches."""
        if name.startswith("_"):
            raise self.not_exposed(name, "private names are the actor's own")
        if name in self._reserved:
            raise self.not_exposed(name, "it belongs to the runtime, and is the actor's own")
        value = getattr(self.cls, name, None)
        if callable(value) and not isinstance(value, type):
            return MemberKind.METHOD
        return MemberKind.ATTRIBUTE if name in self.names else MemberKind.UNKNOWN

    def check_call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise InvalidCall for arguments that the method cannot be called with."""
        if name not in self._signatures:
            self._signatures[name] = self._signature(name)
        found = self._signatures[name]
        if found is None:
            return
        signature, takes_self = found
        try:
            signature.bind(*((None, *args) if takes_self else args), **kwargs)
        except TypeError as error:
            raise InvalidCall(f"{self.cls.__qualname__}.{name}{signature}", str(error)) from None

    def not_exposed(self, name: str, why: str, more: tuple[str, ...] = ()) -> NotExposed:
        """The error for a name; `more` are names that the class does not know."""
        return NotExposed(self.cls.__qualname__, name, why, (*self.names, *more))

    def _signature(self, name: str) -> tuple[inspect.Signature, bool] | None:
        is_bound = isinstance(inspect.getattr_static(self.cls, name), staticmethod | classmethod)
        try:
            return inspect.signature(getattr(self.cls, name)), not is_bound
        except (TypeError, ValueError):  # some callables have none; the call itself will show
            return None


def _is_the_runtimes(cls: type) -> bool:
    return cls.__module__.startswith(("sentient_core.actors.", "sentient_core.supervisor."))


def _names_in(cls: type) -> set[str]:
    try:
        return {*vars(cls), *inspect.get_annotations(cls)}
    except NameError:  # Python 3.14 evaluates annotations here, some of which only type checkers can
        return {*vars(cls)}

"""`@upcast`: how a stored state of an older schema becomes one of the next, settled when the class is made.

A checkpoint says which `schema_version` it was written under. An older one goes, as plain data, through one
upcaster per version up to that of today, and what comes out must fit the State. The chain has no holes, so
a class that can be made loads every version from its oldest upcaster on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

from sentient_core.errors import InvalidUpcaster

__all__ = ["Upcaster", "upcast", "upcasters_of"]

State: TypeAlias = "dict[str, Any] | list[Any]"
"""As plain data; a list where the State is `array_like`."""

Method = TypeVar(
    "Method",
    bound="Callable[..., State] | staticmethod[..., State] | classmethod[Any, ..., State]",
)

_MARK = "__sentient_upcasts__"


class Upcaster(msgspec.Struct, frozen=True):
    """One step, from the state of a version to that of the next."""

    name: str
    """For people: the method, with its class."""
    step: Callable[[Any], Any]


def upcast(from_version: int) -> Callable[[Method], Method]:
    """Make a static or class method of an actor class the step from `from_version` to the version behind it.

    ::

        class Account(Actor):
            schema_version = 2

            class State(msgspec.Struct):
                cents: int = 0

            @staticmethod
            @upcast(1)
            def _to_cents(state: dict[str, Any]) -> dict[str, Any]:
                return {"cents": round(state["euros"] * 100)}

    It gets the state as plain data, a dict by field names with refs as their paths, may change it, and
    returns the next version's. It runs whenever such a checkpoint is loaded, before there is an instance, so
    it must not wait, and should do nothing but this. One that raises makes the checkpoint one that cannot be
    loaded. Upcasters are inherited together with the State: those of a base class count where the State is
    the base's, or a subclass of it.

    Raises InvalidUpcaster; when the class is made, for two of one version, one from `schema_version` or
    later, a version left out on the way there, and a method that cannot be called with a state alone.
    """
    given: Any = from_version
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidUpcaster(
            f"@upcast takes the version that it leads on from, as @upcast(1), not {given!r}"
        )

    def mark(method: Method) -> Method:
        function = getattr(method, "__func__", method)
        if not inspect.isfunction(function):
            raise InvalidUpcaster(f"@upcast({from_version}) stands over a method, not over {method!r}")
        if hasattr(function, _MARK):
            raise InvalidUpcaster(f"{function.__qualname__} has @upcast twice: write one method for each")
        setattr(function, _MARK, from_version)
        return method

    return mark


def upcasters_of(cls: type, state_type: type, version: int) -> Mapping[int, Upcaster]:
    """The chain of an actor class, by the version that each leads on from. Raises InvalidUpcaster."""
    chain: dict[int, Upcaster] = {}
    for base in reversed(cls.__mro__):
        state = getattr(base, "State", None)
        is_of_other = isinstance(state, type) and not issubclass(state_type, state)
        own: dict[int, str] = {}
        for name, method, from_version in _marked(base):
            if from_version in own:
                raise InvalidUpcaster(
                    f"{base.__qualname__} has two upcasters from version {from_version}: {own[from_version]} "
                    f"and {name}. Keep one of them."
                )
            own[from_version] = name
            if not is_of_other:
                chain[from_version] = Upcaster(
                    f"{base.__qualname__}.{name}", _callable(cls, base, name, method)
                )
    _check(cls, chain, version)
    return dict(sorted(chain.items()))


def _marked(cls: type) -> Iterator[tuple[str, Any, int]]:
    for name, method in vars(cls).items():
        from_version = getattr(getattr(method, "__func__", method), _MARK, None)
        if isinstance(from_version, int):
            yield name, method, from_version


def _callable(cls: type, base: type, name: str, method: Any) -> Callable[[Any], Any]:
    where = f"{base.__qualname__}.{name}"
    function = getattr(method, "__func__", method)
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidUpcaster(
            f"{where} is an upcaster, and cannot be async or a generator: it must return at once"
        )
    step: Callable[[Any], Any] = method.__get__(None, cls) if method is not function else function
    try:
        inspect.signature(step).bind({})
    except TypeError:
        raise InvalidUpcaster(
            f"{where} is an upcaster, and is called with the state alone, before there is an instance. Make "
            f"it a static method of one parameter: @staticmethod above @upcast(...), def {name}(state)"
        ) from None
    if method is function and next(iter(inspect.signature(step).parameters)) == "self":
        raise InvalidUpcaster(f"{where} is an upcaster, and there is no self yet when it is called")
    return step


def _check(cls: type, chain: Mapping[int, Upcaster], version: int) -> None:
    for from_version, upcaster in chain.items():
        if from_version >= version:
            raise InvalidUpcaster(
                f"{upcaster.name} leads on from version {from_version}, and "
                f"{cls.__qualname__}.schema_version is {version}. A State that has changed needs "
                f"schema_version = {from_version + 1}."
            )
    missing = next((n for n in range(min(chain, default=version), version) if n not in chain), None)
    if missing is not None:
        raise InvalidUpcaster(
            f"{cls.__qualname__} has upcasters from version {min(chain)} on, but none from {missing}, on the "
            f"way to schema_version {version}. Write @upcast({missing}), or remove those before it, which "
            "gives the older checkpoints up."
        )

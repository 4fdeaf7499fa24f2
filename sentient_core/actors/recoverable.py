"""Which messages of a durable actor can be made of their stored bytes again, by another process.

For that the class has to name their type: in a `@handles`, in `Actor[...]`, or where it annotates the message
of its `on_receive`. One that is annotated with nothing, or with Any, takes the plain types of Python. What
nobody names is refused where it is sent: it could be handled today, but not after a restart.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from sentient_core.actors.declared import members_of, names_at_class, resolved
from sentient_core.codec import tag_of
from sentient_core.errors import UnencodableMessage

if TYPE_CHECKING:
    from sentient_core.actors.blueprint import Blueprint

__all__ = ["check_recoverable", "received_types", "types_under"]

_PLAIN = (bool, int, float, str, bytes, list, tuple, dict, set, frozenset)


def received_types(cls: type) -> tuple[type, ...]:
    """The types that the message of a class's `on_receive` is annotated with; empty: it takes anything."""
    function: Any = inspect.unwrap(getattr(cls, "on_receive"))  # noqa: B009 - of an actor class
    try:
        annotation = _annotation(function)
        found = tuple(members_of(cls, resolved(cls, annotation)))
    except Exception:  # noqa: BLE001 - names of TYPE_CHECKING, or what is no type: nothing is known then
        return ()
    return () if object in found else found


def check_recoverable(blueprint: Blueprint, message: object, path: str) -> None:
    """Raise UnencodableMessage for a message to a durable actor that it could not be given after a restart.

    What neither a handler nor `on_receive` takes is none of this one's: it becomes a dead letter. From any
    thread.
    """
    known, kind = blueprint.recoverable, type(message)
    if known is None or kind in known:
        return
    named = set(chain(_handled(blueprint), blueprint.named))
    if not any(base in named for base in kind.__mro__) and not (blueprint.takes_anything and kind in _PLAIN):
        cls, name = blueprint.cls.__qualname__, kind.__qualname__
        raise UnencodableMessage(
            message,
            path,
            f"{cls} takes it in on_receive, which does not name its type: nobody could make it of its bytes "
            "after a restart",
            f"Write a @handles method for {name}, declare Actor[{name}], or annotate the message of "
            "on_receive with it.",
        )
    known.add(kind)


def types_under(tag: str, blueprint: Blueprint) -> list[type[Any]]:
    """The types stored under a tag that the class takes, as far as it names them or a base of theirs."""
    plain = [kind for kind in _PLAIN if blueprint.takes_anything and tag_of(kind) == tag]
    named = chain(_handled(blueprint), blueprint.named)
    return [*plain, *(kind for kind in _and_below(named) if tag_of(kind) == tag and kind not in plain)]


def _annotation(function: Any) -> Any:
    _, message = inspect.signature(function).parameters.values()
    annotation = function.__annotations__.get(message.name, Any)
    if isinstance(annotation, str):
        annotation = eval(annotation, function.__globals__, dict(names_at_class()))  # noqa: S307 - as typing does
    return annotation


def _handled(blueprint: Blueprint) -> Iterator[type]:
    return chain.from_iterable(behaviour.handlers for behaviour in blueprint.behaviours.values())


def _and_below(kinds: Iterator[type]) -> Iterator[type]:
    """These types and all that inherit from them, each once."""
    seen: set[type[Any]] = set()
    below = [*kinds]
    while below:
        kind = below.pop()
        if kind not in seen:
            seen.add(kind)
            below += type.__subclasses__(kind)
            yield kind

"""`class Account(Actor[Deposit | Balance])`: the messages that a class says it takes, and that it does.

Type checkers hold senders to the declaration (`ActorRef.tell`, `send`, `ask`). Here the class itself is
held to it, once, when it is made: each type needs a handler. Per message nothing is looked at.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, ForwardRef, Literal, Never, NoReturn, TypeVar

from sentient_core.errors import InvalidHandler

__all__ = ["declared_messages", "members_of", "names_at_class", "resolved", "unhandled"]


def declared_messages(cls: type) -> Any:
    """The type that `Actor[...]` was given by `cls` or by one of its bases; Any: none was.

    A type variable stays in it until a subclass says what it stands for. Raises InvalidHandler for a
    string that cannot be resolved.
    """
    for base in vars(cls).get("__orig_bases__", cls.__bases__):
        origin = typing.get_origin(base) or base
        blueprint = getattr(origin, "__blueprint__", None)
        if blueprint is None:
            continue  # Generic, or a mixin that is no actor
        given = dict(zip(origin.__parameters__, typing.get_args(base), strict=False))
        messages = resolved(cls, _filled_in(blueprint.messages, given))
        if messages is not Any:
            return messages
    return Any


def unhandled(cls: type, messages: Any, handled: Mapping[type, object]) -> list[str]:
    """The names of the declared types that no handler takes, not even one of a base class."""
    kinds = dict.fromkeys(members_of(cls, messages))  # each once, in the order written
    return [kind.__qualname__ for kind in kinds if not any(base in handled for base in kind.__mro__)]


def resolved(cls: type, messages: Any) -> Any:
    """`messages` without strings and aliases on the outside, and in the members of a union."""
    if isinstance(messages, str):
        return resolved(cls, _evaluated(cls, messages))
    if isinstance(messages, ForwardRef):
        return resolved(cls, _evaluated(cls, messages.__forward_arg__))
    alias = typing.get_origin(messages) or messages
    if type(alias).__name__ == "TypeAliasType":  # there are two: typing's and that of typing_extensions
        given = dict(zip(alias.__type_params__, typing.get_args(messages), strict=False))
        return resolved(cls, _filled_in(alias.__value__, given))
    if _is_union(messages):
        members = tuple(resolved(cls, member) for member in typing.get_args(messages))
        return typing.Union[members]  # noqa: UP007 - made of values
    return messages


def members_of(cls: type, messages: Any) -> Iterator[type]:
    """The classes that messages of this type have at run time."""
    origin = typing.get_origin(messages)
    if _is_union(messages):
        for member in typing.get_args(messages):
            yield from members_of(cls, member)
    elif origin is typing.Annotated:
        yield from members_of(cls, messages.__origin__)
    elif origin is Literal:
        yield from (type(value) for value in typing.get_args(messages))
    elif messages is None:
        yield type(None)
    elif isinstance(messages, typing.NewType):
        yield from members_of(cls, messages.__supertype__)
    elif isinstance(origin or messages, type) and messages is not Any:
        yield origin or messages
    elif messages not in (Any, Never, NoReturn) and not isinstance(messages, TypeVar):
        raise InvalidHandler(f"{cls.__qualname__} declares {messages!r}, which is not a type of message")


def names_at_class() -> Mapping[str, Any]:
    """What a string in the class statement at work may name, beside globals."""
    frame = _class_statement()
    return frame.f_locals if frame.f_back is None else {**frame.f_back.f_locals, **frame.f_locals}


def _filled_in(messages: Any, given: Mapping[Any, Any]) -> Any:
    """`messages` with its type variables replaced: by what was given, else by their defaults."""
    if isinstance(messages, TypeVar):
        return given.get(messages, _default(messages))
    parameters: tuple[Any, ...] = getattr(messages, "__parameters__", ())
    if isinstance(messages, type) or not parameters:  # a class has parameters too, but is not to be filled
        return messages
    return messages[tuple(given.get(parameter, _default(parameter)) for parameter in parameters)]


def _default(parameter: Any) -> Any:
    has_default = getattr(parameter, "has_default", None)  # not of a TypeVar of typing before Python 3.13
    return parameter.__default__ if has_default is not None and has_default() else Any


def _is_union(messages: Any) -> bool:
    return isinstance(messages, types.UnionType) or typing.get_origin(messages) is typing.Union


def _evaluated(cls: type, text: str) -> Any:
    try:
        return eval(text, _class_statement().f_globals, dict(names_at_class()))  # noqa: S307 - what typing does
    except Exception as error:
        raise InvalidHandler(
            f"{cls.__qualname__} declares '{text}', which cannot be resolved ({error}). Define it before the "
            "class, and import it outside of TYPE_CHECKING."
        ) from error


def _class_statement() -> FrameType:
    """Where the class is being made: a string may name what is local to a function there."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - the public way is slower and no clearer
    is_inside = False
    while frame.f_back is not None:
        is_hook = frame.f_code.co_name in (
            "__init_subclass__",
            "__new__",
        )  # a metaclass may have a hand in it
        if is_inside and not is_hook:
            return frame
        is_inside = is_inside or is_hook
        frame = frame.f_back
    return frame

"""`Request[R]`: messages that say of which type their reply is, to type checkers and to who handles them."""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

import msgspec

from sentient_core.errors import InvalidHandler

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor

__all__ = ["Askable", "Request", "check_reply", "reply_type"]

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
A_contra = TypeVar("A_contra", contravariant=True)


class Request(msgspec.Struct, Generic[R], frozen=True):
    """The base of messages that are answered; `R` is the type of the reply, known to type checkers.

    ::

        class Balance(Request[int], frozen=True):
            '''Ask for the balance.'''

        total = await ref.ask(Balance(), timeout=1.0)   # an int

    A handler that says it returns something else, `-> str`, is refused with its class, where both are among
    the plain types bool, int, float, complex, str and bytes.
    """

    if TYPE_CHECKING:

        def __asked__(self, actor: Actor[Self]) -> R:
            """For type checkers alone: who may be asked this, and what comes back."""
            ...


class Askable(Protocol[A_contra, R_co]):
    """What type checkers see of a Request that an actor of type `A` answers with an `R`."""

    def __asked__(self, actor: A_contra) -> R_co: ...


def check_reply(
    where: str, method: Callable[..., Any], message_types: tuple[type, ...], names: Mapping[str, Any]
) -> None:
    """Raise InvalidHandler if a handler of these types is certainly annotated with another reply than theirs.

    Only plain types are compared: what else an annotation may mean is the type checker's to say. `-> None`
    passes, since a handler may stash or forward the message and leave the answer to somebody else.
    """
    wanted = [(kind, _reply_type(kind)) for kind in message_types]
    if not any(reply in _ALSO for _, reply in wanted):
        return
    returned = _returned(method, names)
    for kind, reply in wanted:
        if reply in _ALSO and returned in _ALSO and returned not in (reply, *_ALSO[reply]):
            raise InvalidHandler(
                f"{where} returns {_name(returned)}, and {kind.__qualname__} is a Request[{_name(reply)}]. "
                f"Return that, or let it be a Request[{_name(returned)}]."
            )


_ALSO: dict[Any, tuple[type, ...]] = {
    bool: (),
    int: (bool,),
    float: (int, bool),
    complex: (float, int, bool),
    str: (),
    bytes: (),
}
"""The types that are compared, and which others type checkers take for each."""


def _reply_type(message_type: type) -> Any:
    """The R of a Request; None: it is none, or its R is not known here."""
    for cls in message_type.__mro__:
        for base in vars(cls).get("__orig_bases__", ()):
            if typing.get_origin(base) is Request:
                return _class_of(typing.get_args(base)[0])
    return None


def reply_type(message_type: type, handler: tuple[Callable[..., Any], bool] | None) -> Any:
    """The type of the replies to messages of a type: of its Request, else as its handler is annotated.

    Any, where neither says something that can be resolved.
    """
    for cls in message_type.__mro__:
        for base in vars(cls).get("__orig_bases__", ()):
            if typing.get_origin(base) is Request:
                return _known(typing.get_args(base)[0])
    if handler is None:
        return Any
    try:
        return _known(typing.get_type_hints(handler[0]).get("return", Any))
    except Exception:  # noqa: BLE001 - as below
        return Any


def _known(annotation: Any) -> Any:
    """An annotation that says of what type a reply is; None may say that somebody else answers."""
    is_open = isinstance(annotation, typing.TypeVar | str) or annotation in (None, type(None))
    return Any if is_open else annotation


def _returned(method: Callable[..., Any], names: Mapping[str, Any]) -> Any:
    try:
        annotation = method.__annotations__.get("return")
        if isinstance(annotation, str):
            annotation = eval(annotation, method.__globals__, dict(names))  # noqa: S307 - what typing does
    except Exception:  # noqa: BLE001 - it need not be there at run time
        return None
    return _class_of(annotation)


def _class_of(annotation: Any) -> Any:
    """The annotation, if it is a class: what else it may be need not even be hashable."""
    return annotation if isinstance(annotation, type) else None


def _name(kind: Any) -> str:
    return str(kind.__name__)

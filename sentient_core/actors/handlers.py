"""`@handles`: which method of an actor takes which type of message, settled when the class is made.

The dispatch table maps a message's exact type to its handler; a type that is not in it is looked up
once along its base classes and remembered. What nothing takes goes to `on_receive`, if the class has
one.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from sentient_core.actors.overdue import TimeLimits, check_seconds, limited, limits_of
from sentient_core.actors.request import check_reply
from sentient_core.errors import InvalidArgument, InvalidHandler

__all__ = [
    "Handler",
    "as_handler",
    "check_not_generator",
    "handler_for",
    "handlers_of",
    "handles",
    "marked",
    "states_of",
]

Method = TypeVar("Method", bound=Callable[..., Any])

_MARK = "__sentient_handles__"

Handler = tuple[Callable[[Any, Any], Any], bool]
"""The plain function, and whether it is a coroutine function."""


_NO_LIMITS = TimeLimits()


class _Mark:
    """What `@handles` leaves on a method until its class is made."""

    def __init__(
        self,
        explicit: tuple[type, ...],
        names: Mapping[str, Any],
        states: tuple[str, ...] = (),
        limits: TimeLimits = _NO_LIMITS,
    ) -> None:
        self.explicit = explicit
        self.names = names
        self.states = states
        """The states that it is for; none: for every state that does not take the message itself."""
        self.limits = limits


@overload
def handles(method: Method, /) -> Method: ...
@overload
def handles(
    *message_types: type,
    when: str | Iterable[str] | None = None,
    timeout: float | None = None,
    heartbeat: float | None = None,
) -> Callable[[Method], Method]: ...
def handles(
    *args: Any,
    when: str | Iterable[str] | None = None,
    timeout: float | None = None,
    heartbeat: float | None = None,
) -> Any:
    """Make a method the handler of the type its parameter is annotated with, or of the types given.

    ::

        @handles
        async def deposit(self, message: Deposit) -> None: ...

        @handles(Deposit, Withdraw)
        def log(self, message): ...

        @handles(when="open")
        def knock(self, message: Knock) -> str: ...

        @handles(timeout=60, heartbeat=5)
        async def convert(self, message: Convert) -> None: ...

    `when` names the state, or the states, in which the method is a handler; `Context.become` changes the
    state. What the handlers of a state do not take goes to those without `when`.

    `timeout` is how many seconds a message may be in hand, `heartbeat` how many may pass between two calls of
    `self.heartbeat()`. A handler that is overdue is cancelled at its await, and its actor fails with
    HandlerOverdue. None: as `Actor.handler_timeout` and `Actor.handler_heartbeat` say; `math.inf`: no limit.

    The method takes one message; it may be sync or async. What it returns is the reply of an `ask`.
    The annotation may be a union. Raises InvalidHandler, when the class is made, for an annotation
    that is missing or cannot be resolved, for a type that two methods of one class take in one state, and for
    a return annotation that is not the reply which a `Request[R]` promises.
    """
    # Message types may be local to a function: remember the names around the class, for annotations
    # that are strings there. Frame 1 is the class body, frame 2 what encloses it.
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage] - the public way is slower and no clearer
    names: dict[str, Any] = {}
    if frame.f_back is not None:
        names.update(frame.f_back.f_locals)
    names.update(frame.f_locals)
    is_bare = when is None and timeout is None and heartbeat is None
    if len(args) == 1 and inspect.isfunction(args[0]) and is_bare:
        setattr(args[0], _MARK, _Mark((), names))
        return args[0]
    states = _states(when)
    limits = _limits(timeout, heartbeat)
    if (not args and is_bare) or not all(isinstance(a, type) for a in args):
        raise InvalidHandler("@handles takes a method, or the message types: @handles(Deposit, Withdraw)")

    def mark(method: Method) -> Method:
        setattr(method, _MARK, _Mark(args, names, states, limits))
        return method

    return mark


def marked(cls: type) -> frozenset[str]:
    """The names of the methods of one class, without its bases, that `@handles` has marked."""
    return frozenset(
        name for name, method in vars(cls).items() if isinstance(getattr(method, _MARK, None), _Mark)
    )


def states_of(cls: type) -> tuple[str, ...]:
    """The states that handlers of an actor class and its bases are marked with, in their order."""
    marks = [getattr(method, _MARK, None) for base in reversed(cls.__mro__) for method in vars(base).values()]
    return tuple(dict.fromkeys(state for mark in marks if isinstance(mark, _Mark) for state in mark.states))


def handlers_of(cls: type, state: str | None = None) -> dict[type, Handler]:
    """The dispatch table of an actor class, its bases' handlers included. Raises InvalidHandler.

    Of those that are marked with a state; None: of those that are marked with none.
    """
    table: dict[type, Handler] = {}
    of_all = limits_of(cls)
    for base in reversed(cls.__mro__):
        own: dict[type, str] = {}
        for name, method in vars(base).items():
            mark = getattr(method, _MARK, None)
            if not isinstance(mark, _Mark) or state not in (mark.states or (None,)):
                continue
            parameter = _message_parameter(base, name, method)
            types_ = mark.explicit or _annotated_types(base, name, method, parameter, mark.names)
            if mark.names:  # else it was looked at with a class that has it too
                check_reply(f"{base.__qualname__}.{name}", method, types_, mark.names)
            mark.explicit, mark.names = types_, {}  # resolved: the names around the class are not kept
            for message_type in types_:
                if message_type in own:
                    where = "" if state is None else f" when {state!r}"
                    raise InvalidHandler(
                        f"{base.__qualname__} handles {message_type.__qualname__} twice{where}: "
                        f"in {own[message_type]} and in {name}. Keep one of them."
                    )
                own[message_type] = name
                table[message_type] = limited(as_handler(getattr(cls, name)), mark.limits.or_else(of_all))
    return table


def handler_for(table: dict[type, Handler], message_type: type) -> Handler | None:
    """The handler of the nearest base class of a type that is not in the table; remembers it."""
    for base in message_type.__mro__[1:-1]:
        handler = table.get(base)
        if handler is not None:
            table[message_type] = handler
            return handler
    return None


def as_handler(function: Callable[..., Any]) -> Handler:
    """A dispatch table's entry for a plain function. Raises InvalidHandler for a generator."""
    check_not_generator(function)
    return function, inspect.iscoroutinefunction(function)


def check_not_generator(function: Callable[..., Any]) -> None:
    """Raise InvalidHandler for a method with a `yield`: called, it would not run, but make a generator."""
    is_awaited = isinstance(getattr(function, "__code__", None), types.CodeType) and bool(
        function.__code__.co_flags & inspect.CO_ITERABLE_COROUTINE
    )
    is_generator = inspect.isgeneratorfunction(function) and not is_awaited  # types.coroutine makes such
    if is_generator or inspect.isasyncgenfunction(function):
        raise InvalidHandler(
            f"{function.__qualname__} is a generator (there is a `yield` in it), and so would never run. "
            "Return one reply, a list for instance, or tell the parts to who asked one by one."
        )


def _limits(timeout: float | None, heartbeat: float | None) -> TimeLimits:
    try:
        return TimeLimits(check_seconds("timeout", timeout), check_seconds("heartbeat", heartbeat))
    except InvalidArgument as error:
        raise InvalidHandler(f"@handles: {error}") from None


def _states(when: str | Iterable[str] | None) -> tuple[str, ...]:
    if when is None:
        return ()
    given: Any = when
    is_many = hasattr(given, "__iter__") and not isinstance(given, str)
    states: tuple[Any, ...] = tuple(given) if is_many else (given,)
    if not states or not all(isinstance(state, str) and state for state in states):
        raise InvalidHandler(f"@handles(when=...) takes the name of a behaviour, or several, not {when!r}")
    return states


def _message_parameter(cls: type, name: str, method: Any) -> str:
    parameters = list(inspect.signature(method).parameters.values())
    if len(parameters) != 2:
        raise InvalidHandler(
            f"{cls.__qualname__}.{name} must take exactly self and one message to be a handler"
        )
    return parameters[1].name


def _annotated_types(
    cls: type, name: str, method: Any, parameter: str, names: Mapping[str, Any]
) -> tuple[type, ...]:
    where = f"{cls.__qualname__}.{name}"
    if parameter not in method.__annotations__:
        raise InvalidHandler(
            f"{where}: annotate '{parameter}' with the type of message it handles, or name it: "
            "@handles(Deposit)"
        )
    annotation = method.__annotations__[parameter]
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, method.__globals__, dict(names))  # noqa: S307 - what typing does
        except Exception as error:
            raise InvalidHandler(
                f"{where}: the annotation '{annotation}' of '{parameter}' cannot be resolved ({error}). "
                "Import it outside of TYPE_CHECKING, or name it: @handles(Deposit)"
            ) from error
    members: tuple[Any, ...] = (annotation,)
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members = typing.get_args(annotation)
    plain = tuple(_plain_type(member) for member in members)
    if any(not isinstance(member, type) or member in (object, Any) for member in plain):
        raise InvalidHandler(
            f"{where}: '{annotation}' is not a type of message. For everything else there is on_receive."
        )
    return plain


def _plain_type(annotation: Any) -> Any:
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = annotation.__origin__
    return typing.get_origin(annotation) or annotation

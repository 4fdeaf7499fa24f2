"""What an actor takes in each of its states: `@handles(when="open")` and `Context.become("open")`.

All tables are made with the class. Becoming another state only puts another table in the place of the
one in use, and lets the cell look at it before the next message; so a message costs the same in an actor
with states as in one without.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from sentient_core.actors.handlers import Handler, handler_for, handlers_of, states_of
from sentient_core.errors import InvalidArgument

__all__ = ["Behaviour", "behaviours_of", "unknown_state"]


class Behaviour:
    """The dispatch table of one state of an actor class: its own handlers, behind them the unmarked ones."""

    __slots__ = ("_own", "_shared", "handlers", "name")

    def __init__(self, name: str | None, own: dict[type, Handler], shared: dict[type, Handler]) -> None:
        self.name: str | None = name
        """None: no state in particular."""
        self._own = own
        self._shared = shared
        self.handlers: dict[type, Handler] = {}
        """By exact type; grows with every type that `find` has found a handler for."""
        for message_type in (*shared, *own):
            self.find(message_type)

    def find(self, message_type: type) -> Handler | None:
        """The handler of a type, along its base classes; the state's own come before all others."""
        for table in (self._own, self._shared):
            handler = table.get(message_type) or handler_for(table, message_type)
            if handler is not None:
                self.handlers[message_type] = handler
                return handler
        return None


def behaviours_of(cls: type, for_all: Mapping[type, Handler]) -> dict[str | None, Behaviour]:
    """All states of an actor class by name; under None what it does in no state.

    `for_all` is what every actor takes. Raises InvalidHandler, and InvalidArgument for a class attribute
    `behaviours` that does not name any.
    """
    shared = {**for_all, **handlers_of(cls)}
    behaviours: dict[str | None, Behaviour] = {None: Behaviour(None, {}, shared)}
    for state in dict.fromkeys((*states_of(cls), *_declared(cls))):
        behaviours[state] = Behaviour(state, handlers_of(cls, state), shared)
    return behaviours


def unknown_state(cls: type, behaviours: dict[str | None, Behaviour], name: object) -> InvalidArgument:
    """The error for a name that is no state of the class; it names those that look like it."""
    known = [str(state) for state in behaviours if state is not None]  # not as the member of an enum
    near = difflib.get_close_matches(name, known, n=2) if isinstance(name, str) else []
    hint = f"It has {', '.join(map(repr, known)) or 'none'}."
    if near:
        hint = f"Did you mean {' or '.join(map(repr, near))}?"
    elif isinstance(name, str) and name:
        # A last state has often no handler of its own: two ways to say that it is no slip of the pen.
        hint += (
            f" Mark what handles messages in it, @handles(when={(*known[:1], str(name))!r}), or if only the "
            f"handlers without `when` do, declare it in the class: behaviours = ({str(name)!r},)"
        )
    return InvalidArgument(f"{cls.__qualname__} has no behaviour {name!r}. {hint}")


def _declared(cls: type) -> Iterator[str]:
    """What the class attribute `behaviours` of an actor class and its bases names."""
    for base in reversed(cls.__mro__):
        names: Any = vars(base).get("behaviours", ())
        # A str is a collection of str too, and never what is meant.
        are_many = hasattr(names, "__iter__") and not isinstance(names, str)
        found: tuple[Any, ...] = tuple(names) if are_many else ()
        if not are_many or not all(isinstance(name, str) and name for name in found):
            raise InvalidArgument(
                f"{base.__qualname__}.behaviours must be several names such as ('shipped', 'cancelled'), "
                f"not {names!r}"
            )
        yield from found

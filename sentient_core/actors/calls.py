"""What a proxy sends, and how the actor answers it, in its turn like any message.

Both types are in the dispatch table of every actor class. A call mirrored in the store reads
`ProxyCall {method, args, kwargs}`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

import msgspec

from sentient_core.actors.current import current_cell
from sentient_core.actors.handlers import Handler, as_handler
from sentient_core.actors.handover import handed_over
from sentient_core.actors.members import MemberKind
from sentient_core.causes import in_a_line
from sentient_core.errors import NotExposed

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor

__all__ = ["CALL_HANDLERS", "ProxyCall", "ProxyRead", "ProxyRefusal"]


class ProxyCall(msgspec.Struct, frozen=True):
    """Call a public method."""

    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __sentient_words__(self) -> str:
        return f"ProxyCall {self.method}()"


class ProxyRead(msgspec.Struct, frozen=True):
    """Read a public attribute."""

    attribute: str

    def __sentient_words__(self) -> str:
        return f"ProxyRead {self.attribute}"


class ProxyRefusal(msgspec.Struct, frozen=True):
    """The reply that becomes an error at the proxy; the actor has not failed."""

    member: str
    why: str
    is_exposed: bool = True
    """It is there, but its value cannot be handed over."""
    names: tuple[str, ...] = ()
    """What there is instead."""


def _call(actor: Actor, message: ProxyCall) -> Any:
    # A plain function, so that an ask of a plain method can be answered at once.
    name = message.method
    try:
        if actor.__blueprint__.members.kind(name) is not MemberKind.METHOD:
            return _missing(actor, name)
    except NotExposed as error:  # not by a proxy: it looks before it sends
        return ProxyRefusal(name, error.why, is_exposed=False)
    result = getattr(actor, name)(*message.args, **message.kwargs)
    return _later(actor, name, result) if isawaitable(result) else _outward(actor, name, result)


async def _later(actor: Actor, name: str, result: Awaitable[Any]) -> Any:
    return _outward(actor, name, await result)


def _read(actor: Actor, message: ProxyRead) -> Any:
    name = message.attribute
    try:
        kind = actor.__blueprint__.members.kind(name)
    except NotExposed as error:  # as above
        return ProxyRefusal(name, error.why, is_exposed=False)
    if kind is MemberKind.METHOD:
        return ProxyRefusal(name, "it is a method", is_exposed=False)
    if name not in vars(actor) and not hasattr(type(actor), name):
        return _missing(actor, name)
    return _outward(actor, name, getattr(actor, name))


CALL_HANDLERS: Mapping[type, Handler] = {ProxyCall: as_handler(_call), ProxyRead: as_handler(_read)}


def _missing(actor: Actor, name: str) -> ProxyRefusal:
    names = (*actor.__blueprint__.members.names, *(n for n in vars(actor) if not n.startswith("_")))
    return ProxyRefusal(name, "there is no such name", is_exposed=False, names=names)


def _outward(actor: Actor, name: str, value: Any) -> Any:
    """The value as the asker gets it; None if nobody asked."""
    cell, message = current_cell.get(), actor.context.message
    if cell is None or message is None or not message.is_ask:
        return None
    try:
        copied = handed_over(value)
        if cell.blueprint.is_mirrored:
            cell.runtime.codec.encode(copied)
    except Exception as error:  # noqa: BLE001 - what the user's types raise; reading them is no failure
        return ProxyRefusal(name, in_a_line(error))
    return copied

"""`Actor.once`: what a handler does to the outside is done once for its message, as far as that can be known.

The result is committed by itself as soon as it is there, so that a turn which is handled again, after a
crash or a failure, finds it. Between doing and committing the process may die: then it is done again, and
only the outside can tell. So it should be given a token: the id of the message, and the key.
"""

from __future__ import annotations

import time
import typing
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, cast

from sentient_core.actors import delivery
from sentient_core.actors.saving import check_at_work
from sentient_core.causes import in_a_line
from sentient_core.errors import InvalidArgument, NotInTurn, StoreUnavailable, UnencodableResult
from sentient_core.store.records import Noted

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.open_turn import OpenTurn

__all__ = ["once"]

MOST_CHARACTERS = 500


async def once(
    cell: Cell, actor: Actor, key: object, fn: Callable[[], Awaitable[Any] | Any], returns: object
) -> Any:
    """See `Actor.once`."""
    check_at_work(cell, actor)
    if not (isinstance(key, str) and 0 < len(key) <= MOST_CHARACTERS):
        raise InvalidArgument(
            f"once(key) must be a text of 1 to {MOST_CHARACTERS} characters, not {key!r:.100}"
        )
    try:
        key.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"once({key!r}, …): the key is no valid Unicode") from None
    if not callable(fn):
        raise InvalidArgument(f"once(key, fn): fn must be a function without arguments, not {fn!r:.100}")
    turn = _turn(cell)
    kind = _type_of(fn) if returns is None else returns
    name = _name(key)
    if name in turn.noted:
        known = turn.noted[name]
        if known is None:
            raise InvalidArgument(f"once({key!r}, …) is under way for this message already: take another key")
        return _read(cell, key, known, kind)
    turn.noted[name] = None
    try:
        payload, result = await _recorded(cell, turn, key, kind) or await _done(
            cell, actor, turn, key, fn, kind
        )
    except BaseException:
        del turn.noted[name]
        raise
    turn.noted[name] = payload
    return result


def _turn(cell: Cell) -> OpenTurn:
    """The turn with the message in hand that the code belongs to."""
    if cell.inbox is None:
        raise InvalidArgument(
            f"once is for durable actors: '{cell.path}' ({cell.blueprint.cls.__qualname__}) is "
            f"{cell.blueprint.cls.durability}, so nothing would be known of it after a crash. Call the "
            "function itself, or let the class say durability = 'durable'."
        )
    turn = delivery.open_turn()
    if turn is None or turn is not cell.inbox.turn or turn.key is None:
        why = "needs a message in hand that is committed: hooks, ticks and what runs beside a turn have none."
        raise NotInTurn(cell.path, "once", why)
    return turn


async def _recorded(cell: Cell, turn: OpenTurn, key: str, kind: object) -> tuple[bytes, Any] | None:
    if turn.is_first or turn.key is None:
        return None
    found = (await cell.runtime.sent_ids.memos(turn.key)).get(_name(key))
    return None if found is None else (found.payload, _read(cell, key, found.payload, kind))


async def _done(
    cell: Cell,
    actor: Actor,
    turn: OpenTurn,
    key: str,
    fn: Callable[[], Awaitable[Any] | Any],
    kind: object,
) -> tuple[bytes, Any]:
    """Do it, and commit its result."""
    journal = cell.runtime.mirror.journal
    await journal.committed()  # the message's acceptance, or another start would know nothing of what is done
    result = fn()
    if isawaitable(result):
        result = await result
    payload = _encoded(cell, key, result, kind)
    check_at_work(cell, actor)
    if not turn.is_open or turn.key is None or cell.inbox is None:
        raise NotInTurn(cell.path, "once", "was not awaited: the turn that it belongs to has ended.")
    path, epoch, seq = turn.key
    cell.inbox.note_memo(turn.key)
    note = Noted(path, seq, _name(key), payload, time.time_ns(), 0 if epoch == journal.epoch else epoch)
    if not journal.append(note, force=True):
        raise StoreUnavailable("the journal has ended, so what was done once cannot be written down")
    await journal.committed()
    return payload, result


def _encoded(cell: Cell, key: str, result: object, kind: object) -> bytes:
    """The bytes of a result that can be read back as it is. Raises UnencodableResult."""
    codec = cell.runtime.codec
    try:
        payload = codec.encode(result)
    except Exception as error:  # msgspec raises TypeError, OverflowError, UnicodeError, RecursionError
        raise UnencodableResult(cell.path, key, in_a_line(error)) from error
    try:
        again = codec.decode(payload, cast("type[Any]", kind))
    except Exception as error:
        raise UnencodableResult(cell.path, key, f"it is no {kind!r}: {in_a_line(error)}") from error
    if kind is Any and (type(again) is not type(result) or again != result):
        why = (
            f"a {type(result).__qualname__} would be read back as a {type(again).__qualname__}. "
            f"Say its type: once({key!r}, …, returns={type(result).__qualname__})"
        )
        raise UnencodableResult(cell.path, key, why)
    return payload


def _read(cell: Cell, key: str, payload: bytes, kind: object) -> Any:
    try:
        return cell.runtime.codec.decode(payload, cast("type[Any]", kind))
    except Exception as error:
        why = f"what is recorded is no {kind!r} ({in_a_line(error)})"
        raise UnencodableResult(cell.path, key, why) from error


def _type_of(fn: Callable[[], Any]) -> Any:
    """What a function says that it returns; Any, where it says nothing."""
    try:
        kind = typing.get_type_hints(fn).get("return", Any)
    except Exception:  # noqa: BLE001 - names that are not known at run time, objects without annotations
        return Any
    return Any if isinstance(kind, typing.TypeVar) else kind


def _name(key: str) -> str:
    return f"once {key}"

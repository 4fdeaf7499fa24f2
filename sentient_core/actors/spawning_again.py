"""`Context.spawn` of a named child by code that runs again: it finds the child that it has spawned before.

A child is not taken back with the turn that has spawned it: it has begun, and others may have told it
something by then. So when the message is handled again, after a failure or in a later start of the system,
its child lives, and its name is taken by just whom the handler wants. That the message in hand has asked for
the name is written down before the child starts, and forgotten when the message is settled; so a name that
was taken for any other message stays taken. `on_start` of a later incarnation finds in the same way the
durable children, which last over a restart of their parent.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from sentient_core.actors.current import current_turn
from sentient_core.errors import NameTaken
from sentient_core.paths import join
from sentient_core.store.records import Noted

if TYPE_CHECKING:
    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.open_turn import OpenTurn
    from sentient_core.actors.ref import ActorRef

__all__ = ["spawn_or_find"]

A = TypeVar("A", bound="Actor")

_NOTHING = b"\xc0"


async def spawn_or_find(
    cell: Cell, cls: type[A], name: str, spawn: Coroutine[Any, Any, ActorRef[A]]
) -> ActorRef[A]:
    """The ref that `spawn` gives, or that of the child which the code that runs has spawned before.

    Raises what `spawn` raises.
    """
    path, turn = join(cell.path, name), _turn_of(cell)
    registry = cell.runtime.registry
    if turn is not None and registry.find(path) is None:
        _note(cell, turn, name)
    try:
        ref = await spawn
    except NameTaken as error:
        found = registry.find(path)
        if error.path != path or found is None or found.blueprint.cls is not cls:
            raise
        if not await _is_from_before(cell, turn, found, name):
            raise
        ref = found.ref
    if turn is not None:
        turn.noted[_memo(name)] = _NOTHING
    return ref


def _turn_of(cell: Cell) -> OpenTurn | None:
    """The durable turn with a message in hand that the code belongs to."""
    turn = current_turn.get()
    is_own = cell.inbox is not None and turn is not None and turn is cell.inbox.turn
    return turn if is_own and turn is not None and turn.is_open and turn.key is not None else None


def _note(cell: Cell, turn: OpenTurn, name: str) -> None:
    if turn.key is None or cell.inbox is None:
        return
    journal = cell.runtime.mirror.journal
    path, epoch, seq = turn.key
    cell.inbox.note_memo(turn.key)
    of_epoch = 0 if epoch == journal.epoch else epoch
    # Refused by a journal that has ended, which commits no child either.
    journal.append(Noted(path, seq, _memo(name), _NOTHING, time.time_ns(), of_epoch), force=True)


async def _is_from_before(cell: Cell, turn: OpenTurn | None, found: Cell, name: str) -> bool:
    if turn is None or turn.key is None:
        return cell.starts > 1 and cell.is_starting and found.inbox is not None
    memo = _memo(name)
    if turn.is_first or memo in turn.noted:
        return False
    return memo in await cell.runtime.sent_ids.memos(turn.key)


def _memo(name: str) -> str:
    return f"spawn {name}"

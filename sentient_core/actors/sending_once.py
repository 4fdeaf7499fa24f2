"""`send` and `ask` of a message with an id, chosen by the caller or, within a durable turn, by the runtime.

A durable turn that is handled again, after a crash or a failure, asks again what it has asked. So its asks
of durable actors have ids: the message in hand, who is asked, what, and how often that was asked before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from sentient_core.actors import asking, delivery
from sentient_core.actors.committed_reply import reply_slot
from sentient_core.actors.current import current_cell
from sentient_core.actors.recorded import replayed
from sentient_core.actors.sent_ids import UnderWay
from sentient_core.codec import digest
from sentient_core.errors import ActorStopped, AskTimeout, InvalidArgument, SendTimeout
from sentient_core.store.outcomes import Outcome
from sentient_core.store.records import SentAs

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.open_turn import OpenTurn
    from sentient_core.actors.posting import Posting
    from sentient_core.backend import Slot
    from sentient_core.mailbox.envelope import Entry
    from sentient_core.store.records import Event, Key

__all__ = ["ask_in_turn", "ask_once", "check_message_id", "send_once"]

MOST_CHARACTERS = 1_000

_OTHER_TRY = "another try to send it under this id is under way, and waits for room"


def check_message_id(message_id: object) -> None:
    """Raise InvalidArgument for what cannot be an id."""
    if not (isinstance(message_id, str) and 0 < len(message_id) <= MOST_CHARACTERS):
        raise InvalidArgument(
            f"message_id must be a text of 1 to {MOST_CHARACTERS} characters, not {message_id!r:.100}"
        )
    try:
        message_id.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(f"message_id {message_id!r} is no valid Unicode") from None


async def send_once(
    cell: Cell, message: object, timeout: float | None, posting: Posting | None, message_id: str
) -> None:
    """`ActorRef.send` with a `message_id`."""
    cell = _durable(delivery.recipient(cell, message))
    runtime, turn = cell.runtime, delivery.open_turn()
    entry, began = delivery.new_entry(cell, message, None, posting), runtime.backend.now()
    sent = _chosen(cell, entry, message_id)
    known: UnderWay | Outcome | None = None
    with anyio.move_on_after(timeout):
        known = await runtime.sent_ids.claim(sent, message, cell.ref, turn)
    if known is None:
        trouble = runtime.sent_ids.trouble_with(sent)
        raise SendTimeout(message, cell.ref, timeout or 0.0, str(trouble or _OTHER_TRY)) from trouble
    if isinstance(known, Outcome):
        return
    if not known.is_accepted and not (turn is not None and turn.has_sent(known)):
        entry = _under(entry, known)
        try:
            if turn is not None and turn.is_open:
                turn.send(cell, entry, waits=True)
            else:
                cell = _durable(delivery.recipient(cell, message))  # it may have ended meanwhile
                if not delivery.put(cell, entry):
                    await delivery.wait_for_room(cell, entry, timeout)
                runtime.sent_ids.let_go(known)  # if it was dropped, which is no acceptance
        except BaseException:
            runtime.sent_ids.let_go(known)
            raise
    if turn is None:
        await delivery.wait_for_commit(cell, entry, timeout, began)
    else:
        await runtime.backend.checkpoint()


async def ask_once(
    cell: Cell, message: object, timeout: float, posting: Posting | None, message_id: str
) -> Any:
    """`ActorRef.ask` with a `message_id`."""
    cell = _durable(delivery.recipient(cell, message))
    entry = delivery.new_entry(cell, message, None, posting)
    return await _ask(cell, message, timeout, entry, _chosen(cell, entry, message_id), is_first=False)


async def ask_in_turn(
    cell: Cell,
    message: object,
    timeout: float,
    posting: Posting | None,
    turn: OpenTurn,
    key: Key,
    crowd: list[tuple[Cell, Slot[Any]]] | None = None,
) -> Any:
    """An `ask` of a durable actor within a durable turn, for the message in hand, `key`.

    `crowd` lists those that the turn waits for together, if it does.
    """
    entry = delivery.new_entry(cell, message, None, posting)
    sent = turn.ask_id(key, cell.path, _digest(entry))
    return await _ask(cell, message, timeout, entry, sent, is_first=turn.is_first, crowd=crowd)


async def _ask(
    cell: Cell,
    message: object,
    timeout: float,
    entry: Entry,
    sent: SentAs,
    *,
    is_first: bool,
    crowd: list[tuple[Cell, Slot[Any]]] | None = None,
) -> Any:
    runtime, turn = cell.runtime, delivery.open_turn()
    ends_at = runtime.backend.now() + timeout
    known: UnderWay | Outcome | None = runtime.sent_ids.begin(sent, turn) if is_first else None
    if known is None:
        with anyio.move_on_after(timeout):
            known = await runtime.sent_ids.claim(sent, message, cell.ref, turn)
    if known is None:
        trouble = runtime.sent_ids.trouble_with(sent)
        why = f"no reply within {timeout:g} s: {trouble or _OTHER_TRY}"
        raise AskTimeout(message, cell.ref, why) from trouble
    if isinstance(known, Outcome):
        return replayed(cell, message, known)
    if known.is_accepted and cell.is_passive and not cell.scheduled:
        runtime.dispatcher.schedule(cell)  # its message may be one that an earlier start has left
    runtime.sent_ids.keep(known)
    if turn is not None and turn.has_sent(known):
        raise InvalidArgument(
            f"this turn has sent {sent.id!r} to '{cell.path}', which leaves when the turn ends: "
            "its answer cannot be waited for here"
        )
    try:
        if not known.is_accepted:
            cell = _durable(delivery.recipient(cell, message))  # it may have ended meanwhile
        left = max(ends_at - runtime.backend.now(), 1e-9)
        return await _wait_for(cell, message, left, entry, known, crowd)
    except BaseException:
        runtime.sent_ids.let_go(known)
        raise


async def _wait_for(
    cell: Cell,
    message: object,
    timeout: float,
    entry: Entry,
    way: UnderWay,
    crowd: list[tuple[Cell, Slot[Any]]] | None,
) -> Any:
    """Send the message, unless it is accepted, and wait for its outcome."""
    runtime = cell.runtime
    reply = reply_slot(runtime.backend.slot(), cell, message, is_kept=True)
    asker = current_cell.get()
    is_turns_own = crowd is None and asker is not None and runtime.dispatcher.running is asker
    waiting = asker if is_turns_own else None
    if crowd is not None:
        crowd.append((cell, way))
    if waiting is not None:
        asking.check_cycle(runtime, waiting, cell, message)
        runtime.waits[waiting] = (cell, way)
    why = "the system has ended; what becomes of the message is asked by its id, at the next start"
    runtime.sent_ids.await_outcome(reply, lambda: ActorStopped(message, cell.ref, why))
    try:
        way.join(reply)
        to_send = None if way.is_accepted else _under(entry, way)
        return await asking.wait_for_reply(cell, message, timeout, reply, way, to_send)
    finally:
        runtime.sent_ids.forget_asker(reply)
        way.leave(reply)  # its actor may be at it for long, and be asked again and again
        if waiting is not None and runtime.waits.get(waiting, (None, None))[1] is way:
            del runtime.waits[waiting]


def _durable(cell: Cell) -> Cell:
    if cell.inbox is None:
        raise InvalidArgument(
            f"message_id is for durable actors: '{cell.path}' ({cell.blueprint.cls.__qualname__}) is "
            f"{cell.blueprint.cls.durability}, so nothing would be known of the id after a crash. "
            "Leave it out, or let the class say durability = 'durable'."
        )
    return cell


def _chosen(cell: Cell, entry: Entry, message_id: str) -> SentAs:
    return SentAs(cell.path, message_id, _digest(entry))


def _digest(entry: Entry) -> bytes:
    event: Event | None = entry[3]
    if event is None:
        return b""
    return digest(b"\0".join(((event.message_type or "").encode(), event.payload)))


def _under(entry: Entry, way: UnderWay) -> Entry:
    slot: Slot[Any] = way
    return entry[0], entry[1], slot, entry[3]

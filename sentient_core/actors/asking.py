"""The way of an ask: answered here and now where that can be, else through the mailbox and waited for.

An ask through the mailbox costs two passes of the event loop. An idle actor whose messages are not
written down and whose handler is a plain function needs neither: it runs within the ask.

Who asks from within a turn holds its own actor up until the answer is there. `Runtime.waits` says who
waits for whom; an ask that would close a circle of them raises at once.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import anyio

from sentient_core.actors import delivery
from sentient_core.actors.calls import ProxyCall
from sentient_core.actors.committed_reply import bare, is_given, reply_slot
from sentient_core.actors.current import current_cell
from sentient_core.actors.special import plain
from sentient_core.actors.timekeeper import Alarm
from sentient_core.errors import AskCycle, AskTimeout, SendTimeout, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sentient_core.actors.cell import Cell
    from sentient_core.actors.inbox import Inbox
    from sentient_core.actors.open_turn import OpenTurn
    from sentient_core.actors.posting import Posting
    from sentient_core.actors.runtime import Runtime
    from sentient_core.backend import Slot
    from sentient_core.mailbox.envelope import Entry
    from sentient_core.store.records import Key

__all__ = ["NOT_YET", "ask", "ask_as_one", "check_cycle", "cycle_of", "wait_for_reply", "wait_of"]

NOT_YET: Final[Any] = object()
"""Instead of an answer: it will come later."""

_NOBODY: Final = (None, None)

_MOST_SEEN = 100
"""Places of the queue that a timeout looks at: when thousands of asks end together, all have to be told."""


async def ask(cell: Cell, message: object, timeout: float, posting: Posting | None = None) -> Any:
    """`ActorRef.ask`."""
    runtime = cell.runtime
    dispatcher, waits = runtime.dispatcher, runtime.waits
    asker = current_cell.get()
    if asker is not None and asker.inbox is not None and asker.inbox.leaving:
        timeout = await _behind_earlier_turns(asker.inbox, cell, message, timeout)
    # There is no queue, so no priority matters, and nothing expires.
    is_plain = posting is None or posting.deadline is None
    handler = cell.handler_at_once(message) if is_plain else None
    if handler is not None and dispatcher.is_pass_due():
        # Before the handler: behind it, a cancellation would cost its reply.
        await runtime.backend.checkpoint()
        handler = cell.handler_at_once(message)
    if handler is None:
        cell = delivery.recipient(cell, message)
        turn = None if cell.inbox is None else delivery.open_turn()
        if turn is not None and turn.key is not None and turn.runtime is runtime:
            return await _in_turn(cell, message, timeout, posting, turn, turn.key)
    reply = dispatcher.take_slot()
    if cell.inbox is not None:
        reply = reply_slot(reply, cell, message)
    waiting = None if asker is None or dispatcher.running is not asker else asker
    if waiting is not None:
        if handler is None:
            check_cycle(runtime, waiting, cell, message)
        waits[waiting] = (cell, reply)
    try:
        if handler is not None:
            answer = cell.answer_at_once(message, handler, reply, asker)
            if answer is not NOT_YET:
                dispatcher.give_back(reply)  # nobody has seen it
                return answer
            over = _AskOver(cell, message, timeout, reply)
        else:
            over = _AskOver(cell, message, timeout, reply)
            mailbox = cell.mailbox
            queue = mailbox.queue
            is_plain = posting is None and message is not None
            if queue is not None and is_plain and len(queue) < mailbox.plain_capacity:
                # As in `ActorRef.tell`: appending is all there is to do.
                if not cell.scheduled:
                    dispatcher.schedule(cell)
                queue.append((message, asker, reply, None))
            else:
                await _put(over, delivery.new_entry(cell, message, reply, posting))
        return await _wait(over)
    finally:
        # Not if the turn was abandoned meanwhile: the place is then its cell's next turn's.
        if waiting is not None and waits.get(waiting, _NOBODY)[1] is reply:
            del waits[waiting]


async def ask_as_one(
    cell: Cell, message: object, timeout: float, posting: Posting | None, crowd: list[tuple[Cell, Slot[Any]]]
) -> Any:
    """One ask of those that an actor's turn waits for together; `crowd` lists them."""
    asker = current_cell.get()
    if asker is not None and asker.inbox is not None and asker.inbox.leaving:
        timeout = await _behind_earlier_turns(asker.inbox, cell, message, timeout)
    cell = delivery.recipient(cell, message)
    turn = None if cell.inbox is None else delivery.open_turn()
    if turn is not None and turn.key is not None and turn.runtime is cell.runtime:
        return await _in_turn(cell, message, timeout, posting, turn, turn.key, crowd)
    reply = reply_slot(cell.runtime.backend.slot(), cell, message)
    crowd.append((cell, reply))
    over = _AskOver(cell, message, timeout, reply)
    await _put(over, delivery.new_entry(cell, message, reply, posting))
    return await _wait(over)


async def wait_for_reply(
    cell: Cell, message: object, timeout: float, reply: Slot[Any], carried: Slot[Any], entry: Entry | None
) -> Any:
    """Put `entry` into the mailbox, unless it is None and was before, and wait for `reply`.

    `carried` is what stands in the entry instead of it.
    """
    over = _AskOver(cell, message, timeout, reply, carried)
    if entry is not None:
        await _put(over, entry)
    return await _wait(over)


async def _behind_earlier_turns(inbox: Inbox, cell: Cell, message: object, timeout: float) -> float:
    """Wait until what earlier turns of the asker have sent to `cell` has left; returns the time that remains.

    Or the question would overtake it, as it does not wait for a commit itself.
    """
    cell = cell.at_home()
    if cell not in inbox.leaving:
        return timeout
    runtime = cell.runtime
    ends_at = runtime.backend.now() + timeout
    slot: Slot[None] = runtime.backend.slot()
    inbox.when_left(slot)
    with anyio.move_on_after(timeout):
        await slot
        return max(ends_at - runtime.backend.now(), 1e-9)
    raise AskTimeout(
        message,
        cell.ref,
        f"no reply within {timeout:g} s. The message waited for the commit of earlier messages to the actor, "
        "which the store has not confirmed",
    )


async def _in_turn(
    cell: Cell,
    message: object,
    timeout: float,
    posting: Posting | None,
    turn: OpenTurn,
    key: Key,
    crowd: list[tuple[Cell, Slot[Any]]] | None = None,
) -> Any:
    from sentient_core.actors.sending_once import ask_in_turn  # noqa: PLC0415 - it asks by what is here

    return await ask_in_turn(cell, message, timeout, posting, turn, key, crowd)


async def _wait(over: _AskOver) -> Any:
    over.cell.runtime.timekeeper.add(over.deadline, over)
    try:
        return await over.reply
    except BaseException:
        _abandon(over)
        raise
    finally:
        over.cancel()
        del (
            over.message,
            over.reply,
            over.carried,
        )  # it may stand in the timekeeper's heap until its time is over


async def _put(over: _AskOver, entry: Entry) -> None:
    """Put the message into the mailbox, waiting for room."""
    cell = over.cell
    if delivery.put(cell, entry):
        return
    try:
        await delivery.wait_for_room(cell, entry, over.timeout)
    except SendTimeout as error:
        depth = cell.mailbox.depth
        place = f"The message waited for room ({depth} messages are queued)"
        raise over.error(place) from error.__cause__
    except BaseException:
        _abandon(over)
        raise


def _abandon(over: _AskOver) -> None:
    """Nobody waits any more; a reply that has just come is as one that comes from now on."""
    for value in over.reply.abandon():
        delivery.late_reply(over.cell, value, (over.message, current_cell.get(), None, None), None)


class _AskOver(Alarm):
    """Ends an ask that has had its time."""

    __slots__ = ("carried", "cell", "deadline", "message", "reply", "timeout")

    def __init__(
        self,
        cell: Cell,
        message: object,
        timeout: float,
        reply: Slot[Any],
        carried: Slot[Any] | None = None,
    ) -> None:
        super().__init__(cell.runtime.timekeeper)
        self.cell = cell
        self.message = message
        self.timeout = timeout
        self.reply = reply
        self.carried = reply if carried is None else carried
        """What stands in the message's entry: the reply, or what brings it."""
        self.deadline = cell.runtime.backend.now() + timeout

    def ring(self) -> None:
        slot = bare(self.reply)  # who waits has waited long enough, whether the store answers or not
        if not slot.is_done:
            slot.fail(self.error())

    def error(self, place: str | None = None) -> AskTimeout:
        """Says what became of it so far."""
        cell = self.cell
        place = place or self._place()
        text = f"no reply within {self.timeout:g} s. {place}; the actor is {cell.status.value}"
        if cell.in_hand is not None and cell.in_hand[2] is not self.carried:
            text += f", {_at_work(cell)}"
        trouble = delivery.trouble_of_store(cell)
        if not trouble:
            return AskTimeout(self.message, cell.ref, text)
        error = AskTimeout(self.message, cell.ref, f"{text}; {trouble}")
        error.__cause__ = StoreUnavailable(trouble)
        return error

    def _place(self) -> str:
        cell = self.cell
        if is_given(self.reply):
            return "The actor has answered, and the store has not confirmed the commit that is to precede it"
        if cell.in_hand is not None and cell.in_hand[2] is self.carried:
            return f"The actor is {_at_work(cell)}"
        depth = cell.mailbox.depth
        for place, entry in enumerate(islice(cell.mailbox.queue or (), _MOST_SEEN), 1):
            if entry[2] is self.carried:
                return f"The message is number {place} of {depth} in the queue"
        if depth > _MOST_SEEN:
            return (
                f"The message is behind the first {_MOST_SEEN} of {depth} in the queue, or has been put away"
            )
        return "The message has been put away (stashed or forwarded)"


def _at_work(cell: Cell) -> str:
    if cell.in_hand is None:
        return "at work on nothing"
    message = plain(cell.in_hand)[0]
    kind = type(message)
    if isinstance(message, ProxyCall):
        return f"at work on {kind.__qualname__} in {message.method}()"
    handler = cell.handler_of(kind)
    function = cell.blueprint.cls.on_receive if handler is None else handler[0]
    name = getattr(function, "__name__", type(function).__name__)  # a partial has none
    return f"at work on {kind.__qualname__} in {name}()"


def check_cycle(runtime: Runtime, asker: Cell, target: Cell, message: object) -> None:
    """Raise AskCycle if `target` waits, by whatever way, for `asker`."""
    cycle = cycle_of(runtime, asker, target)
    if cycle:
        raise AskCycle(message, target.ref, cycle)


def cycle_of(runtime: Runtime, asker: Cell, target: Cell) -> list[str]:
    """The paths from `asker` by way of `target` back to it, if `target` waits for it; else nothing."""
    if target is not asker and target not in runtime.waits and target not in runtime.crowds:
        return []
    came_from: dict[Cell, Cell | None] = {target: None}
    ahead = [target]
    while ahead:
        waiting = ahead.pop()
        if waiting is asker:
            return [asker.path, *_paths_to(came_from, waiting)]
        for awaited, reply in _waits_of(runtime, waiting):
            if not reply.is_done and awaited not in came_from:
                came_from[awaited] = waiting
                ahead.append(awaited)
    return []


def wait_of(runtime: Runtime, asker: Cell, reply: Slot[Any]) -> Callable[[Cell], None] | None:
    """What to call with the cell that is to give that reply from now on; None: no turn waits for it."""
    wait = runtime.waits.get(asker)
    if wait is not None and wait[1] is reply:

        def pass_on(target: Cell) -> None:
            runtime.waits[asker] = (target, reply)

        return pass_on
    crowd = runtime.crowds.get(asker, [])
    place = next((place for place, wait in enumerate(crowd) if wait[1] is reply), None)
    if place is None:
        return None

    def pass_on_in_crowd(target: Cell) -> None:
        crowd[place] = (target, reply)

    return pass_on_in_crowd


def _waits_of(runtime: Runtime, cell: Cell) -> Iterator[tuple[Cell, Slot[Any]]]:
    wait = runtime.waits.get(cell)
    if wait is not None:
        yield wait
    yield from runtime.crowds.get(cell, ())


def _paths_to(came_from: Mapping[Cell, Cell | None], cell: Cell) -> list[str]:
    paths: list[str] = []
    at: Cell | None = cell
    while at is not None:
        paths.append(at.path)
        at = came_from[at]
    return paths[::-1]

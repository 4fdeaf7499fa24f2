"""The way of an ask: answered here and now where that can be, else through the mailbox and waited for.

An ask through the mailbox costs two passes of the event loop. An idle actor whose messages are not
written down and whose handler is a plain function needs neither: it runs within the ask.

Who asks from within a turn holds its own actor up until the answer is there. `Runtime.waits` says who
waits for whom; an ask that would close a circle of them raises at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sentient_core.actors import delivery
from sentient_core.actors.current import current_cell
from sentient_core.actors.special import plain
from sentient_core.actors.timekeeper import Alarm
from sentient_core.errors import AskCycle, AskTimeout, SendTimeout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sentient_core.actors.cell import Cell
    from sentient_core.actors.posting import Posting
    from sentient_core.backend import Slot

__all__ = ["NOT_YET", "ask"]

NOT_YET: Final[Any] = object()
"""Instead of an answer: it will come later."""


async def ask(cell: Cell, message: object, timeout: float, posting: Posting | None = None) -> Any:
    """`ActorRef.ask`."""
    runtime = cell.runtime
    handler = cell.handler_at_once(message)  # there is no queue, so no priority and no deadline matters
    if handler is not None:
        dispatcher = runtime.dispatcher
        reply = dispatcher.take_slot()
        answer = cell.answer_at_once(message, handler, reply)
        if answer is NOT_YET:
            return await _wait(_AskOver(cell, message, timeout, reply))
        dispatcher.give_back(reply)  # nobody has seen it
        if dispatcher.is_pass_due():
            await runtime.backend.checkpoint()
        return answer
    cell = delivery.recipient(cell, message)
    asker = current_cell.get()
    if asker is None or not asker.is_in_turn:
        return await _ask_by_mailbox(cell, message, timeout, posting)
    waits = runtime.waits
    _check_cycle(waits, asker, cell, message)
    waits[asker] = cell
    try:
        return await _ask_by_mailbox(cell, message, timeout, posting)
    finally:
        del waits[asker]


async def _ask_by_mailbox(cell: Cell, message: object, timeout: float, posting: Posting | None) -> Any:
    reply: Slot[Any] = cell.runtime.backend.slot()
    over = _AskOver(cell, message, timeout, reply)
    entry = delivery.new_entry(cell, message, reply, posting)
    if not delivery.put(cell, entry):
        try:
            await delivery.wait_for_room(cell, entry, timeout)
        except SendTimeout:
            depth = cell.mailbox.depth
            raise over.error(f"The message waited for room ({depth} messages are queued)") from None
    return await _wait(over)


async def _wait(over: _AskOver) -> Any:
    over.cell.runtime.timekeeper.add(over.deadline, over)
    try:
        return await over.reply
    finally:
        over.cancel()


class _AskOver(Alarm):
    """Ends an ask that has had its time."""

    __slots__ = ("cell", "deadline", "message", "reply", "timeout")

    def __init__(self, cell: Cell, message: object, timeout: float, reply: Slot[Any]) -> None:
        super().__init__(cell.runtime.timekeeper)
        self.cell = cell
        self.message = message
        self.timeout = timeout
        self.reply = reply
        self.deadline = cell.runtime.backend.now() + timeout

    def ring(self) -> None:
        if not self.reply.is_done:
            self.reply.fail(self.error())

    def error(self, place: str | None = None) -> AskTimeout:
        """Says what became of it so far."""
        cell = self.cell
        place = place or self._place()
        text = f"no reply within {self.timeout:g} s. {place}; the actor is {cell.status.value}"
        if cell.in_hand is not None and cell.in_hand[2] is not self.reply:
            text += f", {_at_work(cell)}"
        return AskTimeout(self.message, cell.ref, text)

    def _place(self) -> str:
        cell = self.cell
        if cell.in_hand is not None and cell.in_hand[2] is self.reply:
            return f"The actor is {_at_work(cell)}"
        queue = cell.mailbox.queue or ()
        for place, entry in enumerate(queue, 1):
            if entry[2] is self.reply:
                return f"The message is number {place} of {len(queue)} in the queue"
        return "The message has been put away (stashed or forwarded)"


def _at_work(cell: Cell) -> str:
    if cell.in_hand is None:
        return "at work on nothing"
    kind = type(plain(cell.in_hand)[0])
    handler = cell.handler_of(kind)
    name = "on_receive" if handler is None else handler[0].__name__
    return f"at work on {kind.__qualname__} in {name}()"


def _check_cycle(waits: Mapping[Cell, Cell], asker: Cell, target: Cell, message: object) -> None:
    """Raise AskCycle if `target` waits, by whatever way, for `asker`."""
    cycle = [asker.path, target.path]
    next_: Cell | None = target
    while next_ is not None and next_ is not asker:
        next_ = waits.get(next_)
        if next_ is not None:
            cycle.append(next_.path)
    if next_ is asker:
        raise AskCycle(message, target.ref, tuple(cycle))

"""The cell of a durable actor: every turn is committed as a whole, or leaves nothing.

The difference to other cells is one of turns. A message is handled in an `OpenTurn`, which gathers what the
handler sends and answers; when the handler returns, the turn hands one record to the journal, with the new
state and the settlement of the message in it, and the next message is handled at once, while the commit is
under way. When the handler raises, nothing leaves, the state is again that of the savepoint, and the
message is settled by its dead letter, or tried again. Hooks are turns without a message.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from sentient_core.actors import delivery
from sentient_core.actors.actor import Actor
from sentient_core.actors.cell import NO_KWARGS, TURN_SECONDS, Cell, CellStatus
from sentient_core.actors.current import current_event, current_turn
from sentient_core.actors.escaped import stray
from sentient_core.actors.inbox import Inbox
from sentient_core.actors.isolating import isolated_reply
from sentient_core.actors.lease import TurnAbandoned
from sentient_core.actors.open_turn import OpenTurn, leaves_state
from sentient_core.actors.recorded import error_words, no_reply
from sentient_core.actors.runtime import Family, Runtime
from sentient_core.actors.sent_ids import UnderWay
from sentient_core.actors.settling import how_ended
from sentient_core.actors.special import plain
from sentient_core.actors.unread import Unread
from sentient_core.backend import Slot
from sentient_core.causes import in_a_line
from sentient_core.errors import (
    ActorStopped,
    CheckpointUnusable,
    ReplyUnreadable,
    StoreError,
    UncopyableMessage,
    UnencodableMessage,
)
from sentient_core.mailbox import DeadLetterReason, Isolation, Queue
from sentient_core.mailbox.envelope import Entry
from sentient_core.mailbox.signals import Signal, SignalKind
from sentient_core.mailbox.statistics import BUDGET
from sentient_core.store.records import Checkpoint, Event

__all__ = ["DurableCell"]

HOLD_SECONDS = 0.05
"""How soon what is pending is read again when the store has not answered."""

_RUNNING = CellStatus.RUNNING


class DurableCell(Cell):
    """One durable actor, over all its incarnations."""

    __slots__ = ()

    inbox: Inbox | None
    signals: deque[Signal] | None
    scheduled: bool
    in_hand: Entry | None
    handled: int

    def __init__(
        self,
        runtime: Runtime,
        above: Family,
        path: str,
        cls: type[Actor],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] = NO_KWARGS,
    ) -> None:
        super().__init__(runtime, above, path, cls, args, kwargs)
        self.inbox = Inbox(self)
        runtime.has_durable = True

    @property
    def keeps_pending(self) -> bool:
        return self.runtime.is_ending or isinstance(self._cause, CheckpointUnusable)

    @property
    def has_work(self) -> bool:
        return bool(self.mailbox.queue) or (self.inbox is not None and self.inbox.unread.is_there)

    def leave_turn(self) -> bool:
        inbox = self.inbox
        if inbox is None or self.signals or not self.has_work or self.status is not _RUNNING:
            return super().leave_turn()
        if self.mailbox.queue:
            if inbox.has_room():
                return super().leave_turn()
            # The store is away or far behind: what is queued waits for room in the journal.
            inbox.watch_for_room()
        elif not inbox.unread.is_held:
            return True
        else:
            self.runtime.timekeeper.after(HOLD_SECONDS, self._read_again)
        self.signals = None
        self.scheduled = False
        return False

    def look_for_room(self) -> None:
        if self.is_alive:
            self._admit()
            if self.has_work and not self.scheduled:
                self.runtime.dispatcher.schedule(self)

    def _read_again(self) -> None:
        if self.inbox is not None:
            self.inbox.unread.is_held = False
        if self.is_alive and not self.scheduled:
            self.runtime.dispatcher.schedule(self)

    def _admit(self) -> None:
        mailbox, inbox = self.mailbox, self.inbox
        while inbox is not None and inbox.has_room():
            admitted = mailbox.admit(self.runtime.backend.now, 1)
            if not admitted:
                return
            delivery.record(self, admitted[0])
            key = inbox.key_of(admitted[0])
            if key is not None:
                inbox.unread.reach(key)
        if inbox is not None and mailbox.line is not None:
            inbox.watch_for_room()

    async def _read_on(self, inbox: Inbox) -> None:
        """The mailbox has run empty, and the store has more."""
        try:
            await self._finished(inbox.unread.read_on())
        except StoreError as error:
            inbox.unread.is_held = True
            if not self.runtime.mirror.journal.backlog().is_down:
                self.log().warning("what is pending is read again later", error=str(error))

    def _is_up(self, actor: Actor | None) -> bool:
        return actor is not None and self.status is _RUNNING

    def start_at_once(self) -> bool:
        return False  # its first state is a savepoint, and there may be messages to take up

    async def _handle(self, queue: Queue | None) -> bool:
        actor, inbox = self._actor, self.inbox
        if inbox is not None and inbox.unread.is_there and not queue and self._is_up(actor):
            await self._read_on(inbox)
            queue = self.mailbox.queue
            if self.mailbox.line is not None:
                self._admit()
            if self.signals:
                return self.leave_turn()
        if not queue or actor is None or inbox is None or self.status is not _RUNNING:
            return self.leave_turn()
        if queue is self.mailbox.queue and not inbox.has_room():  # what the control lane brings goes on
            return self.leave_turn()
        mailbox, generation, now = self.mailbox, self.generation, time.perf_counter
        mailbox.high_water = max(mailbox.high_water, len(queue))
        # While very many come back, each takes a message before any takes two.
        left = budget = 1 if self.runtime.recoveries else BUDGET
        missed = 0
        turn_ends = now() + TURN_SECONDS
        try:
            while True:
                left -= 1
                if not await self._handle_one(queue.popleft(), actor, inbox, generation):
                    missed += 1
                if not queue or not left or self.signals or self.status is not _RUNNING or now() > turn_ends:
                    break
                if self._is_spent() or not inbox.has_room():
                    break
        finally:
            is_own = self.generation == generation
            if is_own:
                self.in_hand = None
                current_event.set(None)
                current_turn.set(None)
                self.handled += budget - left - missed
                if self.life is not None:
                    self.life.note_batch()
        if not is_own:
            raise TurnAbandoned
        if mailbox.line is not None:
            self._admit()
        if mailbox.queue or mailbox.tally is not None:
            self._look_at_mailbox(budget - left if queue is mailbox.queue else 0)
        if self.draining and not self.has_work and self.status is _RUNNING:
            self.signal(Signal(SignalKind.STOP))
        return self.leave_turn()

    async def _handle_one(self, entry: Entry, actor: Actor, inbox: Inbox, generation: int) -> bool:
        """Handle a message that was taken from the queue. False: it was not handled."""
        self.in_hand = entry
        handler = self.behaviour.handlers.get(type(entry[0]))
        if handler is None or self.runtime.faults is not None:
            found = self._other_handler(entry)
            if found is None:
                return False
            entry, handler = found
        turn = OpenTurn(self, inbox, entry)
        current_event.set(entry[3])
        current_turn.set(turn)
        try:
            if handler[1] and self.mailbox.line is not None:
                self._admit()
            outcome = handler[0](actor, entry[0])
            if outcome is not None and hasattr(outcome, "__await__"):
                outcome = await outcome
                self.mailbox.high_water = max(self.mailbox.high_water, self.mailbox.depth)
            if self.generation == generation:
                is_mine = self.in_hand is entry
                if is_mine and entry[2] is not None:
                    self._answer(turn, entry, entry[2], outcome)
                turn.close(actor, settles=is_mine)
        except Exception as error:
            # The supervision boundary: whatever a handler raises is its actor's failure.
            if self.generation != generation:
                raise TurnAbandoned(error) from error
            if isinstance(error, self.blueprint.reply_errors):
                turn.drop()
                return await self._answer_error(entry, error, actor, inbox)
            await self._handler_failed(entry, error)
            return False
        except BaseException as error:
            if self.generation != generation:
                raise
            if self._is_stray(error):
                await self._handler_failed(entry, stray(error))
                return False
            self._interrupted(entry, error)
            raise self._passes_on(error, "handler", entry) from None
        if self.generation != generation:
            raise TurnAbandoned
        return True

    def _answer(self, turn: OpenTurn, entry: Entry, slot: Slot[Any], value: object) -> None:
        """Gather the reply. One that the store cannot hold fails the turn, but not where nobody has asked."""
        try:
            answer = self._answer_of(entry, value)
        except (UnencodableMessage, UncopyableMessage) as error:
            if not isinstance(slot, UnderWay) or slot.is_asked or slot.sent_as.asker is not None:
                raise
            # Sent under an id: who asks under it later is told that there is no reply to repeat.
            why = no_reply(error)
            event = self._answer_of(entry, {"error": why})[1]
            turn.refuse(ReplyUnreadable(plain(entry)[0], self.ref, why), event)
        else:
            turn.answer(*answer)

    def _answer_of(self, entry: Entry, value: object) -> tuple[object, Event | None]:
        """A reply as the asker gets it, and its event. Raises UnencodableMessage."""
        _, sender, _, event = entry
        target = delivery.source_of(self, sender)
        if self.mailbox.isolation is not Isolation.NONE:
            value = isolated_reply(self, value, target)
        if event is None:
            return value, None
        return value, self.runtime.mirror.reply(value, self.path, target, self.incarnation, event)

    async def _answer_error(self, entry: Entry, error: Exception, actor: Actor, inbox: Inbox) -> bool:
        """An exception that is part of the protocol is a reply, of a turn that leaves nothing else.

        False: nobody asked.
        """
        if not leaves_state(self, entry):
            inbox.roll_back(actor)
        if not self._is_in_hand(entry):
            return True
        if entry[2] is None:
            delivery.dead(self, entry, DeadLetterReason.FAILED, in_a_line(error))
            return False
        turn = OpenTurn(self, inbox, entry)
        try:
            words = error_words(self.runtime.codec, error)
            turn.refuse(error, self._answer_of(entry, words)[1])
            turn.close(actor, settles=True)
        except Exception as failure:  # noqa: BLE001 - as of any turn that cannot be committed
            await self._handler_failed(entry, failure)
            return False
        return True

    def end_for_good(self) -> None:
        if self.inbox is not None and self.is_alive:
            self.inbox.timers.end(are_kept=self.keeps_pending)
        was_alive = self.is_alive
        super().end_for_good()
        if was_alive and self.inbox is not None and self.inbox.unread.is_there:
            self._give_up_unread(self.inbox.unread)

    def _give_up_unread(self, unread: Unread) -> None:
        why = f"its actor ended before it was handled{how_ended(self)}"
        unread.give_back(lambda entry: ActorStopped(plain(entry)[0], self.ref, why))
        if not self.keeps_pending:
            self.runtime.tasks.start_soon(unread.give_up, why, name=f"sentient-core end of {self.path}")

    async def _stored_states(self) -> Sequence[Checkpoint]:
        return () if self.inbox is None else await self.inbox.take_up()

    def _open_turn(self) -> None:
        if self.inbox is not None:
            current_turn.set(OpenTurn(self, self.inbox, None))

    def _begin_life(self, actor: Actor) -> None:
        if self.inbox is not None:
            self.inbox.begin_life(actor)

    def _close_turn(self, actor: Actor) -> None:
        if self.inbox is not None and self.inbox.turn is not None:
            self.inbox.turn.close(actor, settles=False)
        current_turn.set(None)

    def _drop_turn(self) -> None:
        if self.inbox is not None and self.inbox.turn is not None:
            self.inbox.turn.drop()

    def _roll_back(self) -> None:
        if self.inbox is not None:
            self.inbox.roll_back(self._actor)

"""The turn of a durable actor while it runs: what it is to leave is gathered here, and leaves as a whole.

What a handler sends is not sent yet: it is recorded in the turn, with the new state and the settlement of the
message in hand, in one record of the journal. A turn that fails leaves nothing of it. A turn that ends well
hands the record over and lets go what it has gathered:

- to durable actors of the system at once: their mailbox has it in the order of the journal, so nothing that
  they do with it can be committed before it;
- to all others, and to whoever asks from outside of durable turns, when it is committed.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from sentient_core.actors import delivery
from sentient_core.actors.recorded import written_cycle
from sentient_core.actors.sent_ids import UnderWay
from sentient_core.actors.settling import dead, late_reply, why_closed
from sentient_core.actors.special import plain
from sentient_core.actors.water import report_high_water
from sentient_core.codec import tag_of
from sentient_core.errors import StoreUnavailable, TurnTooLarge, UnencodableState
from sentient_core.mailbox import DeadLetterReason
from sentient_core.store.records import Answered, Earlier, Forwarded, SentAs, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sentient_core.actors.actor import Actor
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.inbox import Inbox
    from sentient_core.actors.runtime import Runtime
    from sentient_core.backend import Slot
    from sentient_core.mailbox.envelope import Entry
    from sentient_core.store.records import AnyPart, Checkpoint, Event, Key

__all__ = ["OpenTurn", "leaves_state"]


class OpenTurn:
    """One turn, from its beginning to its end, well or not."""

    __slots__ = (
        "_answer",
        "_asks",
        "_at_close",
        "_carried",
        "_cell",
        "_inbox",
        "_leaving",
        "_outputs",
        "_parts",
        "_passed_on",
        "_passed_to",
        "_refusal",
        "_sent",
        "_undos",
        "calls",
        "entry",
        "is_first",
        "is_open",
        "key",
        "noted",
    )

    def __init__(self, cell: Cell, inbox: Inbox, entry: Entry | None) -> None:
        self._cell = cell
        self._inbox = inbox
        self.entry: Entry | None = entry
        """The message in hand; None: a hook runs."""
        self.is_open: bool = True
        self.key: Key | None = None if entry is None else inbox.name_of(entry[3])
        """Names the message in hand, if it is one that is settled by the turn."""
        self.is_first: bool = not (
            self.key is None or entry is None or isinstance(entry[3], Earlier) or inbox.has_memos(self.key)
        )
        """No turn before this one has had something written down for the message in hand."""
        self.noted: dict[str, bytes | None] = {}
        """What this turn has done once, by the name of its memo; None: it is at it."""
        self._asks: dict[tuple[str, bytes], int] = {}
        """How often the turn has asked the same, by whom and what."""
        self._sent: set[UnderWay] = set()
        """The ids of what it sends."""
        self._carried = False
        """The message in hand goes on with the id that it was sent under."""
        self._parts: list[AnyPart] = []
        self._outputs: list[tuple[Cell, Entry]] = []
        """To durable actors."""
        self._leaving: list[tuple[Cell, Entry, bool]] = []
        """To others; True: by `send`, which waits for room."""
        self._answer: tuple[object, Event | None] | None = None
        self._refusal: Exception | None = None
        self._passed_on = False
        self._passed_to = ""
        self._undos: list[Callable[[], None]] = []
        self._at_close: list[Callable[[], None]] = []
        self.calls: deque[Callable[[], object]] = deque()
        """What threads of the handler have told meanwhile, in their order. They append to it."""
        inbox.turn = self

    @property
    def runtime(self) -> Runtime:
        """Of the system whose turn it is."""
        return self._cell.runtime

    def make_calls(self) -> None:
        """Gather what threads have told; what comes when the turn is over is sent by itself."""
        while self.calls:
            self.calls.popleft()()

    def when_closed(self, call: Callable[[], None]) -> None:
        """Make a call when the turn has ended well."""
        self._at_close.append(call)

    def when_dropped(self, undo: Callable[[], None]) -> None:
        """Make a call when the turn has not ended well; of several, the last one first."""
        self._undos.append(undo)

    def send(self, target: Cell, entry: Entry, *, waits: bool = False) -> None:
        """Gather a message to `target`. `waits`: it is not refused for want of room."""
        if self.calls:
            self.make_calls()
        self.gather(target, entry, waits=waits)

    def gather(self, target: Cell, entry: Entry, *, waits: bool = False) -> None:
        """As `send`, for what threads have told."""
        inbox, event, way = target.inbox, entry[3], entry[2]
        if inbox is not None and event is not None:
            if isinstance(way, UnderWay) and not way.is_accepted:
                self._sent.add(way)
                self._undos.append(lambda: self.runtime.sent_ids.let_go(way))
            self._parts.append(inbox.accepted(entry, event))
            self._outputs.append((target, entry))
            return
        if event is not None:
            self._parts.append(event)
        self._leaving.append((target, entry, waits))

    def pass_on(self, target: Cell, entry: Entry, undo: Callable[[], None] | None) -> None:
        """Gather the message in hand, which goes on to `target`. `undo`: for a turn that fails."""
        self._passed_on = True
        self._carried = target.inbox is not None and entry[3] is not None
        self._passed_to = target.path
        if undo is not None:
            self._undos.append(undo)
        self.send(target, entry, waits=True)

    def record(self, part: AnyPart, *, at_close: Callable[[], None], undo: Callable[[], None]) -> None:
        """Gather something else. `at_close` is called if the turn ends well, `undo` if it does not."""
        self._parts.append(part)
        self._at_close.append(at_close)
        self._undos.append(undo)

    def has_sent(self, way: UnderWay) -> bool:
        """The message with this id is one of those that it sends."""
        return way in self._sent

    def ask_id(self, key: Key, path: str, content: bytes) -> SentAs:
        """The id of the next ask of an actor with this content, a digest, for the message in hand, `key`."""
        count = self._asks.get((path, content), 0)
        self._asks[path, content] = count + 1
        self._inbox.note_memo(key)
        return SentAs(path, f"{content.hex()}.{count}", content, key)

    def let_go(self, cycle: Sequence[str]) -> None:
        """The message in hand is settled, as it would have gone round in this circle of asks."""
        self._passed_on = True
        self._passed_to = written_cycle(cycle)

    def answer(self, value: object, event: Event | None) -> None:
        """Gather the reply to the message in hand; `event` is its record."""
        self._answer = value, event
        if event is not None:
            self._parts.append(self._kept(event))

    def refuse(self, error: Exception, event: Event | None) -> None:
        """Gather an exception that is the reply to the message in hand; `event` is its record."""
        self._refusal = error
        if event is not None:
            self._parts.append(self._kept(event, tag_of(type(error))))

    def close(self, actor: Actor, *, settles: bool) -> None:
        """It has ended well: hand over what it leaves. `settles`: the message in hand is handled.

        Raises UnencodableState, TurnTooLarge, StoreUnavailable: then it has not ended well, nothing has left.
        One that its own message has ended before is left as it is.
        """
        if not self.is_open:
            return
        self.make_calls()
        inbox, entry = self._inbox, self.entry
        state: Checkpoint | None = None
        try:
            state = inbox.changed_state(actor)
        except UnencodableState:  # unless that is of no making of this turn
            if entry is None or not leaves_state(self._cell, entry):
                raise
        parts: list[AnyPart] = [] if state is None else [state]
        kept = None if state is None else inbox.kept(state)
        if kept is not None:
            parts.append(kept)
        leaving: UnderWay | None = None
        settled = inbox.settlement(entry[3]) if entry is not None and (settles or self._passed_on) else None
        if entry is not None and settled is not None:
            parts.append(settled)
            leaving = None if self._carried else _way_of(entry)
        parts += self._parts
        if leaving is not None and self._answer is None and self._refusal is None:
            parts.append(Forwarded(leaving.sent_as, self._passed_to, time.time_ns()))
        if parts:
            self._hand_over(_as_one(parts))
        self._end()
        if entry is not None and settled is not None:
            inbox.release(entry[3])
        if leaving is not None:
            self.runtime.sent_ids.leaves(leaving)
        if state is not None:
            inbox.save(state)
        for begin in self._at_close:
            begin()
        for target, output in self._outputs:
            _deliver(target, output)
        if self._leaving:
            self.runtime.mirror.journal.when_committed(_Departure(inbox, self._leaving))
        if entry is not None and entry[2] is not None:
            self._reply(entry, entry[2])

    def _hand_over(self, record: Any) -> None:
        journal = self.runtime.mirror.journal
        if isinstance(record, Turn) and record.weight > journal.largest_turn:
            raise TurnTooLarge(self._cell.path, record.weight, journal.largest_turn)
        if not journal.append(record, force=True):
            raise StoreUnavailable("the journal has ended, so the turn cannot be committed")

    def _kept(self, event: Event, error: str | None = None) -> AnyPart:
        """The record of an answer, which is kept if the message was sent under an id that still counts."""
        way = None if self.entry is None else _way_of(self.entry)
        if way is None or not self._counts(way.sent_as):
            return event
        return Answered(event, way.sent_as, error)

    def _counts(self, sent: SentAs) -> bool:
        """Somebody may ask again: not so once the message is settled for which it was asked."""
        if sent.asker is None:
            return True
        path, *key = sent.asker
        asker = self.runtime.registry.find(path)
        return asker is None or asker.inbox is None or asker.inbox.may_have((key[0], key[1]))

    def _reply(self, entry: Entry, slot: Slot[Any]) -> None:
        if self._refusal is not None and isinstance(slot, UnderWay):
            slot.answer_with(self._refusal)
        elif self._refusal is not None and not slot.fail(self._refusal):
            late_reply(self._cell, self._refusal, entry, None)
        if self._answer is not None:
            value, event = self._answer
            if not slot.set(value):
                late_reply(self._cell, value, entry, event)

    def drop(self) -> None:
        """It has not ended well: nothing of it leaves."""
        self.calls.clear()
        if self._passed_on and self.entry is not None:
            self._cell.in_hand = self.entry  # it is the actor's again
        while self._undos:
            self._undos.pop()()
        self._end()

    def _end(self) -> None:
        self.is_open = False
        if self._inbox.turn is self:
            self._inbox.turn = None


def leaves_state(cell: Cell, entry: Entry) -> bool:
    """The handler of this message is of a kind that changes no state: what is in there is somebody else's."""
    says = cell.blueprint.leaves_state
    return says is not None and says(plain(entry)[0])


class _Departure:
    """Messages to actors that are not durable: they leave when their turn is committed."""

    __slots__ = ("_inbox", "_leaving", "_targets")

    def __init__(self, inbox: Inbox, leaving: Sequence[tuple[Cell, Entry, bool]]) -> None:
        self._inbox = inbox
        self._leaving = leaving
        self._targets = {target for target, _, _ in leaving}
        inbox.leaving.update(self._targets)

    def set(self, _value: None) -> None:
        for target in self._targets:
            self._inbox.left(target)
        for target, entry, waits in self._leaving:
            delivery.let_in(target, entry, waits=waits)

    def fail(self, _error: BaseException) -> None:
        """They have never been sent: the turn is another start's to do."""
        for _, entry, _ in self._leaving:
            delivery.fail_asker(entry, StoreUnavailable("the turn that passed it on was not committed"))


def _way_of(entry: Entry) -> UnderWay | None:
    return entry[2] if isinstance(entry[2], UnderWay) else None


def _as_one(parts: list[AnyPart]) -> Any:
    return parts[0] if len(parts) == 1 else Turn(tuple(parts))


def _deliver(target: Cell, entry: Entry) -> None:
    """Let a message into the mailbox of a durable actor whose acceptance the turn has recorded."""
    if isinstance(entry[2], UnderWay):
        entry[2].accept()
    home = target.at_home()
    if home.inbox is not None:
        target = home  # who lives at the path by now
    inbox = target.inbox
    if inbox is not None and target.mailbox.is_open:
        inbox.expect(entry)
        delivery.put_anyway(target, entry)
        if target.mailbox.is_rising:
            report_high_water(target)
        return
    if delivery.lay_by(target, entry, is_recorded=True):
        return
    if inbox is not None:
        inbox.expect(entry)  # its letter settles it
    why = why_closed(target)
    if not (target.is_alive and target.keeps_pending):  # of one that drains while the system ends
        dead(target, entry, DeadLetterReason.STOPPED, why)
    delivery.fail_closed(target, entry, why)

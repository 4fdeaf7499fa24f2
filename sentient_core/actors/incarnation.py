"""What belongs to one incarnation of an actor and ends with it, however it ends.

Its state of behaviour, its stash, its timers, the watches and links it has made, its receive timeout, and
the functions that run beside it. Most actors use none of these: the object is made on first use
(`Cell.life`), and its parts again on first use. `Context` is the user's way to it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from sentient_core.actors import forwarding, linking, watching
from sentient_core.actors.behaviour import unknown_state
from sentient_core.actors.delivery import open_turn
from sentient_core.actors.notices import check_message, check_seconds
from sentient_core.actors.piping import Pipe, check_pipe
from sentient_core.actors.receive_timeout import Quiet
from sentient_core.actors.ref import posting_of
from sentient_core.actors.special import without_asker
from sentient_core.actors.stash import Stash
from sentient_core.errors import InvalidArgument, NotInTurn, StaleIncarnation, StashFull
from sentient_core.mailbox.signals import Signal, SignalKind

if TYPE_CHECKING:
    from sentient_core.actors.behaviour import Behaviour
    from sentient_core.actors.cell import Cell
    from sentient_core.actors.handlers import Handler
    from sentient_core.actors.overdue import Pulse
    from sentient_core.actors.ref import ActorRef
    from sentient_core.actors.timers import Timer
    from sentient_core.actors.watching import Watch
    from sentient_core.mailbox.envelope import Entry

__all__ = ["Beside", "Incarnation", "enter"]


class Beside(Protocol):
    """Something under way beside an incarnation."""

    def cancel(self) -> None:
        """The incarnation is over."""
        ...


class Incarnation:
    """The belongings of the incarnation of now."""

    __slots__ = (
        "behaviour",
        "cell",
        "handlers",
        "handlers_at_once",
        "is_over",
        "links",
        "pipes",
        "pulse",
        "quiet",
        "stash",
        "taken",
        "timers",
        "undelivered",
        "watches",
    )

    def __init__(self, cell: Cell) -> None:
        self.cell: Cell = cell
        self.is_over: bool = False
        self.behaviour: Behaviour = cell.blueprint.behaviour
        self.handlers: Mapping[type, Handler] = self.behaviour.handlers
        """The table that the next batch of messages is looked up in."""
        self.handlers_at_once: Mapping[type, Handler] = self.handlers
        """The table for messages that are handled outside of batches."""
        self.taken: Entry | None = None
        """What stands for the message in hand, once that was stashed or forwarded."""
        self.stash: Stash | None = None
        self.timers: dict[Hashable, Timer] = {}
        self.watches: dict[Cell, Watch] = {}
        """By who is watched."""
        self.links: dict[Incarnation, None] = {}
        """Each of them has this one among its own."""
        self.quiet: Quiet | None = None
        self.pipes: dict[Beside, None] = {}
        """What is under way beside it."""
        self.pulse: Pulse | None = None
        """The last heartbeat of the handler at work."""
        self.undelivered: list[Signal] = []
        """What came by the control lane to be handled, before the actor was ready."""

    @property
    def is_expecting(self) -> bool:
        """Something is to come of itself: what was stashed, a tick, a receive timeout, what a pipe brings."""
        is_told = self.quiet is not None or any(timer.is_active for timer in self.timers.values())
        return is_told or bool(self.pipes or self.stash)

    def become(self, state: object) -> None:
        """`Context.become`."""
        blueprint, before, turn = self.cell.blueprint, self.behaviour, open_turn()
        if state is None:
            behaviour = blueprint.behaviour
        elif isinstance(state, str) and state in blueprint.behaviours:
            behaviour = blueprint.behaviours[state]
        else:
            raise unknown_state(blueprint.cls, blueprint.behaviours, state)
        self._behave(behaviour)
        if turn is not None:
            turn.when_dropped(lambda: self._behave(before))

    def put_away(self) -> None:
        """`Context.stash`."""
        message = self._in_hand("the stash")[0]
        if self.stash is None:
            self.stash = Stash(self.cell)
        capacity = self.cell.mailbox.options.stash
        if len(self.stash) >= capacity:
            raise StashFull(self.cell.path, message, capacity)
        self.stash.put(self._take())

    def unstash_all(self) -> int:
        """`Context.unstash_all`."""
        return 0 if self.stash is None else self.stash.empty()

    def forward(self, ref: ActorRef[Any]) -> None:
        """`Context.forward`."""
        target = watching.cell_for(self.cell, ref, "forward")
        in_hand = self._in_hand("forwarding")
        if target is self.cell:
            raise InvalidArgument(
                f"'{self.cell.path}' cannot forward a message to itself: it would come again at once, for "
                "ever. For later: self.context.stash() and unstash_all(), or "
                "self.context.timers.once(key, seconds, message)."
            )
        event = forwarding.event_of(in_hand, target)
        content = forwarding.content_of(in_hand, target, posting_of(ref))
        if self.stash is not None:
            self.stash.forget_latest()
        forwarding.deliver(self.cell, target, self._take(), content, event)

    def pipe_to_self(
        self,
        fn: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        on_error: Callable[[Exception], object] | None,
    ) -> None:
        """`Context.pipe_to_self`."""
        check_pipe(fn, on_error)
        Pipe(self, fn, args, on_error).start()

    def watch(self, ref: ActorRef[Any], message: object) -> None:
        """`Context.watch`."""
        watching.watch(self, ref, message)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """`Context.unwatch`."""
        watching.unwatch(self, ref)

    def link(self, ref: ActorRef[Any]) -> None:
        """`Context.link`."""
        linking.link(self, watching.other_cell(self.cell, ref, "link"))

    def unlink(self, ref: ActorRef[Any]) -> None:
        """`Context.unlink`."""
        linking.unlink(self, watching.other_cell(self.cell, ref, "unlink"))

    def set_receive_timeout(self, seconds: float | None, message: object) -> None:
        """`Context.set_receive_timeout`."""
        if seconds is not None:
            check_seconds("seconds", seconds, least=0.001)
            check_message(self.cell, message)
        if self.quiet is not None:
            self.quiet.cancel()
        self.quiet = None if seconds is None else Quiet(self, seconds, message)
        self._allow_at_once()

    def take_back(self, entry: Entry) -> bool:
        """A handler has failed after its message was taken. False: it was forwarded, and is another's."""
        return self.stash is not None and self.stash.take_back(entry)

    def recall(self) -> Entry | None:
        """A handler is to be held to its message, which was taken; None: it was forwarded."""
        return None if self.stash is None else self.stash.recall()

    def note_batch(self) -> None:
        """Messages have been handled."""
        self.pulse = None
        if self.stash is not None:
            self.stash.correct_count()
        if self.quiet is not None:
            self.quiet.begin()

    def fail(self, error: Exception, where: str) -> None:
        """Let the actor fail, as if a handler had raised `error`."""
        if not self.is_over:
            self.cell.signal(Signal(SignalKind.FAIL, error, where=where))

    def end(self, cause: BaseException | None) -> None:
        """The incarnation is over; `cause` None: in order."""
        self.is_over = True
        for pipe in self.pipes:
            pipe.cancel()
        for timer in self.timers.values():
            timer.cancel()
        if self.quiet is not None:
            self.quiet.cancel()
        for watch in self.watches.values():
            watch.cancel()
        if self.stash is not None:
            self.stash.correct_count()
            self.stash.empty()
        self.pipes, self.timers, self.watches, self.quiet, self.stash = {}, {}, {}, None, None
        self.pulse = None
        self.undelivered, self.taken = [], None
        linking.dissolve(self, cause)

    def deliver_all(self) -> None:
        """The actor is ready: let it have what came before."""
        signals, self.undelivered = self.undelivered, []
        self.cell.signal_before(signals)

    def _behave(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.handlers = behaviour.handlers
        self._allow_at_once()
        self.cell.signal(Signal(SignalKind.LOOK))

    def _allow_at_once(self) -> None:
        # Only batches say when the actor has been at work.
        self.handlers_at_once = self.handlers if self.quiet is None else {}

    def _in_hand(self, what: str) -> Entry:
        """The message in hand, that is still the handler's to settle. Raises NotInTurn."""
        entry = self.cell.in_hand
        if entry is None:
            raise NotInTurn(self.cell.path, what, "needs a message in hand, and a hook has none.")
        if entry is self.taken:
            why = "needs the message in hand, which has been stashed or forwarded already."
            raise NotInTurn(self.cell.path, what, why)
        return entry

    def _take(self) -> Entry:
        """Take the message in hand out of the handler's responsibility."""
        cell = self.cell
        entry = self._in_hand("taking")
        # The rest of the handler goes on in its conversation, but the asker is not its own any more.
        cell.in_hand = self.taken = without_asker(entry)
        return entry


def enter(cell: Cell, incarnation: int, what: str) -> Incarnation:
    """The belongings of an incarnation, for code in its turn that wants to use them.

    `what` names what it wants, for the error. Raises StaleIncarnation for one that has ended, NotInTurn
    outside of a turn: beside it, one would change what the handler at work stands on.
    """
    if cell.incarnation != incarnation or cell.is_down:
        raise StaleIncarnation(cell.path)
    if not cell.is_in_turn:
        raise NotInTurn(cell.path, what)
    return cell.belongings()

"""The books of a simulation: what became of every message, and in which order they came.

Each message has one end: its handler has returned, it is a dead letter, or its asker got the refusal that is
its answer. More than one is wrong at once; none is wrong when all is quiet, unless there is a reason that it
may be gone: it was not accepted, the turn that sent it failed, the process died and it was not committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from enum import StrEnum

from sentient_core.testing.simulation.program import Kind

__all__ = ["Books", "Message", "Origin"]


class Origin(StrEnum):
    """What sent a message."""

    OUTSIDE = "outside"
    ACTOR = "actor"
    """An actor that is not durable, or an `ask` of any: it leaves at once."""
    TURN = "turn"
    """A turn of a durable actor: it leaves if that ends well."""
    TIMER = "timer"
    """A timer of an incarnation, which may be gone before it rings."""


class Message:
    """One message, and what is known of it."""

    def __init__(
        self, id_: str, to: str, kind: Kind, origin: Origin, cause: Message | None, run: int
    ) -> None:
        self.id: str = id_
        self.to: str = to
        self.kind: Kind = kind
        self.origin: Origin = origin
        self.cause: Message | None = cause
        """The message that a durable turn sent it for."""
        self.run: int = run
        """The process that it was last sent in."""
        self.handled: int = 0
        self.dead: int = 0
        self.answered: int = 0
        self.begun_in: int = 0
        """The last process in which a handler was begun for it."""
        self.is_asker_gone: bool = False
        """Whoever asked was told of something else than its answer."""
        self.is_acknowledged: bool = False
        """It has to come to an end, whatever crashes."""
        self.is_final: bool = False
        """What it was answered by is known outside."""
        self.may_be_gone: str = ""
        """Why it need not come to an end."""
        self.is_unsure: bool = False
        """It was handled by a process that died, and its actor has not been seen since."""
        self.is_lost: bool = False
        """It was in the memory of a process that has died."""
        self.is_stashed: bool = False
        self.is_asked_anew: bool = False
        """A durable turn that is run again asks it anew if it has failed, under its id."""
        self.has_id: bool = False
        """It may be sent again under its id, by several at once."""
        self.is_refused: bool = False
        """Its sender was told that it has not left."""
        self.due: float = 0.0

    @property
    def is_durable(self) -> bool:
        return self.kind is Kind.DURABLE

    @property
    def ends(self) -> int:
        return self.handled + self.dead + self.answered

    @property
    def is_void(self) -> bool:
        """The turn that sent it has not ended well."""
        return self.cause is not None and not self.cause.handled

    def __str__(self) -> str:
        facts = [f"handled {self.handled}", f"dead letters {self.dead}", f"refused {self.answered}"]
        facts += ["acknowledged"] if self.is_acknowledged else []
        facts += [self.may_be_gone] if self.may_be_gone else []
        return f"message {self.id} to {self.to} ({self.kind}, {self.origin}; {', '.join(facts)})"


class Books:
    """All messages. `complain` is told of what must not be."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain = complain
        self._messages: dict[str, Message] = {}
        self._last: dict[tuple[str, str], int] = {}
        """The number of the last message that a receiver has begun, by its sender."""
        self._may_pass: Counter[str] = Counter()
        """How many messages of a receiver the plan of faults has put behind the next one."""
        self._lost_ticks: Counter[str] = Counter()
        """How many ticks of an actor's timers it has dropped."""
        self.run: int = 0

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages.values())

    def __getitem__(self, id_: str) -> Message:
        return self._messages[id_]

    @property
    def ended(self) -> int:
        """How many ends there have been."""
        return sum(message.ends for message in self._messages.values())

    def begins_run(self) -> None:
        """Another process."""
        self.run += 1
        self._last.clear()  # what was not committed is handled again
        self._may_pass.clear()

    def find(self, id_: str) -> Message | None:
        """A message that was sent, if it was."""
        return self._messages.get(id_)

    def sent(
        self, id_: str, to: str, kind: Kind, origin: Origin, cause: str | None = None, due: float = 0.0
    ) -> Message:
        """Somebody sends it; a turn that is run again sends it again."""
        message = self._messages.get(id_)
        if message is None:
            parent = self._messages[cause] if cause is not None and origin is Origin.TURN else None
            message = self._messages[id_] = Message(id_, to, kind, origin, parent, self.run)
            message.may_be_gone = "of a timer" if origin is Origin.TIMER else ""
        elif origin is Origin.ACTOR:
            message.dead, message.is_asked_anew = 0, True
        message.run, message.due = self.run, due
        message.is_lost = message.is_refused = False
        return message

    def is_not_sent(self, id_: str) -> None:
        """A turn that is run again does not send it this time."""
        if id_ in self._messages:
            self._messages[id_].may_be_gone = "not sent again"

    def is_refused(self, id_: str) -> None:
        """The call that sends it has failed, and has left nothing."""
        self._messages[id_].is_refused = True
        self._messages[id_].may_be_gone = "refused"

    def is_doubled(self, id_: str, name: str) -> None:
        """The plan of faults has made another one of it, which goes by this name."""
        first = self._messages[id_]
        copy = Message(name, first.to, first.kind, first.origin, first.cause, self.run)
        copy.may_be_gone = first.may_be_gone if first.origin is Origin.TIMER else ""
        self._messages[name] = copy

    def may_pass(self, path: str) -> None:
        """The plan of faults puts a message of a receiver behind the next one."""
        self._may_pass[path] += 1

    def loses_a_tick(self, path: str) -> None:
        """The plan of faults drops a tick of an actor's timers."""
        self._lost_ticks[path] += 1

    def begins(self, path: str, id_: str, sender: str, number: int, attempt: int) -> None:
        """A handler is called with it."""
        message = self._messages.get(id_)
        if message is None:
            self._complain(f"{path} got a message {id_} that nobody has sent")
            return
        if message.to != path:
            self._complain(f"{path} got the {message}")
        if message.is_void:
            self._complain(f"{path} got the {message}, whose turn has not ended well")
        if message.is_refused:
            self._complain(f"{path} got the {message}, whose sender was told that it has not left")
        if message.is_lost:
            self._complain(f"{path} got the {message}, which went with the process that died")
        if message.ends:
            self._complain(f"{path} got the {message} once more")
        if message.begun_in != self.run and attempt == 1 and number:
            key = (sender, path)
            if number < self._last.get(key, 0) and self._may_pass[path]:
                self._may_pass[path] -= 1
            elif number < self._last.get(key, 0):
                self._complain(f"{path} got message {id_} of {sender} behind a later one of the same sender")
            self._last[key] = max(number, self._last.get(key, 0))
        message.begun_in, message.is_stashed = self.run, False

    def ends(self, id_: str) -> None:
        """Its handler has returned."""
        self._messages[id_].handled += 1
        self._at_most_one(id_)

    def takes_back(self, id_: str) -> None:
        """Its handler has returned, and its turn fails all the same."""
        self._messages[id_].handled -= 1

    def is_dead(self, id_: str, *, has_row: bool) -> None:
        """It is a dead letter."""
        message = self._messages.get(id_)
        if message is None:
            self._complain(f"there is a dead letter of message {id_}, which nobody has sent")
            return
        if message.is_void and not message.is_durable:
            self._complain(f"the {message} is a dead letter, and its turn has not ended well")
        if message.is_unsure:
            message.handled, message.is_unsure = 0, False
        message.dead += 1
        if not has_row:
            message.may_be_gone = "its letter may not be in the store"
        self._at_most_one(id_)

    def is_answered(self, id_: str) -> None:
        """Whoever asked got the refusal that is its answer."""
        self._messages[id_].answered += 1
        self._at_most_one(id_)

    def gone_timers(self, path: str) -> None:
        """An actor has ended for good, and its timers with it."""
        for message in self._messages.values():
            if message.to == path and message.due:
                message.may_be_gone = "of a timer of an actor that has ended"

    def commit(self) -> None:
        """All that has been accepted is committed."""
        for message in self._messages.values():
            if message.is_durable and not message.is_void:
                message.is_acknowledged = message.is_final = True

    def balance(self, now: float, *, is_end: bool) -> None:
        """All is quiet. `is_end`: the process has ended in order."""
        for message in self._messages.values():
            if message.ends or message.may_be_gone or message.is_void or message.is_lost:
                continue
            is_kept = message.is_durable if is_end else message.is_stashed
            if message.due and self._lost_ticks[message.to] and not is_kept:
                self._lost_ticks[message.to] -= 1
                message.may_be_gone = "its tick was dropped"
            elif not is_kept and now > message.due + 1.0:
                self._complain(f"what has become of the {message}?")

    def crash(self) -> None:
        """The process has died."""
        for message in self._messages.values():
            message.is_stashed = False
            if message.is_durable:
                message.answered *= message.is_final
                message.is_unsure = True
                if not message.is_acknowledged and not message.is_void:
                    message.may_be_gone = message.may_be_gone or "not committed when the process died"
            elif not message.ends:
                message.is_lost = True
                message.may_be_gone = "in the memory of a process that died"

    def restored(self, path: str, known: Collection[str]) -> None:
        """A durable actor came back with these messages in its state, after a death of the process."""
        for message in self._messages.values():
            if message.to == path:
                message.handled, message.is_unsure = int(message.id in known), False
                message.is_acknowledged = message.is_acknowledged or message.id in known
                self._at_most_one(message.id)

    def letters_restored(self, ids: Collection[str]) -> None:
        """The dead letters that the store has, after a death of the process."""
        for message in self._messages.values():
            if message.is_durable:
                message.dead = int(message.id in ids and not message.is_asked_anew)

    def _at_most_one(self, id_: str) -> None:
        if self._messages[id_].ends > 1:
            self._complain(f"more than one end: {self._messages[id_]}")

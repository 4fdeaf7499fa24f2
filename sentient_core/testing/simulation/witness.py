"""Who sees everything that happens in a simulation: writes it down, and says what must not be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from sentient_core.actors.ref import ActorRef
from sentient_core.faults import FaultAction, FaultPoint
from sentient_core.faults.faults import Injected
from sentient_core.store.protocols import Backlog
from sentient_core.testing.simulation.copies import Copies
from sentient_core.testing.simulation.events import Events
from sentient_core.testing.simulation.lives import Lives
from sentient_core.testing.simulation.messages import Books
from sentient_core.testing.simulation.program import Kind, Part, Program, paths_of
from sentient_core.testing.simulation.states import States

__all__ = ["MOST_COMPLAINTS", "Process", "Witness", "current_process", "shown"]

MOST_COMPLAINTS = 10


class Witness:
    """Outlives the processes of a simulation."""

    def __init__(self, program: Program, now: Callable[[], float]) -> None:
        self.now: Callable[[], float] = now
        self.trace: list[str] = []
        self.complaints: list[str] = []
        self._numbers = 0
        self.parts: dict[str, Part] = dict(paths_of(program.parts))
        self.parts |= {f"{kind}-virtual/{key}": Part(name=key, kind=kind) for kind, key in program.virtual}
        self.books: Books = Books(self.complain)
        self.states: States = States(self.complain)
        self.lives: Lives = Lives(self.complain, self.parts)
        self.copies: Copies = Copies(self.books)
        self.events: Events = Events(self.complain, self.books)
        self._returned: dict[str, str] = {}
        """The message of an actor's last turn, whose handler has returned, until the next one begins."""
        self._delayed: set[str] = set()
        """Such messages whose turns are not over yet, since the plan of faults holds their replies."""

    def note(self, line: str) -> None:
        """Something has happened."""
        self.trace.append(f"{self.now():10.4f} {line}")

    def complain(self, of: str) -> None:
        """Something must not be."""
        self.note(f"!! {of}")
        if len(self.complaints) < MOST_COMPLAINTS:
            self.complaints.append(of)

    @property
    def has_seen_enough(self) -> bool:
        """What is wrong now does not come to an end of itself: a message that is handled over and over."""
        return len(self.complaints) >= MOST_COMPLAINTS

    def next_number(self) -> int:
        """The place of a message among all that are sent in order."""
        self._numbers += 1
        return self._numbers

    def begins(self, path: str, id_: str) -> None:
        """A handler is called."""
        self._delayed.discard(self._returned.pop(path, ""))
        self.lives.takes(path, id_)

    def returns(self, path: str, id_: str) -> None:
        """A handler has returned."""
        self.note(f"{path} ends {id_}")
        self._returned[path] = id_
        self.books.ends(id_)

    def suffers(self, fault: Injected) -> None:
        """The plan of faults strikes: what is to be expected of it."""
        path, action = fault.actor, fault.action
        self.note(f"? {fault.point} {action} {path}".rstrip())
        if action is FaultAction.CANCEL:
            self.lives.is_killed(path, self.now())
        if action is FaultAction.DUPLICATE:
            self.copies.may_be_one_more(path)
        elif fault.point is FaultPoint.RECEIVE:
            self.copies.is_sent(path)
        elif action is FaultAction.REORDER:
            self.books.may_pass(path)
        elif fault.point is FaultPoint.TIMER and action is FaultAction.DROP:
            self.books.loses_a_tick(path)
        elif fault.point is FaultPoint.STOP:
            self.lives.ends_slowly(path, self.now())
            if self.parts[path].restart != "permanent":
                self.books.gone_timers(path)
        elif fault.point is FaultPoint.REPLY and action is FaultAction.DELAY:
            self._delayed.add(self._returned.get(path, ""))
        elif fault.point is FaultPoint.REPLY or self._is_of_a_turn(fault):
            self._takes_back(path)

    def looks_over(self, path: str) -> None:
        """The state that a durable turn has left is looked at: it fails now or not at all."""
        self._returned.pop(path, None)

    def is_dead(self, path: str, id_: str, *, has_row: bool) -> None:
        """A message is a dead letter."""
        if id_ in self._delayed and self._returned.get(path) == id_:
            self._takes_back(path)
        self.books.is_dead(id_, has_row=has_row)

    def _is_of_a_turn(self, fault: Injected) -> bool:
        return fault.point is FaultPoint.CHECKPOINT and self.parts[fault.actor].kind is Kind.DURABLE

    def _takes_back(self, path: str) -> None:
        id_ = self._returned.pop(path, None)
        if id_ is not None:
            self.note(f"{path} has not ended {id_} after all")
            self.books.takes_back(id_)
            if self.parts[path].kind is Kind.DURABLE:
                self.states.takes_back(path)
            else:
                self.states.may_apply_again(path, id_)

    def begins_process(self) -> None:
        """Another process on the same store."""
        self._returned.clear()
        self._delayed.clear()
        self.books.begins_run()
        self.lives.begins_run()

    def crash(self) -> None:
        """The process has died."""
        self.books.crash()
        self.events.crash()
        self.states.crash()


class Process:
    """What the actors of one process have to do with the witness; a dead one's are not listened to."""

    def __init__(self, witness: Witness, *, has_hidden_ends: bool) -> None:
        self.witness: Witness = witness
        self.has_hidden_ends: bool = has_hidden_ends
        """Actors may go down, or not come up, without a word: by the plan of faults."""
        self.is_over: bool = False
        self.refs: dict[str, ActorRef[Any]] = {}
        self.bad_starts: dict[str, int] = {}
        """Starts that are to fail, by path."""
        self.backlog: Callable[[], Backlog] | None = None
        """How far its store is behind."""
        self.put_off: set[str] = set()
        """Messages that were in the stash once."""

    @property
    def is_store_away(self) -> bool:
        """What is written now may find no room."""
        return self.backlog is not None and self.backlog().is_down


current_process: ContextVar[Process] = ContextVar("process of the simulation")
"""The process that an actor belongs to: its context variables are those that the system was entered with."""


def shown(state: Mapping[str, int]) -> str:
    """A state in the trace."""
    return "{" + " ".join(sorted(state)) + "}"

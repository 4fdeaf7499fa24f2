"""Who sees everything that happens in a simulation: writes it down, and says what must not be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from sentient_core.actors.ref import ActorRef
from sentient_core.store.protocols import Backlog
from sentient_core.testing.simulation.lives import Lives
from sentient_core.testing.simulation.messages import Books
from sentient_core.testing.simulation.program import Part, Program, paths_of
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

    def note(self, line: str) -> None:
        """Something has happened."""
        self.trace.append(f"{self.now():10.4f} {line}")

    def complain(self, of: str) -> None:
        """Something must not be."""
        self.note(f"!! {of}")
        if len(self.complaints) < MOST_COMPLAINTS:
            self.complaints.append(of)

    def next_number(self) -> int:
        """The place of a message among all that are sent in order."""
        self._numbers += 1
        return self._numbers

    def begins_process(self) -> None:
        """Another process on the same store."""
        self.books.begins_run()
        self.lives.begins_run()

    def crash(self) -> None:
        """The process has died."""
        self.books.crash()
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

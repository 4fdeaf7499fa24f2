"""Who lives where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sentient_core.actors.groups import Memberships
from sentient_core.errors import BeingForgotten, NameTaken, UnknownActor
from sentient_core.paths import is_anonymous

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.store.records import DurableActor

__all__ = ["Registry"]


class Registry:
    """The living actors of one system, by path."""

    def __init__(
        self,
        epoch: int,
        known: Mapping[str, int],
        restarts: Mapping[str, int],
        pending_counts: Mapping[str, int],
        durables: Mapping[str, DurableActor],
    ) -> None:
        self._epoch = epoch
        self._known = known
        self._restarts = dict(restarts)
        """Of actors that have ended."""
        self.pending_counts: dict[str, int] = dict(pending_counts)
        """Of durable paths where nobody lives, as far as this start knows: messages that are not settled."""
        self._durables = dict(durables)
        """Durable actors that the store knows, and those of this start."""
        self._touched: set[str] = set()
        """Paths that something was recorded of in this start while nobody lived there."""
        self.forgetting: set[str] = set()
        """Paths whose rows are being deleted."""
        self._vacant: set[str] = set()
        """Durable paths whose actors have ended in this start, and are to be spawned again."""
        self._ended: dict[str, int] = {}
        self._cells: dict[str, Cell] = {}
        self._anonymous = 0
        self.memberships: Memberships = Memberships()

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._cells.values())

    def add(self, cell: Cell) -> None:
        """Register a cell that has not been started. Raises NameTaken, BeingForgotten."""
        if cell.path in self.forgetting:
            raise BeingForgotten(cell.path)
        taken = self._cells.setdefault(cell.path, cell)
        if taken is cell:
            if self.pending_counts:
                self.pending_counts.pop(cell.path, None)
            return
        if not taken.is_left_behind:
            raise NameTaken(cell.path, taken.ref)
        taken.end_for_good()
        self._cells[cell.path] = cell
        cell.go_on_from(self.last_incarnation(cell.path))

    def remove(self, cell: Cell) -> None:
        """Forget a cell that has ended for good, but not its incarnation if the store knows the path."""
        if self._cells.get(cell.path) is cell:
            del self._cells[cell.path]
            self.memberships.forget(cell)
            inbox = cell.inbox
            if inbox is not None and cell.keeps_pending:
                self._vacant.add(cell.path)
                if inbox.pending:
                    self.pending_counts[cell.path] = inbox.pending
            ledger = cell.ledger
            is_stored = ledger is not None and (cell.blueprint.is_mirrored or ledger.is_known)
            if is_stored and not is_anonymous(cell.path):
                self._ended[cell.path] = cell.incarnation
                if cell.restarts:
                    self._restarts[cell.path] = cell.restarts

    def last_incarnation(self, path: str) -> int:
        """The last incarnation of actors that have lived at a path, earlier starts included; 0 for none."""
        return self._ended.get(path) or self._known.get(path, 0)

    def has_ended_here(self, path: str) -> bool:
        """An actor that the store knows has lived at a path, and ended, since the start of the system."""
        return path in self._ended

    def note_durable(self, path: str, actor: DurableActor) -> None:
        """A durable actor is there, or has ended for good."""
        if not is_anonymous(path):
            self._durables[path] = actor

    def durable(self, path: str) -> DurableActor | None:
        """What is known of the durable actor at a path."""
        return self._durables.get(path)

    def is_dormant(self, path: str) -> bool:
        """Nobody lives at a path at which a durable actor is to be spawned again."""
        if path in self._cells or path in self.forgetting:
            return False
        known = self._durables.get(path)
        if known is None or known.is_over:
            return False
        return path not in self._ended or path in self._vacant

    def dormant(self) -> dict[str, DurableActor | None]:
        """All such paths, and others with pending messages, in order."""
        paths = {path for path in self._durables if self.is_dormant(path)}
        paths |= self.pending_counts.keys() - self._cells.keys() - self.forgetting
        return {path: self._durables.get(path) for path in sorted(paths)}

    def note_pending(self, path: str) -> None:
        """A message was accepted for a path where nobody lives."""
        self._touched.add(path)
        self.pending_counts[path] = self.pending_counts.get(path, 0) + 1

    def is_touched(self, path: str) -> bool:
        """This start has recorded something of a path already."""
        return path in self._touched or path in self._ended

    def forget(self, path: str) -> None:
        """Nothing is stored of a path any more but its incarnation."""
        for of_path in (self._durables, self.pending_counts, self._restarts):
            of_path.pop(path, None)
        self._vacant.discard(path)

    def last_restarts(self, path: str) -> int:
        """How often actors that have lived at a path were restarted, in earlier starts too."""
        return self._restarts.get(path, 0)

    def get(self, path: str) -> Cell:
        """The cell at a path. Raises UnknownActor, whose text names near misses."""
        cell = self._cells.get(path)
        if cell is None:
            raise UnknownActor(path, lambda: self._cells)
        return cell

    def find(self, path: str) -> Cell | None:
        """The cell at a path, if there is one."""
        return self._cells.get(path)

    def new_name(self) -> str:
        """A name for an actor spawned without one, unique in this system over all its starts."""
        self._anonymous += 1
        return f"${self._epoch}.{self._anonymous}"

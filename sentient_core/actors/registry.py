"""Who lives where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sentient_core.actors.groups import Memberships
from sentient_core.errors import NameTaken, UnknownActor
from sentient_core.paths import is_anonymous

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell

__all__ = ["Registry"]


class Registry:
    """The living actors of one system, by path."""

    def __init__(
        self,
        epoch: int,
        known: Mapping[str, int],
        restarts: Mapping[str, int],
        pending_counts: Mapping[str, int],
    ) -> None:
        self._epoch = epoch
        self._known = known
        self._restarts = dict(restarts)
        """Of actors that have ended."""
        self.pending_counts: Mapping[str, int] = pending_counts
        """Messages of durable actors that were not settled when the system started, by path."""
        self._ended: dict[str, int] = {}
        self._cells: dict[str, Cell] = {}
        self._anonymous = 0
        self.memberships: Memberships = Memberships()

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[Cell]:
        return iter(self._cells.values())

    def add(self, cell: Cell) -> None:
        """Register a cell that has not been started. Raises NameTaken."""
        taken = self._cells.setdefault(cell.path, cell)
        if taken is cell:
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

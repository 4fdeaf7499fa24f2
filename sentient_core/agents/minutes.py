"""What a turn of an agent writes down beside its state: rows and events, in the record that the turn leaves.

So there is never a task that says `completed` without its `agent_completed`, nor the other way round. A turn
that fails leaves none of it; what is to change in memory is handed to `then`, which runs when the turn has
ended well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sentient_core.actors import delivery
from sentient_core.errors import NotInTurn
from sentient_core.store.row_tables import RowTable, place_of
from sentient_core.store.row_values import row_change

if TYPE_CHECKING:
    from sentient_core.actors.cell import Cell
    from sentient_core.events import EventType

__all__ = ["Minutes", "when_committed"]


class Minutes:
    """Of the turn that is open. Raises NotInTurn where none is."""

    def __init__(self, cell: Cell) -> None:
        turn = delivery.open_turn()
        if turn is None:
            raise NotInTurn(cell.path, "writing down what becomes of a task")
        self._cell = cell
        self._turn = turn
        self._at = time.time_ns()
        self.now: datetime = datetime.fromtimestamp(self._at / 1_000_000_000, UTC)

    def row(self, table: RowTable, key: tuple[str, ...], **fields: Any) -> None:
        """Write fields over those of a row, which is this agent's from now on. Raises UnstorableRow."""
        change = row_change(table, key, fields, at=self._at, owner=self._cell.path)
        self._turn.record(change, at_close=_nothing, undo=_nothing)

    def event(self, event_type: EventType, payload: dict[str, Any], workflow_id: str | None) -> None:
        """Publish an event of this agent's."""
        event = self._cell.runtime.mirror.fact(
            event_type, self._cell.path, payload, incarnation=self._cell.incarnation, workflow_id=workflow_id
        )
        self._turn.record(event, at_close=_nothing, undo=_nothing)

    def status(
        self, subject: str, subject_id: str, old: str | None, new: str, cause: str, workflow_id: str | None
    ) -> None:
        """Leave a line in the trail of changes of status."""
        mirror = self._cell.runtime.mirror
        change_id = f"{place_of(mirror.epoch)}.{place_of(mirror.next_seq())}"  # sorts as they came
        self.row(
            RowTable.STATUS_CHANGE,
            (subject, subject_id, change_id),
            subject=subject,
            subject_id=subject_id,
            old=old,
            new=new,
            cause=cause,
            actor=self._cell.path,
            workflow_id=workflow_id,
            timestamp=self.now,
        )

    def then(self, call: Callable[[], None]) -> None:
        """Make a call when the turn has ended well."""
        self._turn.when_closed(call)

    def if_dropped(self, undo: Callable[[], None]) -> None:
        """Make a call when the turn has not ended well."""
        self._turn.when_dropped(undo)

    def when_committed(self, call: Callable[[], None]) -> None:
        """Make a call when the turn is committed."""
        self._turn.when_closed(lambda: when_committed(self._cell, call))


class _Waiter:
    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def set(self, _value: None) -> None:
        self._call()

    def fail(self, _error: BaseException) -> None:
        """It never will be: the system ends, and the next start goes on from the last commit."""


def when_committed(cell: Cell, call: Callable[[], None]) -> None:
    """Make a call when all that was handed to the journal until now is committed."""
    cell.runtime.mirror.journal.when_committed(_Waiter(call))


def _nothing() -> None:
    pass

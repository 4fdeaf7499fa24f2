"""Reading rows and changing them one at a time: read, decide, write if nobody was faster.

Two that change the same row at once must not overwrite each other, and whoever loses decides anew on what
the other left. Those of one StateManager wait in line instead, which is fair and cheap; the revision is what
keeps apart those of several, of other processes, and the actors.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

import anyio
import msgspec

from sentient_core.actors.current import current_cell
from sentient_core.agents.fields import Model, check_id, check_revision
from sentient_core.agents.models import StatusChange
from sentient_core.agents.patching import Updates, check_updates, touches, updated
from sentient_core.agents.statuses import check_transition
from sentient_core.agents.subjects import Subject, from_row, refuse_owned
from sentient_core.agents.trail import change_write, moment_after
from sentient_core.config import DEFAULT_SYSTEM
from sentient_core.errors import InvalidField, RowConflict, StoreUnavailable, SystemClosed
from sentient_core.logs import runtime_log
from sentient_core.paths import EXTERNAL, check_name
from sentient_core.store.backoff import Backoff
from sentient_core.store.other_systems import OtherSystems
from sentient_core.store.protocols import Store, StoreHolder, store_of
from sentient_core.store.row_models import Row, RowQuery, RowWrite
from sentient_core.store.row_tables import RowTable
from sentient_core.system import ActorSystem

__all__ = ["StateRows", "touched"]

T = TypeVar("T")
M = TypeVar("M", bound=Model)

_TRIES = 100
_FLUSH_SECONDS = 30.0
_MOST_AT_ONCE = 500


class StateRows:
    """The rows of one system in a store."""

    def __init__(
        self,
        where: Store | StoreHolder,
        *,
        system: str | None = None,
        actor: str = EXTERNAL,
    ) -> None:
        self.store: Store = store_of(where)
        self._live = where if isinstance(where, ActorSystem) else None
        is_named = system is not None or self._live is not None
        if system is None:
            system = DEFAULT_SYSTEM if self._live is None else self._live.name
        self.system: str = check_name(system)
        self._others = OtherSystems(self.store, self.system, "StateManager", is_due=not is_named)
        self._actor = check_id(actor, "actor")
        self._lines: dict[object, _Line] = {}

    async def _rows(self, query: RowQuery) -> list[Row]:
        """Rows with everything that was committed before: those of a running system follow its commits."""
        if self._live is not None:
            await self._flush(self._live)
        rows = await self.store.rows(self.system, query)
        if not rows:
            await self._others.hint(runtime_log(self.system))
        return rows

    async def _row(self, table: RowTable, key: tuple[str, ...]) -> Row | None:
        rows = await self._rows(RowQuery(table=table, key=key))
        return rows[0] if rows else None

    async def _write(self, writes: Sequence[RowWrite]) -> None:
        await self.store.write_rows(self.system, writes)

    async def _one_at_a_time(self, row: object, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` comes to, which reads and writes; again when it found the rows changed meanwhile."""
        backoff = Backoff(0.002, 0.1)
        async with self._in_line(row):
            for tries_left in reversed(range(_TRIES)):
                try:
                    return await attempt()
                except RowConflict as error:
                    if not tries_left:
                        raise StoreUnavailable(f"others change it all the time: {error}") from error
                await anyio.sleep(backoff.next())
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _in_line(self, row: object) -> AsyncGenerator[None]:
        line = self._lines.setdefault(row, _Line(anyio.Lock()))
        line.users += 1
        try:
            async with line.lock:
                yield
        finally:
            line.users -= 1
            if not line.users:
                self._lines.pop(row, None)

    async def _flush(self, system: ActorSystem) -> None:
        with anyio.move_on_after(_FLUSH_SECONDS) as scope:
            try:
                await system.rows_written()
            except SystemClosed:  # its rows are all there are
                return
        if scope.cancelled_caught:
            raise StoreUnavailable(
                f"the store of '{system.name}' did not take what its actors have done within "
                f"{_FLUSH_SECONDS:g} s"
            )

    async def _keys(self, table: RowTable, prefix: tuple[str, ...]) -> list[tuple[RowTable, tuple[str, ...]]]:
        rows = await self._rows(RowQuery(table=table, key=prefix, fields=()))
        return [(table, row.key) for row in rows]

    async def _delete(
        self, table: RowTable, row: Row, belonging: Sequence[tuple[RowTable, tuple[str, ...]]]
    ) -> None:
        """Delete a row as it was read, with what belongs to it: all at once, if that is not too much."""
        last = [RowWrite(table=table, key=row.key, fields=None, expects=row.revision)]
        writes = [RowWrite(table=of, key=key, fields=None) for of, key in belonging]
        while len(writes) > _MOST_AT_ONCE:
            await self._write(writes[:_MOST_AT_ONCE])
            del writes[:_MOST_AT_ONCE]
        await self._write(last + writes)

    async def _create(
        self,
        subject: Subject[M],
        model: M,
        *,
        cause: str,
        actor: str | None,
        also: Sequence[RowWrite] = (),
    ) -> M:
        """Write a new row. RowConflict when there is one."""
        key = subject.key(model)
        at = moment_after(None)
        model = msgspec.structs.replace(model, **subject.times_of_new(model, at))
        writes = [RowWrite(table=subject.table, key=key, fields=subject.fields(model), expects=0), *also]
        if subject.has_trail:
            writes.append(self._changed(subject, model, None, subject.status(model), at, cause, actor))
        await self._write(writes)
        return msgspec.structs.replace(model, revision=1)

    async def _update(
        self,
        subject: Subject[M],
        key: tuple[str, ...],
        updates: Updates,
        *,
        cause: str,
        actor: str | None,
        expects: int | None = None,
        filled: Callable[[M], Awaitable[M]] | None = None,
        more: Callable[[M, M], Sequence[RowWrite]] | None = None,
    ) -> M | None:
        """The model after these updates, or None where there is no such row.

        `filled` completes a model by what stands in other rows, for updates that look there; `more` is what
        else is written with the change, from the model before and after it.
        """
        check_revision(expects)
        checked = check_updates(subject.model, updates)
        if isinstance(checked, dict):
            checked.pop("updated_at", None)  # the change sets it

        async def attempt() -> M | None:
            row = await self._row(subject.table, key)
            if row is None:
                return None
            refuse_owned(subject.what, subject.table, row)
            if expects is not None and row.revision != expects:
                raise _Outdated(RowConflict(subject.table, key, expects, row.revision))
            before = from_row(subject.model, row)
            if filled is not None and any(touches(checked, field) for field in subject.filled):
                before = await filled(before)
            after = updated(before, checked)
            return await self._save(subject, row, before, after, cause=cause, actor=actor, more=more)

        try:
            return await self._one_at_a_time((subject.table, key), attempt)
        except _Outdated as outdated:
            raise outdated.conflict from None

    async def _save(
        self,
        subject: Subject[M],
        row: Row,
        before: M,
        after: M,
        *,
        cause: str,
        actor: str | None,
        more: Callable[[M, M], Sequence[RowWrite]] | None = None,
    ) -> M:
        for name in subject.unchangeable:
            if getattr(after, name) != getattr(before, name):
                raise InvalidField(subject.model.__name__, name, "cannot be changed")
        old, new = subject.status(before), subject.status(after)
        check_transition(subject.kind, old, new)
        at = moment_after(row.fields.get("updated_at"))
        after = msgspec.structs.replace(after, **subject.times(before, after, at))
        changed = {name for name in after.__struct_fields__ if getattr(after, name) != getattr(before, name)}
        fields = {name: value for name, value in subject.fields(after).items() if name in changed}
        writes = [RowWrite(table=subject.table, key=row.key, fields=fields, expects=row.revision)]
        if old != new and subject.has_trail:
            writes.append(self._changed(subject, after, old, new, at, cause, actor))
        if more is not None:
            writes += more(before, after)
        await self._write(writes)
        return msgspec.structs.replace(after, revision=row.revision + 1)

    def _changed(
        self,
        subject: Subject[M],
        model: M,
        old: str | None,
        new: str,
        at: datetime,
        cause: str,
        actor: str | None,
    ) -> RowWrite:
        return change_write(
            StatusChange(
                subject=subject.kind,
                subject_id=subject.key(model)[0],
                old=old,
                new=new,
                cause=cause,
                actor=self._who(actor),
                workflow_id=getattr(model, "workflow_id", None),
                timestamp=at,
            )
        )

    def _who(self, actor: str | None) -> str:
        """Who does it: as the caller says, or the actor in whose turn he is."""
        if actor is not None:
            return actor
        cell = current_cell.get()
        return self._actor if cell is None else cell.path


def touched(workflow: Row) -> RowWrite:
    """A change of a workflow's row, if it is as it was read: for what belongs to it, and goes with it."""
    return RowWrite(
        table=RowTable.WORKFLOW_STATE,
        key=workflow.key,
        fields={"updated_at": moment_after(workflow.fields.get("updated_at"))},
        expects=workflow.revision,
    )


class _Line(msgspec.Struct, eq=False):
    """Those who want to change one row."""

    lock: anyio.Lock
    users: int = 0


class _Outdated(Exception):
    """The caller's own expectation was not met: not to be tried again."""

    def __init__(self, conflict: RowConflict) -> None:
        self.conflict = conflict

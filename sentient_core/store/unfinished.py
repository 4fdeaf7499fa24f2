"""Who has tasks that are not over: read from their rows, for those who would not look of themselves."""

from __future__ import annotations

from datetime import datetime

from sentient_core.store.protocols import Store
from sentient_core.store.row_models import RowQuery
from sentient_core.store.row_tables import RowTable

__all__ = ["actors_with_tasks"]

_UNFINISHED = ("pending", "running", "paused")
_PAGE = 1_000


async def actors_with_tasks(store: Store, system: str) -> set[str]:
    """Paths of the actors that have taken on tasks and not ended them, as far as rows say it by now."""
    found: set[str] = set()
    for status in _UNFINISHED:
        found |= await _with_status(store, system, status)
    return found


async def _with_status(store: Store, system: str, status: str) -> set[str]:
    """In pages by the time of their last change, which of a task that nobody is at does not move."""
    found: set[str] = set()
    since: datetime | None = None
    limit = _PAGE
    while True:
        query = RowQuery(
            table=RowTable.TASK_EXECUTION,
            where={"status": status},
            since=since,
            limit=limit,
            fields=("owner", "updated_at"),
        )
        rows = await store.rows(system, query)
        found |= {row.fields["owner"] for row in rows if row.fields.get("owner")}
        if len(rows) < limit:
            return found
        last: datetime = rows[-1].fields["updated_at"]
        # A page of one time alone says nothing of what comes behind it.
        limit = limit * 2 if last == since else _PAGE
        since = last

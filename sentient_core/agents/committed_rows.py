"""Rows as agents and workflows look them up: with all that was committed before the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentient_core.store.row_models import Row, RowQuery

if TYPE_CHECKING:
    from sentient_core.actors.runtime import Runtime

__all__ = ["committed_rows"]


async def committed_rows(runtime: Runtime, query: RowQuery) -> list[Row]:
    """The rows of a running system; waits until those of all that was committed are there."""
    await runtime.mirror.journal.flush()
    system = runtime.system
    return await system.store.rows(system.name, query)

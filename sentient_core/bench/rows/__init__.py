"""The rows of the benchmark, in the order of the table."""

from __future__ import annotations

from sentient_core.bench.row import Row
from sentient_core.bench.rows import (
    blocked_loop,
    commit_lost,
    database_gone,
    handler_raises,
    nothing,
    process_killed,
    siblings,
    store_errors,
)

__all__ = ["ROWS"]

ROWS: tuple[Row, ...] = (
    nothing.ROW,
    handler_raises.ROW,
    siblings.ROW,
    blocked_loop.ROW,
    store_errors.ROW,
    commit_lost.ROW,
    database_gone.ROW,
    process_killed.ROW,
)

"""The rows of the benchmark, in the order of the table."""

from __future__ import annotations

from sentient_core.bench.row import Row
from sentient_core.bench.rows import blocked_loop, handler_raises, siblings

__all__ = ["ROWS"]

ROWS: tuple[Row, ...] = (
    handler_raises.ROW,
    siblings.ROW,
    blocked_loop.ROW,
)

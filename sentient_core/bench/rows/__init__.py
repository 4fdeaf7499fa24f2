"""The rows of the benchmark, in the order of the table."""

from __future__ import annotations

from sentient_core.bench.row import Row
from sentient_core.bench.rows import (
    always_failing,
    blocked_loop,
    commit_lost,
    corrupt,
    database_gone,
    deaf_handler,
    flood,
    handler_raises,
    kill_cycles,
    nothing,
    peers_killed,
    peers_raise,
    process_killed,
    siblings,
    slow_followers,
    start_fails,
    store_errors,
    storm,
    trees,
    wall_clock,
)

__all__ = ["ROWS"]

ROWS: tuple[Row, ...] = (
    nothing.ROW,
    handler_raises.ROW,
    always_failing.ROW,
    siblings.ROW,
    start_fails.ROW,
    kill_cycles.ROW,
    blocked_loop.ROW,
    deaf_handler.ROW,
    flood.ROW,
    slow_followers.ROW,
    store_errors.ROW,
    commit_lost.ROW,
    database_gone.ROW,
    process_killed.ROW,
    corrupt.ROW,
    wall_clock.ROW,
    trees.ROW,
    storm.ROW,
    peers_raise.ROW,
    peers_killed.ROW,
)

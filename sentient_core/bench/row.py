"""A row of the benchmark: one fault, and what it costs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from sentient_core.bench.findings import Findings
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind

__all__ = ["Row"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. Its file in `rows` has it as `ROW`, and `rows/__init__.py` lists it."""

    id: str
    """What `--row` takes: a few words with hyphens."""
    injects: str
    """What goes wrong, for the table."""
    shows: str
    """What the figures are."""
    run: Callable[[Scene, Findings], Awaitable[None]]
    """Runs all repetitions on one store and one event loop, and fills the findings. What it raises ends this
    row on this store as an error; the others run."""
    stores: tuple[StoreKind, ...] = tuple(StoreKind)
    """Where it says something. A row that is about no store takes memory alone."""
    is_about_loop: bool = False
    """The event loop has its part in the figures: in memory, they are made on trio as well."""
    about: str = ""
    """What is done exactly, for the page: sentences."""

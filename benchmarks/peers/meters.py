"""What peers are measured with."""

from __future__ import annotations

import gc
import time
from typing import Protocol

from benchmarks.resident import resident

__all__ = ["Bytes", "Meter", "Rate"]


class Meter(Protocol):
    """Starts when it is made."""

    def of(self, count: int) -> float:
        """What so many took."""
        ...


class Rate:
    """How many per second."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def of(self, count: int) -> float:
        return count / (time.perf_counter() - self._started)


class Bytes:
    """By how much the resident set grew for each."""

    def __init__(self) -> None:
        gc.collect()
        self._before = resident()

    def of(self, count: int) -> float:
        gc.collect()
        return (resident() - self._before) / count

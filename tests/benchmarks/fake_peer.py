"""A peer for the tests."""

from __future__ import annotations

import os
from collections.abc import Callable

__all__ = ["WORKLOADS"]


def _tell(count: int) -> float:
    print("a library that prints")  # noqa: T201 - as some do
    return count * 100.0


def _ask(count: int) -> float:
    raise LookupError("no such luck")


def _ring(count: int) -> float:
    os._exit(1)


def _spawn(count: int) -> float:
    return float(os.getpid())


WORKLOADS: dict[str, Callable[[int], float]] = {"tell": _tell, "ask": _ask, "ring": _ring, "spawn": _spawn}

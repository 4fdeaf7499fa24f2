"""How much runs of what is random, repeated or tried on every kind of store: a handful; in a long run all.

`SENTIENT_LONG=1 make test` is the long run, for a change to what these tests are about, and before a release.
`SENTIENT_CRASH` and `SENTIENT_MODEL` make the crash tests and the supervisor's model longer still.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

__all__ = ["IS_LONG", "few", "loop_of"]

T = TypeVar("T")

IS_LONG = "SENTIENT_LONG" in os.environ
"""More is wanted than what every run of the tests can take the time for."""

ONE_LOOP = {
    "mem": "asyncio",
    "surrealkv": "trio",
    "ws": "asyncio",
    "http": "asyncio",
    "disk": "asyncio",
    "server": "trio",
}
"""Databases are asked on the store's own thread, whoever calls: one event loop in front of each will do."""


def few(values: Iterable[T], count: int) -> list[T]:
    """The first `count` of them, all in a long run."""
    chosen = [*values]
    return chosen if IS_LONG else chosen[:count]


def loop_of(kind: str, loop: str) -> str:
    """The event loop from which this kind of store is asked, if one is enough; `loop` if not."""
    return loop if IS_LONG else ONE_LOOP.get(kind, loop)

"""Durable turns: what they cost, beside the engine alone, SQLite, and libraries that remember their steps.

Those libraries take part where they are installed: `pip install -e '.[peers]'`.
"""

from __future__ import annotations

from benchmarks.durable_burst import durable_burst
from benchmarks.large_states import large_states
from benchmarks.measure import Measurement
from benchmarks.peer_process import Peers
from benchmarks.projected import projected
from benchmarks.recovery import recovery
from benchmarks.restarts import restarts
from benchmarks.turns import turns_of

__all__ = ["of_durable"]

_ACCOUNTS = (100, 1, 10, 1_000)


def of_durable(peers: Peers) -> list[Measurement]:
    """All of it."""
    return [
        *(turns_of(accounts, peers) for accounts in _ACCOUNTS),
        durable_burst,
        projected,
        large_states,
        restarts,
        recovery,
    ]

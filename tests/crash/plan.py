"""What one process is to do in its life, as a file that its parent writes."""

from __future__ import annotations

import msgspec

from tests.crash.points import Kill

__all__ = ["Life"]


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """One process on the store: it takes up what was left, says what there is, sends, and ends."""

    url: str
    database: str = "agents"
    backend: str
    round: int
    """Which life of the store this is, from 1."""
    seed: int
    messages: int
    """To be sent by each sender; 0: it only says what it has found."""
    senders: int = 6
    kill: Kill | None = None
    holds_rows: bool = False
    """Rows and settlements are held back while there is load."""
    waits: bool = False
    """It waits for its killer when the load is over."""
    broken: str | None = None
    """How the runtime is broken: a name of `BROKEN`."""
    group_records: int = 2_000
    """Most records in a commit."""
    is_service: bool = False
    """It ends as services do: by a signal, or since the system ends by itself, with an exit code."""
    call_timeout: float = 10.0
    ballast: int = 0
    """Bytes that the state of every worker has besides; with many it is written as what has changed."""

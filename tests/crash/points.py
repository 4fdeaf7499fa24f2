"""Where a process kills itself: at the n-th time that it comes to a named point, in a phase of its life.

Most points are requests of the database, before they are sent and after they were answered, with a few
milliseconds in between in which all others go on: whatever is said too early is then heard. The phases are
those of the process: `opening` (until the system is entered), `taking up` (until all that was left is
handled), `load`, `closing`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from sentient_core.store.engine import Client, Connect
from tests.crash.oracle import Oracle
from tests.store.samples import is_claim, is_commit, is_rows, is_settlement

__all__ = ["POINTS", "REQUESTS", "Kill", "Points"]

REQUESTS: dict[str, Callable[[bytes], bool]] = {
    "commit": is_commit,
    "rows": is_rows,
    "settlement": is_settlement,
    "claim": is_claim,
    "tail": lambda request: b"SELECT * FROM journal:[" in request,
    "owner": lambda request: b"FROM ONLY $owner;" in request,
    "estate": lambda request: b"SELECT * FROM $states" in request,
}
"""What is asked of the database, by the words of the points."""

POINTS: dict[str, tuple[str, ...]] = {
    "opening": ("tail before", "tail after", "claim before", "claim after", "owner before", "owner after"),
    "taking up": (
        *("estate before", "estate after", "commit before", "commit after"),
        *("rows before", "rows after", "settlement before", "settlement after"),
    ),
    "load": (
        *("appended", "commit before", "commit after", "acknowledged"),
        *("rows before", "rows after", "settlement before", "settlement after", "drained", "ahead"),
    ),
    "closing": (
        *("appended", "commit before", "commit after"),
        *("rows before", "rows after", "settlement before", "settlement after", "close before"),
    ),
}
"""The named points, by phase. `appended`: a record was handed to the journal. `acknowledged`: the oracle
knows. `drained`: everything is handled and in its rows. `ahead`: messages are handled that are pending by the
rows. `settlement after`: `projected` has moved."""


class Kill(msgspec.Struct, frozen=True):
    """When a process is to end."""

    phase: str
    point: str
    nth: int
    """Counted within the phase, from 1."""
    linger: float = 0.004
    """Seconds between the point and the kill."""

    @property
    def name(self) -> str:
        """Phase and point."""
        return f"{self.phase}: {self.point}"


class Points:
    """The points of one process. `hit` on the store's thread, `pass_by` on the loop's."""

    def __init__(self, oracle: Oracle, kill: Kill | None, *, holds_rows: bool) -> None:
        self._oracle = oracle
        self._kill = kill
        self._holds_rows = holds_rows
        self._counts: Counter[str] = Counter()
        self._phase = "opening"

    @property
    def phase(self) -> str:
        """What the process is at."""
        return self._phase

    def enter(self, phase: str) -> None:
        """Another phase begins."""
        self._phase = phase
        self._counts.clear()
        self._oracle.say("phase", detail=phase)

    def connect(self, real: Connect) -> Connect:
        """A client that comes by the points."""
        return lambda url: _Watched(real(url), self)

    async def hit(self, point: str) -> None:
        """Come by a point of the store's thread."""
        if self._is_time(point):
            await asyncio.sleep(self._linger)
            self.die(point)

    def pass_by(self, point: str) -> None:
        """Come by a point of the loop's thread, which stands still until the kill."""
        if self._is_time(point):
            time.sleep(self._linger)
            self.die(point)

    def die(self, point: str) -> None:
        """End as by `kill -9`."""
        self._oracle.say("kill", detail=f"{self._phase}: {point}")
        os.kill(os.getpid(), signal.SIGKILL)

    @property
    def goal(self) -> str | None:
        """The point where it is to end."""
        return None if self._kill is None else self._kill.point

    def keep_back(self) -> None:
        """Let the projector write nothing from now on, while there is load."""
        self._holds_rows = True

    def release(self) -> None:
        """Let the projector go on."""
        self._holds_rows = False

    async def hold(self, request: bytes) -> None:
        """Keep the projector back while there is load: the tail grows."""
        is_held = self._holds_rows and (is_rows(request) or is_settlement(request))
        while is_held and self._holds_rows and self._phase == "load":  # noqa: ASYNC110 - another thread ends it
            await asyncio.sleep(0.01)

    @property
    def _linger(self) -> float:
        return 0.0 if self._kill is None else self._kill.linger

    def _is_time(self, point: str) -> bool:
        self._counts[point] += 1
        kill = self._kill
        return (
            kill is not None
            and kill.phase == self._phase
            and kill.point == point
            and kill.nth == self._counts[point]
        )


class _Watched:
    """The real client, seen from both sides."""

    def __init__(self, client: Client, points: Points) -> None:
        self._client = client
        self._points = points

    async def connect(self) -> None:
        await self._client.connect()

    async def close(self) -> None:
        await self._points.hit("close before")
        await self._client.close()

    async def execute(self, cbor_request: bytes) -> bytes:
        points = self._points
        await points.hold(cbor_request)
        word = next((word for word, is_it in REQUESTS.items() if is_it(cbor_request)), None)
        if word is None:
            return await self._client.execute(cbor_request)
        await points.hit(f"{word} before")
        answer = await self._client.execute(cbor_request)
        await points.hit(f"{word} after")
        return answer

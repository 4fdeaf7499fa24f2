"""Load that does not wait: requests arrive when the schedule says, whatever became of those before.

A program that asks, waits and asks again stops asking while the system hangs, and so never sees how long it
hung. Here each request has a moment at which it arrives, drawn beforehand, and its latency counts from that
moment, also if the event loop was too busy to send it then.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import anyio
import msgspec
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from sentient_core.errors import InvalidArgument
from sentient_core.testing.background import leave

__all__ = ["Arrival", "LoadResult", "OpenLoad"]


class Arrival(msgspec.Struct, frozen=True):
    """One request."""

    at: float
    """Seconds from the beginning of the load to the moment it was due."""
    seconds: float | None
    """From then to its answer; None if there was none."""
    error: str | None = None
    """The class of what came in place of an answer; None for nothing at all, or for an answer."""
    kind: str = ""
    """Of whom it was asked."""

    def is_answered(self, within: float) -> bool:
        """An answer, and not too late."""
        return self.seconds is not None and self.seconds <= within


class LoadResult(msgspec.Struct, frozen=True):
    """All requests, in the order in which they were due."""

    arrivals: Sequence[Arrival]

    def part(self, kind: str) -> LoadResult:
        """Those of one kind."""
        return LoadResult([arrival for arrival in self.arrivals if arrival.kind == kind])

    def between(self, start: float, end: float) -> LoadResult:
        """Those due from `start` to `end`, in seconds of the load."""
        return LoadResult([arrival for arrival in self.arrivals if start <= arrival.at < end])

    def after(self, start: float) -> LoadResult:
        """Those due from `start` on."""
        return self.between(start, float("inf"))

    @property
    def begin(self) -> float:
        """When the first one was due."""
        return min((arrival.at for arrival in self.arrivals), default=0.0)

    @property
    def end(self) -> float:
        """When the last one was due."""
        return max((arrival.at for arrival in self.arrivals), default=0.0)

    def errors(self) -> dict[str, int]:
        """What came in place of answers, by class, and how often."""
        none = [arrival.error or "nothing in time" for arrival in self.arrivals if arrival.seconds is None]
        return dict(Counter(none).most_common())

    def latencies(self) -> list[float]:
        """Of those that were answered, in seconds."""
        return [arrival.seconds for arrival in self.arrivals if arrival.seconds is not None]

    def unanswered(self) -> int:
        """How many were not."""
        return sum(arrival.seconds is None for arrival in self.arrivals)

    def availability(self, within: float) -> float:
        """The share that was answered in time. 1 for none."""
        if not self.arrivals:
            return 1.0
        return sum(arrival.is_answered(within) for arrival in self.arrivals) / len(self.arrivals)


class OpenLoad:
    """Requests at a rate, in the background of a block; behind the block, `result` says what became of them.

    ::

        async with OpenLoad({"durable": ask}, rate=200.0, dice=scene.dice("load")) as load:
            begin = load.now()
            ...
        load.result.between(begin, begin + 1).availability(within=0.1)

    `asks` are the kinds of requests by name, taken in turn: each makes the n-th request and returns once it
    is answered; what it raises counts as a request without an answer. Arrivals are drawn beforehand, at
    random times (a Poisson process), on the loop's clock. At the end of the block no more arrive, and those
    under way have `patience` seconds.
    """

    def __init__(
        self,
        asks: Mapping[str, Callable[[int], Awaitable[object]]],
        *,
        rate: float,
        dice: random.Random,
        patience: float = 5.0,
    ) -> None:
        if not rate > 0:
            raise InvalidArgument(f"rate must be requests per second, above 0, not {rate!r}")
        if not asks:
            raise InvalidArgument("asks is empty: there would be no load")
        self._asks = list(asks.items())
        self._rate = rate
        self._dice = dice
        self._patience = patience
        self._start = 0.0
        self._arrivals: dict[int, Arrival] = {}
        self._tasks: TaskGroup | None = None
        self._ends = float("inf")
        self._is_over = anyio.Event()
        self._has_paced = anyio.Event()
        self._under_way = 0
        self._has_settled = anyio.Event()
        self.quiet_until: float = 0.0
        """Seconds of the load in which nothing was harmed: what is seen then is what the rest is beside."""

    async def __aenter__(self) -> Self:
        self._tasks = tasks = anyio.create_task_group()
        await tasks.__aenter__()
        self._start = anyio.current_time()
        tasks.start_soon(self._pace, tasks, name="open load")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        tasks = self._tasks
        if tasks is None:
            return None
        self._ends = self.now()
        self._is_over.set()
        if error is None:
            with anyio.move_on_after(self._patience):
                await self._has_paced.wait()
                while self._under_way:
                    self._has_settled = anyio.Event()
                    await self._has_settled.wait()
        return await leave(tasks, kind, error, trace)

    @property
    def result(self) -> LoadResult:
        """What became of the requests so far; whole behind the block."""
        return LoadResult([self._arrivals[number] for number in sorted(self._arrivals)])

    @property
    def under_way(self) -> int:
        """Requests that were sent and are not settled."""
        return self._under_way

    def now(self) -> float:
        """Seconds since the load began."""
        return anyio.current_time() - self._start

    async def _pace(self, tasks: TaskGroup) -> None:
        due = 0.0
        number = 0
        while True:
            due += self._dice.expovariate(self._rate)
            if (wait := due - self.now()) > 0:
                with anyio.move_on_after(wait):
                    await self._is_over.wait()
            if due > self._ends:  # not before: what was due while the loop stood is sent all the same
                break
            self._under_way += 1
            tasks.start_soon(self._request, number, due)
            number += 1
            if number % 100 == 0:
                await checkpoint()  # one that is behind lets others run as well
        self._has_paced.set()

    async def _request(self, number: int, due: float) -> None:
        kind, ask = self._asks[number % len(self._asks)]
        seconds: float | None = None
        error: str | None = None
        try:
            await ask(number)
            seconds = self.now() - due
        except Exception as failure:  # noqa: BLE001 - of whatever kind: it is a request without an answer
            error = type(failure).__name__
        finally:
            self._arrivals[number] = Arrival(due, seconds, error, kind)
            self._under_way -= 1
            if not self._under_way:
                self._has_settled.set()

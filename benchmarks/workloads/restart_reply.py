"""restart-reply: how much later than usual the reply comes when the actor fails just before."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import msgspec

from benchmarks.measure import Figure, Goal, Measurement, Settings, compared, interleaved
from benchmarks.workloads.numbers import Number
from benchmarks.workloads.restart import Crash, Hire, Office
from benchmarks.workloads.trial import BACKENDS, Backend
from sentient_core import Actor, ActorSystem, ChildSpec, MemoryStore, handles
from sentient_core.bench.samples import percentile

__all__ = ["restart_reply"]

_GOALS = {"asyncio": Goal(bound=2.5, is_least=False), "trio": Goal(bound=3, is_least=False)}


class Frail(Actor):
    """Answers in a turn of its own, or fails."""

    durability = "volatile"

    @handles
    async def number(self, message: Number) -> int:
        return message.value

    @handles
    def crash(self, message: Crash) -> None:
        raise ArithmeticError("as asked")


class Found(msgspec.Struct, frozen=True):
    """Medians, in microseconds."""

    after_crash: float
    """From the message that fails to the reply to the next one."""
    ask: float
    """The same without a failure."""


def _measure(settings: Settings) -> list[Figure]:
    count = 200 if settings.is_quick else 3_000

    def actors(backend: Backend) -> Callable[[], Found]:
        return lambda: anyio.run(_actors, count, backend=backend)

    def told(round_: int, found: dict[str, Found]) -> None:
        said = ", ".join(f"{name} {one.after_crash:.1f} ({one.ask:.1f})" for name, one in found.items())
        settings.say(f"restart-reply  round {round_}/{settings.rounds}  p50 µs (own ask): {said}")

    found = interleaved({backend: actors(backend) for backend in BACKENDS}, settings.rounds, told)
    return [
        compared(
            "restart-reply",
            f"{backend}, p50",
            "µs",
            [one.after_crash for one in found[backend]],
            "own ask",
            [one.ask for one in found[backend]],
            goal=_GOALS[backend],
            limit="a failure is recorded, reported and decided on before the next instance is made",
        )
        for backend in BACKENDS
    ]


async def _actors(count: int) -> Found:
    usual: list[float] = []
    after_crash: list[float] = []
    async with ActorSystem("bench", store=MemoryStore()) as system:
        office = await system.spawn(Office, name="office")
        await office.ask(Hire(ChildSpec(Frail, name="frail")), timeout=10)
        frail = system.get("office/frail")
        message, crash = Number(1), Crash()
        for _ in range(count):
            started = time.perf_counter()
            await frail.ask(message, timeout=10)
            usual.append(time.perf_counter() - started)
            started = time.perf_counter()
            frail.tell(crash)
            await frail.ask(message, timeout=10)
            after_crash.append(time.perf_counter() - started)
        assert system.statistics().restarts == count
    return Found(percentile(after_crash, 0.5) * 1e6, percentile(usual, 0.5) * 1e6)


restart_reply = Measurement(
    "restart-reply",
    "A message at which a supervised child fails, and an ask right behind it, which its next instance "
    "answers. Measured: the time of both, and that of an ask alone.",
    _measure,
)

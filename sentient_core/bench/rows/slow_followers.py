"""Who follows the events is slow, or the store that they are written to: what all others notice of it."""

from __future__ import annotations

import anyio

from sentient_core.actors.actor import Actor
from sentient_core.bench.findings import Findings
from sentient_core.bench.load import OpenLoad
from sentient_core.bench.others import MirroredOther, VolatileOther, loaded
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.events import AgentEvent, EventType
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Rule
from sentient_core.store.protocols import JournalOptions

__all__ = ["ROW"]

_TICK = "bench.tick"
_RATE = 100.0
_SLOWNESS = 0.02
"""Seconds per event: half as many events as are published."""
_BUFFER = 20
_STORE_DELAY = 0.2
"""Seconds per group commit."""
_TAIL_BYTES = 200_000
_BURST = 500
_TIMEOUT = 60.0


class _Follower:
    """Notes which ticks came, in their order, and how late."""

    def __init__(self, slowness: float = 0.0) -> None:
        self.numbers: list[int] = []
        self.delays: list[float] = []
        self._slowness = slowness
        self._news = anyio.Event()

    async def __call__(self, event: AgentEvent) -> None:
        self.numbers.append(event.payload["number"])
        self.delays.append(anyio.current_time() - event.payload["at"])
        if self._slowness:
            await anyio.sleep(self._slowness)
        self._news.set()
        self._news = anyio.Event()

    async def until(self, count: int) -> None:
        """Return when so many have come."""
        while len(self.numbers) < count:
            await self._news.wait()


async def _run(scene: Scene, findings: Findings) -> None:
    await _slow_subscriber(scene, findings)
    scene.progress(1, 3)
    await _short_buffer(scene, findings)
    scene.progress(2, 3)
    await _slow_mirror(scene, findings)
    scene.progress(3, 3)


async def _slow_subscriber(scene: Scene, findings: Findings) -> None:
    seconds = scene.pick(quick=0.5, full=6.0)
    quick, slow = _Follower(), _Follower(_SLOWNESS)
    async with scene.system() as system:
        numbers = iter(range(10**9))

        async def publish(_: int) -> None:
            payload = {"number": next(numbers), "at": anyio.current_time()}
            await system.events.publish_event(
                AgentEvent(event_type=_TICK, source_agent="bench", payload=payload)
            )

        system.events.subscribe(_TICK, quick)
        system.events.subscribe(_TICK, slow)
        async with loaded(scene, system) as load:
            async with OpenLoad({"": publish}, rate=_RATE, dice=scene.dice("ticks")) as ticks:
                await anyio.sleep(seconds)
            published = len(ticks.result.arrivals)
            behind = published - len(slow.numbers)
            with anyio.move_on_after(_TIMEOUT + published * _SLOWNESS):
                await slow.until(published)
                await quick.until(published)
    findings.figure("slow subscriber: events behind in the end", behind, f"of {published:,}", headline=True)
    findings.latency("slow subscriber: publish to callback", slow.delays, headline=True)
    findings.latency("other subscriber: publish to callback", quick.delays, headline=True)
    findings.latency("publish, until it returns", ticks.result.latencies())
    for name, follower in (("slow", slow), ("other", quick)):
        missing = published - len(set(follower.numbers))
        findings.loss("lost", missing, published, "events", label=f"{name} subscriber")
        is_ordered = follower.numbers == sorted(follower.numbers)
        findings.holds(f"events in order, {name} subscriber", is_ordered, is_ordered)
    findings.others(load, during="slow subscriber")


async def _short_buffer(scene: Scene, findings: Findings) -> None:
    """Who follows through a bounded buffer, and does not come to it, is told how much passed by."""
    letters = 10 * _BUFFER
    async with (
        scene.system() as system,
        system.dead_letters.follow(buffer=_BUFFER) as following,
    ):
        gone = await system.spawn(_Gone, restart="temporary")
        await gone.stop()
        for number in range(letters):
            gone.tell(number)
        taken = len([await anext(following) for _ in range(_BUFFER)])
        findings.check(
            f"dead letters behind a buffer of {_BUFFER}: taken, and counted as missed",
            f"{_BUFFER} + {letters - _BUFFER}",
            f"{taken} + {following.missed}",
            headline=True,
        )


class _Gone(Actor[int]):
    durability = "volatile"

    def on_receive(self, message: int) -> None:
        pass


async def _slow_mirror(scene: Scene, findings: Findings) -> None:
    bursts = scene.pick(quick=5, full=40)
    delay = Rule(point=FaultPoint.STORE_APPEND, action=FaultAction.DELAY, seconds=_STORE_DELAY)
    async with scene.system(
        faults=FaultPlan(seed=scene.seed, rules=(delay,)), journal=JournalOptions(tail_bytes=_TAIL_BYTES)
    ) as system:
        assert system.faults is not None  # noqa: S101 - it was given a plan
        system.faults.pause()
        await system.flush()  # of what the start has written, which the plan may have struck already
        told = await system.spawn(_Mirrored, name="told")
        async with loaded(scene, system, kinds=(VolatileOther, MirroredOther)) as load:
            system.faults.resume()
            for _ in range(bursts):
                for number in range(_BURST):
                    told.tell(number)
                await anyio.sleep(0.1)
        system.faults.pause()  # what is behind is written now
        await system.flush()
        told.tell(-1)  # the gaps are written when there is room, with what is mirrored next
        await system.flush()
        statistics = system.statistics()
        gaps = await system.events.get_event_history(event_type=EventType.MIRROR_GAP, limit=1_000)
        counted = sum(gap.payload["count"] for gap in gaps)
    sent = bursts * _BURST + 1
    findings.loss("unhandled", sent - told.statistics().handled, sent, label="mirrored actor, slow store")
    findings.check(
        "slow store: not mirrored, and all of it counted in gap records",
        statistics.unmirrored,
        counted,
        headline=True,
    )
    findings.others(load, during="slow mirror", headline=True)


class _Mirrored(Actor[int]):
    def on_receive(self, message: int) -> None:
        pass


ROW = Row(
    id="slow-followers",
    injects="slow subscriber, slow mirror",
    shows="lag, counted gaps, others' p99",
    about=(
        f"Events are published {_RATE:g} times a second; of two subscribers, one takes "
        f"{_SLOWNESS * 1e3:g} ms for each. Then dead letters are followed through a buffer that nobody "
        f"empties. Then each group commit of the store takes {_STORE_DELAY:g} s longer while bursts are told "
        f"to a mirrored actor, with a tail of {_TAIL_BYTES:,} bytes: what does not fit is handled without "
        "being mirrored, and counted."
    ),
    run=_run,
)

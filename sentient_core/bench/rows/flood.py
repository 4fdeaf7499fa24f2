"""Ten times as many messages as a mailbox takes: where each of them ends, and when a stop gets through."""

from __future__ import annotations

import gc
import time
import tracemalloc

import anyio

from sentient_core.actors.actor import Actor
from sentient_core.actors.ref import ActorRef
from sentient_core.bench.findings import Findings
from sentient_core.bench.others import loaded
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import StoreKind
from sentient_core.errors import DeliveryError
from sentient_core.mailbox import MailboxOptions, Overflow
from sentient_core.mailbox.dead_letters import DeadLetter
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_TIMES = 10
_CAPACITY = 100
_SENDERS = 100
_NAME = "flooded"


class _Ledger:
    """Where each message of a flood has ended, by its number."""

    def __init__(self) -> None:
        self.gate = anyio.Event()
        """Handlers wait for it."""
        self.handled: list[int] = []
        self.dead: list[int] = []
        self.refused: set[int] = set()
        self.stopped_at: float | None = None

    def bury(self, letter: DeadLetter) -> None:
        """Note a dead letter."""
        if isinstance(letter.message, int):
            self.dead.append(letter.message)


class _Flooded(Actor[int]):
    """Handles nothing until its gate opens."""

    durability = "mirrored"

    def __init__(self, ledger: _Ledger) -> None:
        self._ledger = ledger

    async def on_receive(self, message: int) -> None:
        await self._ledger.gate.wait()
        self._ledger.handled.append(message)

    def on_stop(self) -> None:
        self._ledger.stopped_at = time.perf_counter()


def _flooded(capacity: int, overflow: Overflow) -> type[_Flooded]:
    class Flooded(_Flooded):
        mailbox = MailboxOptions(capacity=capacity, overflow=overflow)

    return Flooded


async def _run(scene: Scene, findings: Findings) -> None:
    repetitions = scene.pick(quick=2, full=30)
    floods: list[_Flood] = []
    plain: list[float] = []
    for step, overflow in enumerate(Overflow):
        async with scene.system() as system, loaded(scene, system) as load:
            flood = _Flood(system, _CAPACITY, overflow)
            for _ in range(repetitions):
                await flood.once(is_drained=False)
            await flood.once(is_drained=True)
            audit = await system.audit()
            flood.unbalanced = [one.path for one in audit.actors if not one.is_balanced]
            if overflow is Overflow.BACKPRESSURE:
                plain += [await flood.stop_of_an_empty_one() for _ in range(repetitions)]
        async with scene.system() as system:
            await flood.measure_memory(system, scene.pick(quick=1, full=5))
        flood.report(findings)
        findings.others(load, during=f"flood, {overflow.value}")
        floods.append(flood)
        scene.progress(step + 1, len(Overflow))
    stops = [seconds for flood in floods for seconds in flood.stops]
    findings.latency("stop behind a full mailbox", stops, headline=True)
    findings.latency("stop of an empty mailbox", plain, headline=True)
    sent = sum(flood.sent for flood in floods)
    findings.loss("lost", sum(flood.missing for flood in floods), sent, label="all policies", headline=True)


class _Flood:
    """Floods of one policy."""

    def __init__(self, system: ActorSystem, capacity: int, overflow: Overflow) -> None:
        self._system = system
        self._capacity = capacity
        self._messages = capacity * _TIMES
        self._overflow = overflow
        self._cls = _flooded(capacity, overflow)
        self._deepest = 0
        self.sent = 0
        self.missing = 0
        self._doubled = 0
        self.stops: list[float] = []
        self.unbalanced: list[str] = []
        self._megabytes: list[float] = []

    async def once(self, *, is_drained: bool) -> None:
        """Tells and sends, half each, then a stop behind all of it, or a drain."""
        ledger = _Ledger()
        ref = await self._system.spawn(self._cls, ledger, name=_NAME, restart="temporary")
        begin = time.perf_counter()
        with self._system.dead_letters.subscribe(ledger.bury):
            async with anyio.create_task_group() as senders:
                for number in range(self._messages // 2):
                    ref.tell(number)
                for first in range(_SENDERS):
                    senders.start_soon(self._send, ref, ledger, self._messages // 2 + first)
                await anyio.sleep(0.01)  # by then, those for whom there is no room wait for it
                self._deepest = max(self._deepest, ref.statistics().depth)
                begin = time.perf_counter()
                ending = ref.drain() if is_drained else ref.stop()
                ledger.gate.set()
                await ending
        if not is_drained and ledger.stopped_at is not None:
            self.stops.append(ledger.stopped_at - begin)
        ends = [*ledger.handled, *ledger.dead]
        self.sent += self._messages
        self._doubled += len(ends) - len(set(ends))
        self.missing += len(set(range(self._messages)) - set(ends) - ledger.refused)

    async def _send(self, ref: ActorRef[_Flooded], ledger: _Ledger, first: int) -> None:
        for number in range(first, self._messages, _SENDERS):
            try:
                await ref.send(number)
            except DeliveryError:
                ledger.refused.add(number)

    async def stop_of_an_empty_one(self) -> float:
        """Seconds until its `on_stop` runs: what the others are beside."""
        ledger = _Ledger()
        ref = await self._system.spawn(self._cls, ledger, name=_NAME, restart="temporary")
        begin = time.perf_counter()
        await ref.stop()
        return (ledger.stopped_at or time.perf_counter()) - begin

    async def measure_memory(self, system: ActorSystem, repetitions: int) -> None:
        """What Python holds more of behind a flood of tells, until the actor comes to them."""
        for _ in range(repetitions):
            ledger = _Ledger()
            ref = await system.spawn(self._cls, ledger, name=_NAME, restart="temporary")
            await system.flush()
            gc.collect()
            tracemalloc.start()
            try:
                for number in range(self._messages):
                    ref.tell(number)
                self._megabytes.append(tracemalloc.get_traced_memory()[0] / 1e6)
            finally:
                tracemalloc.stop()
            ledger.gate.set()
            await ref.stop()

    def report(self, findings: Findings) -> None:
        """What came of them."""
        policy = self._overflow.value
        findings.loss("lost", self.missing, self.sent, label=policy)
        findings.loss("with two ends", self._doubled, self.sent, label=policy)
        findings.check(f"actors whose audit does not add up, {policy}", [], self.unbalanced)
        claim = f"most in the mailbox, of room for {self._capacity:,}, {policy}"
        findings.holds(claim, self._deepest <= self._capacity, self._deepest)
        findings.latency(f"stop behind a full mailbox, {policy}", self.stops)
        findings.figure(
            f"memory behind {self._messages:,} tells, {policy}", self._megabytes, "MB", headline=True
        )


ROW = Row(
    id="flood",
    injects=f"mailbox flood × {_TIMES}, each policy",
    shows="conservation, memory, control-lane latency",
    about=(
        f"A mirrored actor with room for {_CAPACITY} messages waits in its handler while ten times as "
        f"many are sent to it, half by `tell`, half by `send` of {_SENDERS} tasks. Then it is asked to "
        "stop, and its handler goes on: measured until its `on_stop` runs. Memory is what Python has "
        "allocated for the messages, in the mailbox or as dead letters, and for what is to be written of "
        "them (tracemalloc). Each message is to be handled, refused to its sender, or a dead letter."
    ),
    stores=(StoreKind.MEMORY, StoreKind.EMBEDDED),
    run=_run,
)

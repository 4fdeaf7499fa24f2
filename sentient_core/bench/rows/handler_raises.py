"""A handler raises at 1 of n messages: how long until the next one is handled, and what is lost."""

from __future__ import annotations

import time

import anyio
import msgspec

from sentient_core.actors.actor import Actor
from sentient_core.actors.handlers import handles
from sentient_core.actors.request import Request
from sentient_core.bench.findings import Findings
from sentient_core.bench.others import loaded
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.mailbox.dead_letters import DeadLetterReason
from sentient_core.supervisor import ChildSpec, Supervisor
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_ONE_OF = 10
_PAUSE = 0.01
"""Seconds between two failures, so that they come under load and not as a burst."""
_TIMEOUT = 30.0


class _Job(msgspec.Struct, frozen=True):
    number: int
    fails: bool = False


class _Done(Request[int], frozen=True):
    """How many jobs the state remembers."""


class _Record:
    """What the handlers write down, outside of the actors and what becomes of them."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.raised_at: float | None = None
        self.gaps: list[float] = []
        """From a raise to the first message of the next incarnation."""
        self.returned_at: float | None = None
        self.steps: list[float] = []
        """From the end of a message to the beginning of the next one that waited: without a raise."""


class _Worker(Actor):
    class State(msgspec.Struct):
        jobs: int = 0

    state: State

    def __init__(self, record: _Record) -> None:
        self._record = record

    @handles
    def job(self, message: _Job) -> None:
        record = self._record
        now = time.perf_counter()
        if record.raised_at is not None:
            record.gaps.append(now - record.raised_at)
            record.raised_at = None
        elif record.returned_at is not None and message.number % _ONE_OF:  # the first one did not wait
            record.steps.append(now - record.returned_at)
        record.returned_at = None
        if message.fails:
            record.raised_at = time.perf_counter()
            raise ValueError("one of so many")
        record.handled.append(message.number)
        self.state.jobs += 1
        record.returned_at = time.perf_counter()

    @handles
    def done(self, message: _Done) -> int:
        return self.state.jobs


class _Volatile(_Worker):
    durability = "volatile"


class _Mirrored(_Worker):
    durability = "mirrored"


class _Durable(_Worker):
    durability = "durable"


class _Boss(Supervisor):
    strategy = Supervisor.one_for_one(max_restarts=1_000_000, within=3600.0)


async def _run(scene: Scene, findings: Findings) -> None:
    failures = scene.pick(quick=30, full=300)
    async with scene.system() as system, loaded(scene, system) as load:
        for step, cls in enumerate((_Volatile, _Mirrored, _Durable)):
            record = _Record()
            state = await _work(system, cls, record, failures)
            _judge(findings, cls, record, failures, state)
            scene.progress(step + 1, 3)
        letters = system.dead_letters.counts[DeadLetterReason.FAILED]
        findings.check("messages in hand that became dead letters", 3 * failures, letters)
    findings.others(load)


async def _work(system: ActorSystem, cls: type[_Worker], record: _Record, failures: int) -> int:
    boss = await system.spawn(_Boss, name=f"{cls.durability}-boss")
    worker = await boss.start_child(ChildSpec(cls, name="worker", args=(record,)))
    for failure in range(failures):
        first = failure * _ONE_OF
        for number in range(first, first + _ONE_OF):
            worker.tell(_Job(number, fails=number == first + _ONE_OF // 2))
        await worker.ask(_Done(), timeout=_TIMEOUT)
        await anyio.sleep(_PAUSE)
    jobs = await worker.ask(_Done(), timeout=_TIMEOUT)
    await system.terminate_child(f"{cls.durability}-boss")
    return int(jobs)


def _judge(findings: Findings, cls: type[_Worker], record: _Record, failures: int, jobs: int) -> None:
    kind = cls.durability
    findings.latency(f"raise to the first message of the new incarnation, {kind}", record.gaps, headline=True)
    findings.latency(f"message to message without a raise, {kind}", record.steps)
    expected = [n for n in range(failures * _ONE_OF) if n % _ONE_OF != _ONE_OF // 2]
    handled = set(record.handled)
    lost = sum(number not in handled for number in expected)
    findings.loss("lost beside those in hand", lost, len(expected), label=kind, headline=True)
    findings.loss("handled twice", len(record.handled) - len(handled), len(expected), label=kind)
    if cls is _Durable:
        findings.check("jobs in the durable state", len(expected), jobs)


ROW = Row(
    id="handler-raises",
    injects=f"handler raises, 1 of {_ONE_OF}",
    shows="restart to the first message of the new incarnation; lost (only the one in hand)",
    about=(
        f"A worker gets {_ONE_OF} messages at a time, and raises in the midst of them. Measured from the "
        "raise to the beginning of the next message, which is queued already: the next incarnation, its "
        "state loaded; without a raise, from the end of one message to the beginning of the next. "
        "Beside it, eight volatile and eight durable actors are asked 100 times a second."
    ),
    is_about_loop=True,
    run=_run,
)

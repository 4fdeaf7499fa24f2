"""An actor is killed wherever it may be waiting, over and over: what is left of all these."""

from __future__ import annotations

import time
from contextlib import suppress

import anyio
import msgspec

from sentient_core.actors.actor import Actor
from sentient_core.actors.handlers import handles
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.request import Request
from sentient_core.actors.watching import Terminated
from sentient_core.bench.findings import Findings
from sentient_core.bench.held import settled
from sentient_core.bench.others import loaded, spawn_others
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.witness import Witness
from sentient_core.errors import SentientError
from sentient_core.supervisor import ChildSpec
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_PLACES = (
    "on_start",
    "on_restart",
    "on_failure",
    "on_stop",
    "handler",
    "ask",
    "spawn",
    "checkpoint",
    "run_sync",
    "idle",
)
_TIMEOUT = 30.0
_NAME = "victim"


class _Go(msgspec.Struct, frozen=True):
    """Wait at the place."""


class _Never(Request[None], frozen=True):
    """Is not answered."""


class _Silent(Actor):
    durability = "volatile"

    @handles
    async def never(self, message: _Never) -> None:
        await anyio.sleep_forever()


class _Stage:
    """Where the next victim is to wait, and how one knows that it does."""

    def __init__(self, silent: ActorRef[_Silent]) -> None:
        self.place = "idle"
        self.reached = anyio.Event()
        self.silent = silent

    async def wait(self, place: str) -> None:
        """For ever, at the place where the victim is to wait; elsewhere not at all."""
        if place == self.place:
            self.reached.set()
            await anyio.sleep_forever()


class _Child(Actor):
    durability = "volatile"

    def __init__(self, stage: _Stage) -> None:
        self._stage = stage

    async def on_start(self) -> None:
        await self._stage.wait("spawn")


class _Victim(Actor):
    class State(msgspec.Struct):
        turns: int = 0

    state: State

    def __init__(self, stage: _Stage) -> None:
        self._stage = stage

    async def on_start(self) -> None:
        await self._stage.wait("on_start")

    async def on_restart(self, cause: BaseException | None) -> None:
        await self._stage.wait("on_restart")

    async def on_failure(self, cause: Exception) -> None:
        await self._stage.wait("on_failure")

    async def on_stop(self) -> None:
        await self._stage.wait("on_stop")

    @handles
    async def go(self, message: _Go) -> None:
        stage = self._stage
        self.context.watch(stage.silent)  # taken back when the victim ends
        self.context.timers.every("tick", 3600.0, _Go())
        match stage.place:
            case "on_restart" | "on_failure":
                raise ValueError("asked to")
            case "ask":
                stage.reached.set()
                await stage.silent.ask(_Never(), timeout=3600.0)
            case "spawn":
                await self.context.spawn(_Child, stage)
            case "checkpoint":
                stage.reached.set()
                await self.checkpoint()
            case "run_sync":
                stage.reached.set()
                await self.run_sync(time.sleep, 0.001)
            case "idle":
                stage.reached.set()
            case _:
                await stage.wait("handler")

    @handles
    def ended(self, message: Terminated) -> None:
        pass


class _Killer:
    """Starts a victim, waits until it waits, and kills it for good."""

    def __init__(self, system: ActorSystem, stage: _Stage, witness: Witness) -> None:
        self._system = system
        self._stage = stage
        self._witness = witness
        self.watched = 0
        """Victims that were ready before they were killed, so that somebody watched them."""

    async def kill(self, place: str) -> float:
        """Seconds from the kill until the victim is down."""
        stage = self._stage
        stage.place, stage.reached = place, anyio.Event()
        spec = ChildSpec(_Victim, name=_NAME, args=(stage,), restart="transient", shutdown="brutal_kill")
        with anyio.fail_after(_TIMEOUT):
            if place == "on_start":
                return await self._kill_starting(spec)
            victim = await self._system.start_child(spec)
            await self._witness.watch(victim)
            self.watched += 1
            victim.tell(_Go())
            if place == "on_stop":
                victim.stop()
            await stage.reached.wait()
            begin = time.perf_counter()
            await self._system.terminate_child(_NAME)
            return time.perf_counter() - begin

    async def _kill_starting(self, spec: ChildSpec) -> float:
        begin = down = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._start, spec)
            await self._stage.reached.wait()
            begin = time.perf_counter()
            await self._system.get(_NAME).kill()
            down = time.perf_counter()
        return down - begin

    async def _start(self, spec: ChildSpec) -> None:
        with suppress(SentientError):
            await self._system.start_child(spec)


async def _run(scene: Scene, findings: Findings) -> None:
    rounds = scene.pick(quick=10, full=100)
    async with scene.system() as system:
        witness = Witness(system)
        killer = _Killer(
            system, _Stage(await system.spawn(_Silent, name="silent", shutdown="brutal_kill")), witness
        )
        asks = await spawn_others(system)
        for place in _PLACES:  # what the first of each makes, it makes for good
            await killer.kill(place)
        before = await settled(system)
        seconds: list[float] = []
        async with loaded(scene, system, asks=asks) as load:
            for round_ in range(rounds):
                seconds += [await killer.kill(place) for place in _PLACES]
                scene.progress(round_ + 1, rounds)
        after = await settled(system)
        with anyio.move_on_after(_TIMEOUT):
            await witness.until(_NAME, killer.watched)
    findings.latency("kill to down", seconds, headline=True)
    findings.check("ends told to who watched", killer.watched, witness.told[_NAME])
    after.beyond(before, findings, rounds * len(_PLACES), "kills", scene.store)
    findings.others(load)


ROW = Row(
    id="kill-cycles",
    injects="kill at each hook and await, 1,000 cycles",
    shows="leaked tasks, threads, descriptors; dangling watchers",
    about=(
        "A mirrored actor with a timer, and with a watch on another, is killed where it waits: "
        f"{', '.join(_PLACES)}. Another actor watches each of them, and is to be told of each end once. "
        "Compared is what the process holds before and behind."
    ),
    is_about_loop=True,
    run=_run,
)

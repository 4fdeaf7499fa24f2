"""What is read of the store is damaged: is it found, and is something older used, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from sentient_core.actors.actor import Actor, DurabilityName
from sentient_core.actors.alerts import Alert
from sentient_core.actors.handlers import handles
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.request import Request
from sentient_core.bench.findings import Findings
from sentient_core.bench.others import loaded
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.bench.stores import Database, StoreKind
from sentient_core.errors import CheckpointUnusable, StoreDamaged
from sentient_core.events import EventType
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Faults, Rule
from sentient_core.mailbox.dead_letters import DeadLetterReason
from sentient_core.store import SurrealStore
from sentient_core.store.faulty import inject
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_TIMEOUT = 30.0
_DAMAGE = Rule(point=FaultPoint.STORE_READ, action=FaultAction.CORRUPT)


class _Grow(Request[str], frozen=True):
    """Take a step, and a checkpoint."""


class _Steps(Request[int], frozen=True):
    """Ask for the steps taken."""


class _Grower(Actor):
    """Its newest state is its largest, so that it is the one that is damaged."""

    class State(msgspec.Struct):
        steps: int = 0
        ballast: str = ""

    state: State

    @handles
    async def grow(self, message: _Grow) -> str:
        self.state.steps += 1
        self.state.ballast += "0123456789" * 20
        return await self.checkpoint()

    @handles
    def steps(self, message: _Steps) -> int:
        return self.state.steps


class _Durable(_Grower):
    durability = "durable"


class _Note(msgspec.Struct, frozen=True):
    """Write down a number."""

    number: int
    ballast: str


class _Numbers(Request[list[int]], frozen=True):
    """Ask for what was written down."""


class _Slip(Actor):
    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        numbers: list[int] = msgspec.field(default_factory=list[int])

    state: State

    @handles
    def note(self, message: _Note) -> None:
        self.state.numbers.append(message.number)

    @handles
    def numbers(self, message: _Numbers) -> list[int]:
        return self.state.numbers


async def _run(scene: Scene, findings: Findings) -> None:
    actors = scene.pick(quick=10, full=100)
    await _checkpoints(scene, findings, actors)
    scene.progress(1, 4)
    await _states(scene, findings, actors)
    scene.progress(2, 4)
    if scene.store is StoreKind.MEMORY:
        findings.note("messages and journal have no bytes in memory that could be damaged")
        return
    await _messages(scene, findings, actors)
    scene.progress(3, 4)
    await _journal(scene, findings, starts=scene.pick(quick=2, full=30))


async def _checkpoints(scene: Scene, findings: Findings, actors: int) -> None:
    """A mirrored actor has several: the newest is damaged."""
    names = [f"grower-{number}" for number in range(actors)]
    database = await _grown(scene, _Grower, names)
    used: list[int] = []
    async with scene.system(at=database, faults=FaultPlan(scene.seed, (_DAMAGE,))) as system:
        faults = _paused(system.faults)
        async with loaded(scene, system) as load:
            for name in names:
                faults.resume()
                grower = await system.spawn(_Grower, name=name)
                faults.pause()
                used.append(await grower.ask(_Steps(), timeout=_TIMEOUT))
        await system.flush()
        kind = EventType.CHECKPOINT_REJECTED
        rejected = await system.store.events(system.name, event_type=kind, limit=10 * actors)
    findings.check("damaged checkpoints found and reported", actors, len(rejected), headline=True)
    findings.check("actors that went on from the one before", actors, used.count(2), headline=True)
    findings.others(load)


async def _states(scene: Scene, findings: Findings, actors: int) -> None:
    """A durable actor has one state: it does not start on a damaged one, and loses nothing by that."""
    names = [f"durable-{number}" for number in range(actors)]
    database = await _grown(scene, _Durable, names)
    refused, whole = 0, 0
    async with scene.system(at=database, faults=FaultPlan(scene.seed, (_DAMAGE,))) as system:
        faults = _paused(system.faults)
        for name in names:
            faults.resume()
            try:
                await system.spawn(_Durable, name=name)
            except CheckpointUnusable:
                refused += 1
            faults.pause()
            grower = await system.spawn(_Durable, name=name)
            whole += await grower.ask(_Steps(), timeout=_TIMEOUT) == 3
    findings.check("damaged durable states refused", actors, refused, headline=True)
    findings.check("durable actors that have all of it once it is read whole", actors, whole)


async def _messages(scene: Scene, findings: Findings, actors: int) -> None:
    """A durable actor has three pending, the second of which is the largest, and damaged."""
    names = [f"slip-{number}" for number in range(actors)]
    database = scene.database()
    async with scene.system(at=database) as system:
        await _pile_up(await _spawn_paused(system, names))
    heard: list[Alert] = []
    sound = 0
    async with scene.system(at=database, faults=FaultPlan(scene.seed, (_DAMAGE,))) as system:
        faults = _paused(system.faults)
        with system.alerts.subscribe(heard.append):
            for name in names:
                faults.resume()
                slip = await system.spawn(_Slip, name=name)
                faults.pause()
                sound += await slip.ask(_Numbers(), timeout=_TIMEOUT) == [0, 2]
        letters = system.dead_letters.counts[DeadLetterReason.UNHANDLED]
        is_balanced = (await system.audit()).is_balanced
    named = sum(alert.alert == "stored message damaged" for alert in heard)
    findings.check("damaged pending messages found, each with an alert", actors, named, headline=True)
    findings.check("of these, dead letters", actors, letters)
    findings.check("actors that handled the sound ones around it", actors, sound, headline=True)
    findings.holds("the audit is balanced with them", is_balanced, is_balanced)


async def _journal(scene: Scene, findings: Findings, starts: int) -> None:
    """What is in the journal alone: a start on a torn entry is refused, and takes nothing from it."""
    names = [f"slip-{number}" for number in range(3)]
    database = scene.database()
    rows_fail = Rule(point=FaultPoint.STORE_WRITE, action=FaultAction.RAISE)
    async with scene.system(at=database, drain_patience=0.05) as system:
        slips = await _spawn_paused(system, names)
        await system.flush()
        inject(system.store, Faults(FaultPlan(scene.seed, (rows_fail,))))
        await _pile_up(slips)
    whole = await _tear(database)
    refused = 0
    for _ in range(starts):
        try:
            async with scene.system(at=database):
                pass
        except StoreDamaged:
            refused += 1
    await _put(database, whole)
    async with scene.system(at=database) as system:
        slips = [await system.spawn(_Slip, name=name) for name in names]
        present = [await slip.ask(_Numbers(), timeout=_TIMEOUT) for slip in slips]
    findings.check("starts on a torn journal entry refused", starts, refused, headline=True)
    found = sum(numbers == [0, 1, 2] for numbers in present)
    findings.check("actors that have all of it once the entry is whole again", len(names), found)


async def _tear(database: Database) -> dict[str, Any]:
    """Take the last byte of the journal's largest entry away. Returns that entry as it was."""
    store = database.open()
    assert isinstance(store, SurrealStore)  # noqa: S101 - the caller has seen to that
    async with store:
        (entries,) = await store.query("SELECT id, body FROM journal")
    largest: dict[str, Any] = max(entries, key=lambda entry: len(entry["body"]))
    await _put(database, largest | {"body": largest["body"][:-1]})
    return largest


async def _put(database: Database, entry: dict[str, Any]) -> None:
    store = database.open()
    assert isinstance(store, SurrealStore)  # noqa: S101 - as above
    async with store:
        await store.query("UPDATE $id SET body = $body", id=entry["id"], body=entry["body"])


async def _spawn_paused(system: ActorSystem, names: Sequence[str]) -> list[ActorRef[_Slip]]:
    slips = [await system.spawn(_Slip, name=name) for name in names]
    for slip in slips:
        slip.pause()
    return slips


async def _pile_up(slips: Sequence[ActorRef[_Slip]]) -> None:
    """Three messages for each, which nobody handles in this system."""
    for slip in slips:
        for number in range(3):
            await slip.send(_Note(number, "0123456789" * (100 if number == 1 else 0)))


async def _grown(scene: Scene, cls: type[_Grower], names: Sequence[str]) -> Database:
    """A database with actors of that class, of three steps each."""
    database = scene.database()
    async with scene.system(at=database) as system:
        for name in names:
            grower = await system.spawn(cls, name=name)
            for _ in range(3):
                await grower.ask(_Grow(), timeout=_TIMEOUT)
    return database


def _paused(faults: Faults | None) -> Faults:
    assert faults is not None  # noqa: S101 - the system was given a plan
    faults.pause()
    return faults


ROW = Row(
    id="corrupt",
    injects="corrupt checkpoint, message or journal entry",
    shows="detected, older one used",
    about=(
        "One bit of the largest piece in each answer of the store is changed. While an actor is started: "
        "a mirrored one goes on from the checkpoint before, with an event that says so; a durable one, "
        "which has no older state that would be right, is not started, and has all of it when it is read "
        "undamaged; a pending message of a durable actor becomes a dead letter, and those around it are "
        "handled. Then the last byte of a journal entry is taken away that is in no rows yet: each start "
        "is refused, and one for which it is put back has all of it."
    ),
    run=_run,
)

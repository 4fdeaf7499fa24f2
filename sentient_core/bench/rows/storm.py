"""Very many random actions, from many tasks at once, and how many of the promises they break."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from sentient_core.actors.actor import Actor
from sentient_core.actors.handlers import handles
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.request import Request
from sentient_core.bench.findings import Findings
from sentient_core.bench.held import settled
from sentient_core.bench.row import Row
from sentient_core.bench.scene import Scene
from sentient_core.errors import AskTimeout, ChildError, DeliveryError, SentientError
from sentient_core.mailbox.dead_letters import DeadLetter
from sentient_core.supervisor import ChildSpec, Supervisor
from sentient_core.system import ActorSystem

__all__ = ["ROW"]

_DRIVERS = 8
_PER_CLASS = 4
_TIMEOUT = 60.0
_ACTIONS = {
    "tell": 40,
    "ask": 15,
    "send": 10,
    "fail": 8,
    "linger": 8,
    "kill": 4,
    "stop": 4,
    "terminate": 3,
    "start": 8,
}
"""How often each of them is done, in proportion."""


class _Add(Request[int], frozen=True):
    """One more, from a driver; the reply says how many there were."""

    number: int
    driver: int
    fails: bool = False
    lingers: bool = False


class _Book:
    """What the handlers have seen, outside of the actors and what becomes of them."""

    def __init__(self) -> None:
        self.handled: Counter[int] = Counter()
        self.dead: Counter[int] = Counter()
        self.refused: set[int] = set()
        self.violations: Counter[str] = Counter()
        self._busy: set[str] = set()
        self._incarnations: dict[str, int] = {}
        self._latest: dict[tuple[str, int], int] = {}

    def started(self, path: str, incarnation: int) -> None:
        """Incarnations only grow."""
        if incarnation <= self._incarnations.get(path, 0):
            self.violations["incarnation not greater than the one before"] += 1
        self._incarnations[path] = incarnation
        self._busy.discard(path)  # of a killed one, whose handler said nothing any more

    def begin(self, path: str, message: _Add) -> None:
        """One message at a time, those of a driver in its order."""
        if path in self._busy:
            self.violations["two messages of an actor at a time"] += 1
        self._busy.add(path)
        key = (path, message.driver)
        if message.number <= self._latest.get(key, -1):
            self.violations["messages of one sender out of order"] += 1
        self._latest[key] = message.number

    def end(self, path: str) -> None:
        """The handler is left, in whatever way."""
        self._busy.discard(path)

    def bury(self, letter: DeadLetter) -> None:
        """A dead letter."""
        if isinstance(letter.message, _Add):
            self.dead[letter.message.number] += 1


class _Target(Actor):
    class State(msgspec.Struct):
        added: int = 0

    state: State

    def __init__(self, book: _Book) -> None:
        self._book = book

    def on_start(self) -> None:
        self._book.started(self.context.ref.path, self.context.incarnation)

    @handles
    async def add(self, message: _Add) -> int:
        path = self.context.ref.path
        self._book.begin(path, message)
        try:
            self.state.added += 1
            if message.lingers:
                await anyio.sleep(0.001)
            if message.fails:
                raise ValueError("asked to")
            self._book.handled[message.number] += 1
            return self.state.added
        finally:
            self._book.end(path)


class _Volatile(_Target):
    durability = "volatile"


class _Mirrored(_Target):
    durability = "mirrored"


class _Durable(_Target):
    durability = "durable"


class _OneForOne(Supervisor):
    strategy = Supervisor.one_for_one(max_restarts=10**9, within=3600.0)


class _OneForAll(Supervisor):
    strategy = Supervisor.one_for_all(max_restarts=10**9, within=3600.0)


class _RestForOne(Supervisor):
    strategy = Supervisor.rest_for_one(max_restarts=10**9, within=3600.0)


async def _run(scene: Scene, findings: Findings) -> None:
    actions = scene.pick(quick=3_000, full=100_000)
    book = _Book()
    async with scene.system() as system:
        storm = _Storm(system, book, actions, scene)
        with system.dead_letters.subscribe(book.bury):
            await storm.begin()
            before = await settled(system)
            async with anyio.create_task_group() as drivers:
                for driver in range(_DRIVERS):
                    drivers.start_soon(storm.drive, driver)
            await storm.calm()
            after = await settled(system)
        audit = await system.audit()
        added = await storm.added()
        restarts = system.statistics().restarts
    sent = storm.sent
    ends = {number: book.handled[number] + book.dead[number] for number in range(sent)}
    missing = sum(not count and number not in book.refused for number, count in ends.items())
    doubled = sum(count > 1 for count in ends.values())
    violations = missing + doubled + book.violations.total()
    findings.loss("violations of an invariant", violations, actions, "actions", headline=True)
    findings.loss("lost", missing, sent)
    findings.loss("with two ends", doubled, sent)
    for name, count in book.violations.items():
        findings.note(f"{name}: {count:,} times")
    findings.check(
        "actors whose audit does not add up", [], [a.path for a in audit.actors if not a.is_balanced]
    )
    handled = sum(actor.handled for actor in audit.actors if actor.durability == "durable")
    findings.check("effects of handled messages on durable states", handled, added, headline=True)
    findings.figure("restarts on the way", restarts, "", headline=True)
    after.beyond(before, findings, actions, "actions", scene.store)


class _Storm:
    """Does the actions."""

    def __init__(self, system: ActorSystem, book: _Book, actions: int, scene: Scene) -> None:
        self._system = system
        self._book = book
        self._left = actions
        self._actions = actions
        self._scene = scene
        self._targets: list[tuple[ActorRef[Supervisor], str, ActorRef[_Target]]] = []
        """Each with its supervisor, and its name there."""
        self.sent = 0

    async def begin(self) -> None:
        """Three supervisors, each with four actors of each durability."""
        for strategy in (_OneForOne, _OneForAll, _RestForOne):
            boss = await self._system.spawn(strategy, name=strategy.strategy.kind.value)
            for cls in (_Volatile, _Mirrored, _Durable):
                for number in range(_PER_CLASS):
                    name = f"{cls.durability}-{number}"
                    ref = await boss.start_child(ChildSpec(cls, name=name, args=(self._book,)))
                    self._targets.append((boss, name, ref))

    async def drive(self, driver: int) -> None:
        """One action after the other."""
        dice = self._scene.dice(f"driver {driver}")
        while self._left:
            self._left -= 1
            await self._act(driver, dice)
            if self._left % 1_000 == 0:
                self._scene.progress(self._actions - self._left, self._actions)

    async def _act(self, driver: int, dice: random.Random) -> None:
        boss, name, ref = dice.choice(self._targets)
        match dice.choices(list(_ACTIONS), list(_ACTIONS.values()))[0]:
            case "tell":
                ref.tell(self._message(driver))
            case "fail":
                ref.tell(self._message(driver, fails=True))
            case "linger":
                ref.tell(self._message(driver, lingers=True))
            case "send":
                await self._deliver(ref, self._message(driver), is_asked=False)
            case "ask":
                await self._deliver(ref, self._message(driver), is_asked=True)
            case "kill":
                ref.kill()
            case "stop":
                ref.stop()
            case "terminate":
                with suppress(ChildError):  # another driver was faster
                    await boss.terminate_child(name)
            case _:
                with suppress(SentientError):  # it lives, or another driver was faster
                    await boss.restart_child(name)
        await checkpoint()

    async def _deliver(self, ref: ActorRef[_Target], message: _Add, *, is_asked: bool) -> None:
        try:
            if is_asked:
                await ref.ask(message, timeout=_TIMEOUT)
            else:
                await ref.send(message, timeout=_TIMEOUT)
        except AskTimeout:
            self._book.violations["ask that ended by its timeout"] += 1
        except DeliveryError:
            self._book.refused.add(message.number)  # or it is a dead letter

    def _message(self, driver: int, *, fails: bool = False, lingers: bool = False) -> _Add:
        self.sent += 1
        return _Add(self.sent - 1, driver, fails, lingers)

    async def calm(self) -> None:
        """Everybody lives again, and has handled what was queued."""
        for boss, name, ref in self._targets:
            with suppress(SentientError):
                await boss.restart_child(name)
            with suppress(DeliveryError):  # a kill of just now may take it
                await ref.ask(self._message(_DRIVERS), timeout=_TIMEOUT)
            await ref.ask(self._message(_DRIVERS), timeout=_TIMEOUT)

    async def added(self) -> int:
        """What the durable actors' states say in all."""
        total = 0
        for _, name, ref in self._targets:
            if name.startswith(_Durable.durability):
                total += await ref.ask(self._message(_DRIVERS), timeout=_TIMEOUT) - 1
        return total


ROW = Row(
    id="storm",
    injects="storm of 10⁵ random actions",
    shows="invariant violations",
    about=(
        "Eight tasks tell, ask, send, fail, kill, stop, terminate and restart 36 actors of all three "
        "durabilities under three supervisors, one per strategy. Checked: each message has one end, those of "
        "a task come in order, one at a time per actor, incarnations grow, no ask ends by its timeout, the "
        "audit adds up, the states of durable actors hold each handled message once, nothing is left behind."
    ),
    is_about_loop=True,
    run=_run,
)

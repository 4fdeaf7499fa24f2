"""Messages and actors that tests share, and what they watch them with."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio
import msgspec

from sentient_core import Actor, ActorSystem, DeadLetter, JournalOptions, MemoryStore, Request, handles
from sentient_core.actors.actor import DurabilityName

__all__ = [
    "Add",
    "Counter",
    "DurableCounter",
    "Fail",
    "Gate",
    "Log",
    "Pass",
    "Recorder",
    "Save",
    "Say",
    "Total",
    "VolatileCounter",
    "letters",
    "running",
]


class Log:
    """Lines that actors write down, in order; a test can wait for one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = anyio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._news.set()
        self._news = anyio.Event()

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    async def until(self, line: str, times: int = 1) -> None:
        """Return once `line` was written `times` times."""
        while self.lines.count(line) < times:
            await self._news.wait()


class Gate:
    """A place where handlers wait until the test lets them go on."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.open = anyio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.open.wait()


class Say(msgspec.Struct, frozen=True):
    text: str


class Fail(Request[None], frozen=True):
    why: str = "asked to"


class Pass(Request[str], frozen=True):
    """Wait at the gate."""


class Add(msgspec.Struct, frozen=True):
    amount: int = 1


class Total(Request[int], frozen=True):
    """Ask for the total."""


class Save(Request[str], frozen=True):
    """Take a checkpoint; the reply is its id."""


class Recorder(Actor):
    """Writes down what happens to it."""

    durability: ClassVar[DurabilityName] = "volatile"

    def __init__(self, log: Log, gate: Gate | None = None) -> None:
        self.log = log
        self.gate = gate

    def on_start(self) -> Any:
        self.log(f"{self.context.ref.name} start")

    def on_stop(self) -> Any:
        self.log(f"{self.context.ref.name} stop")

    def on_failure(self, cause: Exception) -> Any:
        self.log(f"{self.context.ref.name} failure {cause}")

    def on_restart(self, cause: BaseException | None) -> Any:
        self.log(f"{self.context.ref.name} restart {cause}")

    @handles
    def say(self, message: Say) -> Any:
        self.log(message.text)
        return message.text

    @handles
    def fail(self, message: Fail) -> Any:
        raise ValueError(message.why)

    @handles
    async def wait_at_the_gate(self, message: Pass) -> str:
        assert self.gate is not None
        self.log("waiting")
        try:
            await self.gate()
        except BaseException:
            self.log("interrupted")
            raise
        self.log("passed")
        return "passed"


class Counter(Actor):
    """Counts, and saves when it is told to."""

    class State(msgspec.Struct):
        total: int = 0

    state: State

    @handles
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handles
    def total(self, message: Total) -> int:
        return self.state.total

    @handles
    async def save(self, message: Save) -> str:
        return await self.checkpoint()

    @handles
    def fail(self, message: Fail) -> None:
        raise ValueError(message.why)


class VolatileCounter(Counter):
    durability = "volatile"


class DurableCounter(Counter):
    durability = "durable"


@asynccontextmanager
async def running(
    name: str = "test", *, store: MemoryStore | None = None, journal: JournalOptions | None = None
) -> AsyncGenerator[ActorSystem]:
    """An actor system on a memory store. A test that hangs in it fails after ten minutes (virtual ones)."""
    with anyio.fail_after(600):
        async with ActorSystem(name, store=store or MemoryStore(), journal=journal) as system:
            yield system


def letters(system: ActorSystem) -> list[tuple[Any, str]]:
    """The dead letters: message and reason."""

    def seen(letter: DeadLetter) -> tuple[Any, str]:
        return letter.message, letter.reason.value

    return [seen(letter) for letter in system.dead_letters]

"""An actor that watches others, and notes how often it was told of the end of each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import anyio

from sentient_core.actors.actor import Actor
from sentient_core.actors.handlers import handles
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.request import Request
from sentient_core.actors.watching import Terminated
from sentient_core.system import ActorSystem

__all__ = ["Witness"]

_TIMEOUT = 30.0


class _Watch(Request[None], frozen=True):
    path: str


class _Watcher(Actor):
    durability = "volatile"

    def __init__(self, witness: Witness) -> None:
        self._witness = witness

    @handles
    def watch(self, message: _Watch) -> None:
        self.context.watch(self._witness.system.get(message.path))

    @handles
    def ended(self, message: Terminated) -> None:
        self._witness.note(message)


class Witness:
    """Told of ends for good: `await witness.watch(ref)`, then `await witness.end_of(ref)`."""

    def __init__(self, system: ActorSystem) -> None:
        self.system: ActorSystem = system
        self.told: Counter[str] = Counter()
        """How often, by path; of several that lived at a path one after the other, in all."""
        self._watcher: ActorRef[_Watcher] | None = None
        self._news = anyio.Event()

    async def watch(self, ref: ActorRef[Any]) -> None:
        """Begin to watch it."""
        if self._watcher is None:
            self._watcher = await self.system.spawn(_Watcher, self)
        await self._watcher.ask(_Watch(ref.path), timeout=_TIMEOUT)

    async def until(self, path: str, times: int = 1) -> None:
        """Return once the end of who lived at a path was told so often in all."""
        while self.told[path] < times:
            await self._news.wait()

    def note(self, message: Terminated) -> None:
        """One more end."""
        self.told[message.ref.path] += 1
        self._news.set()
        self._news = anyio.Event()

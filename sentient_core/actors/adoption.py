"""Reads what durable actors have left in the store, for all that start at about the same time together.

One actor's estate is a few rows, and asking for them costs more than they do. So while one question is
under way, the paths of all who start meanwhile gather for the next one. And who knows which actors are
going to start has their estates read ahead: then nothing else is to be done meanwhile, and what reads need
of Python's one lock they get.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from sentient_core.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import TaskGroup

    from sentient_core.actors.registry import Registry
    from sentient_core.backend import Backend, Slot
    from sentient_core.store.protocols import Estate, Journal

__all__ = ["Adoption"]

AT_ONCE = 500
"""Actors whose estates are read together."""


class _Wish(msgspec.Struct, frozen=True, eq=False):
    path: str
    limit: int
    mark: int
    slot: Slot[Estate]


class Adoption:
    """Of one actor system."""

    def __init__(self, journal: Journal, registry: Registry, backend: Backend, tasks: TaskGroup) -> None:
        self._journal = journal
        self._registry = registry
        self._backend = backend
        self._tasks = tasks
        self._wishes: list[_Wish] = []
        self._ahead: dict[str, tuple[int, Estate]] = {}
        """Estates that were read before they were asked for, and how many messages were to be in them."""
        self._is_at_work = False

    async def estate(self, path: str, limit: int, *, has_lived: bool) -> Estate:
        """What has been left at a path, at most `limit` of its messages. Raises StoreUnavailable, Fenced.

        `has_lived`: an instance of the actor has written something since the system started.
        """
        limit_ahead, ahead = self._ahead.pop(path, (0, None))
        if ahead is not None and limit_ahead == limit and not (has_lived or self._registry.is_touched(path)):
            return ahead
        slot: Slot[Estate] = self._backend.slot()
        # Of an actor that only earlier starts have known, everything was committed before this one.
        is_new = has_lived or self._registry.is_touched(path)
        self._wishes.append(_Wish(path, limit, self._journal.mark() if is_new else 0, slot))
        if not self._is_at_work:
            self._is_at_work = True
            self._tasks.start_soon(self._work, name="sentient-core adoption")
        return await slot

    async def read_ahead(self, paths: Sequence[str], limit: int) -> None:
        """Read the estates of actors that are about to start. What cannot be read, they read themselves."""
        untouched = [path for path in paths if not self._registry.is_touched(path)]
        with suppress(StoreError):
            for first in range(0, len(untouched), AT_ONCE):
                some = untouched[first : first + AT_ONCE]
                estates = await self._journal.estates(some, limit, mark=0)
                self._ahead |= {path: (limit, estate) for path, estate in estates.items()}

    def forget_ahead(self) -> None:
        """Whoever was to start has done so."""
        self._ahead.clear()

    async def _work(self) -> None:
        some: list[_Wish] = []
        try:
            while self._wishes:
                limit = self._wishes[0].limit
                some = [wish for wish in self._wishes if wish.limit == limit][:AT_ONCE]
                taken = set(map(id, some))
                self._wishes = [wish for wish in self._wishes if id(wish) not in taken]
                await self._read(some, limit)
        finally:
            self._is_at_work = False
            ended = StoreUnavailable("the system has ended")
            for wish in (*some, *self._wishes):  # only where it was cancelled
                wish.slot.fail(ended)
            self._wishes.clear()

    async def _read(self, wishes: list[_Wish], limit: int) -> None:
        paths = [wish.path for wish in wishes]
        try:
            estates = await self._journal.estates(paths, limit, mark=max(wish.mark for wish in wishes))
        except StoreError as error:
            for wish in wishes:
                wish.slot.fail(error)
        except Exception as error:  # noqa: BLE001 - whatever a damaged row makes of reading: it is each starter's
            for wish in wishes:
                wish.slot.fail(StoreUnavailable(f"what '{wish.path}' has left cannot be read: {error}"))
        else:
            for wish in wishes:
                wish.slot.set(estates[wish.path])

"""A hint for who has named no system: the store knows others, and not the one that is meant then.

`EventBus(config)` beside `ActorSystem("shop", store=config)` finds nothing, and nothing would say why.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol, runtime_checkable

from sentient_core.errors import StoreError
from sentient_core.logs import RuntimeLog
from sentient_core.store.protocols import Store

__all__ = ["KnowsSystems", "OtherSystems"]

_MOST_NAMED = 5


@runtime_checkable
class KnowsSystems(Protocol):
    """A store that can tell which systems have started on it."""

    async def systems(self) -> list[str]:
        """Their names, sorted."""
        ...


class OtherSystems:
    """Looks once, at the first call of `hint`, and says so if there is something to say."""

    __slots__ = ("_is_due", "_store", "_system", "_who")

    def __init__(self, store: Store, system: str, who: str, *, is_due: bool) -> None:
        """`is_due`: nobody has named the system. `who` is what works on it."""
        self._store = store
        self._system = system
        self._who = who
        self._is_due = is_due

    async def hint(self, log: RuntimeLog) -> None:
        """Warn if systems have started on the store, and this one has not."""
        if not self._is_due:
            return
        self._is_due = False
        if not isinstance(self._store, KnowsSystems):
            return
        with suppress(StoreError):  # whoever asks is told of that anyway
            names = await self._store.systems()
            if names and self._system not in names:
                more = ", …" if len(names) > _MOST_NAMED else ""
                log.warning(
                    "no system of this name has run on this store: say which is meant, by system=NAME",
                    who=self._who,
                    there=", ".join(names[:_MOST_NAMED]) + more,
                )

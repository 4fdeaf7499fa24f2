"""Deposits in pykka actors, started by hand again with the process: what they know ends with it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentient_core.bench.peers.child import Child

__all__ = ["run"]

_pykka: Any = importlib.import_module("pykka")
_TIMEOUT = 60.0


class _Till(_pykka.ThreadingActor):  # type: ignore[misc]
    """Writes down each deposit; any other message asks for what is there."""

    def __init__(self, child: Child) -> None:
        _pykka.ThreadingActor.__init__(self)
        self._child = child
        self._numbers: list[int] = []

    def on_receive(self, message: int | None) -> list[int] | None:
        if message is None:
            return self._numbers
        self._child.executed(message)
        self._numbers.append(message)
        return None


def run(child: Child) -> list[int]:
    """Deposit until killed; in the last process, return what is recorded."""
    tills: list[Any] = [_Till.start(child) for _ in range(child.plan.tills)]
    child.with_threads(lambda number: tills[number % child.plan.tills].ask(number, timeout=_TIMEOUT))
    return [number for till in tills for number in till.ask(None, timeout=_TIMEOUT)]

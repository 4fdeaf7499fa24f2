"""Runtimes that are broken on purpose: what a simulation finds out, to be believed when it finds nothing.

Each replaces one small thing of the runtime by one that does it wrong, for the time of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeAlias
from zlib import crc32

from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.actors.inbox import Inbox
from sentient_core.actors.watching import Watch
from sentient_core.mailbox.mailbox import Mailbox
from sentient_core.store import memory
from sentient_core.store.memory import MemoryJournal
from sentient_core.supervisor.intensity import RestartWindow
from sentient_core.testing.simulation.cast import Job

__all__ = ["BROKEN", "break_runtime"]

_Patch: TypeAlias = tuple[type, str, Callable[[Any], Any]]
"""Whose, which method, and what makes the wrong one of the right one."""

_FEW = 2
"""One message in so many is chosen."""


@contextmanager
def break_runtime(name: str | None) -> Generator[None]:
    """Within it the runtime is broken; None: it is as ever. It holds for the process."""
    if name is None:
        yield
        return
    owner, method, wrong = BROKEN[name]
    right = vars(owner)[method]
    setattr(owner, method, wrong(right))
    try:
        yield
    finally:
        setattr(owner, method, right)


def _is_chosen(entry: Any) -> bool:
    """By what it is, so that a program goes wrong in the same way each time."""
    message = entry[0]
    return isinstance(message, Job) and crc32(message.task.id.encode()) % _FEW == 0


def _before_turns(do: Callable[[Any], None]) -> Callable[[Any], Any]:
    def wrong(right: Callable[[Cell], Coroutine[Any, Any, bool]]) -> Any:
        def turn(self: Cell) -> Coroutine[Any, Any, bool]:
            if self.status is CellStatus.RUNNING and self.mailbox.queue:
                do(self.mailbox.queue)
            return right(self)

        return turn

    return wrong


def _lose(queue: Any) -> None:
    if len(queue) > 1 and _is_chosen(queue[0]):
        queue.popleft()


def _double(queue: Any) -> None:
    if _is_chosen(queue[0]) and queue[0][2] is None:
        queue.append(queue[0])


def _swap(queue: Any) -> None:
    if len(queue) > 1 and all(isinstance(entry[0], Job) for entry in islice(queue, 2)):
        first = queue.popleft()
        queue.insert(1, first)


def _forget_queue(right: Callable[[Mailbox], Any]) -> Any:
    def close(self: Mailbox) -> Any:
        queued, line = right(self)
        return [entry for entry in queued if not _is_chosen(entry)], line

    return close


def _spend(right: Callable[[RestartWindow, float], bool]) -> Any:
    def spend(self: RestartWindow, now: float) -> bool:
        self.max_restarts += 1
        try:
            return right(self, now)
        finally:
            self.max_restarts -= 1

    return spend


def _spare(right: Callable[[RestartWindow, float], bool]) -> Any:
    def spend(self: RestartWindow, now: float) -> bool:
        return len(self) + 1 < self.max_restarts and right(self, now)

    return spend


def _at_once(_right: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    async def committed(_self: MemoryJournal, _mark: int | None = None) -> None:
        return None

    return committed


def _nothing(_right: Callable[..., Any]) -> Any:
    def nothing(*_: Any, **__: Any) -> None:
        return None

    return nothing


BROKEN: Mapping[str, _Patch] = MappingProxyType(
    {
        "loses-a-message": (Cell, "turn", _before_turns(_lose)),
        "handles-a-message-twice": (Cell, "turn", _before_turns(_double)),
        "swaps-two-messages": (Cell, "turn", _before_turns(_swap)),
        "forgets-a-queue": (Mailbox, "close", _forget_queue),
        "restarts-once-too-often": (RestartWindow, "spend", _spend),
        "gives-up-too-early": (RestartWindow, "spend", _spare),
        "forgets-a-watcher": (Watch, "tell", _nothing),
        "acknowledges-before-the-commit": (MemoryJournal, "committed", _at_once),
        "keeps-the-state-of-a-failed-turn": (Inbox, "roll_back", _nothing),
        "handles-what-is-settled": (vars(memory)["_Records"], "_settle", _nothing),
    }
)
"""What is wrong, and how it comes about."""

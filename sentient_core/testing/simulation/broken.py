"""Runtimes that are broken on purpose: what a simulation finds out, to be believed when it finds nothing.

Each replaces one small thing of the runtime by one that does it wrong, for the time of a block.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from itertools import islice
from types import MappingProxyType
from typing import Any, TypeAlias
from zlib import crc32

from sentient_core.actors.cell import Cell, CellStatus
from sentient_core.actors.inbox import Inbox
from sentient_core.actors.watching import Watch
from sentient_core.events import AgentEvent
from sentient_core.events.follower import Follower
from sentient_core.events.publishing import JournalPublisher
from sentient_core.mailbox import DeadLetter, DeadLetterReason, DeadLetters
from sentient_core.mailbox.mailbox import Mailbox
from sentient_core.store import memory
from sentient_core.store.memory import MemoryJournal
from sentient_core.store.records import Published
from sentient_core.supervisor.intensity import RestartWindow
from sentient_core.testing.simulation.cast import Job

__all__ = ["BROKEN", "OF_FAULTS", "break_runtime"]

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
    return isinstance(message, Job) and _is_named(message.task.id)


def _is_named(id_: str) -> bool:
    return crc32(id_.encode()) % _FEW == 0


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


def _skip(right: Callable[..., Coroutine[Any, Any, Iterator[AgentEvent]]]) -> Any:
    async def page(self: Follower) -> Iterator[AgentEvent]:
        return (event for event in await right(self) if not _is_named(event.event_id))

    return page


def _repeat(right: Callable[..., Coroutine[Any, Any, Iterator[AgentEvent]]]) -> Any:
    async def page(self: Follower) -> Iterator[AgentEvent]:
        events = await right(self)
        return (event for one in events for event in ((one, one) if _is_named(one.event_id) else (one,)))

    return page


def _turn_round(right: Callable[..., Coroutine[Any, Any, Iterator[AgentEvent]]]) -> Any:
    async def page(self: Follower) -> Iterator[AgentEvent]:
        return iter([*await right(self)][::-1])

    return page


def _out_at_once(right: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    async def publish(self: JournalPublisher, event: AgentEvent) -> None:
        apart = copy(self)
        vars(apart)["_in_turn"] = _never
        await right(apart, event)

    return publish


def _never(_record: Published) -> bool:
    return False


def _forget_dropped(right: Callable[[DeadLetters, DeadLetter], None]) -> Any:
    def add(self: DeadLetters, letter: DeadLetter) -> None:
        if letter.reason is not DeadLetterReason.DROPPED:
            right(self, letter)

    return add


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
        "skips-an-event": (Follower, "page", _skip),
        "delivers-an-event-twice": (Follower, "page", _repeat),
        "turns-events-round": (Follower, "page", _turn_round),
        "publishes-what-has-failed": (JournalPublisher, "publish", _out_at_once),
        "forgets-what-was-dropped": (DeadLetters, "add", _forget_dropped),
        "handles-what-is-settled": (vars(memory)["_Records"], "_settle", _nothing),
    }
)
"""What is wrong, and how it comes about."""

OF_FAULTS: frozenset[str] = frozenset({"forgets-what-was-dropped"})
"""What is seen only where a plan of faults strikes."""

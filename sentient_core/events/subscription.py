"""What `subscribe` and `subscription` return: a callback that is called, or an iterator, with each event."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Awaitable, Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias
from uuid import uuid4

import anyio
import anyio.lowlevel

from sentient_core.causes import in_a_line, last_lines
from sentient_core.errors import EventBusStopped

if TYPE_CHECKING:
    from sentient_core.events.acknowledging import Acknowledger
    from sentient_core.events.agent_event import AgentEvent
    from sentient_core.events.follower import Follower

__all__ = ["TRIES", "Callback", "EventIterator", "EventSubscription"]

Callback: TypeAlias = "Callable[[AgentEvent], object] | Callable[[AgentEvent], Awaitable[object]]"

TRIES = 3
"""How often a callback is called with an event before that becomes a dead letter."""

_PAUSES = (0.05, 0.25)
"""Seconds between the tries."""

_AT_ONCE = 50
"""Events that a plain callback gets before others have their turn."""


class _Home(Protocol):
    """What a subscription needs of its bus."""

    async def begin(self, follower: Follower, after: str | None, name: str | None) -> Acknowledger | None:
        """Find the places where it begins; of a named one whoever notes what is acknowledged."""
        ...

    def enter(self, iterator: EventIterator) -> None:
        """It is one of the bus's subscriptions."""
        ...

    def leave(self, id_: str, follower: Follower, /) -> None:
        """The subscription of this id has ended."""
        ...

    async def bury(self, event: AgentEvent, who: str, cause: BaseException) -> None:
        """No try has succeeded."""
        ...

    def count(self, *, delivered: int = 0, retried: int = 0) -> None: ...

    def log_failure(self, fields: Callable[[], dict[str, Any]]) -> None: ...


class EventSubscription:
    """A callback of an event bus.

    Events come one at a time, in the order of commits. A callback that raises is called again with the same
    event, three times in all; then that event is a dead letter (`failed`), and the next one comes. Others do
    not wait for it. `error` says why a subscription has ended by itself.
    """

    def __init__(
        self, home: _Home, follower: Follower, callback: Callback, after: str | None, name: str | None
    ) -> None:
        self.id: str = str(uuid4())
        self.name: str | None = name
        self.is_active: bool = True
        """The callback is still called."""
        self.error: Exception | None = None
        """CursorExpired, SubscriberTaken, Fenced or another StoreError."""
        self._home = home
        self.follower = follower
        self._callback = callback
        self._after = after
        self._waiting: anyio.CancelScope | None = None
        self._has_begun = anyio.Event()

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"EventSubscription(id={self.id!r}, name={self.name!r}, is_active={self.is_active})"

    def unsubscribe(self) -> None:
        """Call the callback no more. One that runs comes to its end; it may do this itself. Idempotent."""
        if not self.is_active:
            return
        self.is_active = False
        if self._waiting is not None:
            self._waiting.cancel()

    async def begun(self) -> None:
        """Return when it follows: whatever is published from then on comes, whoever publishes it.

        What is published by the bus that it belongs to, or happens in its system, comes without this. Raises
        what it has ended with.
        """
        await self._has_begun.wait()
        if self.error is not None:
            raise self.error

    @property
    def cursor(self) -> str | None:
        """How far it is; None: it has not begun."""
        return str(self.follower.cursor) if self.follower.places else None

    async def run(self) -> None:
        """Follow until it is unsubscribed or cancelled."""
        acknowledger: Acknowledger | None = None
        try:
            if self.is_active:  # else it takes no name from anybody
                with anyio.CancelScope() as self._waiting:
                    acknowledger = await self._home.begin(self.follower, self._after, self.name)
                self._waiting = None
            self._has_begun.set()
            if acknowledger is None:
                await self._follow(None)
            else:
                async with acknowledger:
                    await self._follow(acknowledger)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            self.error = error
            fields = {"subscription": self.name or self.id, "error": str(error)}
            self._home.log_failure(lambda: {"callback": _name(self._callback), **fields})
        finally:
            self.is_active = False
            self._has_begun.set()
            self._home.leave(self.id, self.follower)

    async def _follow(self, acknowledger: Acknowledger | None) -> None:
        while self.is_active:
            events: Iterator[AgentEvent] = iter(())
            with anyio.CancelScope() as self._waiting:
                await anyio.lowlevel.checkpoint()
                events = await self.follower.page()
            self._waiting = None
            for count, event in enumerate(events, 1):
                if not self._goes_on():  # it was unsubscribed when there was something already
                    return
                if not await self._deliver(event):
                    return
                if acknowledger is not None:
                    acknowledger.note(self.follower, event)
                if count % _AT_ONCE == 0:
                    await anyio.lowlevel.checkpoint()
            if acknowledger is not None:
                acknowledger.note(self.follower)

    def _goes_on(self) -> bool:
        return self.is_active

    async def _deliver(self, event: AgentEvent) -> bool:
        """Call with an event until it is handled, or a dead letter. False: it is for the next of the name."""
        tries = 0
        while True:
            tries += 1
            try:
                answer = self._callback(event)
                if inspect.isawaitable(answer):
                    await answer
            except Exception as error:  # noqa: BLE001 - it is the user's, and is supervised here
                self._home.log_failure(_failure(self._callback, event, tries, error))
                if tries < TRIES and self.is_active:
                    await anyio.sleep(_PAUSES[tries - 1])
                if tries < TRIES and not self.is_active and self.name is not None:
                    return False
                if tries >= TRIES or not self.is_active:
                    await self._home.bury(event, self.name or self.id, error)
                    return True
                self._home.count(retried=1)
            else:
                self._home.count(delivered=1)
                return True


class EventIterator:
    """Events one after the other: `async with bus.subscription(...) as events: async for event in events`.

    With a name, an event is acknowledged when the next one is asked for, and the last one when the block is
    left in order. Raises CursorExpired, SubscriberTaken, and what ends a store for good. Ends with the bus.
    """

    def __init__(self, home: _Home, follower: Follower, after: str | None, name: str | None) -> None:
        self.id: str = str(uuid4())
        self.name: str | None = name
        self.is_active: bool = False
        self._home = home
        self.follower = follower
        self._after = after
        self._acknowledger: Acknowledger | None = None
        self._noting: list[Acknowledger] = []
        """The same, for whoever is told when this is dropped."""
        self._finalizer: weakref.finalize[..., EventIterator] | None = None
        self._page: Iterator[AgentEvent] = iter(())
        self._in_hand: AgentEvent | None = None
        self._waiting: anyio.CancelScope | None = None
        self._is_over = False
        self._has_begun = False

    async def __aenter__(self) -> Self:
        if self._has_begun:
            raise EventBusStopped("be followed twice by one iterator")
        self._has_begun = True
        self._home.enter(self)
        try:
            acknowledger = await self._home.begin(self.follower, self._after, self.name)
            if acknowledger is not None:
                self._acknowledger = await acknowledger.__aenter__()
                self._noting.append(acknowledger)
        except BaseException:
            self._leave()
            raise
        self.is_active = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unsubscribe()
        try:
            if self._acknowledger is not None:
                if error is None or isinstance(error, StopAsyncIteration):
                    self._acknowledge()
                await self._acknowledger.__aexit__(kind, error, trace)
        finally:
            self._leave()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AgentEvent:
        await anyio.lowlevel.checkpoint()
        self._acknowledge()
        while not self._is_over:
            for event in self._page:
                self._in_hand = event
                self._home.count(delivered=1)
                return event
            if self._acknowledger is not None:
                self._acknowledger.check()
                self._acknowledger.note(self.follower)
            with anyio.CancelScope() as self._waiting:
                self._page = await self.follower.page()
            self._waiting = None
        raise StopAsyncIteration

    @property
    def cursor(self) -> str:
        """How far it is: behind the event before the one in hand."""
        return str(self.follower.cursor)

    def unsubscribe(self) -> None:
        """End the iteration. Idempotent."""
        self.is_active = False
        self._is_over = True
        if self._waiting is not None:
            self._waiting.cancel()

    def when_dropped(self, call: Callable[[Follower, Acknowledger | None], None]) -> None:
        """Call this if nobody has the iterator any more, and it was not closed."""
        self._finalizer = weakref.finalize(self, _dropped, call, self.follower, self._noting)
        self._finalizer.atexit = False

    def _leave(self) -> None:
        if self._finalizer is not None:
            self._finalizer.detach()
        self._home.leave(self.id, self.follower)

    def _acknowledge(self) -> None:
        event, self._in_hand = self._in_hand, None
        if event is not None and self._acknowledger is not None:
            self._acknowledger.note(self.follower, event)


def _dropped(
    call: Callable[[Follower, Acknowledger | None], None], follower: Follower, noting: list[Acknowledger]
) -> None:
    call(follower, noting[0] if noting else None)


def _name(callback: Callable[..., object]) -> str:
    return getattr(callback, "__qualname__", None) or type(callback).__qualname__


def _failure(
    callback: Callable[..., object], event: AgentEvent, tries: int, error: Exception
) -> Callable[[], dict[str, Any]]:
    return lambda: {
        "callback": _name(callback),
        "event_id": event.event_id,
        "tries": tries,
        "error": in_a_line(error),
        "exception": last_lines(error),
    }

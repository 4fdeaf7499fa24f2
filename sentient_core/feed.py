"""A feed: tells whoever subscribed of each new item, on the loop's thread, and is disturbed by nobody."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import anyio
import anyio.lowlevel

from sentient_core.causes import last_lines
from sentient_core.errors import InvalidArgument
from sentient_core.logs import LimitedLog

__all__ = ["Feed", "Following", "Subscription"]

T = TypeVar("T")


class Subscription:
    """What `subscribe` returns; also a context manager that ends it."""

    __slots__ = ("_end", "is_active")

    def __init__(self, end: Callable[[Subscription], None]) -> None:
        self._end = end
        self.is_active: bool = True
        """The callback is still called."""

    def unsubscribe(self) -> None:
        """Call the callback no more, from this moment on; it may do so itself. Idempotent."""
        self.is_active = False
        self._end(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unsubscribe()


class Following(Generic[T]):
    """What `follow` returns: the new items one after the other, each once, from a bounded buffer.

    Ends, behind what is still buffered, with the feed or when its block is left. Several tasks may
    iterate over it; each item goes to one of them.
    """

    __slots__ = ("_buffer", "_feed", "_has_news", "_is_over", "_items", "_subscription", "missed")

    def __init__(self, feed: _Source[T], buffer: int) -> None:
        self._feed = feed
        self._buffer = buffer
        self._items: deque[T] = deque()
        self._has_news: anyio.Event | None = None
        self._is_over = False
        self._subscription: Subscription | None = None
        self.missed: int = 0
        """Items that found the buffer full: they are not among those that come."""

    async def __aenter__(self) -> Self:
        if self._subscription is not None:
            raise InvalidArgument("this has been entered before: call follow() again")
        self._subscription = self._feed.connect(self)
        await anyio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._subscription is not None:
            self._subscription.unsubscribe()
        self.end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        await anyio.lowlevel.checkpoint()
        while not self._items:
            if self._is_over:
                raise StopAsyncIteration
            if self._has_news is None:
                self._has_news = anyio.Event()
            await self._has_news.wait()
        return self._items.popleft()

    def add(self, item: T) -> None:
        """For the feed: a new item."""
        if len(self._items) < self._buffer:
            self._items.append(item)
            self._wake()
        else:
            self.missed += 1

    def end(self) -> None:
        """For the feed: there will be no more."""
        self._is_over = True
        self._wake()

    def _wake(self) -> None:
        news, self._has_news = self._has_news, None
        if news is not None:
            news.set()


class _Source(Protocol[T]):
    """What a `Following` needs of its feed."""

    def connect(self, following: Following[T]) -> Subscription: ...


class Feed(Generic[T]):
    """Items of one kind as they come up, for any number of subscribers. Belongs to the loop's thread.

    `publish` calls every callback before it returns, in the order of subscribing. What a callback
    raises is logged; it stays subscribed. An item that comes up while a callback runs, since the
    callback caused it, is told to the others and not to that one.
    """

    __slots__ = ("_failures", "_followings", "_is_over", "_listeners")

    def __init__(self, failures: LimitedLog) -> None:
        self._failures = failures
        self._listeners: tuple[_Listener[T], ...] = ()  # replaced, never changed: publish walks along it
        self._followings: dict[Subscription, Following[T]] = {}
        self._is_over = False

    @property
    def listeners(self) -> int:
        """Callbacks and iterations that are told now."""
        return len(self._listeners)

    def publish(self, item: T) -> None:
        """Tell everybody. Never raises an Exception."""
        for listener in self._listeners:
            listener.hear(item, self._failures)

    def subscribe(self, callback: Callable[[T], object]) -> Subscription:
        """Call `callback` with each new item, on the loop's thread and in the context of this call.

        It runs in the middle of whatever brought the item up, so it should do no more than hand over
        (a `tell`, a counter, an event to set). Raises InvalidArgument for what cannot be called, and
        for a coroutine function.
        """
        if not _is_plain_function(callback):
            raise InvalidArgument(
                f"a callback must be a plain function of one argument, not {callback!r}. To await for each "
                "item, use `async with ….follow() as items: async for item in items`."
            )
        return self._listen(callback)

    def follow(self, buffer: int = 1_000) -> Following[T]:
        """The new items from here on, to iterate over: `async with feed.follow() as items`.

        At most `buffer` of them wait for the iteration; the rest are counted in `missed`. The iteration
        ends when the feed does. Raises InvalidArgument for a buffer without room.
        """
        if not _is_count(buffer):
            raise InvalidArgument(f"buffer must be a whole number of items above 0, not {buffer!r}")
        return Following(self, buffer)

    def connect(self, following: Following[T]) -> Subscription:
        """For `Following`: it is entered."""
        subscription = self._listen(following.add)
        if self._is_over:
            following.end()
        else:
            self._followings[subscription] = following
        return subscription

    def close(self) -> None:
        """The last item has been published: end those who follow, log what was suppressed."""
        self._is_over = True
        for following in list(self._followings.values()):
            following.end()
        self._followings.clear()
        self._failures.close()

    def _listen(self, callback: Callable[[T], object]) -> Subscription:
        subscription = Subscription(self._leave)
        self._listeners = (*self._listeners, _Listener(subscription, callback))
        return subscription

    def _leave(self, subscription: Subscription) -> None:
        self._listeners = tuple(one for one in self._listeners if one.subscription is not subscription)
        self._followings.pop(subscription, None)


class _Listener(Generic[T]):
    __slots__ = ("_callback", "_context", "_is_running", "subscription")

    def __init__(self, subscription: Subscription, callback: Callable[[T], object]) -> None:
        self.subscription = subscription
        self._callback = callback
        # What brings an item up is some actor's turn; the callback is not part of it.
        self._context = copy_context()
        self._is_running = False

    def hear(self, item: T, failures: LimitedLog) -> None:
        if self._is_running or not self.subscription.is_active:
            return
        self._is_running = True
        try:
            self._context.run(self._callback, item)
        except Exception as error:  # noqa: BLE001 - it is the user's, and whoever published is not to blame
            failures.warning(_fields(self._callback, error))
        finally:
            self._is_running = False


def _is_plain_function(value: object) -> bool:
    return callable(value) and not (iscoroutinefunction(value) or iscoroutinefunction(type(value).__call__))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _fields(callback: Callable[..., object], error: Exception) -> Callable[[], dict[str, Any]]:
    name = getattr(callback, "__qualname__", None) or type(callback).__qualname__
    return lambda: {"callback": name, "exception": last_lines(error)}

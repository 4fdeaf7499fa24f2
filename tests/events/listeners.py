"""Who follows buses in tests, and what they publish."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from sentient_core.events import AgentEvent, EventBus

__all__ = ["Seen", "an_event", "publish", "until"]

_PATIENCE = 90.0


class Seen:
    """A callback that remembers, and lets a test wait."""

    def __init__(self) -> None:
        self.events: list[AgentEvent] = []
        self._news = anyio.Event()

    def __call__(self, event: AgentEvent) -> None:
        self.events.append(event)
        self._news.set()

    @property
    def numbers(self) -> list[object]:
        return [event.payload.get("n") for event in self.events]

    async def until(self, count: int) -> None:
        with anyio.fail_after(_PATIENCE):
            while len(self.events) < count:
                self._news = anyio.Event()
                await self._news.wait()


def an_event(n: int = 0, **fields: Any) -> AgentEvent:
    given: dict[str, Any] = {"event_type": "shop.sold", "source_agent": "web", "payload": {"n": n}} | fields
    return AgentEvent(**given)


async def publish(bus: EventBus, *numbers: int, **fields: Any) -> None:
    for n in numbers:
        await bus.publish_event(an_event(n, **fields))


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Return when it holds: for what no event tells."""
    with anyio.fail_after(_PATIENCE):
        while True:
            answer = condition()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await anyio.sleep(0.002)

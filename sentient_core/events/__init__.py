"""Events: what the runtime and its agents write down, and what others publish, for whoever follows."""

from __future__ import annotations

from sentient_core.events.agent_event import AgentEvent
from sentient_core.events.bus import EventBus, EventBusStatistics
from sentient_core.events.event_type import EventType
from sentient_core.events.mirror import Mirror
from sentient_core.events.subscription import EventIterator, EventSubscription

__all__ = [
    "AgentEvent",
    "EventBus",
    "EventBusStatistics",
    "EventIterator",
    "EventSubscription",
    "EventType",
    "Mirror",
]

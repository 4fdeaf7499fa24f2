"""Events: what the runtime writes down about messages and actors."""

from __future__ import annotations

from sentient_core.events.event_type import EventType
from sentient_core.events.mirror import Mirror

__all__ = ["EventType", "Mirror"]

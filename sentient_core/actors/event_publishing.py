"""What users publish in a running system: within a durable turn as a part of it; and what dies of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sentient_core.actors.delivery import open_turn
from sentient_core.causes import in_a_line, last_lines
from sentient_core.events import AgentEvent, EventBus
from sentient_core.events.publishing import JournalPublisher, Publisher
from sentient_core.faults.points import FaultPoint
from sentient_core.mailbox import DeadLetter, DeadLetterReason

if TYPE_CHECKING:
    from sentient_core.actors.runtime import Runtime
    from sentient_core.config import Settings
    from sentient_core.faults import Faults
    from sentient_core.store.protocols import Store
    from sentient_core.store.records import Published
    from sentient_core.store.streams import EventStreams

__all__ = ["bus_of"]


def bus_of(
    runtime: Runtime, store: Store, system: str, streams: EventStreams, settings: Settings
) -> EventBus:
    """The event bus of a running system; its `serve` is to run."""
    mirror = runtime.mirror
    publisher: Publisher
    publisher = JournalPublisher(mirror, runtime.backend, partial(_in_turn, runtime), partial(_bury, runtime))
    if runtime.faults is not None:
        publisher = _FaultyPublisher(publisher, runtime.faults)
    return EventBus.of_journal(store, system, streams, mirror.journal, publisher, settings)


class _FaultyPublisher:
    """PUBLISH, and the publisher behind it."""

    def __init__(self, publisher: Publisher, faults: Faults) -> None:
        self._faults = faults
        self._behind = publisher
        self.settle = publisher.settle
        self.bury = publisher.bury

    async def publish(self, event: AgentEvent) -> None:
        """See `Publisher.publish`. Raises FaultInjected."""
        await self._faults.pass_by(FaultPoint.PUBLISH, event.source_agent, str(event.event_type))
        await self._behind.publish(event)


def _in_turn(runtime: Runtime, event: Published) -> bool:
    """Make it a part of the durable turn that the caller belongs to, if there is one."""
    turn = open_turn()
    if turn is None or turn.runtime is not runtime:
        return False
    turn.record(event, at_close=_nothing, undo=_nothing)
    return True


def _nothing() -> None:
    """The record is all there is."""


def _bury(runtime: Runtime, event: AgentEvent, who: str, cause: BaseException, tries: int) -> None:
    """A dead letter of an event that a callback has failed with at every try."""
    recipient, words = f"$subscriber/{who}", in_a_line(cause)
    message_id = runtime.mirror.dead_letter(
        event, recipient, event.source_agent, DeadLetterReason.FAILED.value, words, None, 0, tries
    )
    runtime.dead_letters.add(
        DeadLetter(
            message=event,
            reason=DeadLetterReason.FAILED,
            recipient=recipient,
            sender=event.source_agent,
            message_id=message_id,
            correlation_id=event.correlation_id,
            cause=words,
            tries=tries,
            traceback=last_lines(cause),
        )
    )

"""The two ways in which a published event is committed, and where those end that no callback could handle."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from sentient_core.causes import in_a_line, last_lines
from sentient_core.errors import StoreUnavailable
from sentient_core.events.payloads import packed
from sentient_core.store.records import DeadLetterRecord, Published
from sentient_core.store.views import nanoseconds

if TYPE_CHECKING:
    from sentient_core.backend import Backend
    from sentient_core.events.agent_event import AgentEvent
    from sentient_core.events.mirror import Mirror
    from sentient_core.store.streams import EventStreams

__all__ = ["BesidePublisher", "FreePublisher", "JournalPublisher", "Publisher"]

_CAUSE = 2_000
_encode = msgspec.msgpack.Encoder().encode


class Publisher(Protocol):
    """Commits events, and says where those end that a callback has failed with."""

    async def publish(self, event: AgentEvent) -> None:
        """Return when it is committed. Raises InvalidPayload before anything has happened; StoreError."""
        ...

    async def settle(self) -> None:
        """Return when what was published here can be read."""
        ...

    async def bury(self, event: AgentEvent, who: str, cause: BaseException, tries: int) -> None:
        """Write a dead letter."""
        ...


class FreePublisher:
    """Into the external stream of a system, from wherever this is."""

    def __init__(self, streams: EventStreams, stream: str, has_begun: Callable[[], Awaitable[None]]) -> None:
        self._streams = streams
        self._stream = stream
        self._has_begun = has_begun

    async def publish(self, event: AgentEvent) -> None:
        """See `Publisher.publish`."""
        record = _record_of(event, 0, self._streams.largest_event)
        await self._has_begun()  # who subscribed before is to have it
        await self._streams.append(self._stream, [record])

    async def settle(self) -> None:
        """See `Publisher.settle`: a commit is in its rows."""

    async def bury(self, event: AgentEvent, who: str, cause: BaseException, tries: int) -> None:
        """See `Publisher.bury`."""
        letter = _letter_of(event, who, cause, tries, self._streams.largest_event)
        await self._streams.add_dead_letter(self._stream, f"{event.event_id} {who}", letter)


class JournalPublisher:
    """Through the journal of the system that runs in this process; within a durable turn, as part of it."""

    def __init__(
        self,
        mirror: Mirror,
        backend: Backend,
        in_turn: Callable[[Published], bool],
        bury: Callable[[AgentEvent, str, BaseException, int], None],
    ) -> None:
        self._mirror = mirror
        self._backend = backend
        self._in_turn = in_turn
        self._bury = bury

    async def publish(self, event: AgentEvent) -> None:
        """See `Publisher.publish`. In a durable turn it returns at once, and is committed with the turn."""
        journal = self._mirror.journal
        record = _record_of(event, self._mirror.next_seq(), journal.largest_record)
        if self._in_turn(record):
            await self._backend.checkpoint()
            return
        end = self._backend.now() + journal.room_patience
        while not journal.append(record):
            room = self._backend.slot()
            journal.when_room(room)
            await room
            if self._backend.now() > end:
                raise StoreUnavailable("the store is too far behind to take an event; nothing was published")
        await journal.committed()

    async def settle(self) -> None:
        """See `Publisher.settle`."""
        await self._mirror.journal.flush()

    async def bury(self, event: AgentEvent, who: str, cause: BaseException, tries: int) -> None:
        """See `Publisher.bury`."""
        self._bury(event, who, cause, tries)


class BesidePublisher:
    """Of a running system that keeps what is published in memory: beside its journal, and in no turn.

    Dead letters go the way of all others of the system.
    """

    def __init__(self, free: FreePublisher, of_journal: Publisher) -> None:
        self._free = free
        self._of_journal = of_journal

    async def publish(self, event: AgentEvent) -> None:
        """See `Publisher.publish`."""
        await self._free.publish(event)

    async def settle(self) -> None:
        """See `Publisher.settle`."""
        await self._of_journal.settle()

    async def bury(self, event: AgentEvent, who: str, cause: BaseException, tries: int) -> None:
        """See `Publisher.bury`."""
        await self._of_journal.bury(event, who, cause, tries)


def _record_of(event: AgentEvent, seq: int, most: int) -> Published:
    """The record of an event. Raises InvalidPayload, EventTooLarge."""
    return Published(
        event_type=str(event.event_type),
        seq=seq,
        source=event.source_agent,
        target=event.target_agent,
        message_type=None,
        payload=packed(event.payload, most),
        at=nanoseconds(event.timestamp),
        workflow_id=event.workflow_id,
        event_id=event.event_id,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
    )


def _letter_of(event: AgentEvent, who: str, cause: BaseException, tries: int, most: int) -> DeadLetterRecord:
    """The dead letter of an event that a subscriber could not handle: with its payload, where that fits."""
    known = {"event_id": event.event_id, "cursor": event.cursor}
    payload = _encode(known | {"payload": event.payload})
    return DeadLetterRecord(
        seq=0,
        recipient=f"$subscriber/{who}",
        sender=event.source_agent,
        message_type="AgentEvent",
        payload=payload if len(payload) <= most else _encode(known),
        is_exact=False,
        reason="failed",
        cause=in_a_line(cause)[:_CAUSE],
        attempts=1,
        at=time.time_ns(),
        tries=tries,
        traceback=last_lines(cause),
    )

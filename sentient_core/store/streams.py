"""Streams of events: what an event bus asks of a store, beside the journal.

Two streams belong to an actor system. Its journal is written by the one process that owns the system; its
events are rows as far as the journal is projected. What others publish goes to the *external* stream, rows
of the same table under a name that no system can have: any number of processes write it, each batch in one
transaction that takes the next number. So both have an order of commits without holes, and a place in it
says all that somebody who follows has to remember.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentient_core.store.event_filter import EventFilter
    from sentient_core.store.fold import Placed
    from sentient_core.store.records import DeadLetterRecord, Event, Published
    from sentient_core.store.retention import Pruned, Retention

__all__ = [
    "BEGINNING",
    "END",
    "EventFollower",
    "EventPage",
    "EventStreams",
    "Mark",
    "Place",
    "Span",
    "StreamHead",
    "Subscriber",
    "Watch",
    "external_stream",
    "in_order",
    "is_external",
    "just_before",
]

Place: TypeAlias = tuple[int, int]
"""In a stream: the number of a commit, and the index in it."""

END: Final = 2**31 - 1
"""As an index: behind all that a commit has."""

BEGINNING: Final[Place] = (0, END)
"""Before the first commit."""


_EXTERNAL = "external"


def external_stream(system: str) -> str:
    """The name of the stream of what is published to a system from outside of it."""
    return f"{system}/{_EXTERNAL}"


def is_external(stream: str) -> bool:
    """A stream of what is published from outside of a system."""
    return stream.endswith(f"/{_EXTERNAL}")


def just_before(place: Place) -> Place:
    """The last place that comes before it."""
    number, index = place
    return (number, index - 1) if index else (number - 1, END)


class Span(msgspec.Struct, frozen=True):
    """A part of a stream."""

    after: Place = BEGINNING
    """Not in it."""
    upto: Place = (END, END)
    """In it."""


class Mark(msgspec.Struct, frozen=True):
    """Where an event stands in a history that goes by time."""

    at: int
    """Nanoseconds since 1970."""
    stream: str
    place: Place

    def is_before(self, stream: str, placed: Placed[Event]) -> bool:
        """Another event comes behind this one: it is older; of the same time, that of the lower place."""
        return (placed.record.at, stream, placed.position) < (self.at, self.stream, self.place)


def in_order(
    found: Iterable[tuple[str, Placed[Event]]], *, is_by_time: bool, limit: int
) -> list[tuple[str, Placed[Event]]]:
    """As a history has them, the newest first.

    By time; of equal ones, the larger stream and place first. Otherwise those of a stream in the order of
    its commits, and of two streams always that whose next event has the later time.
    """
    if is_by_time:
        by_time = sorted(found, key=lambda one: (one[1].record.at, one[0], one[1].position), reverse=True)
        return by_time[:limit]
    streams: dict[str, list[Placed[Event]]] = {}
    for stream, placed in found:
        streams.setdefault(stream, []).append(placed)
    for events in streams.values():
        events.sort(key=lambda placed: placed.position)
    merged: list[tuple[str, Placed[Event]]] = []
    while streams and len(merged) < limit:
        newest = max(streams, key=lambda stream: (streams[stream][-1].record.at, stream))
        merged.append((newest, streams[newest].pop()))
        if not streams[newest]:
            del streams[newest]
    return merged


class StreamHead(msgspec.Struct, frozen=True):
    """How far a stream reaches."""

    number: int = 0
    """Of the last commit whose events can be read."""


class EventPage(msgspec.Struct, frozen=True):
    """Events of a stream, in its order."""

    events: Sequence[Placed[Event]]
    reached: Place
    """All up to here was looked at."""
    pruned: Place = (0, 0)
    """The last place of which retention has deleted something, known no earlier than the events."""


class Subscriber(msgspec.Struct, frozen=True, kw_only=True):
    """A named subscriber, as it is stored."""

    name: str
    owner: str
    """Who it is now: a name made by whoever took it last."""
    journal: Place
    external: Place
    """What it has acknowledged of the two streams."""
    since: datetime
    seen_at: datetime
    """When it last acknowledged something, or said that it is there."""


class EventFollower(Protocol):
    """What follows a journal in the process that writes it."""

    def wants(self, event_type: str, /) -> bool:
        """Events of this type are to be handed over. Called on any thread."""
        ...

    def take(self, number: int, events: Sequence[Placed[Event]], /) -> None:
        """These are all wanted events of this commit. On the thread of the journal's loop, in order."""
        ...


class Watch(Protocol):
    """Tells somebody that streams may have moved, until it is closed."""

    @property
    def misses_nothing(self) -> bool:
        """Whatever moves is told: there is no need to look by oneself."""
        ...

    async def close(self) -> None:
        """Tell nothing more. A live query on a server is ended. Bounded, shielded, idempotent."""
        ...


class EventStreams(Protocol):
    """The events of a store, of all systems. Raises StoreError wherever the database does not answer."""

    @property
    def largest_event(self) -> int:
        """Most bytes of the payload of an event."""
        ...

    async def append(self, stream: str, events: Sequence[Published]) -> int:
        """Write events to an external stream, in one commit; returns its number once it is committed.

        Calls that come together share a commit. Retried for a while in an outage; StoreUnavailable then
        says that the outcome is not known. StoreRefused: nothing was written.
        """
        ...

    async def heads(self, streams: Sequence[str]) -> Mapping[str, StreamHead]:
        """How far these streams reach."""
        ...

    async def after(
        self, stream: str, place: Place, upto: int, *, types: Collection[str] | None, limit: int
    ) -> EventPage:
        """Events behind `place`, of these types (None: of all), up to the commit `upto`; about `limit`."""
        ...

    async def history(
        self, spans: Mapping[str, Span], wanted: EventFilter, limit: int, behind: Mark | None = None
    ) -> list[tuple[str, Placed[Event]]]:
        """The newest events of these streams, each with the name of its stream: see `in_order`.

        By time where `wanted.is_by_time`; then `behind` may say after which one.
        """
        ...

    async def subscribers(self, system: str) -> list[Subscriber]:
        """The named subscribers of a system, by name."""
        ...

    async def take_subscriber(
        self, system: str, name: str, owner: str, journal: Place, external: Place
    ) -> Subscriber:
        """Become a named subscriber, whoever it was before; a new one begins at these places."""
        ...

    async def acknowledge(self, system: str, name: str, owner: str, journal: Place, external: Place) -> bool:
        """Note how far a named subscriber is; never less far than it was.

        False, and nothing is noted: somebody else is it now.
        """
        ...

    async def forget_subscriber(self, system: str, name: str) -> bool:
        """Delete a named subscriber. False: there is none."""
        ...

    async def prune(self, system: str, retention: Retention, *, is_paced: bool = False) -> Pruned:
        """Delete what is due of the events that were published to a system from outside, and nothing else.

        Never what a named subscriber still wants. Any number of processes may, also beside the system itself.
        `is_paced`: `retention.share` of the time at most.
        """
        ...

    async def add_dead_letter(self, stream: str, message_id: str, letter: DeadLetterRecord) -> None:
        """Write a dead letter that no journal writes, under the name of an external stream."""
        ...

    async def watch(self, on_move: Callable[[], None], streams: Collection[str], *, live: bool) -> Watch:
        """Call `on_move` on this loop's thread whenever rows of these streams may have come.

        `live`: also when other processes have written them, where the database can tell.
        """
        ...

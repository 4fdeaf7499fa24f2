"""Stores that break one promise each, on purpose: the suite says which. See test_store_conformance."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from sentient_core.store import MemoryStore, Store
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.fold import Placed
from sentient_core.store.memory import MemoryJournal
from sentient_core.store.memory_streams import MemoryStreams
from sentient_core.store.records import AnyRecord, DeadLetterRecord, Event
from sentient_core.store.row_models import RowWrite
from sentient_core.store.streams import BEGINNING, EventFollower, EventPage, Mark, Place, Span
from sentient_core.testing.store_conformance import StoreConformance


class _Broken(MemoryStore):
    """A MemoryStore whose journals and streams are of other classes."""

    journals: type[MemoryJournal] = MemoryJournal
    streams: type[MemoryStreams] = MemoryStreams

    def __init__(self) -> None:
        super().__init__()
        self.event_streams.__class__ = self.streams

    async def open_journal(self, system: str, **options: Any) -> MemoryJournal:
        journal = await super().open_journal(system, **options)
        journal.__class__ = self.journals
        return journal


class LosesAppend(_Broken):
    class journals(MemoryJournal):  # noqa: N801 - in the place of a class attribute
        def append(self, record: AnyRecord, **how: bool) -> bool:
            return (isinstance(record, Event) and record.seq == 7) or super().append(record, **how)


class DoublesAppend(_Broken):
    class journals(MemoryJournal):  # noqa: N801
        def append(self, record: AnyRecord, **how: bool) -> bool:
            if isinstance(record, Event) and record.seq == 7:
                super().append(record, **how)
            return super().append(record, **how)


class ReordersGroup(_Broken):
    class journals(MemoryJournal):  # noqa: N801
        def settle(self) -> None:
            self._pending.reverse()
            super().settle()


class ForgetsDeadLetter(_Broken):
    class journals(MemoryJournal):  # noqa: N801
        def append(self, record: AnyRecord, **how: bool) -> bool:
            return isinstance(record, DeadLetterRecord) or super().append(record, **how)


class OverlooksConflict(_Broken):
    async def write_rows(self, system: str, writes: Sequence[RowWrite]) -> None:
        await super().write_rows(system, [msgspec.structs.replace(write, expects=None) for write in writes])


class WritesHalf(_Broken):
    async def write_rows(self, system: str, writes: Sequence[RowWrite]) -> None:
        for write in writes:
            await super().write_rows(system, [write])


class _Twice:
    def __init__(self, follower: EventFollower) -> None:
        self.wants = follower.wants
        self._follower = follower

    def take(self, number: int, events: Sequence[Placed[Event]], /) -> None:
        self._follower.take(number, events)
        self._follower.take(number, events[-1:])


class TellsTwice(_Broken):
    class journals(MemoryJournal):  # noqa: N801
        def follow(self, follower: EventFollower | None) -> int:
            return super().follow(None if follower is None else _Twice(follower))


class _WithoutOne(_Twice):
    def take(self, number: int, events: Sequence[Placed[Event]], /) -> None:
        self._follower.take(number, [placed for placed in events if placed.record.seq != 2])


class LosesLiveEvent(_Broken):
    class journals(MemoryJournal):  # noqa: N801
        def follow(self, follower: EventFollower | None) -> int:
            return super().follow(None if follower is None else _WithoutOne(follower))


class BeginsLate(_Broken):
    """What was published between the rows and the first commit that is handed over is in neither."""

    class journals(MemoryJournal):  # noqa: N801
        def follow(self, follower: EventFollower | None) -> int:
            return super().follow(follower) - 1


class ForgetsItsBound(_Broken):
    class streams(MemoryStreams):  # noqa: N801
        async def history(
            self, spans: Mapping[str, Span], wanted: EventFilter, limit: int, behind: Mark | None = None
        ) -> list[tuple[str, Placed[Event]]]:
            wider = {name: msgspec.structs.replace(span, upto=Span().upto) for name, span in spans.items()}
            return await super().history(wider, wanted, limit, behind)


class TakesOneTooMany(_Broken):
    class streams(MemoryStreams):  # noqa: N801
        async def history(
            self, spans: Mapping[str, Span], wanted: EventFilter, limit: int, behind: Mark | None = None
        ) -> list[tuple[str, Placed[Event]]]:
            return await super().history(spans, wanted, limit + 1, behind)


class SkipsRestOfCommit(_Broken):
    class streams(MemoryStreams):  # noqa: N801
        async def after(
            self, stream: str, place: Place, upto: int, *, types: Collection[str] | None, limit: int
        ) -> EventPage:
            page = await super().after(stream, place, upto, types=types, limit=limit)
            return msgspec.structs.replace(page, reached=(page.reached[0], Span().upto[1]))


class MovesSubscriberBack(_Broken):
    class streams(MemoryStreams):  # noqa: N801
        async def acknowledge(
            self, system: str, name: str, owner: str, journal: Place, external: Place
        ) -> bool:
            if not await super().acknowledge(system, name, owner, BEGINNING, BEGINNING):
                return False
            await self.forget_subscriber(system, name)
            await self.take_subscriber(system, name, owner, journal, external)
            return True


BROKEN = [
    MemoryStore,
    LosesAppend,
    DoublesAppend,
    ReordersGroup,
    ForgetsDeadLetter,
    OverlooksConflict,
    WritesHalf,
    TellsTwice,
    LosesLiveEvent,
    BeginsLate,
    ForgetsItsBound,
    TakesOneTooMany,
    SkipsRestOfCommit,
    MovesSubscriberBack,
]


class TestBroken(StoreConformance):
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture(autouse=True, params=BROKEN, ids=lambda kind: kind.__name__)
    def kind(self, request: pytest.FixtureRequest) -> None:
        self.make: type[MemoryStore] = request.param

    async def new_store(self) -> Store:
        return self.make()

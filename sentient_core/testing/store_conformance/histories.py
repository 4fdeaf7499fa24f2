"""Histories of events: the newest of a span, by what they are found by, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sentient_core.store import Store
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.fold import Placed
from sentient_core.store.records import Event, Published
from sentient_core.store.streams import END, Mark, Span, external_stream, in_order
from sentient_core.store.views import nanoseconds
from sentient_core.testing.store_conformance.place import Conformance
from sentient_core.testing.store_conformance.samples import id_of, published

__all__ = ["HistoryConformance"]

_NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
_BANK = external_stream("bank")
_OURS = (_BANK, external_stream("shop"))


class HistoryConformance(Conformance):
    """Histories of events: the newest of a span, by what they are found by, page by page."""

    async def test_a_history_is_the_newest_of_a_span_and_no_more_than_the_limit(self, store: Store) -> None:
        streams = store.event_streams
        for number in range(1, 6):
            events = [published(10 * number + i, at=nanoseconds(_NOON) + number * 1_000) for i in range(2)]
            await streams.append(_BANK, events)

        async def found(span: Span, limit: int = 100) -> list[str]:
            history = await streams.history({_BANK: span}, EventFilter(**wanted), limit)
            return [id_of(placed) for _, placed in history]

        newest_first = ["e51", "e50", "e41", "e40", "e31", "e30", "e21", "e20", "e11", "e10"]
        asked: list[dict[str, Any]] = [{}, {"event_type": "shop.sold"}, {"workflow_id": "w"}]
        for wanted in asked:  # noqa: B007 - `found` asks for it
            assert await found(Span()) == newest_first
            assert await found(Span(), 3) == newest_first[:3]
            assert await found(Span(upto=(4, 0))) == newest_first[3:]  # its end is in it
            assert await found(Span(after=(4, 0))) == newest_first[:3]  # its beginning is not
            assert await found(Span((2, 1), (4, END))) == newest_first[2:6]
            assert await found(Span((2, 1), (4, END)), 1) == ["e41"]
            assert await found(Span((5, END))) == []

    async def test_whatever_is_asked_all_pages_are_what_reading_all_would_give(
        self, store: Store, seed: int
    ) -> None:
        chance = Random(seed)
        events = _some_events(chance, 150)
        streams = dict(
            zip(("zoo/external", *_OURS), (events[:50], events[50:100], events[100:]), strict=True)
        )
        placed: list[tuple[str, Placed[Event]]] = []
        for stream, of_stream in streams.items():
            for start in range(0, len(of_stream), 3):
                part = of_stream[start : start + 3]
                number = await store.event_streams.append(stream, part)
                for index, one in enumerate(part):
                    there: Placed[Event] = Placed(number, index, 0, one)
                    placed.append((stream, there))
        for _ in range(20):
            wanted = _some_filter(chance)
            spans = {name: Span((chance.randrange(9), END), (16, END)) for name in _OURS}
            limit = chance.choice((5, 30, 1_000))
            meant = [
                (stream, one)
                for stream, one in placed
                if stream in spans
                and spans[stream].after < one.position <= spans[stream].upto
                and wanted.meets(one.record)
            ]
            whole = in_order(meant, is_by_time=wanted.is_by_time, limit=len(meant))
            mark, found = None, list[tuple[str, Placed[Event]]]()
            while page := await store.event_streams.history(spans, wanted, limit, mark):
                assert len(page) <= limit
                found += page
                stream, last = page[-1]
                if not wanted.is_by_time:
                    break  # the next one is asked for by places: see the bus
                mark = Mark(last.record.at, stream, last.position)
            assert [id_of(one) for _, one in found] == [id_of(one) for _, one in whole][: len(found)]
            assert len(found) == (len(whole) if wanted.is_by_time else min(limit, len(whole)))


def _some_events(chance: Random, count: int) -> list[Published]:
    """With timestamps in no order, most of them of a few seconds, many equal, with 0 to 9 digits."""
    digits = (1_000_000_000, 1_000_000, 1_000, 1)

    def at() -> int:
        time = nanoseconds(_NOON) + chance.randrange(8) * 1_000_000_000 + chance.randrange(3) * 1_000_000
        time += chance.randrange(3) * 1_000 + chance.randrange(3)
        return time // (digit := chance.choice(digits)) * digit

    return [
        published(
            n,
            event_type=chance.choice(("a.b", "c.d")),
            source=chance.choice("xy"),
            target=chance.choice((None, "x")),
            at=at(),
            workflow_id=chance.choice(("v", "w")),
        )
        for n in range(count)
    ]


def _some_filter(chance: Random) -> EventFilter:
    since, until = sorted(_NOON + timedelta(milliseconds=chance.randrange(8_000)) for _ in range(2))
    since, until = (time.replace(microsecond=chance.choice((0, 1_000, 1_001))) for time in (since, until))
    return EventFilter(
        event_types=chance.choice(((), (), ("a.b",), ("a.b", "c.d"))),
        source_agent=chance.choice((None, None, "x")),
        agent=chance.choice((None, None, None, "x")),
        workflow_id=chance.choice((None, None, "w")),
        since=chance.choice((None, since)),
        until=chance.choice((None, None, until)),
    )

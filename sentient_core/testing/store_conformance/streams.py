"""Event streams: what is published has an order without holes, and is read by it."""

from __future__ import annotations

import threading
from collections.abc import Collection

import anyio
import msgspec
import pytest

from sentient_core.store import Journal, Store
from sentient_core.store.event_filter import EventFilter
from sentient_core.store.records import Published
from sentient_core.store.streams import (
    BEGINNING,
    END,
    EventStreams,
    Place,
    Span,
    StreamHead,
    external_stream,
    just_before,
)
from sentient_core.testing.store_conformance.place import Conformance
from sentient_core.testing.store_conformance.samples import amount_of, event, id_of, ids_of, published

__all__ = ["StreamConformance"]

_PATIENCE = 20.0
_BANK = external_stream("bank")


async def _in_pages(
    streams: EventStreams, place: Place, upto: int, limit: int, types: Collection[str] | None = None
) -> list[str]:
    """All behind a place, asked for page by page."""
    found: list[str] = []
    with anyio.fail_after(_PATIENCE):
        while place < (upto, END):
            page = await streams.after(_BANK, place, upto, types=types, limit=limit)
            assert page.reached > place
            assert all(place < placed.position <= page.reached for placed in page.events)
            found += ids_of(page.events)
            place = page.reached
    return found


class StreamConformance(Conformance):
    """Event streams: what is published has an order without holes, and is read by it."""

    async def test_each_commit_of_a_stream_takes_the_next_number(self, store: Store) -> None:
        streams, zoo = store.event_streams, external_stream("zoo")
        assert await streams.heads([_BANK]) == {_BANK: StreamHead(0)}

        numbers = [await streams.append(_BANK, [published(n), published(n + 10)]) for n in range(3)]
        assert await streams.append(zoo, [published(1)]) == 1

        assert numbers == [1, 2, 3]
        heads = await streams.heads([_BANK, zoo, external_stream("nobody")])
        assert {name: head.number for name, head in heads.items()} == {
            _BANK: 3,
            zoo: 1,
            external_stream("nobody"): 0,
        }
        page = await streams.after(_BANK, BEGINNING, 3, types=None, limit=100)
        assert [placed.position for placed in page.events] == [(n, i) for n in (1, 2, 3) for i in (0, 1)]
        assert ids_of(page.events) == ["e0", "e10", "e1", "e11", "e2", "e12"]

    async def test_an_event_comes_back_as_it_was_published(self, store: Store) -> None:
        whole = published(
            7,
            event_id="δ'; --",
            source="web",
            target="shop/till",
            message_type="Sell",
            payload=msgspec.msgpack.encode({"a": [1, None, {"b": b"\x00"}]}),
            correlation_id="c1",
            causation_id="c0",
            workflow_id="w1",
        )
        bare = published(8, target=None, message_type=None, workflow_id=None)
        streams = store.event_streams
        await streams.append(_BANK, [whole, bare])

        page = await streams.after(_BANK, BEGINNING, 1, types=None, limit=10)
        history = await streams.history({_BANK: Span()}, EventFilter(), 10)

        for found in ([*page.events], [placed for _, placed in reversed(history)]):
            for meant, placed in zip((whole, bare), found, strict=True):
                back = placed.record
                assert isinstance(back, Published)
                assert msgspec.msgpack.decode(back.payload) == msgspec.msgpack.decode(meant.payload)
                assert back.at // 1_000 == meant.at // 1_000  # to the microsecond, at least
                assert _told(back) == _told(meant)

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
    async def test_what_comes_behind_a_place_comes_once_and_in_order(self, store: Store, limit: int) -> None:
        streams = store.event_streams
        for number in range(1, 8):
            events = [published(10 * number + i, event_type=("a.b", "c.d")[i % 2]) for i in range(3)]
            assert await streams.append(_BANK, events) == number
        of = [f"e{10 * number + i}" for number in range(1, 8) for i in range(3)]

        assert await _in_pages(streams, BEGINNING, 7, limit) == of
        assert await _in_pages(streams, BEGINNING, 4, limit) == of[:12]  # up to a commit, all of it
        assert await _in_pages(streams, (3, END), 7, limit) == of[9:]
        assert await _in_pages(streams, (3, 0), 7, limit) == of[7:]  # in the middle of one
        assert await _in_pages(streams, just_before((3, 0)), 7, limit) == of[6:]
        assert await _in_pages(streams, (7, END), 7, limit) == []
        assert await _in_pages(streams, BEGINNING, 7, limit, types=("c.d",)) == of[1::3]
        assert await _in_pages(streams, BEGINNING, 7, limit, types=()) == []
        nowhere = await streams.after(external_stream("nobody"), BEGINNING, 7, types=None, limit=limit)
        assert (list(nowhere.events), nowhere.pruned) == ([], (0, 0))

    async def test_of_many_who_publish_at_once_each_event_is_there_once_under_the_number_it_was_told(
        self, store: Store
    ) -> None:
        streams = store.event_streams
        told: dict[str, int] = {}

        async def publish(n: int) -> None:
            number = await streams.append(_BANK, [published(2 * n), published(2 * n + 1)])
            told.update({f"e{2 * n}": number, f"e{2 * n + 1}": number})

        async with anyio.create_task_group() as tasks:
            for n in range(40):
                tasks.start_soon(publish, n)

        head = (await streams.heads([_BANK]))[_BANK].number
        page = await streams.after(_BANK, BEGINNING, head, types=None, limit=1_000)
        assert {id_of(placed): placed.number for placed in page.events} == told
        assert len(page.events) == 80
        ids = ids_of(page.events)
        assert all(ids.index(f"e{2 * n + 1}") == ids.index(f"e{2 * n}") + 1 for n in range(40))
        assert {placed.number for placed in page.events} == set(range(1, head + 1))  # without a hole

    async def test_the_stream_of_a_system_is_its_journal_as_far_as_it_is_projected(
        self, store: Store, journal: Journal
    ) -> None:
        streams = store.event_streams
        for seq in (1, 2, 3):
            journal.append(event(seq))
            await journal.flush()
        await streams.append(_BANK, [published(9)])

        head = (await streams.heads(["bank"]))["bank"].number
        page = await streams.after("bank", BEGINNING, head, types=None, limit=100)

        assert [amount_of(placed.record) for placed in page.events] == [1, 2, 3]
        rows = await store.events("bank")
        assert [placed.position for placed in page.events] == [row.position for row in reversed(rows)]
        assert head >= page.events[-1].number
        last = await streams.history({"bank": Span(), _BANK: Span()}, EventFilter(), 1)
        assert last[0][0] in ("bank", _BANK)

    @pytest.mark.parametrize("live", [False, True])
    async def test_who_watches_is_told_of_what_this_process_writes(
        self, store: Store, journal: Journal, live: bool
    ) -> None:
        streams = store.event_streams
        threads: set[int] = set()
        has_moved = anyio.Event()

        def on_move() -> None:
            threads.add(threading.get_ident())
            has_moved.set()

        async def moves() -> None:
            with anyio.fail_after(_PATIENCE):
                await has_moved.wait()

        watch = await streams.watch(on_move, ("bank", _BANK), live=live)
        has_moved = anyio.Event()
        number = await streams.append(_BANK, [published(1)])
        await moves()
        assert (await streams.heads([_BANK]))[_BANK].number == number
        await journal.flush()
        has_moved = anyio.Event()
        journal.append(event(1))
        await journal.flush()
        await moves()
        assert threads == {threading.get_ident()}
        assert isinstance(watch.misses_nothing, bool)

        await watch.close()
        await watch.close()
        has_moved = anyio.Event()
        await streams.append(_BANK, [published(2)])
        await anyio.lowlevel.checkpoint()
        assert not has_moved.is_set()


def _told(event: Published) -> tuple[object, ...]:
    """What is to come back, apart from its time and its payload."""
    ids = (event.event_id, event.correlation_id, event.causation_id, event.workflow_id)
    return (event.event_type, event.source, event.target, event.message_type, *ids)

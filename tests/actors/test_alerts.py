"""Alerts, as they come up and as events: of actors, of the store, of what is not mirrored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from sentient_core import (
    ActorSystem,
    Alert,
    Fenced,
    InvalidArgument,
    JournalOptions,
    MemoryStore,
    SystemClosed,
)
from sentient_core.actors.life_events import report_alert
from sentient_core.actors.ref import cell_of
from tests.probes import Add, Counter, Fail, VolatileCounter, running


async def rows(store: MemoryStore) -> list[tuple[str, dict[str, Any]]]:
    """Source and payload of every `system_alert`, oldest first."""
    found = await store.events("test", event_type="system_alert")
    return [(row.source_agent, row.payload) for row in reversed(found)]


class Heard:
    """Alerts as they came; a test can wait for them."""

    def __init__(self, system: ActorSystem) -> None:
        self.alerts: list[Alert] = []
        self._news = anyio.Event()
        system.alerts.subscribe(self._hear)

    def _hear(self, alert: Alert) -> None:
        self.alerts.append(alert)
        self._news.set()
        self._news = anyio.Event()

    async def until(self, is_enough: Callable[[list[str]], bool]) -> None:
        while not is_enough([alert.alert for alert in self.alerts]):
            await self._news.wait()


async def test_an_alert_of_an_actor_is_heard_at_once_and_written() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        heard = Heard(system)
        ref = await system.spawn(VolatileCounter, name="a")

        report_alert(cell_of(ref), "sold out", ValueError("no apples"))
        report_alert(cell_of(ref), "sold out", "no pears")

        first, second = heard.alerts
    assert (first.alert, first.path, first.cause) == ("sold out", "a", "ValueError: no apples")
    assert first.at <= datetime.now(UTC)
    assert second.cause == "no pears"
    causes = [{"type": "ValueError", "message": "no apples"}]
    assert await rows(store) == [
        ("a", {"alert": "sold out", "cause": "ValueError: no apples", "causes": causes}),
        ("a", {"alert": "sold out", "cause": "no pears", "causes": []}),
    ]


async def test_alerts_can_be_followed_until_the_end_of_the_system() -> None:
    seen: list[str] = []
    async with anyio.create_task_group() as tasks, running() as system:
        alerts = system.alerts

        async def follow(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with alerts.follow() as following:
                task_status.started()
                seen.extend([alert.path async for alert in following])

        await tasks.start(follow)
        ref = await system.spawn(Counter, name="a")
        for _ in range(4):  # one more than the root lets a child have
            ref.tell(Fail())
        await ref.drain()
    assert seen == ["a"]


async def test_they_belong_to_a_system_that_was_entered_and_callbacks_are_plain() -> None:
    async def hear(alert: Alert) -> None: ...

    with pytest.raises(SystemClosed):
        _ = ActorSystem("test", store=MemoryStore()).alerts
    async with running() as system:
        with pytest.raises(InvalidArgument):
            system.alerts.subscribe(hear)


async def test_printed_they_say_how_they_are_heard() -> None:
    async with running() as system:
        how = ".subscribe(callback), or .follow() to iterate"
        assert repr(system.alerts) == f"<Alerts from now on: nobody listens; {how}>"
        system.alerts.subscribe(print)
        assert repr(system.alerts) == f"<Alerts from now on: 1 listens; {how}>"


async def test_an_outage_is_heard_when_it_begins_and_ends_and_written_once_it_is_over() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        heard = Heard(system)
        ref = await system.spawn(Counter, name="a")
        store.pause()
        store.pause()
        await heard.until(lambda alerts: alerts == ["store outage"])
        for _ in range(3):
            ref.tell(Add())
        await anyio.sleep(90)  # a checkpoint is taken meanwhile, with its event
        store.resume()
        await heard.until(lambda alerts: alerts == ["store outage", "store is back"])
        written = await rows(store)
        store.resume()
        await anyio.wait_all_tasks_blocked()

    began, ended = heard.alerts
    assert (began.path, began.cause) == ("", "the memory store is paused")
    assert ended.cause == "it was away for 90 s, and 5 records waited for it"
    cause = "the memory store is paused"
    assert written == [("", {"alert": "store outage", "cause": cause, "seconds": 90.0, "records": 5})]
    assert await rows(store) == written


async def test_a_gap_of_the_mirror_is_one_alert_whatever_is_left_out() -> None:
    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=3_000)) as system:
        heard = Heard(system)
        refs = [await system.spawn(Counter, name=f"a{n}") for n in range(3)]
        for _ in range(2):
            store.pause()
            for ref in refs * 10:
                ref.tell(Add())
            await anyio.wait_all_tasks_blocked()
            store.resume()
            await system.flush()
            await anyio.sleep(10)
        assert [alert.alert for alert in heard.alerts].count("mirror gap") == 1
        targets = {row.payload["target"] for row in await store.events("test", event_type="mirror_gap")}
        assert targets == {"a0", "a1", "a2"}

        await anyio.sleep(60)
        store.pause()
        for _ in range(30):
            refs[0].tell(Add())
        store.resume()

        assert [alert.alert for alert in heard.alerts].count("mirror gap") == 2
        await system.flush()
    gaps = [payload for _, payload in await rows(store) if payload["alert"] == "mirror gap"]
    assert len(gaps) == 2
    assert "without being mirrored" in gaps[0]["cause"]


async def test_a_system_whose_records_were_taken_over_tells_of_no_gap() -> None:
    store = MemoryStore()
    alerts: list[Alert] = []
    with pytest.raises(Fenced):  # noqa: PT012
        async with running(store=store) as system:
            system.alerts.subscribe(alerts.append)
            ref = await system.spawn(Counter, name="a")
            await store.open_journal("test")
            await anyio.wait_all_tasks_blocked()
            ref.tell(Add())
            await anyio.sleep(1)
    assert alerts == []


async def test_after_an_end_out_of_order_the_next_start_says_so_in_one_alert() -> None:
    store = MemoryStore()
    abandoned = await store.open_journal("test")
    async with running(store=store):
        pass
    async with running(store=store):
        pass
    await abandoned.close(0)

    assert await rows(store) == [
        ("", {"alert": "mirror gap", "cause": "the process ended without closing the system"})
    ]

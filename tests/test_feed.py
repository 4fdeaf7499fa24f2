"""Feeds: who hears of what, and that nobody who listens disturbs anybody else."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
import structlog

from sentient_core import InvalidArgument
from sentient_core.feed import Feed, Subscription
from sentient_core.logs import LimitedLog, runtime_log
from tests.ids import named
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


def new_feed() -> Feed[int]:
    return Feed(LimitedLog(runtime_log("test"), lambda: 0.0, "a subscriber failed"))


def test_every_subscriber_hears_of_every_item_in_order() -> None:
    feed = new_feed()
    heard: list[tuple[str, int]] = []
    feed.publish(0)
    feed.subscribe(lambda item: heard.append(("first", item)))
    feed.subscribe(lambda item: heard.append(("second", item)))

    feed.publish(1)
    feed.publish(2)

    assert heard == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]


def test_a_callback_is_not_called_after_its_subscription_has_ended() -> None:
    feed = new_feed()
    heard: list[int] = []

    subscription = feed.subscribe(heard.append)
    feed.publish(1)
    subscription.unsubscribe()
    subscription.unsubscribe()
    feed.publish(2)
    with feed.subscribe(heard.append) as block:
        feed.publish(3)
        assert block.is_active
    feed.publish(4)

    assert heard == [1, 3]
    assert not block.is_active


def test_one_function_may_subscribe_twice_and_leave_once() -> None:
    feed = new_feed()
    heard: list[int] = []
    feed.subscribe(heard.append)
    feed.subscribe(heard.append).unsubscribe()

    feed.publish(1)

    assert heard == [1]


def test_a_callback_may_end_subscriptions_its_own_too() -> None:
    feed = new_feed()
    heard: list[str] = []
    subscriptions: list[Subscription] = []

    def ends_all(item: int) -> None:
        heard.append(f"first {item}")
        for subscription in subscriptions:
            subscription.unsubscribe()

    subscriptions.append(feed.subscribe(ends_all))
    subscriptions.append(feed.subscribe(lambda item: heard.append(f"second {item}")))
    feed.publish(1)
    feed.publish(2)

    assert heard == ["first 1"]


def test_who_subscribes_in_a_callback_hears_of_the_next_item() -> None:
    feed = new_feed()
    heard: list[int] = []

    feed.subscribe(lambda _: feed.subscribe(heard.append))
    feed.publish(1)
    feed.publish(2)

    assert heard == [2]


def test_a_callback_that_raises_is_logged_and_stays_and_the_others_hear() -> None:
    feed = new_feed()
    heard: list[int] = []

    def fails(item: int) -> None:
        raise ValueError(f"no {item}")

    feed.subscribe(fails)
    feed.subscribe(heard.append)
    with structlog.testing.capture_logs() as lines:
        feed.publish(1)
        feed.publish(2)

    assert heard == [1, 2]
    assert [line["event"] for line in lines] == ["a subscriber failed"] * 2
    assert "fails" in lines[0]["callback"]
    assert "ValueError: no 1" in lines[0]["exception"]


def test_a_flood_of_failing_callbacks_is_logged_at_a_limited_rate() -> None:
    feed = new_feed()

    def fails(_: int) -> None:
        raise ValueError("no")

    feed.subscribe(fails)
    with structlog.testing.capture_logs() as lines:
        for n in range(100):
            feed.publish(n)
        feed.close()

    assert len(lines) == 11
    assert lines[-1]["suppressed"] == 90


@pytest.mark.parametrize("how_many", [1, 2, 3])
def test_callbacks_that_bring_up_items_themselves_do_not_go_round_for_ever(how_many: int) -> None:
    feed = new_feed()
    heard: list[tuple[int, int]] = []

    def listener(number: int) -> Callable[[int], None]:
        def hear(item: int) -> None:
            heard.append((number, item))
            feed.publish(item + 1)

        return hear

    for number in range(how_many):
        feed.subscribe(listener(number))
    feed.publish(0)

    assert {number for number, item in heard if item == 0} == set(range(how_many))
    assert max(item for _, item in heard) == how_many - 1


def test_a_callback_runs_in_the_context_it_was_subscribed_in() -> None:
    feed = new_feed()
    variable: ContextVar[str] = ContextVar("variable", default="nobody")
    seen: list[str] = []

    token = variable.set("subscriber")
    feed.subscribe(lambda _: seen.append(variable.get()))
    variable.reset(token)
    variable.set("publisher")
    feed.publish(1)

    assert seen == ["subscriber"]


async def _coroutine_function(_: int) -> None: ...


@pytest.mark.parametrize("callback", [None, 3, _coroutine_function], ids=named)
def test_what_cannot_be_a_callback_is_refused(callback: Any) -> None:
    with pytest.raises(InvalidArgument, match="plain function"):
        new_feed().subscribe(callback)


@pytest.mark.parametrize("buffer", [0, -1, 1.5, None])
def test_a_buffer_without_room_is_refused(buffer: Any) -> None:
    with pytest.raises(InvalidArgument, match="buffer"):
        new_feed().follow(buffer)


async def test_following_yields_what_comes_between_entering_and_leaving() -> None:
    feed = new_feed()
    got: list[int] = []

    following = feed.follow()
    feed.publish(0)
    async with following as items:
        feed.publish(1)
        got.append(await anext(items))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.lowlevel.checkpoint)
            tasks.start_soon(_append_next, items, got)
            await anyio.wait_all_tasks_blocked()
            feed.publish(2)
    feed.publish(3)

    assert got == [1, 2]
    with pytest.raises(StopAsyncIteration):
        await anext(items)
    with pytest.raises(InvalidArgument, match="again"):
        await following.__aenter__()


async def _append_next(items: Any, got: list[int]) -> None:
    got.append(await anext(items))


async def test_what_does_not_fit_into_the_buffer_is_counted() -> None:
    feed = new_feed()

    async with feed.follow(buffer=2) as items:
        for n in range(5):
            feed.publish(n)
        first = [await anext(items), await anext(items)]
        feed.publish(5)

        assert first == [0, 1]
        assert await anext(items) == 5
        assert items.missed == 3


async def test_the_end_of_the_feed_ends_the_iteration_behind_what_is_buffered() -> None:
    feed = new_feed()
    got: list[int] = []

    async def follow(began: anyio.Event) -> None:
        async with feed.follow() as items:
            began.set()
            got.extend([item async for item in items])

    async with anyio.create_task_group() as tasks:
        began = anyio.Event()
        tasks.start_soon(follow, began)
        await began.wait()
        feed.publish(1)
        feed.publish(2)
        feed.close()

    assert got == [1, 2]
    async with feed.follow() as items:
        assert [item async for item in items] == []


async def test_several_tasks_share_the_items() -> None:
    feed = new_feed()
    got: list[int] = []

    async with feed.follow() as items, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(_append_next, items, got)
        await anyio.wait_all_tasks_blocked()
        for n in range(3):
            feed.publish(n)

    assert sorted(got) == [0, 1, 2]


async def test_a_cancelled_wait_loses_no_item() -> None:
    feed = new_feed()

    async with feed.follow() as items:
        with anyio.move_on_after(1):
            await anext(items)
        feed.publish(1)

        assert await anext(items) == 1

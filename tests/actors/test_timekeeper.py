"""The deadlines of a system, kept by one task."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from sentient_core.actors.timekeeper import Alarm, Timekeeper
from sentient_core.backend import current_backend


@asynccontextmanager
async def keeping() -> AsyncGenerator[Timekeeper]:
    keeper = Timekeeper(current_backend())
    with anyio.fail_after(10_000):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keeper.run)
            yield keeper
            keeper.close()


async def test_alarms_go_off_at_their_times_in_order() -> None:
    async with keeping() as keeper:
        begin = anyio.current_time()
        gone_off: list[tuple[int, float]] = []
        seconds = [3, 1, 2, 1, 10, 0]
        for n, after in enumerate(seconds):
            keeper.after(after, lambda n=n: gone_off.append((n, anyio.current_time() - begin)))  # type: ignore[misc]

        await anyio.sleep(11)

        assert [n for n, _ in gone_off] == [5, 1, 3, 2, 0, 4]
        assert [time for _, time in gone_off] == pytest.approx([0, 1, 1, 2, 3, 10])


async def test_an_earlier_alarm_set_later_goes_off_first() -> None:
    async with keeping() as keeper:
        gone_off: list[str] = []
        keeper.after(10, lambda: gone_off.append("late"))
        await anyio.sleep(1)

        keeper.after(2, lambda: gone_off.append("early"))
        await anyio.sleep(3)
        assert gone_off == ["early"]

        await anyio.sleep(10)
        assert gone_off == ["early", "late"]


async def test_a_cancelled_alarm_does_not_go_off() -> None:
    async with keeping() as keeper:
        gone_off: list[int] = []
        alarm = keeper.after(1, lambda: gone_off.append(1))
        assert alarm.is_set

        alarm.cancel()
        alarm.cancel()
        await anyio.sleep(5)

        assert gone_off == []
        assert not alarm.is_set


async def test_an_alarm_may_set_the_next_one() -> None:
    async with keeping() as keeper:
        times: list[float] = []
        begin = anyio.current_time()

        def tick() -> None:
            times.append(anyio.current_time() - begin)
            if len(times) < 5:
                keeper.after(1, tick)

        keeper.after(1, tick)
        await anyio.sleep(10)

        assert times == pytest.approx([1, 2, 3, 4, 5])


async def test_thousands_of_alarms_most_of_them_cancelled() -> None:
    choose = random.Random(7)
    async with keeping() as keeper:
        gone_off: list[int] = []
        alarms: list[Alarm] = []
        for n in range(20_000):
            alarms.append(keeper.after(choose.random() * 100, lambda n=n: gone_off.append(n)))  # type: ignore[misc]
            if n % 3:
                alarms[choose.randrange(len(alarms))].cancel()
        kept = {n for n, alarm in enumerate(alarms) if alarm.is_set}

        await anyio.sleep(101)

        assert set(gone_off) == kept
        assert len(gone_off) == len(kept)


async def test_an_alarm_does_not_go_off_after_the_end() -> None:
    gone_off: list[int] = []
    async with keeping() as keeper:
        keeper.after(1, lambda: gone_off.append(1))

    await anyio.sleep(5)

    assert gone_off == []

"""`flush` of a backlog says how far it is."""

from __future__ import annotations

import anyio
import pytest
import structlog

from sentient_core import FlushProgress, MemoryStore
from tests.probes import Add, Counter, running
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


async def test_one_that_takes_long_says_again_and_again_how_far_it_is() -> None:
    store, said = MemoryStore(), list[FlushProgress]()
    with structlog.testing.capture_logs() as logs:
        async with running(store=store) as system, anyio.create_task_group() as tasks:
            ref = await system.spawn(Counter, name="a")
            await system.flush(progress=said.append)
            assert said == []
            store.pause()
            for _ in range(20):
                ref.tell(Add())
            tasks.start_soon(lambda: system.flush(progress=said.append))
            await anyio.sleep(7)
            ref.tell(Add())  # which it does not wait for
            await anyio.sleep(3)
            assert [(at.done, at.seconds) for at in said] == [(0, 3.0), (0, 6.0), (0, 9.0)]
            assert {at.total for at in said} == {said[0].total}
            assert said[0].total >= 20
            store.resume()
            await system.flush()
            await anyio.sleep(10)

    assert len(said) == 3
    assert [line["done"] for line in logs if line["event"] == "flush goes on"] == [0, 0, 0]


async def test_a_callback_that_raises_is_logged_and_called_no_more() -> None:
    store = MemoryStore()
    calls = 0

    def fail(_: FlushProgress) -> None:
        nonlocal calls
        calls += 1
        raise ValueError("not mine")

    with structlog.testing.capture_logs() as logs:
        async with running(store=store) as system, anyio.create_task_group() as tasks:
            ref = await system.spawn(Counter, name="a")
            store.pause()
            ref.tell(Add())
            tasks.start_soon(lambda: system.flush(progress=fail))
            await anyio.sleep(10)
            store.resume()

    assert calls == 1
    assert any("progress callback" in line["event"] for line in logs)


@pytest.mark.parametrize("behind", [0, 5])
async def test_what_is_in_rows_is_counted_as_done(behind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store, said = MemoryStore(), list[FlushProgress]()
    async with running(store=store) as system, anyio.create_task_group() as tasks:
        ref = await system.spawn(Counter, name="a")
        await system.flush()
        store.pause()
        for _ in range(20):
            ref.tell(Add())
        tasks.start_soon(lambda: system.flush(progress=said.append))
        await anyio.sleep(1)
        journal = system._parts.runtime.mirror.journal  # type: ignore[union-attr]  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
        backlog = journal.backlog()
        is_now = type(backlog)(records=behind, bytes=0, uncommitted=behind, is_full=False, is_down=True)
        monkeypatch.setattr(journal, "backlog", lambda: is_now)
        await anyio.sleep(3)
        monkeypatch.undo()
        store.resume()

    assert said[0].total - said[0].done == behind

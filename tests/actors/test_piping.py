"""`pipe_to_self`: a function beside the actor, its result a message."""

from __future__ import annotations

import gc
import shutil
import time
from functools import partial
from typing import Any

import anyio
import pytest

from sentient_core import (
    HandlerCancelled,
    InvalidArgument,
    MailboxOptions,
    MemoryStore,
    Request,
    UnencodableMessage,
    handles,
)
from sentient_core.actors.current import current_cell
from sentient_core.actors.ref import cell_of
from tests.ids import named
from tests.probes import Gate, Log, letters, running
from tests.puppet import MirroredPuppet, Puppet, doing, in_turn


async def fetch(seconds: float, result: Any = "result") -> Any:
    await anyio.sleep(seconds)
    if isinstance(result, Exception):
        raise result
    return result


def pipe(*args: Any, **options: Any) -> Any:
    return doing(lambda actor: actor.context.pipe_to_self(fetch, *args, **options))


def no_message(error: Exception) -> None:
    """Of an error nobody is told."""


async def test_the_result_is_a_message_and_others_are_handled_meanwhile() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Puppet, log)

        await in_turn(ref, pipe(5))
        ref.tell("meanwhile")
        await anyio.sleep(6)

        assert log.lines == ["meanwhile", "result"]


async def test_none_is_no_message() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Puppet, log)

        await in_turn(ref, pipe(1, None))
        await anyio.sleep(2)

        assert log.lines == []
        assert letters(system) == []


async def test_an_exception_becomes_a_message_by_on_error() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Puppet, log)

        await in_turn(ref, pipe(1, ValueError("why"), on_error="failed: {}".format))
        await in_turn(ref, pipe(1, ValueError("why"), on_error=no_message))
        await anyio.sleep(2)

        assert log.lines == ["failed: why"]
        assert ref.incarnation == 1


async def test_an_exception_without_on_error_or_in_it_fails_the_actor() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Puppet, log, name="a")

        def wrong(error: Exception) -> None:
            raise KeyError

        await in_turn(ref, pipe(1, ValueError("why")))
        await anyio.sleep(2)
        await in_turn(ref, pipe(1, ValueError("why"), on_error=wrong))
        await anyio.sleep(2)

        assert log.lines == ["a failed: ValueError", "a failed: KeyError"]
        assert ref.incarnation == 3


async def test_it_is_cancelled_at_the_end_of_the_incarnation() -> None:
    async with running() as system:
        log = Log()

        async def long() -> str:
            try:
                await anyio.sleep(1_000)
            except BaseException:
                log("cancelled")
                raise
            return "result"

        def begin(actor: Puppet) -> None:
            if actor.context.incarnation < 3:
                actor.context.pipe_to_self(long)

        ref = await system.spawn(Puppet, log, begin)
        await anyio.sleep(1)
        await ref.kill()
        await anyio.sleep(1)
        await ref.kill()
        await anyio.sleep(100)

        assert log.lines == ["cancelled", "cancelled"]


async def test_one_that_begins_as_its_incarnation_ends_does_not_begin() -> None:
    async with running() as system:
        log = Log()

        async def begun() -> None:
            log("begun")

        def begin(actor: Puppet) -> None:
            actor.context.pipe_to_self(begun)
            actor.context.ref.kill()

        ref = await system.spawn(Puppet, restart="temporary")
        await in_turn(ref, begin)
        await anyio.sleep(1)

        assert log.lines == []


async def test_a_result_in_the_mailbox_is_for_the_next_incarnation_too() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Puppet, log)

        async def pipe_and_fail(actor: Puppet) -> None:
            actor.context.pipe_to_self(fetch, 1)
            await anyio.sleep(2)
            actor.context.ref.kill()

        await in_turn(ref, pipe_and_fail)
        await anyio.sleep(1)

        assert log.lines == ["result"]
        assert ref.incarnation == 2


async def test_a_full_mailbox_takes_the_result() -> None:
    class Small(Puppet):
        mailbox = MailboxOptions(capacity=1)

    async with running() as system:
        log = Log()
        ref = await system.spawn(Small, log)

        async def fill(actor: Small) -> None:
            actor.context.pipe_to_self(fetch, 1)
            ref.tell("filled")
            await anyio.sleep(2)

        await in_turn(ref, fill)
        await anyio.sleep(1)

        assert log.lines == ["filled", "result"]


async def test_a_result_for_an_actor_that_drains_is_a_dead_letter() -> None:
    async with running() as system:
        gate = Gate()
        ref = await system.spawn(Puppet)

        async def wait(actor: Puppet) -> None:
            actor.context.pipe_to_self(fetch, 1)
            await gate()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_turn, ref, wait)
            await gate.reached.wait()
            ending = ref.drain()
            await anyio.sleep(2)
            gate.open.set()
            await ending

        assert letters(system) == [("result", "stopped")]


async def test_inside_it_is_the_actor_and_may_ask_it() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Puppet, log, name="a")

        async def inside() -> str:
            cell = current_cell.get()
            assert cell is not None
            assert cell is cell_of(ref)
            assert await in_turn(ref, lambda actor: actor.context.ref) == ref
            return f"as {cell.path}"

        await in_turn(ref, lambda actor: actor.context.pipe_to_self(inside))
        await anyio.sleep(1)

        assert log.lines == ["as a"]


class Begin(Request[None], frozen=True):
    pass


async def test_of_a_mirrored_actor_the_result_belongs_to_the_conversation() -> None:
    class Fetching(MirroredPuppet):
        @handles
        def begin_to_fetch(self, message: Begin) -> None:
            self.context.pipe_to_self(fetch, 1)

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Fetching, name="a")
        ref.tell(Begin())
        await anyio.sleep(2)
        await system.flush()

        begin, result = sorted(
            await store.events("test", event_type="message_sent"), key=lambda e: e.source_agent == "a"
        )
        assert [result.source_agent, result.target_agent] == ["a", "a"]
        assert result.correlation_id == begin.correlation_id
        assert result.causation_id == begin.event_id


async def test_a_result_that_cannot_be_mirrored_fails_the_actor() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(
            MirroredPuppet,
            log,
            doing(lambda actor: actor.context.incarnation == 1 and pipe(1, object())(actor)),
            name="a",
        )
        await anyio.sleep(2)

        assert log.lines == [f"a failed: {UnencodableMessage.__name__}"]
        assert ref.incarnation == 2


async def test_what_is_no_function_is_refused_and_what_is_not_async_fails_the_actor() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Puppet, log, name="a")

        def try_it(actor: Any) -> None:
            with pytest.raises(InvalidArgument, match="takes functions, not None"):
                actor.context.pipe_to_self(None)
            with pytest.raises(InvalidArgument, match="takes functions, not 3"):
                actor.context.pipe_to_self(fetch, on_error=3)
            actor.context.pipe_to_self(lambda: 3)

        await in_turn(ref, try_it)
        await anyio.sleep(1)

        assert log.lines == ["a failed: InvalidArgument"]


def yields() -> Any:
    yield 1


@pytest.mark.parametrize("fn", [time.sleep, partial(time.sleep, 0), shutil.copy, print, yields], ids=named)
async def test_what_surely_is_not_async_is_refused_at_the_call(fn: Any) -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        def try_it(actor: Any) -> None:
            with pytest.raises(InvalidArgument, match=r"takes async functions.*run_sync"):
                actor.context.pipe_to_self(fn, 0)

        await in_turn(ref, try_it)
        assert ref.incarnation == 1


async def test_a_coroutine_is_refused_at_the_call_and_leaves_no_warning() -> None:
    async with running() as system:
        ref = await system.spawn(Puppet)

        def try_it(actor: Any) -> None:
            with pytest.raises(
                InvalidArgument, match=r"function and its arguments: pipe_to_self\(fetch, url\)"
            ):
                actor.context.pipe_to_self(fetch(1))
            gc.collect()

        await in_turn(ref, try_it)


async def test_a_plain_function_may_return_what_is_awaited() -> None:
    async with running() as system:
        log = Log()
        ref = await system.spawn(Puppet, log)

        await in_turn(ref, doing(lambda actor: actor.context.pipe_to_self(lambda: fetch(1))))
        await in_turn(ref, doing(lambda actor: actor.context.pipe_to_self(partial(fetch, 2, "later"))))
        await anyio.sleep(3)

        assert log.lines == ["result", "later"]


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        pytest.skip("trio's cancellations belong to scopes")
    import asyncio  # noqa: PLC0415

    async with running() as system:
        errors: list[Exception] = []

        async def awaits_cancelled() -> None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

        ref = await system.spawn(Puppet)
        await in_turn(ref, lambda actor: actor.context.pipe_to_self(awaits_cancelled, on_error=errors.append))
        await anyio.sleep(1)

        assert [type(error) for error in errors] == [HandlerCancelled]


async def test_a_task_group_in_it_that_fails_while_it_is_cancelled_harms_nobody() -> None:
    async with running() as system:

        async def fail_in_the_end() -> None:
            try:
                await anyio.sleep(1_000)
            finally:
                raise ValueError("in clean-up")

        async def group() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fail_in_the_end)
                await anyio.sleep(1_000)

        ref = await system.spawn(Puppet, restart="temporary")
        await in_turn(ref, lambda actor: actor.context.pipe_to_self(group))
        await anyio.sleep(1)
        await ref.kill()
        await anyio.sleep(1)

        other = await system.spawn(Puppet)
        assert await in_turn(other, lambda actor: "goes on") == "goes on"


async def test_none_is_left_when_the_system_ends() -> None:
    async with running() as system:
        for _ in range(3):
            ref = await system.spawn(Puppet)
            await in_turn(ref, pipe(10_000))

    assert not any("pipe" in (task.name or "") for task in anyio.get_running_tasks())

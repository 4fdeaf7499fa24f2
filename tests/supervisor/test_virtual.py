"""Virtual actors: they start with a message, go when idle, come back, and nobody notices."""

from __future__ import annotations

import random
from collections import Counter as Count
from collections.abc import Iterator
from typing import Any, ClassVar

import anyio
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentient_core import (
    ActivationFailed,
    Actor,
    ActorRef,
    ActorSystem,
    CheckpointPolicy,
    CheckpointUnusable,
    HandlerFailed,
    InvalidArgument,
    InvalidCall,
    InvalidChildSpec,
    InvalidName,
    JournalOptions,
    MailboxOptions,
    MemoryStore,
    NameTaken,
    SystemClosed,
    handles,
)
from sentient_core.actors import cell, dispatcher
from sentient_core.actors.ref import cell_of
from tests.probes import Add, Counter, Fail, Gate, Log, Pass, Say, Total, VolatileCounter, letters, running


class Account(Counter):
    """Says when it comes and goes."""

    passivate_after: ClassVar[float | None] = 60.0

    def __init__(self, log: Log | None = None, gate: Gate | None = None) -> None:
        self.log = log or Log()
        self.gate = gate

    def on_start(self) -> Any:
        self._note("start")

    def on_stop(self) -> Any:
        self._note("stop")

    def on_restart(self, cause: BaseException | None) -> None:
        self._note(f"restart after {type(cause).__name__}")

    @handles
    async def wait_at_the_gate(self, message: Pass) -> str:
        assert self.gate is not None
        self._note("waiting")
        await self.gate()
        return "passed"

    def _note(self, what: str) -> None:
        self.log(f"{self.context.ref.name} {what} at {anyio.current_time() - self._began():g}")

    def _began(self) -> float:
        return STARTED.get(self.context.system.name, 0.0)


STARTED: dict[str, float] = {}
"""When a test began, by the name of its system."""


def begin() -> None:
    STARTED["test"] = anyio.current_time()


async def until(seconds: float) -> None:
    await anyio.sleep_until(STARTED["test"] + seconds)


async def test_it_starts_with_its_first_message_and_not_before() -> None:
    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Account, "alice", log)
        await until(500)
        assert (ref.path, ref.name, ref.is_alive, ref.incarnation) == ("Account/alice", "alice", True, 0)
        assert log.lines == []

        assert await ref.ask(Total(), timeout=1) == 0

        assert log.lines == ["alice start at 500"]
        assert ref.incarnation == 1


async def test_it_goes_when_it_has_been_idle_for_exactly_so_long() -> None:
    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Account, "alice", log)
        for when in (0, 30, 89.5, 100):
            await until(when)
            ref.tell(Add(1))
        await until(550)

        assert log.lines == ["alice start at 0", "alice stop at 160"]
        assert ref.is_alive


async def test_it_comes_back_with_the_state_it_went_with() -> None:
    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Account, "alice", log)
        ref.tell(Add(3))
        await until(200)

        ref.tell(Add(4))
        assert await ref.ask(Total(), timeout=1) == 7

        assert log.lines == ["alice start at 0", "alice stop at 60", "alice start at 200"]
        assert (ref.incarnation, system.statistics().restarts) == (2, 0)
        assert letters(system) == []


async def test_a_handler_that_takes_its_time_is_not_idle() -> None:
    async with running() as system:
        begin()
        log, gate = Log(), Gate()
        ref = await system.get_or_spawn(Account, "alice", log, gate)
        ref.tell(Pass())
        await until(300)
        ref.tell(Add(1))
        gate.open.set()
        await until(550)

        assert log.lines == ["alice start at 0", "alice waiting at 0", "alice stop at 360"]


async def test_without_an_idle_time_it_stays() -> None:
    class Steady(Account):
        passivate_after = None

    async with running() as system:
        begin()
        log = Log()
        (await system.get_or_spawn(Steady, "alice", log)).tell(Add(1))
        await until(550)

        assert log.lines == ["alice start at 0"]


async def test_a_message_that_comes_in_the_last_moment_keeps_it() -> None:
    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Account, "alice", log)
        ref.tell(Add(1))
        await until(1)
        # Goes off right behind the alarm of the idle time, before its turn.
        cell_of(ref).runtime.timekeeper.after(59, lambda: ref.tell(Add(1)))
        await until(550)

        assert log.lines == ["alice start at 0", "alice stop at 120"]


@pytest.mark.parametrize("ask", [False, True])
async def test_a_message_that_comes_while_it_goes_is_handled_by_the_next_instance(ask: bool) -> None:
    class Slow(Account):
        async def on_stop(self) -> None:
            await anyio.sleep(10)
            self._note("stop")

    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Slow, "alice", log)
        ref.tell(Add(1))
        await until(65)
        if ask:
            assert await ref.ask(Total(), timeout=60) == 1
        else:
            ref.tell(Add(2))
            await ref.send(Add(4))
            assert await ref.ask(Total(), timeout=60) == 7

        assert log.lines == ["alice start at 0", "alice stop at 70", "alice start at 70"]
        assert letters(system) == []


async def test_senders_that_wait_for_room_do_not_notice() -> None:
    class Narrow(Account):
        mailbox = MailboxOptions(capacity=1)

        async def on_stop(self) -> None:
            await anyio.sleep(10)

    async with running() as system:
        begin()
        ref = await system.get_or_spawn(Narrow, "alice")
        ref.tell(Add(1))
        await until(65)
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ref.send, Add(1))

        assert await ref.ask(Total(), timeout=1) == 6
        assert ref.incarnation == 2


async def test_its_children_end_with_its_instance() -> None:
    class Parent(Account):
        async def on_start(self) -> None:
            await self.context.spawn(Counter, name="child")

    async with running() as system:
        begin()
        ref = await system.get_or_spawn(Parent, "p")
        ref.tell(Add(1))
        await until(1)
        child = system.get("Parent/p/child")
        await until(100)
        assert (child.is_alive, ref.is_alive) == (False, True)

        await ref.ask(Total(), timeout=1)
        assert system.get("Parent/p/child").is_alive


async def test_groups_are_kept() -> None:
    async with running() as system:
        begin()
        ref = await system.get_or_spawn(Account, "alice")
        system.group("g").join(ref)
        system.group("g").broadcast(Add(1))
        await until(100)
        system.group("g").broadcast(Add(2))

        assert await ref.ask(Total(), timeout=1) == 3
        assert ref.incarnation == 2


async def test_the_same_class_and_key_are_the_same_actor() -> None:
    class Savings(Account): ...

    async with running() as system:
        refs: list[ActorRef[Any]] = []

        async def get() -> None:
            refs.append(await system.get_or_spawn(Account, "alice"))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(get)
        other = await system.get_or_spawn(Savings, "alice")
        refs[0].tell(Add(1))

        assert all(ref == refs[0] for ref in refs)
        assert other != refs[0]
        assert other.path == "Savings/alice"
        assert await other.ask(Total(), timeout=1) == 0
        assert system.get("Account/alice") == refs[0]
        assert set(system.actors(Account)) == {refs[0], other}


async def test_an_actor_gets_one_too() -> None:
    class Teller(Actor):
        @handles
        async def say(self, message: Say) -> int:
            account = await self.context.get_or_spawn(Account, message.text)
            account.tell(Add(1))
            return await account.ask(Total(), timeout=1)

    async with running() as system:
        teller = await system.spawn(Teller)

        assert await teller.ask(Say("alice"), timeout=1) == 1
        assert await teller.ask(Say("alice"), timeout=1) == 2
        assert await teller.ask(Say("bob"), timeout=1) == 1


async def test_its_parent_is_the_supervisor_of_its_class() -> None:
    async with running() as system:
        ref = await system.get_or_spawn(Account, "alice")
        ref.tell(Add(1))
        await ref.ask(Total(), timeout=1)

        assert [child.path for child in system.actors(name="Account")] == ["Account"]
        with pytest.raises(NameTaken):
            await system.spawn(Counter, name="Account")


async def test_stop_ends_the_instance_and_not_the_actor() -> None:
    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Account, "alice", log)
        ref.tell(Add(3))
        await ref.ask(Total(), timeout=1)

        await ref.stop()
        assert log.lines == ["alice start at 0", "alice stop at 0"]
        assert ref.is_alive
        await ref.stop()  # there is none to end
        await until(100)
        assert len(log.lines) == 2

        assert await ref.ask(Total(), timeout=1) == 3
        assert log.lines[2:] == ["alice start at 100"]


async def test_what_is_queued_at_a_stop_is_handled_by_the_next_instance() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.get_or_spawn(Account, "alice", log, gate)
        ref.tell(Pass())
        await gate.reached.wait()
        ending = ref.stop()
        ref.tell(Add(3))
        gate.open.set()
        await ending

        assert await ref.ask(Total(), timeout=1) == 3
        assert ref.incarnation == 2
        assert letters(system) == []


async def test_a_stop_that_is_awaited_later_has_happened() -> None:
    async with running() as system:
        begin()
        ref = await system.get_or_spawn(Account, "alice")
        ref.tell(Add(3))
        await ref.ask(Total(), timeout=1)
        ending = ref.stop()
        await until(10)

        await ending
        await ref.kill()
        await ref.drain()

        assert await ref.ask(Total(), timeout=1) == 3


async def test_drain_handles_what_is_queued_refuses_what_comes_and_then_takes_messages_again() -> None:
    async with running() as system:
        log, gate = Log(), Gate()
        ref = await system.get_or_spawn(Account, "alice", log, gate)
        for message in (Pass(), Add(1), Add(2)):
            ref.tell(message)
        await gate.reached.wait()
        ending = ref.drain()
        ref.tell(Add(100))
        gate.open.set()
        await ending

        assert letters(system) == [(Add(100), "stopped")]
        assert await ref.ask(Total(), timeout=1) == 3
        await anyio.sleep(1)
        assert await ref.ask(Total(), timeout=1) == 3
        assert ref.incarnation == 2


async def test_a_drain_before_the_first_message_is_taken_handles_it() -> None:
    async with running() as system:
        ref = await system.get_or_spawn(Account, "alice")
        ref.tell(Add(1))

        await ref.drain()

        assert (ref.incarnation, ref.is_alive) == (1, True)
        assert await ref.ask(Total(), timeout=1) == 1
        assert ref.incarnation == 2


async def test_a_failure_starts_it_again_at_once_and_then_it_goes_when_idle() -> None:
    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Account, "alice", log)
        ref.tell(Add(3))
        await ref.ask(Total(), timeout=1)
        await ref.stop()
        with pytest.raises(HandlerFailed):
            await ref.ask(Fail(), timeout=1)
        await until(550)

        assert log.lines == [
            "alice start at 0",
            "alice stop at 0",
            "alice start at 0",
            "alice stop at 0",
            "alice restart after ValueError at 0",
            "alice start at 0",
            "alice stop at 60",
        ]
        assert system.statistics().restarts == 1


async def test_kill_ends_the_instance_without_hooks_and_starts_it_again() -> None:
    async with running() as system:
        begin()
        log, gate = Log(), Gate()
        ref = await system.get_or_spawn(Account, "alice", log, gate)
        ref.tell(Pass())
        await gate.reached.wait()

        await ref.kill()
        await log.until("alice start at 0", 2)

        assert log.lines[2:] == ["alice restart after ActorKilled at 0", "alice start at 0"]
        assert letters(system) == [(Pass(), "stopped")]


async def test_a_kill_that_comes_too_late_for_an_instance_does_nothing() -> None:
    class Hasty(Account):
        def on_stop(self) -> None:
            self.context.ref.kill()
            self.context.ref.tell(Add(1))

    async with running() as system:
        begin()
        ref = await system.get_or_spawn(Hasty, "alice")
        ref.tell(Add(1))
        await until(61)

        assert await ref.ask(Total(), timeout=1) == 2
        assert (ref.incarnation, system.statistics().restarts) == (2, 0)
        assert letters(system) == []


async def test_a_kill_while_it_starts_is_a_start_that_failed() -> None:
    class Slow(Account):
        async def on_start(self) -> None:
            assert self.gate is not None
            await self.gate()

    async with running() as system:
        gate = Gate()
        ref = await system.get_or_spawn(Slow, "alice", None, gate)
        ref.tell(Add(1))
        await gate.reached.wait()

        await ref.kill()
        assert (letters(system), ref.is_alive) == ([(Add(1), "failed")], True)

        gate.open.set()
        assert await ref.ask(Total(), timeout=1) == 0


async def test_a_stop_while_it_waits_for_its_restart_lets_it_go() -> None:
    async with running() as system:
        begin()
        ref = await system.get_or_spawn(Account, "alice")
        for _ in range(4):
            with pytest.raises(HandlerFailed):
                await ref.ask(Fail(), timeout=1)
        await until(1)
        assert ref.incarnation == 4

        await ref.stop()
        await until(20)

        assert ref.incarnation == 4
        assert await ref.ask(Total(), timeout=1) == 0


async def test_failures_beyond_the_window_wait_and_lose_nothing() -> None:
    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Account, "alice", log)
        for _ in range(8):
            ref.tell(Fail())
        ref.tell(Add(1))

        assert await ref.ask(Total(), timeout=60) == 1

        assert 10 <= anyio.current_time() - STARTED["test"] <= 12
        assert ref.incarnation == 9
        assert [reason for _, reason in letters(system)] == ["failed"] * 8


async def test_a_failing_on_stop_is_a_failure_of_the_actor() -> None:
    class Sloppy(Account):
        def on_stop(self) -> None:
            self._note("stop")
            raise OSError

    async with running() as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Sloppy, "alice", log)
        ref.tell(Add(3))
        await until(100)

        assert log.lines[1:] == ["alice stop at 60", "alice restart after OSError at 60", "alice start at 60"]
        assert await ref.ask(Total(), timeout=1) == 3


class Unwilling(Account):
    refusals = 0
    is_willing = False

    def on_start(self) -> None:
        type(self).refusals += 1
        if not self.is_willing:
            raise OSError("no database")


async def test_a_start_that_fails_refuses_what_is_queued_and_a_later_message_tries_again() -> None:
    class Moody(Unwilling): ...

    async with running() as system:
        ref = await system.get_or_spawn(Moody, "alice")
        ref.tell(Add(1))
        with pytest.raises(ActivationFailed, match="no database") as caught:
            await ref.ask(Total(), timeout=60)

        assert isinstance(caught.value.__cause__, OSError)
        assert (caught.value.message, caught.value.ref) == (Total(), ref)
        assert letters(system) == [(Add(1), "failed"), (Total(), "failed")]
        assert (Moody.refusals, ref.is_alive) == (1, True)

        Moody.is_willing = True
        assert await ref.ask(Total(), timeout=1) == 0
        assert Moody.refusals == 2


async def test_what_a_failed_start_gave_up_can_be_sent_again() -> None:
    class Tired(Unwilling): ...

    async with running() as system:
        ref = await system.get_or_spawn(Tired, "alice")
        ref.tell(Add(3))
        with pytest.raises(ActivationFailed):
            await ref.ask(Total(), timeout=1)
        (letter, _) = system.dead_letters
        assert letter.message_id is not None

        Tired.is_willing = True
        await system.dead_letters.redrive(letter.message_id)

        assert await ref.ask(Total(), timeout=1) == 3


async def test_an_actor_that_does_not_start_is_tried_only_as_often_as_the_window_allows() -> None:
    class Stubborn(Unwilling): ...

    store = MemoryStore()
    async with running(store=store) as system:
        begin()
        ref = await system.get_or_spawn(Stubborn, "alice")
        for _ in range(100):
            with pytest.raises(ActivationFailed, match="no database"):
                await ref.ask(Total(), timeout=60)
        assert Stubborn.refusals == 3

        await until(6)
        with pytest.raises(ActivationFailed):
            await ref.ask(Total(), timeout=60)
        assert Stubborn.refusals == 4

        Stubborn.is_willing = True
        await until(12)
        assert await ref.ask(Total(), timeout=1) == 0
        await system.flush()
        (alert,) = await store.events("test", event_type="system_alert")
        assert alert.payload == {
            "alert": "virtual actor does not start: its messages are refused for a while",
            "cause": "OSError: no database",
            "causes": [{"type": "OSError", "message": "no database"}],
        }


async def test_senders_that_wait_for_room_are_told_that_it_does_not_start() -> None:
    class Narrow(Account):
        mailbox = MailboxOptions(capacity=1)

        async def on_start(self) -> None:
            await anyio.sleep(1)
            raise OSError("no database")

    async with running() as system:
        ref = await system.get_or_spawn(Narrow, "alice")
        ref.tell(Add(1))

        with pytest.raises(ActivationFailed, match="no database"):
            await ref.send(Add(2), timeout=60)

        assert letters(system) == [(Add(1), "failed")]


async def test_a_restart_that_does_not_start_leaves_it_passive() -> None:
    class Fragile(Account):
        def on_restart(self, cause: BaseException | None) -> None:
            raise OSError("not again")

    async with running() as system:
        ref = await system.get_or_spawn(Fragile, "alice")
        ref.tell(Add(3))
        await ref.ask(Total(), timeout=1)
        await ref.stop()
        ref.tell(Fail())
        with pytest.raises(ActivationFailed, match="not again"):
            await ref.ask(Total(), timeout=1)

        assert await ref.ask(Total(), timeout=1) == 3


async def test_its_state_survives_the_process() -> None:
    store = MemoryStore()
    for round_ in range(3):
        async with running(store=store) as system:
            begin()
            log = Log()
            ref = await system.get_or_spawn(Account, "alice", log)
            ref.tell(Add(3))
            assert await ref.ask(Total(), timeout=1) == 3 * (round_ + 1)
            if round_ == 1:
                await until(100)  # passive at the end

    (row,) = [row for row in await store.agents("test") if row.agent_id == "Account/alice"]
    assert (row.kind, row.incarnation) == ("Account", 3)


async def test_the_store_knows_who_is_passive() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        begin()
        ref = await system.get_or_spawn(Account, "alice")
        ref.tell(Add(1))
        await until(100)
        await system.flush()

        events = await store.events("test", agent="Account/alice", event_type="actor_passivated")
        rows = {row.agent_id: row.status for row in await store.agents("test")}
        assert [event.incarnation for event in events] == [1]
        assert rows["Account/alice"] == "passive"
        assert await store.events("test", event_type="actor_stopped") == []


async def test_an_instance_that_changed_nothing_writes_no_checkpoint() -> None:
    class Quiet(Account):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=None)

    store = MemoryStore()
    async with running(store=store) as system:
        begin()
        ref = await system.get_or_spawn(Quiet, "alice")
        ref.tell(Add(1))
        for when in (100, 200, 300):
            await until(when)
            await ref.ask(Total(), timeout=1)
        await until(400)

        assert ref.incarnation == 4
        assert len(await store.checkpoint_rows("test", "Quiet/alice")) == 1


async def test_a_class_keeps_its_actors_over_a_new_name_by_its_tag() -> None:
    class Konto(Account, tag="account"): ...

    class Depot(Account, tag="account"): ...

    store = MemoryStore()
    async with running(store=store) as system:
        (await system.get_or_spawn(Konto, "alice")).tell(Add(3))
    async with running(store=store) as system:
        ref = await system.get_or_spawn(Depot, "alice")

        assert ref.path == "account/alice"
        assert await ref.ask(Total(), timeout=1) == 3


async def test_in_an_outage_nothing_goes() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Account, "alice", log)
        ref.tell(Add(3))
        await until(50)
        store.pause()
        await until(310)
        assert log.lines == ["alice start at 0"]

        store.resume()
        await until(550)
        assert log.lines == ["alice start at 0", "alice stop at 360"]


async def test_without_room_in_the_journal_it_stays_until_its_state_is_saved() -> None:
    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=5_000)) as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Account, "alice", log)
        ref.tell(Add(3))
        await until(59)
        store.pause()
        for _ in range(100):
            ref.tell(Add(1))
        await until(300)
        store.resume()
        await until(550)

        assert log.lines[:1] == ["alice start at 0"]
        assert await ref.ask(Total(), timeout=1) == 103


async def test_a_start_that_needs_the_store_waits_for_it_with_its_messages() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        begin()
        log = Log()
        ref = await system.get_or_spawn(Account, "alice", log)
        ref.tell(Add(3))
        await until(100)
        store.pause()
        ref.tell(Add(4))
        await until(200)
        assert log.lines == ["alice start at 0", "alice stop at 60"]
        await ref.stop()
        assert ref.is_alive

        store.resume()
        assert await ref.ask(Total(), timeout=1) == 7
        assert (ref.incarnation, system.statistics().restarts) == (2, 0)
        assert letters(system) == []


async def test_a_state_that_cannot_be_read_is_said_to_who_asks_and_others_do_not_notice() -> None:
    class Other(msgspec.Struct, tag="Other"):
        name: str = ""

    store = MemoryStore()
    async with running(store=store) as system:
        for key in ("alice", "bob"):
            (await system.get_or_spawn(Account, key)).tell(Add(1))
    changed: type[Account] = type("Account", (Account,), {"State": Other})
    async with running(store=store) as system:
        ref = await system.get_or_spawn(changed, "alice")
        with pytest.raises(ActivationFailed) as caught:
            await ref.ask(Total(), timeout=1)
        assert isinstance(caught.value.__cause__, CheckpointUnusable)
    async with running(store=store) as system:
        assert await (await system.get_or_spawn(Account, "alice")).ask(Total(), timeout=1) == 1


async def test_stopping_the_supervisor_of_a_class_passivates_all_of_it() -> None:
    async with running() as system:
        begin()
        log, gate = Log(), Gate()
        refs = [await system.get_or_spawn(Account, name, log, gate) for name in "abc"]
        for ref in refs[:2]:
            ref.tell(Add(1))
        await refs[1].ask(Total(), timeout=1)
        refs[0].tell(Pass())
        await gate.reached.wait()

        ending = system.get("Account").stop()
        await anyio.sleep(1)
        refs[1].tell(Add(1))
        refs[2].tell(Add(1))
        assert refs[2].incarnation == 0
        late = await system.get_or_spawn(Account, "late", log)
        gate.open.set()
        await ending

        await anyio.sleep(1)
        assert [ref.incarnation for ref in (*refs, late)] == [1, 2, 1, 0]
        assert [await ref.ask(Total(), timeout=1) for ref in (*refs, late)] == [1, 2, 1, 0]
        assert [ref.incarnation for ref in (*refs, late)] == [2, 2, 1, 1]
        assert letters(system) == []


async def test_one_that_does_not_end_with_its_supervisor_is_killed_after_its_grace() -> None:
    async with running() as system:
        begin()
        log, gate = Log(), Gate()
        ref = await system.get_or_spawn(Account, "alice", log, gate)
        ref.tell(Pass())
        await gate.reached.wait()

    assert anyio.current_time() - STARTED["test"] == 5
    assert letters(system) == [(Pass(), "stopped")]


async def test_killing_the_supervisor_of_a_class_keeps_its_actors() -> None:
    async with running() as system:
        refs = [await system.get_or_spawn(Account, name) for name in "ab"]
        refs[0].tell(Add(1))
        await refs[0].ask(Total(), timeout=1)

        await system.get("Account").kill()

        assert await refs[1].ask(Total(), timeout=1) == 0
        assert await refs[0].ask(Total(), timeout=1) in (0, 1)
        assert all(ref.is_alive for ref in refs)


async def test_the_end_of_the_system_saves_the_active_and_ends_all() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        begin()
        passive, active = [await system.get_or_spawn(Account, name) for name in "ab"]
        passive.tell(Add(1))
        await until(100)
        active.tell(Add(2))
        await active.ask(Total(), timeout=1)

    assert not passive.is_alive
    assert not active.is_alive
    with pytest.raises(SystemClosed):
        passive.tell(Add(1))
    with pytest.raises(SystemClosed):
        await system.get_or_spawn(Account, "a")
    async with running(store=store) as system:
        again = [await system.get_or_spawn(Account, name) for name in "ab"]
        assert [await ref.ask(Total(), timeout=1) for ref in again] == [1, 2]


async def test_a_message_to_a_passive_one_while_the_system_ends_is_a_dead_letter() -> None:
    class Last(Counter):
        async def on_stop(self) -> None:
            account = await self.context.get_or_spawn(Account, "alice")
            account.tell(Add(5))
            await anyio.sleep(1)

    async with running() as system:
        await system.spawn(Last)
        await system.get_or_spawn(Account, "alice")

    handled = system.statistics().handled
    assert handled == 0
    assert letters(system) in ([(Add(5), "stopped")], [])


async def test_a_volatile_class_and_one_without_state_are_refused() -> None:
    class Stateless(Actor): ...

    async with running() as system:
        with pytest.raises(InvalidChildSpec, match="volatile"):
            await system.get_or_spawn(VolatileCounter, "a")
        with pytest.raises(InvalidChildSpec, match="declares no State"):
            await system.get_or_spawn(Stateless, "a")
        wrong: Any = int
        with pytest.raises(InvalidChildSpec, match="subclass of Actor"):
            await system.get_or_spawn(wrong, "a")

        assert system.actors() == []


@pytest.mark.parametrize("key", ["a/b", "", "$1", 3, None], ids=repr)
async def test_a_key_that_cannot_be_part_of_a_path(key: Any) -> None:
    async with running() as system:
        with pytest.raises(InvalidName):
            await system.get_or_spawn(Account, key)

        assert system.actors() == []


async def test_a_place_that_is_taken_by_another_actor() -> None:
    async with running() as system:
        taken = await system.spawn(Counter, name="Account")
        with pytest.raises(NameTaken) as caught:
            await system.get_or_spawn(Account, "alice")
        assert caught.value.ref == taken

        await taken.stop()
        await system.get_or_spawn(Account, "alice")
        with pytest.raises(NameTaken):
            await system.get_or_spawn(type("Account", (Counter,), {}), "alice")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "1", True], ids=repr)
def test_an_idle_time_that_cannot_be(seconds: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"Bad\.passivate_after"):
        type("Bad", (Account,), {"passivate_after": seconds})


async def test_ten_thousand_come_and_go() -> None:
    async with running() as system:
        begin()
        refs = [await system.get_or_spawn(Counter, str(n)) for n in range(10_000)]
        for _ in range(2):
            for ref in refs:
                ref.tell(Add(1))
            await anyio.sleep(100)
            assert {ref.incarnation for ref in refs} in ({1}, {2})

        answers = await system.ask_many(refs[::100], Total(), timeout=60)
        assert {answer.reply for answer in answers} == {2}
        assert system.statistics().dead_letters == 0


@pytest.fixture(scope="module")
def replayable() -> Iterator[None]:
    """Turns do not end by the wall clock, so that a seed gives the same schedule again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell, "TURN_SECONDS", 1e9)
        patch.setattr(dispatcher, "SLICE", 1e9)
        yield


class Number(msgspec.Struct, frozen=True):
    number: int


class Wobbly(Actor):
    """Counts what it handles, in its state and in the test's; every step of it may take its time."""

    passivate_after = 1.0

    class State(msgspec.Struct):
        handled: int = 0

    state: State

    def __init__(self, chance: random.Random, done: Count[int], alive: Count[str]) -> None:
        self.chance = chance
        self.done = done
        self.alive = alive

    async def _linger(self) -> None:
        if self.chance.random() < 0.5:
            await anyio.sleep(self.chance.choice([0.0, 0.0, 0.25, 1.0]))

    async def on_start(self) -> None:
        self.alive[self.context.ref.path] += 1
        assert self.alive[self.context.ref.path] == 1
        await self._linger()

    async def on_stop(self) -> None:
        await self._linger()
        self.alive[self.context.ref.path] -= 1

    @handles
    async def number(self, message: Number) -> int:
        self.done[message.number] += 1
        self.state.handled += 1
        await self._linger()
        return message.number

    @handles
    def total(self, message: Total) -> int:
        return self.state.handled


@pytest.mark.usefixtures("replayable")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
async def test_whenever_a_message_comes_it_is_handled_once_and_its_effect_is_kept(seed: int) -> None:
    chance, done, alive = random.Random(seed), Count[int](), Count[str]()
    sent: Count[str] = Count()
    number = 0

    async def bother(system: ActorSystem, key: str) -> None:
        nonlocal number
        for _ in range(chance.randrange(1, 12)):
            ref = await system.get_or_spawn(Wobbly, key, chance, done, alive)
            how = chance.choice(["tell", "tell", "send", "ask", "stop", "wait"])
            if how in ("tell", "send", "ask"):
                number += 1
                sent[key] += 1
                message = Number(number)
                if how == "tell":
                    ref.tell(message)
                elif how == "send":
                    await ref.send(message, timeout=100)
                else:
                    assert await ref.ask(message, timeout=100) == message.number
            elif how == "stop":
                ref.stop()
            # Often at the very moment at which it goes.
            await anyio.sleep(chance.choice([0.0, 0.0, 0.5, 1.0, 1.0, 1.25]))

    store = MemoryStore()
    async with running(store=store) as system:
        async with anyio.create_task_group() as tasks:
            for key in ("a", "a", "b"):
                tasks.start_soon(bother, system, key)
        for key in sent:
            ref = await system.get_or_spawn(Wobbly, key, chance, done, alive)
            assert await ref.ask(Total(), timeout=100) == sent[key]
        assert letters(system) == []
    async with running(store=store) as system:
        for key in sent:
            ref = await system.get_or_spawn(Wobbly, key, chance, done, alive)
            assert await ref.ask(Total(), timeout=100) == sent[key]

    assert done == Count(range(1, number + 1))


class Plain(Actor):
    class State(msgspec.Struct):
        total: int = 0


@pytest.mark.parametrize(
    ("cls", "args", "kwargs", "why"),
    [
        (Account, (), {"foo": 1}, "foo"),
        (Account, (None, None, 3), {}, "too many"),
        (Plain, (), {"foo": 1}, "foo"),
        (Plain, (3,), {}, "too many"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused_at_the_call(
    cls: type[Actor], args: tuple[Any, ...], kwargs: dict[str, Any], why: str
) -> None:
    async with running() as system:
        with pytest.raises(InvalidCall, match=rf"{cls.__name__}\.__init__\(.*{why}"):
            await system.get_or_spawn(cls, "z", *args, **kwargs)

        assert system.actors(cls) == []
        ref = await system.get_or_spawn(cls, "z")
        assert await system.get_or_spawn(cls, "z") == ref

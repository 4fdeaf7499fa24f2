"""Checkpoints: when they are taken, what a restart and a new start make of them, what is refused."""

from __future__ import annotations

from typing import Any, ClassVar

import anyio
import msgspec
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorRef,
    CheckpointPolicy,
    CheckpointUnusable,
    ChildSpec,
    HandlerFailed,
    InvalidArgument,
    JournalOptions,
    MemoryStore,
    StateTooLarge,
    StoreUnavailable,
    Supervisor,
    UnencodableState,
    handles,
    upcast,
)
from sentient_core.actors.checkpoints import RejectedCheckpoint, restore, save
from sentient_core.codec import Codec, digest
from sentient_core.store.records import Checkpoint, CheckpointKind
from tests.probes import Add, Counter, Fail, Gate, Log, Save, Say, Total, VolatileCounter, running


async def saved(store: MemoryStore, path: str, system: str = "test") -> list[int]:
    """The totals in the stored checkpoints of a Counter, newest first."""
    rows = await store.checkpoint_rows(system, path)
    return [msgspec.msgpack.decode(row.state)["total"] for row in rows]


async def put(
    store: MemoryStore, path: str, *states: bytes, torn: bool = False, tag: str = "Counter.State"
) -> None:
    """Store checkpoints of an actor by hand, the last one the newest."""
    journal = await store.open_journal("test")
    for n, state in enumerate(states):
        journal.append(
            Checkpoint(
                path=path,
                incarnation=1,
                checkpoint_id=f"by hand {n}",
                kind=CheckpointKind.TURN,
                state=state,
                tag=tag,
                schema_version=1,
                digest=b"0" * 16 if torn else digest(state),
                at=0,
            )
        )
    await journal.close(5)


def state(total: int) -> bytes:
    return msgspec.msgpack.encode({"total": total})


class NoPolicy(Counter):
    checkpoint_policy = CheckpointPolicy(messages=None, seconds=None)


async def test_an_explicit_checkpoint_is_there_when_it_returns() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(NoPolicy, name="a")
        ref.tell(Add(3))

        checkpoint_id = await ref.ask(Save(), timeout=1)

        (row,) = await store.checkpoint_rows("test", "a")
        assert row.checkpoint_id == checkpoint_id
        assert (row.agent_id, row.kind, row.incarnation) == ("a", "turn", 1)
        assert row.digest == digest(row.state)
        assert await saved(store, "a") == [3]


async def test_a_restart_loads_the_latest_checkpoint_and_replays_nothing() -> None:
    async with running() as system:
        ref = await system.spawn(NoPolicy)
        ref.tell(Add(3))
        await ref.ask(Save(), timeout=1)
        ref.tell(Add(100))
        ref.tell(Fail())

        assert await ref.ask(Total(), timeout=1) == 3


async def test_a_restart_without_any_checkpoint_begins_anew() -> None:
    async with running() as system:
        ref = await system.spawn(NoPolicy)
        ref.tell(Add(3))
        ref.tell(Fail())

        assert await ref.ask(Total(), timeout=1) == 0


async def test_the_failed_message_is_not_rolled_back_in_a_checkpoint_taken_by_it() -> None:
    class Saver(NoPolicy):
        @handles
        async def say(self, message: Say) -> None:
            self.state.total = 50
            await self.checkpoint()
            raise ValueError

    async with running() as system:
        ref = await system.spawn(Saver)
        ref.tell(Say("x"))

        assert await ref.ask(Total(), timeout=1) == 50


@pytest.mark.parametrize("seconds", [None, 1000.0])
async def test_the_policy_saves_after_so_many_messages(seconds: float | None) -> None:
    class ByCount(Counter):
        checkpoint_policy = CheckpointPolicy(messages=3, seconds=seconds)

    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(kept_checkpoints=100)) as system:
        ref = await system.spawn(ByCount, name="a")

        for _ in range(10):
            ref.tell(Add())
        await ref.ask(Total(), timeout=1)

        assert await saved(store, "a") == [9, 6, 3]


async def test_a_count_of_one_saves_after_every_message() -> None:
    class EveryMessage(Counter):
        checkpoint_policy = CheckpointPolicy(messages=1, seconds=None)

    async with running() as system:
        ref = await system.spawn(EveryMessage)
        for _ in range(200):
            ref.tell(Add())
        ref.tell(Fail())

        assert await ref.ask(Total(), timeout=1) == 200


async def test_an_explicit_checkpoint_starts_the_count_anew() -> None:
    class ByCount(Counter):
        checkpoint_policy = CheckpointPolicy(messages=4, seconds=None)

    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(kept_checkpoints=100)) as system:
        ref = await system.spawn(ByCount, name="a")
        ref.tell(Add())
        ref.tell(Add())
        await ref.ask(Save(), timeout=1)
        for _ in range(4):
            ref.tell(Add())
        await ref.ask(Total(), timeout=1)

        assert (await saved(store, "a"))[-1] == 2
        assert len(await saved(store, "a")) == 2


async def test_the_policy_saves_so_long_after_the_first_message() -> None:
    class ByTime(Counter):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=10.0)

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(ByTime, name="a")
        await anyio.sleep(50)
        ref.tell(Add())
        await anyio.sleep(6)
        ref.tell(Add())
        await anyio.sleep(3.9)
        assert await saved(store, "a") == []

        await anyio.sleep(0.2)
        assert await saved(store, "a") == [2]

        await anyio.sleep(100)
        assert await saved(store, "a") == [2]  # nothing has happened since
        ref.tell(Add())
        await anyio.sleep(10.1)
        assert await saved(store, "a") == [3, 2]


async def test_the_policys_time_does_not_outlive_an_incarnation() -> None:
    class ByTime(Counter):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=10.0)

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(ByTime, name="a")
        ref.tell(Add())
        await anyio.sleep(5)
        ref.tell(Fail())
        await anyio.sleep(20)

        assert await saved(store, "a") == []
        assert ref.incarnation == 2


async def test_the_policy_saves_after_so_many_bytes_of_messages() -> None:
    class BySize(Counter):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=None, bytes=1_000)

        @handles
        def say(self, message: Say) -> None:
            self.state.total += len(message.text)

    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(kept_checkpoints=100)) as system:
        ref = await system.spawn(BySize, name="a")

        for size in (400, 400, 400, 2_000, 100, 100, 900):
            ref.tell(Say("x" * size))
        await ref.ask(Total(), timeout=1)

        assert await saved(store, "a") == [4_300, 3_200, 1_200]
        assert {row.metadata["why"] for row in await store.checkpoint_rows("test", "a")} == {"policy: bytes"}


async def test_bytes_count_anew_after_any_other_save_and_in_a_new_incarnation() -> None:
    class BySize(Counter):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=None, bytes=1_000)

        @handles
        async def say(self, message: Say) -> None:
            self.state.total += len(message.text)
            if message.text.startswith("save"):
                await self.checkpoint()

    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(kept_checkpoints=100)) as system:
        ref = await system.spawn(BySize, name="a")

        ref.tell(Say("x" * 900))
        ref.tell(Say("save" + "x" * 896))  # itself none to save for
        ref.tell(Say("x" * 900))
        await ref.ask(Total(), timeout=1)
        assert await saved(store, "a") == [1_800]

        ref.tell(Fail())
        ref.tell(Say("x" * 900))
        await ref.ask(Total(), timeout=1)
        assert await saved(store, "a") == [1_800]


@pytest.mark.parametrize("seconds", [None, 1000.0])
async def test_the_policy_saves_when_nothing_has_come_for_so_long(seconds: float | None) -> None:
    class WhenIdle(Counter):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=seconds, idle=3.0)

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(WhenIdle, name="a")
        for _ in range(5):
            ref.tell(Add())
            await anyio.sleep(2)
        assert await saved(store, "a") == []

        await anyio.sleep(1.1)
        assert await saved(store, "a") == [5]

        await anyio.sleep(100)
        assert await saved(store, "a") == [5]  # nothing has happened since
        ref.tell(Add())
        await anyio.sleep(3.1)
        assert await saved(store, "a") == [6, 5]
        assert {row.metadata["why"] for row in await store.checkpoint_rows("test", "a")} == {"policy: idle"}


async def test_a_handler_that_waits_is_not_idle() -> None:
    gate = Gate()

    class WhenIdle(Counter):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=None, idle=3.0)

        @handles
        async def say(self, message: Say) -> None:
            await gate()
            self.state.total = 7

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(WhenIdle, name="a")
        await ref.ask(Total(), timeout=1)
        ref.tell(Say("x"))
        await anyio.sleep(60)
        assert await saved(store, "a") == []

        gate.open.set()
        await anyio.sleep(6.1)
        assert await saved(store, "a") == [7]


async def test_idleness_does_not_outlive_an_incarnation() -> None:
    class WhenIdle(Counter):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=None, idle=3.0)

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(WhenIdle, name="a")
        ref.tell(Add())
        await anyio.sleep(1)
        ref.tell(Fail())
        await anyio.sleep(20)

        assert await saved(store, "a") == []
        assert ref.incarnation == 2


async def test_an_idle_actor_saves_once_the_journal_has_room_again() -> None:
    class WhenIdle(Counter):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=None, idle=3.0)

    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=200)) as system:
        ref = await system.spawn(WhenIdle, name="a")
        store.pause()
        for _ in range(20):
            ref.tell(Add())
        await anyio.sleep(10)
        store.resume()
        await anyio.sleep(10)

        assert await saved(store, "a") == [20]


async def test_an_orderly_end_saves_and_a_new_start_adopts() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(NoPolicy, name="a")
        ref.tell(Add(5))
        await ref.ask(Total(), timeout=1)

    async with running(store=store) as system:
        ref = await system.spawn(NoPolicy, name="a")

        assert await ref.ask(Total(), timeout=1) == 5
        assert ref.incarnation == 2
        ref.tell(Fail())
        assert await ref.ask(Total(), timeout=1) == 5
        assert ref.incarnation == 3


async def test_an_unchanged_state_is_not_saved_twice() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(NoPolicy, name="a")
        ref.tell(Add(5))
        await ref.ask(Save(), timeout=1)
    for _ in range(3):
        async with running(store=store) as system:
            ref = await system.spawn(NoPolicy, name="a")
            await ref.ask(Total(), timeout=1)

    assert await saved(store, "a") == [5]


async def test_a_failed_or_killed_end_saves_nothing() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        for name, end in (("killed", "kill"), ("failed", "fail")):
            ref = await system.spawn(NoPolicy, name=name, restart="temporary")
            ref.tell(Add(5))
            await ref.ask(Total(), timeout=1)
            if end == "kill":
                await ref.kill()
            else:
                with pytest.raises(HandlerFailed):
                    await ref.ask(Fail(), timeout=1)
                await ref.stop()

        assert await saved(store, "killed") == await saved(store, "failed") == []


async def test_adoption_is_by_path_also_of_declared_children() -> None:
    class Bank(Supervisor):
        children = (ChildSpec(NoPolicy, name="alice"), ChildSpec(NoPolicy, name="bob"))

    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(Bank, name="bank")
        system.get("bank/alice").tell(Add(1))
        system.get("bank/bob").tell(Add(2))
        await system.get("bank/alice").ask(Total(), timeout=1)
        await system.get("bank/bob").ask(Total(), timeout=1)

    async with running(store=store) as system:
        await system.spawn(Bank, name="bank")

        assert await system.get("bank/alice").ask(Total(), timeout=1) == 1
        assert await system.get("bank/bob").ask(Total(), timeout=1) == 2
        assert system.get("bank").incarnation == 2


async def test_systems_of_other_names_adopt_nothing() -> None:
    store = MemoryStore()
    async with running("one", store=store) as system:
        ref = await system.spawn(Counter, name="a")
        ref.tell(Add(5))
        await ref.ask(Total(), timeout=1)

    async with running("two", store=store) as system:
        ref = await system.spawn(Counter, name="a")
        assert (await ref.ask(Total(), timeout=1), ref.incarnation) == (0, 1)


async def test_the_state_is_loaded_before_on_start() -> None:
    seen: list[int] = []

    class Curious(Counter):
        def __init__(self) -> None:
            self.state.total = -1

        def on_start(self) -> None:
            seen.append(self.state.total)

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Curious, name="a")
        ref.tell(Add(5))
        await ref.ask(Save(), timeout=1)
        ref.tell(Fail())
        await ref.ask(Total(), timeout=1)
    async with running(store=store) as system:
        await system.spawn(Curious, name="a")

    assert seen == [-1, 4, 4]


async def test_an_actor_without_state_has_nothing_to_save() -> None:
    class Stateless(Actor):
        @handles
        async def save(self, message: Save) -> str:
            return await self.checkpoint()

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Stateless, name="a", restart="temporary")

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Save(), timeout=1)

        assert isinstance(caught.value.__cause__, InvalidArgument)
    assert await store.checkpoint_rows("test", "a") == []


async def test_a_volatile_actor_saves_only_what_it_asks_for() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(VolatileCounter, name="a")
        ref.tell(Add(5))
        await ref.ask(Save(), timeout=1)
        ref.tell(Add(5))
        ref.tell(Fail())
        assert await ref.ask(Total(), timeout=1) == 5
        ref.tell(Add(5))
        await ref.drain()

    assert await saved(store, "a") == [5]
    async with running(store=store) as system:
        ref = await system.spawn(VolatileCounter, name="a")
        assert await ref.ask(Total(), timeout=1) == 5


class Unsavable(Counter):
    checkpoint_policy = CheckpointPolicy(messages=2, seconds=None)

    @handles
    def say(self, message: Say) -> None:
        self.state.total = object()  # type: ignore[assignment]


async def test_a_state_that_cannot_be_stored_fails_the_checkpoint_and_the_old_one_stands() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Unsavable, name="a")
        ref.tell(Add(5))
        await ref.ask(Save(), timeout=1)
        ref.tell(Say("spoil"))

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Save(), timeout=1)

        assert isinstance(caught.value.__cause__, UnencodableState)
        assert "'a'" in str(caught.value.__cause__)
        assert await ref.ask(Total(), timeout=1) == 5
        assert set(await saved(store, "a")) == {5}


async def test_a_state_that_cannot_be_stored_by_policy_is_a_failure() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Unsavable, name="a")
        ref.tell(Say("spoil"))
        ref.tell(Say("spoil"))

        assert await ref.ask(Total(), timeout=1) == 0

        assert ref.incarnation == 2
        (event, *_) = await store.events("test", event_type="actor_failed")
        assert "UnencodableState" in event.payload["error"]


async def test_a_state_that_cannot_be_stored_makes_an_end_abnormal() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Unsavable, name="a", restart="temporary")
        await ref.ask(Say("spoil"), timeout=1)
        await ref.stop()

        (row,) = await store.agents("test")
        assert row.status == "failed"


class Bounded(Actor):
    state_bytes: ClassVar[int | None] = 100

    class State(msgspec.Struct):
        total: int = 0
        text: str = ""

    state: State

    @handles
    def total(self, message: Total) -> int:
        return self.state.total

    @handles
    async def save(self, message: Save) -> str:
        return await self.checkpoint()

    @handles
    def say(self, message: Say) -> None:
        self.state.total += 1
        self.state.text = message.text


async def test_a_state_above_its_bytes_fails_the_turn_that_would_save_it_and_the_old_one_stands() -> None:
    class Saving(Bounded):
        checkpoint_policy = CheckpointPolicy(messages=1, seconds=None)

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Saving, name="a")
        ref.tell(Say("x" * 50))
        ref.tell(Say("x" * 5_000))

        assert await ref.ask(Total(), timeout=1) == 1

        assert ref.incarnation == 2
        (event, *_) = await store.events("test", event_type="actor_failed")
        assert "StateTooLarge" in event.payload["error"]


async def test_an_explicit_checkpoint_of_a_state_above_its_bytes_says_how_large_it_is() -> None:
    async with running() as system:
        ref = await system.spawn(Bounded, name="a")
        ref.tell(Say("x" * 5_000))

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Save(), timeout=1)

    error = caught.value.__cause__
    assert isinstance(error, StateTooLarge)
    assert (error.path, error.most) == ("a", 100)
    assert 5_000 < error.size < 5_050
    assert "state_bytes allows 100" in str(error)


async def test_a_state_may_be_as_large_as_it_likes() -> None:
    class Unbounded(Bounded):
        state_bytes = None

    async with running() as system:
        ref = await system.spawn(Unbounded, name="a")
        ref.tell(Say("x" * 5_000))

        await ref.ask(Save(), timeout=1)


async def test_a_checkpoint_of_a_newer_release_is_passed_over_for_the_one_before() -> None:
    class Newer(NoPolicy):
        schema_version = 2

        @staticmethod
        @upcast(1)
        def _same(state: dict[str, Any]) -> dict[str, Any]:
            return state

    store = MemoryStore()
    await put(store, "a", state(1), state(2))
    async with running(store=store) as system:
        ref = await system.spawn(Newer, name="a")
        ref.tell(Add(40))
        await ref.ask(Save(), timeout=1)
        await ref.kill()

    with structlog.testing.capture_logs() as lines:
        async with running(store=store) as system:
            older = await system.spawn(NoPolicy, name="a")
            assert await older.ask(Total(), timeout=1) == 2

    (rejected,) = [line for line in lines if line["event"] == "checkpoint rejected"]
    assert "newer code wrote it" in rejected["reason"]


async def test_a_corrupt_checkpoint_falls_back_to_the_one_before_with_an_event_and_a_line() -> None:
    store = MemoryStore()
    await put(store, "a", state(1), state(2))
    await put(store, "a", state(3), torn=True)

    with structlog.testing.capture_logs() as lines:
        async with running(store=store) as system:
            ref = await system.spawn(NoPolicy, name="a")
            assert await ref.ask(Total(), timeout=1) == 2

    (event,) = await store.events("test", event_type="checkpoint_rejected")
    assert event.source_agent == "a"
    assert event.payload["checkpoint_id"] == "by hand 0"
    assert "digest" in event.payload["reason"]
    assert [line["path"] for line in lines if line["event"] == "checkpoint rejected"] == ["a"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"\xc1 no msgpack", "does not fit"),
        (b"", "does not fit"),
        (msgspec.msgpack.encode({"total": "text"}), "total"),
        (msgspec.msgpack.encode([1]), "object"),
    ],
    ids=["garbage", "empty", "wrong type", "wrong shape"],
)
async def test_checkpoints_that_cannot_be_read_are_refused_at_the_spawn(bad: bytes, reason: str) -> None:
    store = MemoryStore()
    await put(store, "a", bad)
    async with running(store=store) as system:
        other = await system.spawn(Counter, name="b")

        with pytest.raises(CheckpointUnusable, match=reason) as caught:
            await system.spawn(NoPolicy, name="a")

        assert caught.value.path == "a"
        assert await other.ask(Total(), timeout=1) == 0
        assert [ref.path for ref in system.actors(Actor)] == ["b"]
        assert len(await store.checkpoint_rows("test", "a")) == 1  # left as it is

        assert "await system.forget('a')" in str(caught.value)
        await system.forget("a")
        again = await system.spawn(NoPolicy, name="a")
        assert await again.ask(Total(), timeout=1) == 0


async def test_checkpoints_of_another_schema_version_or_state_are_refused() -> None:
    class Newer(NoPolicy):
        schema_version = 2

    class Other(Actor):
        class State(msgspec.Struct, tag="another"):
            total: int = 0

    store = MemoryStore()
    await put(store, "a", state(1))
    async with running(store=store) as system:
        with pytest.raises(CheckpointUnusable, match="schema_version is 1"):
            await system.spawn(Newer, name="a")
        with pytest.raises(CheckpointUnusable, match="'another'"):
            await system.spawn(Other, name="a")


class Picky(msgspec.Struct):
    """A state that, from some moment on, cannot be read any more."""

    refuses: ClassVar[bool] = False
    total: int = 0

    def __post_init__(self) -> None:
        if self.total and Picky.refuses:
            raise ValueError("not any more")


@pytest.fixture(autouse=True)
def _not_picky() -> None:
    Picky.refuses = False


async def test_a_state_that_was_saved_and_does_not_fit_quarantines_its_actor_at_the_restart() -> None:
    class Spoiler(NoPolicy):
        State = Picky  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

        @handles
        async def say(self, message: Say) -> None:
            self.state.total = 1
            await self.checkpoint()
            Picky.refuses = True

    class Bank(Supervisor):
        strategy = Supervisor.one_for_one(max_restarts=5)
        children = (ChildSpec(Spoiler, name="bad"), ChildSpec(Counter, name="good"))

    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(Bank, name="bank")
        bad, good = system.get("bank/bad"), system.get("bank/good")
        bad.tell(Say("no number"))
        bad.tell(Fail())
        await anyio.wait_all_tasks_blocked()

        assert not bad.is_alive
        assert (good.is_alive, good.incarnation, system.get("bank").incarnation) == (True, 1, 1)
        assert bad.incarnation == 2, "recovery that fails is no restart loop"
        (alert,) = await store.events("test", event_type="system_alert")
        assert alert.source_agent == "bank/bad"
        assert "no checkpoint of 'bank/bad'" in alert.payload["cause"]


async def test_a_quarantined_child_does_not_keep_its_supervisor_from_restarting() -> None:
    class Spoiler(NoPolicy):
        State = Picky  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

        @handles
        async def say(self, message: Say) -> None:
            self.state.total = 1
            await self.checkpoint()
            Picky.refuses = True

    class Bank(Supervisor):
        children = (ChildSpec(Spoiler, name="bad"), ChildSpec(Counter, name="good"))

        @handles
        def fail(self, message: Fail) -> None:
            raise ValueError

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Bank, name="bank")
        bad, good = system.get("bank/bad"), system.get("bank/good")
        await bad.ask(Say("no number"), timeout=1)
        ref.tell(Fail())
        await anyio.wait_all_tasks_blocked()

        assert not bad.is_alive
        assert await good.ask(Total(), timeout=1) == 0
        assert (ref.is_alive, ref.incarnation) == (True, 2)


async def test_a_fallback_is_not_more_than_three_checkpoints_deep() -> None:
    store = MemoryStore()
    options = JournalOptions(kept_checkpoints=10)
    async with running(store=store, journal=options) as system:
        ref = await system.spawn(NoPolicy, name="a")
        for _ in range(5):
            ref.tell(Add())
            await ref.ask(Save(), timeout=1)
    await put(store, "a", state(7), state(8), state(9), torn=True)

    async with running(store=store, journal=options) as system:
        with pytest.raises(CheckpointUnusable) as caught:
            await system.spawn(NoPolicy, name="a")

        assert len(caught.value.reasons) == 3


async def test_a_restart_in_an_outage_uses_what_this_process_saved_last() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(NoPolicy, name="a")
        ref.tell(Add(5))
        await ref.ask(Save(), timeout=1)
        store.pause()
        for _ in range(3):
            ref.tell(Fail())

            assert await ref.ask(Total(), timeout=5) == 5

        assert ref.incarnation == 4
        store.resume()
    assert (await store.agents("test"))[0].incarnation == 4


async def test_a_checkpoint_in_an_outage_waits_for_its_commit() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(NoPolicy, name="a")
        store.pause()
        ended: list[float] = []

        async def ask() -> None:
            await ref.ask(Save(), timeout=100)
            ended.append(anyio.current_time() - begin)

        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(20)
            assert ended == []
            store.resume()

        assert ended == pytest.approx([20])


async def test_a_checkpoint_that_the_full_journal_refuses_says_so() -> None:
    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=200)) as system:
        ref = await system.spawn(NoPolicy, name="a", restart="temporary")
        store.pause()
        for _ in range(20):
            ref.tell(Add())

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Save(), timeout=1)

        assert isinstance(caught.value.__cause__, StoreUnavailable)
        assert "not taken" in str(caught.value.__cause__)
        store.resume()


async def test_an_orderly_end_saves_also_behind_a_full_tail() -> None:
    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=200)) as system:
        chatty = await system.spawn(NoPolicy, name="chatty", restart="transient")
        quiet = await system.spawn(NoPolicy, name="quiet", restart="transient")
        store.pause()
        for _ in range(100):
            chatty.tell(Add())
        quiet.tell(Add())
        await chatty.drain()
        await quiet.drain()
        assert system.statistics().unmirrored > 0
        store.resume()

    async with running(store=store) as system:
        assert await (await system.spawn(NoPolicy, name="chatty")).ask(Total(), timeout=1) == 100
        assert await (await system.spawn(NoPolicy, name="quiet")).ask(Total(), timeout=1) == 1


async def test_a_chatty_actor_does_not_keep_others_from_saving() -> None:
    class Careful(Counter):
        checkpoint_policy = CheckpointPolicy(messages=None, seconds=5.0)

    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=20_000)) as system:
        chatty = await system.spawn(NoPolicy, name="chatty")
        quiet = await system.spawn(Careful, name="quiet")
        store.pause()
        for _ in range(1_000):
            chatty.tell(Add())
        quiet.tell(Add())
        await anyio.sleep(6)
        assert system.statistics().unmirrored > 0
        store.resume()

        await quiet.kill()

        assert await quiet.ask(Total(), timeout=1) == 1


async def test_a_held_restart_costs_nothing_and_goes_on_when_the_store_is_back() -> None:
    store = MemoryStore()
    async with running(store=store) as system:  # known, but without a checkpoint
        ref = await system.spawn(NoPolicy, name="a", restart="temporary")
        await ref.kill()
    causes: list[str] = []

    class Curious(NoPolicy):
        def on_restart(self, cause: BaseException | None) -> None:
            causes.append(str(cause))

    async with running(store=store) as system:
        ref = await system.spawn(Curious, name="a")
        store.pause()
        ref.tell(Fail())
        ref.tell(Add(3))
        await anyio.sleep(60)
        assert ref.is_alive
        assert ref.incarnation <= 3, "a start that the store prevents is no incarnation"

        store.resume()

        assert await ref.ask(Total(), timeout=30) == 3
        assert ref.incarnation == 3
        assert causes == ["asked to"]
        for _ in range(3):  # the whole budget is still there
            ref.tell(Fail())
        assert await ref.ask(Total(), timeout=1) == 0


async def test_stopping_an_actor_whose_restart_is_held() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(NoPolicy, name="a", restart="temporary")
        await ref.kill()
    async with running(store=store) as system:
        ref = await system.spawn(NoPolicy, name="a")
        store.pause()
        ref.tell(Fail())
        await anyio.sleep(60)

        with anyio.fail_after(30):
            await ref.stop()
        store.resume()
        await anyio.sleep(10)

        assert not ref.is_alive


class Holder(Actor):
    class State(msgspec.Struct):
        other: ActorRef[Counter] | None = None

    state: State

    @handles
    def hold(self, message: Say) -> None:
        self.state.other = self.context.system.get(message.text)

    @handles
    async def save(self, message: Save) -> str:
        return await self.checkpoint()

    @handles
    async def total(self, message: Total) -> int:
        assert self.state.other is not None
        return await self.state.other.ask(message, timeout=1)

    @handles
    def tell(self, message: Add) -> None:
        assert self.state.other is not None
        self.state.other.tell(message)

    @handles
    def fail(self, message: Fail) -> None:
        raise ValueError


async def test_a_ref_in_a_state_comes_back_as_a_ref() -> None:
    async with running() as system:
        await system.spawn(Counter, name="target")
        ref = await system.spawn(Holder, name="holder")
        ref.tell(Say("target"))
        await ref.ask(Save(), timeout=1)
        ref.tell(Fail())
        ref.tell(Add(7))

        assert await ref.ask(Total(), timeout=1) == 7


async def test_a_ref_in_a_state_may_point_to_an_actor_that_does_not_live_yet() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(NoPolicy, name="target")
        ref = await system.spawn(Holder, name="holder")
        ref.tell(Say("target"))
        ref.tell(Add(5))
        await ref.ask(Total(), timeout=1)

    async with running(store=store) as system:
        ref = await system.spawn(Holder, name="holder")
        ref.tell(Add(100))
        await ref.ask(Save(), timeout=1)
        assert [letter.reason.value for letter in system.dead_letters] == ["unknown"]

        await system.spawn(NoPolicy, name="target")

        assert await ref.ask(Total(), timeout=1) == 5


def test_saving_and_restoring_a_state() -> None:
    codec = Codec()
    blueprint = Counter.__blueprint__
    checkpoint = save(codec, Counter.State(7), "a", blueprint, 3, "1.5", "test")

    restored: Any = restore(codec, checkpoint, blueprint)

    assert restored == Counter.State(7)
    assert (checkpoint.path, checkpoint.incarnation, checkpoint.checkpoint_id) == ("a", 3, "1.5")
    for changed in (
        msgspec.structs.replace(checkpoint, state=checkpoint.state + b"\x00"),
        msgspec.structs.replace(checkpoint, digest=b""),
        msgspec.structs.replace(checkpoint, tag="Other"),
        msgspec.structs.replace(checkpoint, schema_version=2),
    ):
        with pytest.raises(RejectedCheckpoint):
            restore(codec, changed, blueprint)


async def test_a_gate_in_a_checkpointing_handler_can_be_killed() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        log, gate = Log(), Gate()

        class Waiter(NoPolicy):
            @handles
            async def say(self, message: Say) -> None:
                self.state.total = 9
                gate.reached.set()
                await self.checkpoint()
                log("not reached")

        ref = await system.spawn(Waiter, name="a")
        store.pause()
        ref.tell(Say("x"))
        await gate.reached.wait()

        await ref.kill()
        store.resume()

        assert await ref.ask(Total(), timeout=1) == 9  # cancelling it does not take it back
        assert log.lines == []


async def test_a_stored_ref_does_what_the_living_one_does_once_somebody_lives_there() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        await system.spawn(NoPolicy, name="target")
        ref = await system.spawn(Holder, name="holder")
        await ref.ask(Say("target"), timeout=1)

    seen: list[ActorRef[Any]] = []

    class Curious(Holder):
        def on_start(self) -> None:
            assert self.state.other is not None
            seen.append(self.state.other)

    async with running(store=store) as system:
        await system.spawn(Curious, name="holder")
        (stored,) = seen
        await stored.stop()  # nobody is there: nothing to wait for
        target = await system.spawn(NoPolicy, name="target")

        assert stored.path == "target"
        assert stored.is_alive
        assert stored.incarnation == target.incarnation
        await stored.stop()
        assert "ended" in repr(target)


async def test_an_actor_without_a_name_is_not_remembered() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter)
        await ref.ask(Save(), timeout=1)
        await ref.drain()
        path = ref.path

    journal = await store.open_journal("test")

    assert path not in journal.known
    assert [row.metadata["why"] for row in await store.checkpoint_rows("test", path)] == ["asked for"]

"""The mirror: every message as an event, what is refused before anything is written, and gaps."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    AskTimeout,
    Fenced,
    ForeignRef,
    HandlerFailed,
    JournalOptions,
    MailboxOptions,
    MemoryStore,
    UnencodableMessage,
    UnencodableState,
    handles,
)
from sentient_core.store.protocols import EventRow
from tests.probes import (
    Add,
    Counter,
    Fail,
    Gate,
    Log,
    Pass,
    Recorder,
    Save,
    Say,
    Total,
    VolatileCounter,
    running,
)
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


class Mirrored(Recorder):
    durability = "mirrored"


async def events(store: MemoryStore, *kinds: str, system: str = "test") -> list[EventRow]:
    """The events, oldest first."""
    rows = await store.events(system, limit=100_000)
    return [row for row in reversed(rows) if not kinds or row.event_type in kinds]


async def test_a_message_is_an_event_with_all_its_fields() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        ref.tell(Add(3))
        await system.flush()

        (row,) = await events(store, "message_sent")

        assert (row.source_agent, row.target_agent, row.message_type) == ("external", "a", "Add")
        assert row.payload == {"amount": 3}
        assert row.correlation_id == row.event_id
        assert row.causation_id is None
        assert row.incarnation == 0
        assert row.timestamp.utcoffset() is not None


async def test_an_ask_and_its_reply_are_a_pair() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        assert await ref.ask(Total(), timeout=1) == 0
        await system.flush()

        asked, replied = await events(store, "message_sent", "message_replied")

        assert (asked.message_type, replied.message_type) == ("Total", "int")
        assert (replied.source_agent, replied.target_agent) == ("a", "external")
        assert (replied.causation_id, replied.correlation_id) == (asked.event_id, asked.event_id)
        assert replied.incarnation == 1


async def test_a_reply_error_is_a_reply() -> None:
    class Careful(Counter):
        reply_errors = (ValueError,)

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Careful, name="a")
        with pytest.raises(ValueError, match="no funds"):
            await ref.ask(Fail("no funds"), timeout=1)

    (asked,) = await events(store, "message_sent")
    (replied,) = await events(store, "message_replied")
    assert replied.causation_id == asked.event_id
    assert "no funds" in str(replied.payload)


class Relay(Actor):
    """Passes on what it gets, and asks the last one."""

    def __init__(self, target: ActorRef[Any] | None = None) -> None:
        self.target = target

    @handles
    def say(self, message: Say) -> None:
        if self.target is not None:
            self.target.tell(message)

    @handles
    async def total(self, message: Total) -> int:
        if self.target is None:
            return 42
        return await self.target.ask(message, timeout=1)


async def test_a_conversation_over_three_actors_hangs_together() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        c = await system.spawn(Relay, name="c")
        b = await system.spawn(Relay, c, name="b")
        a = await system.spawn(Relay, b, name="a")

        a.tell(Say("hello"))
        assert await a.ask(Total(), timeout=1) == 42
        await c.drain()

    rows = await events(store, "message_sent", "message_replied")
    told = [row for row in rows if row.message_type == "Say"]
    assert [(row.source_agent, row.target_agent) for row in told] == [
        ("external", "a"),
        ("a", "b"),
        ("b", "c"),
    ]
    assert {row.correlation_id for row in told} == {told[0].event_id}
    assert [row.causation_id for row in told] == [None, told[0].event_id, told[1].event_id]

    asked = [row for row in rows if row.message_type == "Total"]
    replied = [row for row in rows if row.event_type == "message_replied"]
    assert {row.correlation_id for row in asked + replied} == {asked[0].event_id}
    assert [row.causation_id for row in replied] == [row.event_id for row in reversed(asked)]
    assert [(row.source_agent, row.target_agent) for row in replied] == [
        ("c", "b"),
        ("b", "a"),
        ("a", "external"),
    ]


async def test_rows_stand_in_the_order_of_acceptance() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        for n in range(100):
            ref.tell(Add(n))

    assert [row.payload["amount"] for row in await events(store, "message_sent")] == list(range(100))


async def test_a_sender_that_waits_is_an_event_when_it_is_let_in() -> None:
    class Small(Mirrored):
        mailbox = MailboxOptions(capacity=1)

    store = MemoryStore()
    async with running(store=store) as system:
        gate = Gate()
        ref = await system.spawn(Small, Log(), gate, name="a")
        ref.tell(Pass())
        await gate.reached.wait()
        ref.tell(Say("1"))
        with anyio.move_on_after(1):
            await ref.send(Say("given up"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref.send, Say("2"))
            await anyio.wait_all_tasks_blocked()
            assert len(await events(store, "message_sent")) == 2
            gate.open.set()
        await ref.drain()

    sent = await events(store, "message_sent")
    assert [row.payload.get("text") for row in sent] == [None, "1", "2"]


async def test_a_life_in_events() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        await ref.ask(Save(), timeout=1)
        ref.tell(Fail("boom"))
        await ref.ask(Total(), timeout=1)
        await ref.stop()

    life = [row for row in await events(store) if not row.event_type.startswith("message")]
    assert [(row.event_type, row.incarnation) for row in life] == [
        ("actor_started", 1),
        ("state_checkpoint", 1),
        ("actor_failed", 1),
        ("actor_restarted", 1),
        ("actor_started", 2),
        ("actor_stopped", 2),
    ]
    started, saved, failed, _, again, stopped = life
    assert started.payload["cause"] is None
    assert started.payload["checkpoint_id"] is None
    assert failed.payload["error"] == "ValueError: boom"
    assert failed.payload["message_type"] == "Fail"
    assert "raise ValueError" in failed.payload["traceback"]
    assert again.payload["cause"] == "ValueError: boom"
    assert again.payload["checkpoint_id"] == saved.payload["checkpoint_id"]
    assert stopped.payload["cause"] is None
    sent = next(row for row in await events(store, "message_sent") if row.message_type == "Fail")
    assert (failed.causation_id, failed.correlation_id) == (sent.event_id, sent.correlation_id)


async def test_the_agents_row_follows_its_life() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        (row,) = await store.agents("test")
        assert (row.agent_id, row.name, row.kind, row.parent) == ("a", "a", "Counter", "")
        assert (row.status, row.incarnation, row.restarts) == ("idle", 1, 0)

        ref.tell(Fail())
        await ref.ask(Total(), timeout=1)
        (row,) = await store.agents("test")
        assert (row.status, row.incarnation, row.restarts) == ("idle", 2, 1)

        await ref.stop()
        (row,) = await store.agents("test")
        assert (row.status, row.incarnation) == ("completed", 2)


async def test_a_volatile_actor_writes_nothing() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(VolatileCounter, name="a")
        ref.tell(Add(3))
        assert await ref.ask(Total(), timeout=1) == 3
        ref.tell(Fail())
        assert await ref.ask(Total(), timeout=1) == 0

    assert await events(store) == []
    assert await store.agents("test") == []
    assert await store.checkpoint_rows("test", "a") == []


@pytest.mark.parametrize("durability", ["volatile", "mirrored"])
async def test_dead_letters_are_rows(durability: str) -> None:
    cls = type("Target", (Counter,), {"durability": durability})
    store = MemoryStore()
    async with running(store=store) as system:
        ref: ActorRef[Any] = await system.spawn(cls, name="a")
        ref.tell(Fail("boom"))
        ref.tell(Say("unhandled"))
        await ref.ask(Total(), timeout=1)
        await ref.stop()
        ref.tell(Add(3))
        in_memory = [letter.message_id for letter in system.dead_letters]

    rows = await store.dead_letters("test")
    assert [row.message_id for row in reversed(rows)] == in_memory
    assert [(row.message_type, row.reason, row.message) for row in reversed(rows)] == [
        ("Fail", "failed", {"why": "boom"}),
        ("Say", "unhandled", {"text": "unhandled"}),
        ("Add", "stopped", {"amount": 3}),
    ]
    assert {(row.recipient, row.sender, row.attempts) for row in rows} == {("a", "external", 1)}
    assert rows[-1].cause == "ValueError: boom"
    if durability == "mirrored":
        sent = await events(store, "message_sent")
        assert {row.message_id for row in rows} <= {row.event_id for row in sent}


async def test_a_message_that_cannot_be_encoded_leaves_its_repr_as_a_dead_letter() -> None:
    class Taker(Actor):
        durability = "volatile"

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Taker)
        ref.tell(object)
        await ref.drain()

    (row,) = await store.dead_letters("test")
    assert "object" in str(row.message)


BAD: list[Any] = [object(), {"f": print}, [1, [lambda: None]], 2**70, "\ud800", {"a": {1j}}]


@pytest.mark.parametrize("message", BAD, ids=["object", "function", "nested", "big", "surrogate", "complex"])
async def test_a_message_that_cannot_be_encoded_is_refused_at_the_call(message: Any) -> None:
    class Taker(Actor):
        def __init__(self, seen: list[Any]) -> None:
            self.seen = seen

        def on_receive(self, message: Any) -> None:
            self.seen.append(message)

    store = MemoryStore()
    seen: list[Any] = []
    async with running(store=store) as system:
        ref = await system.spawn(Taker, seen, name="a")

        with pytest.raises(UnencodableMessage, match="'a' cannot be stored") as caught:
            ref.tell(message)
        with pytest.raises(UnencodableMessage):
            await ref.send(message)
        with pytest.raises(UnencodableMessage):
            await ref.ask(message, timeout=1)
        ref.tell("fine")
        await ref.drain()

        assert caught.value.message is message
        assert caught.value.recipient == "a"
        assert isinstance(caught.value, TypeError)
        assert seen == ["fine"]
        assert list(system.dead_letters) == []
    assert [row.payload for row in await events(store, "message_sent")] == [{"value": "fine"}]


async def test_a_message_that_contains_itself_is_refused_at_the_call() -> None:
    loop: list[Any] = []
    loop.append(loop)
    async with running() as system:
        ref = await system.spawn(Counter)

        with pytest.raises(UnencodableMessage):
            ref.tell(loop)


async def test_a_volatile_actor_takes_what_cannot_be_encoded() -> None:
    class Taker(Actor):
        durability = "volatile"

        def on_receive(self, message: Any) -> Any:
            return message

    async with running() as system:
        ref = await system.spawn(Taker)
        message = object()

        assert await ref.ask(message, timeout=1) is message


async def test_a_reply_that_cannot_be_encoded_fails_actor_and_asker() -> None:
    class Careless(Counter):
        @handles
        def say(self, message: Say) -> object:
            return object()

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Careless, name="a")

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Say("x"), timeout=1)

        assert isinstance(caught.value.__cause__, UnencodableMessage)
        assert await ref.ask(Total(), timeout=1) == 0
        assert ref.incarnation == 2
        ref.tell(Say("nobody wants the reply"))
        assert await ref.ask(Total(), timeout=1) == 0
        assert ref.incarnation == 2
    assert len(await events(store, "message_replied")) == 2


async def test_refs_in_messages_arrive_as_they_are_and_are_stored_as_paths() -> None:
    class Introduce(msgspec.Struct, frozen=True):
        to: ActorRef[Any]

    class Introduced(Actor):
        @handles
        def introduce(self, message: Introduce) -> None:
            message.to.tell(Add(5))

    store = MemoryStore()
    async with running(store=store) as system:
        counter = await system.spawn(Counter, name="counter")
        ref = await system.spawn(Introduced, name="a")
        ref.tell(Introduce(counter))
        await ref.drain()
        assert await counter.ask(Total(), timeout=1) == 5

    row = next(row for row in await events(store, "message_sent") if row.target_agent == "a")
    assert row.payload == {"to": "counter"}


async def test_payloads_of_all_shapes_can_be_read() -> None:
    class Taker(Actor):
        def on_receive(self, message: Any) -> None: ...

    class Odd(msgspec.Struct, frozen=True):
        a: bytes = b"\x00"
        b: tuple[int, ...] = (1, 2)
        c: None = None
        d: float = float("inf")

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Taker, name="a")
        for message in (3, "text", b"bytes", [1, "a"], {"k": {1: 2}}, Odd()):
            ref.tell(message)

    rows = await events(store, "message_sent")
    assert len(rows) == 6
    assert all(isinstance(row.payload, dict) for row in rows)


async def test_an_event_is_stored_under_the_tag_of_its_type() -> None:
    class Renamed(msgspec.Struct, frozen=True, tag="OldName"):
        x: int = 1

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Counter, name="a")
        ref.tell(Renamed())
        await ref.drain()

    (row,) = await events(store, "message_sent")
    assert row.message_type == "OldName"


async def test_in_an_outage_messages_are_handled_and_what_does_not_fit_is_counted_per_target() -> None:
    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=5_000)) as system:
        a = await system.spawn(Counter, name="a")
        b = await system.spawn(Counter, name="b")
        store.pause()
        for _ in range(100):
            a.tell(Add())
        for _ in range(7):
            b.tell(Add())

        assert await a.ask(Total(), timeout=1) == 100
        assert await b.ask(Total(), timeout=1) == 7
        statistics = system.statistics()
        assert statistics.backlog.is_down
        assert statistics.unmirrored > 80
        assert statistics.mirrored + statistics.unmirrored == 100 + 7 + 2 + 2

        store.resume()
        a.tell(Add())
        await system.flush()

        gaps = {row.payload["target"]: row.payload["count"] for row in await events(store, "mirror_gap")}
        sent = await events(store, "message_sent", "message_replied")
        to_a = sum(row.target_agent == "a" for row in sent)
        to_b = sum(row.target_agent == "b" for row in sent)
        assert to_a + gaps["a"] == 102  # 101 adds, one ask
        assert to_b + gaps["b"] == 8
        assert sum(gaps.values()) == statistics.unmirrored


async def test_a_gap_that_no_later_message_brings_to_light_is_written_at_the_end() -> None:
    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=2_000)) as system:
        ref = await system.spawn(Counter, name="a")
        store.pause()
        for _ in range(50):
            ref.tell(Add())
        await ref.ask(Total(), timeout=1)
        store.resume()

    gaps = await events(store, "mirror_gap")
    assert {row.payload["target"] for row in gaps} == {"a", "external"}
    sent = await events(store, "message_sent", "message_replied")
    assert sum(row.payload["count"] for row in gaps) + len(sent) == 52


@pytest.mark.parametrize("tail_bytes", [3_000, 3_060, 3_130])
async def test_what_happened_to_actors_in_an_outage_is_in_the_rows_afterwards(tail_bytes: int) -> None:
    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=tail_bytes)) as system:
        ref = await system.spawn(Counter, name="a")
        store.pause()
        for _ in range(50):
            ref.tell(Add())
        ref.tell(Fail())
        await ref.ask(Total(), timeout=1)
        assert ref.incarnation == 2
        store.resume()
        ref.tell(Add())
        await system.flush()

        (row,) = await store.agents("test")

        assert (row.incarnation, row.restarts) == (2, 1)


@pytest.mark.parametrize("tail_bytes", [3_000, 3_060, 3_130])
async def test_incarnations_go_on_after_an_outage_whatever_the_journal_had_room_for(tail_bytes: int) -> None:
    store = MemoryStore()
    with pytest.raises(Fenced):  # noqa: PT012
        async with running(store=store, journal=JournalOptions(tail_bytes=tail_bytes)) as system:
            ref = await system.spawn(Counter, name="a")
            store.pause()
            for _ in range(50):
                ref.tell(Add())
            ref.tell(Fail())
            await ref.ask(Total(), timeout=1)
            assert ref.incarnation == 2
            store.resume()
            ref.tell(Add())
            await ref.ask(Total(), timeout=1)

            # this process dies here: the next start takes over
            async with running(store=store) as successor:
                again = await successor.spawn(Counter, name="a")
                assert again.incarnation == 3


async def test_the_gaps_count_dead_letters_once() -> None:
    store = MemoryStore()
    async with running(store=store, journal=JournalOptions(tail_bytes=2_000)) as system:
        ref = await system.spawn(Counter, name="a")
        await ref.stop()
        store.pause()
        for _ in range(50):
            ref.tell(Add())
        store.resume()

    gaps = await events(store, "mirror_gap")
    sent = await events(store, "message_sent")
    assert sum(row.payload["count"] for row in gaps) + len(sent) == 50


async def test_an_unclean_end_is_a_gap_at_the_next_start() -> None:
    store = MemoryStore()
    await store.open_journal("test")  # and never closed: the process died

    async with running(store=store):
        pass
    async with running(store=store):
        pass

    (gap,) = await events(store, "mirror_gap")
    assert gap.payload["count"] is None
    assert "without closing" in gap.payload["reason"]


async def test_clean_ends_leave_no_gap() -> None:
    store = MemoryStore()
    for _ in range(3):
        async with running(store=store) as system:
            ref = await system.spawn(Counter, name="a")
            ref.tell(Add())

    assert await events(store, "mirror_gap") == []


async def test_ids_are_unique_over_all_starts() -> None:
    store = MemoryStore()
    for _ in range(3):
        async with running(store=store) as system:
            ref = await system.spawn(Counter, name="a")
            for _ in range(10):
                ref.tell(Add())
            await ref.ask(Save(), timeout=1)

    ids = [row.event_id for row in await events(store)]
    assert len(ids) == len(set(ids))


async def test_a_late_reply_is_a_row_too() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        gate = Gate()
        ref = await system.spawn(Mirrored, Log(), gate, name="a")
        with pytest.raises(AskTimeout):
            await ref.ask(Pass(), timeout=1)
        gate.open.set()
        await ref.drain()

    (replied,) = await events(store, "message_replied")
    (letter,) = await store.dead_letters("test")
    assert (letter.reason, letter.message_id) == ("late_reply", replied.event_id)


async def test_what_is_sent_in_hooks_begins_a_conversation() -> None:
    class Greeter(Actor):
        def __init__(self, target: ActorRef[Any]) -> None:
            self.target = target

        def on_start(self) -> None:
            self.target.tell(Add(1))

        def on_stop(self) -> None:
            self.target.tell(Add(2))

    store = MemoryStore()
    async with running(store=store) as system:
        counter = await system.spawn(Counter, name="counter")
        await system.spawn(Greeter, counter, name="greeter")

    first, second = await events(store, "message_sent")
    assert (first.source_agent, first.incarnation) == ("greeter", 1)
    assert first.correlation_id == first.event_id
    assert second.correlation_id == second.event_id


class _Passing(Actor):
    """Hands on to an actor of another system what it gets."""

    def __init__(self, other: ActorRef[Any]) -> None:
        self.other = other

    @handles
    async def ask(self, message: Total) -> int:
        return await self.other.ask(message, timeout=1)

    @handles
    async def send(self, message: Save) -> None:
        await self.other.send(message)

    @handles
    def tell(self, message: Say) -> None:
        self.other.tell(message)


@pytest.mark.parametrize("message", [Total(), Save(), Say("x")], ids=repr)
async def test_an_actor_sends_nothing_to_a_mirrored_one_of_another_system(message: object) -> None:
    one, two = MemoryStore(), MemoryStore()
    async with ActorSystem("one", store=one) as first, ActorSystem("two", store=two) as second:
        other = await second.spawn(Counter, name="other")
        ref = await first.spawn(_Passing, other, name="passing")

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(message, timeout=1)

        refused = caught.value.__cause__
        assert isinstance(refused, ForeignRef)
        assert (refused.ref, refused.system, refused.other) == (other, "one", "two")
        assert await other.ask(Total(), timeout=1) == 0
    assert len(await events(two, "message_sent", system="two")) == 1


class _Carrying(msgspec.Struct, frozen=True):
    refs: list[ActorRef[Any]]


async def test_a_message_that_carries_a_ref_of_another_system_is_refused_at_the_call() -> None:
    """It would be read back as a ref of this system's actor at the same path."""
    one, two = MemoryStore(), MemoryStore()
    async with ActorSystem("one", store=one) as first, ActorSystem("two", store=two) as second:
        theirs = await second.spawn(Counter, name="a")
        mine = await first.spawn(Counter, name="a")

        for refs in ([theirs], [mine, theirs.with_options(priority=1)]):
            with pytest.raises(ForeignRef, match=r"'a' is an actor of the system 'two', and this is 'one'"):
                mine.tell(_Carrying(refs))
        mine.tell(_Carrying([mine]))
        await mine.drain()
    assert len(await events(one, "message_sent", system="one")) == 1


async def test_a_state_that_carries_a_ref_of_another_system_is_not_saved() -> None:
    class Keeper(Actor):
        class State(msgspec.Struct):
            friend: ActorRef[Any] | None = None

        state: State

        def __init__(self, friend: ActorRef[Any]) -> None:
            self.state.friend = friend

        @handles
        async def save(self, message: Save) -> str:
            return await self.checkpoint()

    one, two = MemoryStore(), MemoryStore()
    async with ActorSystem("one", store=one) as first, ActorSystem("two", store=two) as second:
        theirs = await second.spawn(Counter, name="a")
        keeper = await first.spawn(Keeper, theirs, name="keeper")

        with pytest.raises(HandlerFailed) as caught:
            await keeper.ask(Save(), timeout=1)

        assert isinstance(caught.value.__cause__, UnencodableState)
        assert "of the system 'two'" in str(caught.value.__cause__)

"""What is listed as injected is what was done: no more, no less, in that order, to those who are named."""

from __future__ import annotations

from typing import Any, ClassVar

import anyio
import msgspec
import pytest
from anyio import to_thread

from sentient_core import Actor, ActorRef, ActorSystem, MailboxOptions, MemoryStore, Overflow, handles
from sentient_core.actors.actor import DurabilityName
from sentient_core.errors import FaultInjected, HandlerFailed, HandlerOverdue, InvalidArgument
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Faults, Injected, Rule
from tests.faults.test_points import NOTEBOOKS, Clock, DurableClock, Note, Notebook, Notes, VolatileNotebook
from tests.probes import Add, letters

P, A = FaultPoint, FaultAction


def faulty(*rules: Rule, **options: Any) -> ActorSystem:
    return ActorSystem("test", store=MemoryStore(), faults=FaultPlan(1, rules), watchdog=None, **options)


def of(point: FaultPoint, action: FaultAction, **more: Any) -> Rule:
    return Rule(point=point, action=action, **more)


def notes(point: FaultPoint, action: FaultAction, **more: Any) -> Rule:
    return of(point, action, message_type="Note", **more)


def injected(system: ActorSystem) -> tuple[Injected, ...]:
    assert system.faults is not None
    return system.faults.injected


def done(system: ActorSystem) -> list[tuple[FaultPoint, FaultAction, int]]:
    return [(fault.point, fault.action, fault.nth) for fault in injected(system)]


async def noted(system: ActorSystem, notebook: ActorRef[Notebook]) -> str:
    """What has arrived, once all has settled; the books are balanced."""
    await anyio.sleep(5)
    lines = await notebook.ask(Notes(), timeout=5)
    audit = await system.audit()
    assert audit.is_balanced, audit
    return "".join(lines)


@pytest.mark.parametrize("cls", NOTEBOOKS)
@pytest.mark.parametrize(
    ("of_put", "of_get", "arrived", "listed"),
    [
        # What was lost on its way is never taken: the first that is taken is the second.
        (A.DROP, A.DROP, "c", [(P.MAILBOX_PUT, A.DROP, 1), (P.MAILBOX_GET, A.DROP, 1)]),
        (A.DROP, A.DUPLICATE, "bcb", [(P.MAILBOX_PUT, A.DROP, 1), (P.MAILBOX_GET, A.DUPLICATE, 1)]),
        # Both are done to the first.
        (A.DUPLICATE, A.DROP, "bca", [(P.MAILBOX_PUT, A.DUPLICATE, 1), (P.MAILBOX_GET, A.DROP, 1)]),
        (
            A.DUPLICATE,
            A.DUPLICATE,
            "abcaa",
            [(P.MAILBOX_PUT, A.DUPLICATE, 1), (P.MAILBOX_GET, A.DUPLICATE, 1)],
        ),
        # What lets the next one pass is not the first that is taken.
        (A.REORDER, A.DROP, "ac", [(P.MAILBOX_PUT, A.REORDER, 1), (P.MAILBOX_GET, A.DROP, 1)]),
        (A.REORDER, A.REORDER, "abc", [(P.MAILBOX_PUT, A.REORDER, 1), (P.MAILBOX_GET, A.REORDER, 1)]),
    ],
)
async def test_what_is_decided_when_a_message_is_sent_is_done_before_it_is_taken(
    cls: type[Notebook],
    of_put: FaultAction,
    of_get: FaultAction,
    arrived: str,
    listed: list[tuple[FaultPoint, FaultAction, int]],
) -> None:
    async with faulty(notes(P.MAILBOX_PUT, of_put, nth=1), notes(P.MAILBOX_GET, of_get, nth=1)) as system:
        notebook = await system.spawn(cls, name="notebook")
        for text in "abc":
            notebook.tell(Note(text))

        assert await noted(system, notebook) == arrived
        assert done(system) == listed


@pytest.mark.parametrize("cls", NOTEBOOKS)
async def test_a_message_that_is_doubled_where_it_is_taken_is_doubled_once(cls: type[Notebook]) -> None:
    async with faulty(notes(P.MAILBOX_GET, A.DUPLICATE)) as system:
        notebook = await system.spawn(cls, name="notebook")
        for text in "abc":
            notebook.tell(Note(text))

        assert await noted(system, notebook) == "abcabc"
        assert len(injected(system)) == 3


@pytest.mark.parametrize("point", [P.MAILBOX_PUT, P.MAILBOX_GET])
async def test_a_message_that_can_let_none_pass_is_not_listed_and_does_not_count(point: FaultPoint) -> None:
    async with faulty(notes(point, A.REORDER, times=1)) as system:
        notebook = await system.spawn(Notebook, name="notebook")
        await notebook.ask(Note("a"), timeout=5)
        assert injected(system) == ()
        for text in "bc":
            notebook.tell(Note(text))

        assert await noted(system, notebook) == "acb"
        assert done(system) == [(point, A.REORDER, 2)]


class Small(VolatileNotebook):
    mailbox = MailboxOptions(capacity=1, overflow=Overflow.DROP_NEW)


async def test_a_message_that_never_gets_into_the_mailbox_is_not_struck() -> None:
    async with faulty(notes(P.MAILBOX_PUT, A.DUPLICATE, nth=2)) as system:
        notebook = await system.spawn(Small, name="notebook")
        for text in "ab":
            notebook.tell(Note(text))

        assert await noted(system, notebook) == "a"
        assert injected(system) == ()


async def test_a_tick_is_not_doubled_and_one_that_does_not_hold_any_more_is_not_dropped() -> None:
    class Fickle(Clock):
        @handles
        async def give_up(self, message: Add) -> None:
            await anyio.sleep(3)  # ticks are queued meanwhile
            self.context.timers.cancel("tick")
            self.context.timers.cancel("once")

    for action in (A.DUPLICATE, A.DROP):
        async with faulty(notes(P.MAILBOX_GET, action)) as system:
            assert system.faults is not None
            clock = await system.spawn(Fickle if action is A.DROP else Clock, name="clock")
            if action is A.DROP:
                system.faults.pause()
                clock.tell(Add())
                await anyio.sleep(0.5)
                system.faults.resume()
            await anyio.sleep(4)

            assert injected(system) == ()
            assert letters(system) == []


@pytest.mark.parametrize("cls", NOTEBOOKS)
async def test_a_doubled_message_keeps_its_priority_and_its_time(cls: type[Notebook]) -> None:
    async with faulty(notes(P.MAILBOX_GET, A.DUPLICATE, nth=1)) as system:
        notebook = await system.spawn(cls, name="notebook")
        urgent = notebook.with_options(priority=5, expires=10.0)
        for text in "bc":
            notebook.tell(Note(text))
        urgent.tell(Note("a"))

        assert await noted(system, notebook) == "aabc"


class Inner(msgspec.Struct):
    text: str
    seen: int = 0


class Copied(Actor):
    """Writes into what it gets."""

    class State(msgspec.Struct):
        seen: list[int] = msgspec.field(default_factory=list[int])

    state: State
    isolation = "copy"

    @handles
    def inner(self, message: Inner) -> None:
        message.seen += 1
        self.state.seen.append(message.seen)

    @handles
    def notes(self, message: Notes) -> list[str]:
        return [str(seen) for seen in self.state.seen]


@pytest.mark.parametrize("point", [P.MAILBOX_PUT, P.MAILBOX_GET])
async def test_where_messages_are_copied_rules_know_their_types_and_each_of_two_is_a_copy(
    point: FaultPoint,
) -> None:
    async with faulty(of(point, A.DUPLICATE, message_type="Inner", nth=1)) as system:
        actor = await system.spawn(Copied, name="copied")
        actor.tell(Inner("a"))
        await anyio.sleep(1)

        assert await actor.ask(Notes(), timeout=5) == ["1", "1"]
        assert [fault.message_type for fault in injected(system)] == ["Inner"]


async def test_what_other_threads_tell_comes_by_as_well_and_fails_there() -> None:
    rules = (notes(P.MAILBOX_PUT, A.RAISE, nth=1), notes(P.MAILBOX_PUT, A.DROP, nth=2))
    async with faulty(*rules) as system:
        notebook = await system.spawn(Notebook, name="notebook")

        def tell() -> None:
            with pytest.raises(FaultInjected):
                system.from_thread.tell(notebook, Note("a"))
            system.from_thread.tell(notebook, Note("b"))
            system.from_thread.tell(notebook, Note("c"))

        await to_thread.run_sync(tell)

        assert await noted(system, notebook) == "c"
        assert done(system) == [(P.MAILBOX_PUT, A.RAISE, 1), (P.MAILBOX_PUT, A.DROP, 2)]


class Timed(Notebook):
    handler_timeout = 2.0
    durability: ClassVar[DurabilityName] = "durable"

    @handles
    def note(self, message: Note) -> None:
        super().note(message)


@pytest.mark.parametrize("action", [A.HANG, A.DELAY])
async def test_a_handler_that_hangs_or_is_late_is_found_by_its_time_limit(action: FaultAction) -> None:
    seconds = 3.0 if action is A.DELAY else None
    async with faulty(notes(P.RECEIVE, action, nth=1, seconds=seconds)) as system:
        for cls in (Timed, Notebook):
            notebook = await system.spawn(cls, name=cls.__name__)
            posted = notebook.with_options(deadline=2.0) if cls is Notebook else notebook
            began = anyio.current_time()
            with pytest.raises(HandlerFailed) as caught:
                await posted.ask(Note("a"), timeout=60)

            assert isinstance(caught.value.__cause__, HandlerOverdue)
            assert anyio.current_time() - began == pytest.approx(2.0)
            await posted.ask(Note("b"), timeout=60)


async def test_a_reply_that_hangs_is_behind_the_handlers_time_limit() -> None:
    async with faulty(notes(P.REPLY, A.DELAY, seconds=3.0)) as system:
        notebook = await system.spawn(Timed, name="notebook")

        assert await notebook.ask(Note("a"), timeout=60) is None


class Passing(Actor):
    def __init__(self, other: ActorRef[Any]) -> None:
        self.other = other

    @handles
    def note(self, message: Note) -> None:
        self.context.forward(self.other)


async def test_only_who_replies_comes_by_where_replies_leave() -> None:
    async with faulty(notes(P.REPLY, A.DELAY, seconds=1.0)) as system:
        notebook = await system.spawn(DurableNotebookWithIds, name="notebook")
        passing = await system.spawn(Passing, notebook, name="passing")
        await passing.ask(Note("a"), timeout=5)
        await notebook.send(Note("b"), message_id="b")

        assert await noted(system, notebook) == "ab"
        assert [(fault.point, fault.actor) for fault in injected(system)] == [(P.REPLY, "notebook")]


class DurableNotebookWithIds(Notebook):
    durability: ClassVar[DurabilityName] = "durable"


@pytest.mark.parametrize("cls", [Clock, DurableClock])
async def test_a_timer_that_is_late_is_late_once(cls: type[Notebook]) -> None:
    async with faulty(of(P.TIMER, A.DELAY, seconds=2.0)) as system:
        clock = await system.spawn(cls, name="clock")
        await anyio.sleep(2.9)
        assert await clock.ask(Notes(), timeout=5) == []
        await anyio.sleep(1.1)

        assert "once" in await clock.ask(Notes(), timeout=5)


async def test_two_systems_that_let_one_store_go_wrong_are_told_apart_or_refused() -> None:
    store = MemoryStore()
    plan = FaultPlan(1, (of(P.STORE_READ, A.DELAY, seconds=0.1),))
    async with ActorSystem("one", store=store, faults=plan, watchdog=None) as one:
        with pytest.raises(InvalidArgument, match="another plan already"):
            async with ActorSystem("two", store=store, faults=plan, watchdog=None):
                pass
        async with ActorSystem("three", store=store, watchdog=None):
            pass
        assert store.faults is one.faults
    assert store.faults is None


def test_a_store_that_knows_no_faults_is_refused_before_the_system_starts() -> None:
    class Own(MemoryStore):
        def __getattribute__(self, name: str) -> Any:
            if name == "faults":
                raise AttributeError(name)
            return super().__getattribute__(name)

    plan = FaultPlan(1, (of(P.STORE_READ, A.RAISE),))
    with pytest.raises(InvalidArgument, match="Own knows no faults"):
        ActorSystem("test", store=Own(), faults=plan)


def test_a_store_around_another_one_that_does_not_hand_the_plan_on_is_refused() -> None:
    class Around:
        def __init__(self, inner: MemoryStore) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    around: Any = Around(MemoryStore())
    with pytest.raises(InvalidArgument, match=r"Around knows no faults.*hands it on"):
        ActorSystem("test", store=around, faults=FaultPlan(1, (of(P.STORE_READ, A.RAISE),)))


def test_what_could_not_be_done_does_not_count_among_the_times_of_its_rule() -> None:
    faults = Faults(FaultPlan(1, (of(P.MAILBOX_GET, A.REORDER, times=1),)))
    first = faults.decide(P.MAILBOX_GET, "a")
    assert first is not None
    assert faults.decide(P.MAILBOX_GET, "a") is None
    faults.withdraw(first)
    second = faults.decide(P.MAILBOX_GET, "a")
    assert second is not None
    faults.note(second)

    assert faults.injected == (second,)

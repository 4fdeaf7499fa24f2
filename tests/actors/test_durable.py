"""A turn of a durable actor commits as a whole, or leaves nothing but the fate of its message."""

from __future__ import annotations

from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import msgspec
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    ActorSystem,
    AskCycle,
    BudgetExceeded,
    ChildSpec,
    ForeignRef,
    HandlerFailed,
    HandlerOverdue,
    MailboxOptions,
    MemoryStore,
    Overflow,
    Poison,
    Request,
    Supervisor,
    Terminated,
    UnencodableMessage,
    UnencodableState,
    handles,
)
from tests.probes import Gate, Log, Say, letters, running


class Do(Request[Any], frozen=True):
    """Say `text` to whoever is listening, note it, and then do as `how` says."""

    text: str
    how: str = ""


class Notes(Request[list[str]], frozen=True):
    """What has been noted."""


class Refused(Exception):
    """Part of the protocol."""


class World:
    """What the actors of a test share with it."""

    def __init__(self) -> None:
        self.log = Log()
        self.gate = Gate()
        self.to: list[ActorRef[Any]] = []


class Notebook(Actor):
    """Notes what it is told, also in its hooks if it is asked to."""

    durability = "durable"

    class State(msgspec.Struct):
        notes: list[str] = []
        junk: Any = None

    state: State

    def __init__(self, world: World) -> None:
        self.world = world

    @handles
    def say(self, message: Say) -> Any:
        self.world.log(message.text)
        self.state.notes.append(message.text)

    @handles
    def notes(self, message: Notes) -> list[str]:
        return self.state.notes


class Doer(Notebook):
    reply_errors = (Refused,)
    handler_timeout: ClassVar[float | None] = 5.0

    @handles
    async def do(self, message: Do) -> Any:
        world, how = self.world, message.how
        for ref in world.to:
            if how.endswith("by send"):
                await ref.send(Say(message.text))
            else:
                ref.tell(Say(message.text))
        self.state.notes.append(message.text)
        if how.startswith("fail"):
            raise ValueError(how)
        if how.startswith("refuse"):
            raise Refused(how)
        if how == "poison":
            raise Poison(how)
        if how == "pause":
            raise BudgetExceeded(how)
        if how == "bad state":
            self.state.junk = object()
        elif how == "bad reply":
            return object()
        elif how == "wait":
            await world.gate()
        elif how == "sleep":
            await anyio.sleep(100)
        return message.text


class Patient(Doer):
    handler_timeout = None


class Keeper(Supervisor):
    durability = "volatile"
    strategy = Supervisor.one_for_one(max_restarts=1_000)


async def permanent(system: ActorSystem, *children: ChildSpec, strategy: Any = None) -> list[ActorRef[Any]]:
    """These children of a patient supervisor."""
    members = {"children": children, "strategy": strategy or Keeper.strategy}
    await system.spawn(type("Team", (Keeper,), members), name="top")
    return [system.get(f"top/{child.name}") for child in children]


async def one(system: ActorSystem, world: World, cls: type[Notebook] = Doer) -> ActorRef[Any]:
    """A durable actor that is started again for ever."""
    (ref,) = await permanent(system, ChildSpec(cls, name="a", args=(world,)))
    return ref


async def noted(ref: ActorRef[Any]) -> list[str]:
    notes: list[str] = await ref.ask(Notes(), timeout=60)
    return notes


class VolatileNotebook(Notebook):
    durability: ClassVar[Any] = "volatile"


class MirroredNotebook(Notebook):
    durability: ClassVar[Any] = "mirrored"


KINDS = pytest.mark.parametrize("kind", [Notebook, MirroredNotebook, VolatileNotebook])

WAYS_TO_FAIL = [
    "fail",
    "fail by send",
    "refuse",
    "poison",
    "bad state",
    "bad reply",
    "sleep",
]


@pytest.mark.parametrize("how", WAYS_TO_FAIL)
@KINDS
async def test_a_turn_that_fails_leaves_neither_state_nor_messages(kind: type[Notebook], how: str) -> None:
    world, other = World(), World()
    with structlog.testing.capture_logs():
        async with running() as system:
            target = await system.spawn(kind, other, name="target")
            world.to.append(target)
            ref = await one(system, world)
            await ref.send(Do("first"))

            with pytest.raises((HandlerFailed, Refused)):
                await ref.ask(Do("second", how), timeout=30)
            await ref.send(Do("third", "fail"))

            assert await noted(ref) == ["first"]
            await system.flush()
            assert await noted(target) == ["first"]
            assert "third" not in other.log.lines


@KINDS
async def test_a_turn_that_ends_well_leaves_both(kind: type[Notebook]) -> None:
    world, other = World(), World()
    async with running() as system:
        world.to.append(await system.spawn(kind, other, name="target"))
        ref = await one(system, world)

        assert await ref.ask(Do("told"), timeout=1) == "told"
        assert await ref.ask(Do("sent", "by send"), timeout=1) == "sent"

        assert await noted(ref) == ["told", "sent"]
        assert await noted(world.to[0]) == ["told", "sent"]


async def test_what_a_turn_sends_leaves_for_durable_actors_at_once_and_for_others_with_the_commit() -> None:
    world, store = World(), MemoryStore()
    seen = {kind: World() for kind in (Notebook, MirroredNotebook, VolatileNotebook)}
    async with running(store=store) as system:
        for kind, other in seen.items():
            world.to.append(await system.spawn(kind, other))
        ref = await one(system, world)
        store.pause()

        ref.tell(Do("x"))
        await seen[Notebook].log.until("x")
        await anyio.sleep(10)

        assert not seen[MirroredNotebook].log.lines
        assert not seen[VolatileNotebook].log.lines
        store.resume()
        await seen[MirroredNotebook].log.until("x")
        await seen[VolatileNotebook].log.until("x")


@pytest.mark.parametrize("by", ["ask", "ask_many"])
async def test_a_question_does_not_overtake_what_earlier_turns_have_sent(by: str) -> None:
    class Asks(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            (to,) = self.world.to
            if message.how:
                to.tell(Say(message.text))
                return None
            if by == "ask":
                return await to.ask(Notes(), timeout=5)
            (answer,) = await self.context.system.ask_many([to], Notes(), timeout=5)
            return answer.reply if answer.error is None else str(answer.error)

    world, store = World(), MemoryStore()
    async with running(store=store) as system:
        world.to.append(await system.spawn(VolatileNotebook, World()))
        ref = await one(system, world, Asks)
        for text in "ab":
            ref.tell(Do(text, "tell"))
        assert await ref.ask(Do(""), timeout=5) == ["a", "b"]

        store.pause()
        ref.tell(Do("c", "tell"))
        ref.tell(Do(""))
        await anyio.sleep(1)
        store.resume()
        assert await ref.ask(Do(""), timeout=5) == ["a", "b", "c"]


async def test_an_answer_leaves_with_the_commit_also_that_of_a_failure() -> None:
    world, store = World(), MemoryStore()
    outcomes: list[object] = []

    async def ask(ref: ActorRef[Any], how: str) -> None:
        try:
            outcomes.append(await ref.ask(Do("x", how), timeout=500))
        except (HandlerFailed, Refused) as error:
            outcomes.append(type(error))

    with structlog.testing.capture_logs():
        async with running(store=store) as system, anyio.create_task_group() as tasks:
            ref = await one(system, world)
            store.pause()
            for how in ("", "refuse", "fail"):
                tasks.start_soon(ask, ref, how)
                await anyio.sleep(1)

            await anyio.sleep(10)
            assert not outcomes
            store.resume()

    assert {*map(str, outcomes)} == {"x", str(Refused), str(HandlerFailed)}


async def test_a_message_to_an_actor_that_has_ended_is_a_dead_letter_of_the_turn_that_ends_well() -> None:
    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            for kind in (Notebook, VolatileNotebook):
                ended = await system.spawn(kind, World())
                await ended.stop()
                world.to.append(ended)
            ref = await one(system, world)

            await ref.send(Do("failed", "fail"))
            await ref.send(Do("good"))
            await noted(ref)
            await system.flush()

            dead = [letter for letter in letters(system) if isinstance(letter[0], Say)]
    assert dead == [(Say("good"), "stopped")] * 2


async def test_a_full_mailbox_refuses_what_a_turn_tells_but_not_what_it_sends_nor_a_durable_one() -> None:
    class Small(VolatileNotebook):
        mailbox = MailboxOptions(capacity=1)

        @handles
        async def do(self, message: Do) -> None:
            await self.world.gate()

    class SmallDurable(Small):
        durability = "durable"

    with structlog.testing.capture_logs():
        async with running() as system:
            busy = [(kind, World()) for kind in (Small, SmallDurable)]
            refs = [await system.spawn(kind, world) for kind, world in busy]
            for ref, (_, world) in zip(refs, busy, strict=True):
                ref.tell(Do("wait"))
                await world.gate.reached.wait()
                ref.tell(Say("in the queue"))
            sender = World()
            sender.to = refs
            by = await one(system, sender)

            await by.send(Do("told"))
            await by.send(Do("sent", "by send"))
            await noted(by)
            for _, world in busy:
                world.gate.open.set()
            await system.flush()

            assert await noted(refs[0]) == ["in the queue", "sent"]
            assert await noted(refs[1]) == ["in the queue", "told", "sent"]
            assert letters(system) == [(Say("told"), "full")]


async def test_what_goes_to_another_system_leaves_with_the_commit_too() -> None:
    world, abroad, store = World(), World(), MemoryStore()
    with structlog.testing.capture_logs():
        async with running("abroad") as other, running(store=store) as system:
            world.to.append(await other.spawn(VolatileNotebook, abroad))
            ref = await one(system, world)
            await ref.send(Do("failed", "fail"))
            store.pause()
            ref.tell(Do("good"))
            await anyio.sleep(10)
            assert not abroad.log.lines
            store.resume()
            await abroad.log.until("good")
            assert abroad.log.lines == ["good"]

            world.to[:] = [await other.spawn(Notebook, abroad)]
            with pytest.raises(HandlerFailed) as failed:
                await ref.ask(Do("x"), timeout=1)
            assert isinstance(failed.value.__cause__, ForeignRef)


@pytest.mark.parametrize(
    ("how", "cause"), [("bad state", UnencodableState), ("bad reply", UnencodableMessage)]
)
async def test_what_the_store_cannot_hold_fails_the_turn_that_made_it(how: str, cause: type) -> None:
    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            ref = await one(system, world)
            await ref.send(Do("good"))

            with pytest.raises(HandlerFailed) as failed:
                await ref.ask(Do("bad", how), timeout=1)

            assert isinstance(failed.value.__cause__, cause)
            assert await noted(ref) == ["good"]
            assert letters(system) == [(Do("bad", how), "failed")]


async def test_earlier_messages_stand_when_a_later_one_fails_and_later_ones_are_handled_once() -> None:
    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            ref = await one(system, world)
            for number in range(10):
                ref.tell(Do(str(number), "fail" if number % 3 == 0 else ""))

            assert await noted(ref) == [str(number) for number in range(10) if number % 3]
            assert [text for message, _ in letters(system) for text in [message.text]] == ["0", "3", "6", "9"]


async def test_a_refusal_is_an_answer_that_leaves_nothing_else_and_does_not_end_the_incarnation() -> None:
    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            ref = await one(system, world)

            with pytest.raises(Refused):
                await ref.ask(Do("asked", "refuse"), timeout=1)
            await ref.send(Do("told", "refuse"))

            assert await noted(ref) == []
            assert ref.incarnation == 1
            assert letters(system) == [(Do("told", "refuse"), "failed")]


async def test_an_actor_that_pauses_goes_back_to_before_the_message_and_handles_it_when_it_is_resumed() -> (
    None
):
    class Spends(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            how = "" if self.world.gate.open.is_set() else "pause"
            return await super().do(Do(message.text, how))

    world, other = World(), World()
    with structlog.testing.capture_logs():
        async with running() as system, anyio.create_task_group() as tasks:
            world.to.append(await system.spawn(Notebook, other))
            ref = await one(system, world, Spends)
            tasks.start_soon(lambda: ref.ask(Do("x"), timeout=100))
            await anyio.sleep(10)
            assert not other.log.lines

            world.gate.open.set()
            ref.resume()

            assert await noted(ref) == ["x"]
            assert await noted(world.to[0]) == ["x"]
            assert ref.incarnation == 1


async def test_a_killed_handler_leaves_nothing_and_the_next_incarnation_has_the_last_turn() -> None:
    world, other = World(), World()
    with structlog.testing.capture_logs():
        async with running() as system:
            world.to.append(await system.spawn(Notebook, other))
            ref = await one(system, world)
            await ref.send(Do("good"))
            ref.tell(Do("killed", "wait"))
            await world.gate.reached.wait()

            await ref.kill()

            assert await noted(ref) == ["good"]
            assert ref.incarnation == 2
            assert await noted(world.to[0]) == ["good"]
            assert letters(system) == [(Do("killed", "wait"), "stopped")]


async def test_an_overdue_handler_leaves_nothing() -> None:
    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            ref = await one(system, world)

            with pytest.raises(HandlerFailed) as failed:
                await ref.ask(Do("slow", "sleep"), timeout=60)

            assert isinstance(failed.value.__cause__, HandlerOverdue)
            assert await noted(ref) == []


async def test_code_that_was_abandoned_sends_as_somebody_outside_and_changes_nothing() -> None:
    class Stubborn(Doer):
        handler_timeout = None
        kill_grace = 1.0

        @handles
        async def do(self, message: Do) -> Any:
            self.state.notes.append(message.text)
            target = self.world.to[0]
            target.tell(Say("within"))
            with anyio.CancelScope(shield=True):
                await self.world.gate()
            target.tell(Say("after"))
            self.state.notes.append("too late")

    world, other = World(), World()
    with structlog.testing.capture_logs():
        async with running() as system:
            world.to.append(await system.spawn(Notebook, other))
            ref = await one(system, world, Stubborn)
            ref.tell(Say("one"))
            ref.tell(Say("two"))
            ref.tell(Do("hangs"))
            await world.gate.reached.wait()
            await ref.kill()

            assert await noted(ref) == ["one", "two"]
            world.gate.open.set()
            await other.log.until("after")

            assert other.log.lines == ["after"]
            assert await noted(ref) == ["one", "two"]
            assert ref.statistics().handled == 4
            assert letters(system) == [(Do("hangs"), "failed")]


async def test_messages_of_one_sender_come_in_order_whoever_it_is() -> None:
    class Counts(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            for number in range(100):
                self.world.to[0].tell(Say(str(number)))

    world, other = World(), World()
    async with running() as system:
        target = await system.spawn(Notebook, other)
        world.to.append(target)
        ref = await one(system, world, Counts)

        ref.tell(Do("x"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(noted, ref)
            for number in range(100):
                target.tell(Say(f"outside {number}"))
        notes = await noted(target)

    assert [n for n in notes if n.startswith("outside")] == [f"outside {number}" for number in range(100)]
    assert [n for n in notes if not n.startswith("outside")] == [str(number) for number in range(100)]


async def test_stashed_messages_come_back_after_a_failure_and_end_as_dead_letters_with_the_actor() -> None:
    class Stashes(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            if message.how == "stash" and "open" not in self.state.notes:
                self.context.stash()
                return None
            if message.how == "unstash":
                self.state.notes.append("open")
                self.context.unstash_all()
            return await super().do(message)

    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            ref = await system.spawn(Stashes, world)
            ref.tell(Do("1", "stash"))
            ref.tell(Do("2", "stash"))
            ref.tell(Do("x", "fail"))
            ref.tell(Do("3", "stash"))

            ref.tell(Do("go", "unstash"))
            await noted(ref)  # it was queued before what is unstashed
            assert await noted(ref) == ["open", "go", "1", "2", "3"]

            other = await system.spawn(Stashes, world)
            other.tell(Do("4", "stash"))
            await noted(other)
            await other.stop()
            assert letters(system)[-1] == (Do("4", "stash"), "stopped")


@pytest.mark.parametrize(("how", "error"), [("", AskCycle), ("fail", HandlerFailed)])
async def test_a_forward_that_closes_a_circle_of_asks_is_refused_if_the_turn_ends_well(
    how: str, error: type[Exception]
) -> None:
    class Asks(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            try:
                await self.world.to[0].ask(Do("asked", how), timeout=10)
            except (AskCycle, HandlerFailed) as raised:
                return type(raised).__name__

    class Forwards(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            self.context.forward(self.context.system.get("top/a"))
            if message.how:
                raise ValueError(message.how)

    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            world.to.append(await system.spawn(Forwards, World(), name="b"))
            ref = await one(system, world, Asks)

            assert await ref.ask(Do("x"), timeout=20) == error.__name__

            assert letters(system) == [(Do("asked", how), "failed")]
            assert (await system.audit()).is_balanced


class Hooked(Doer):
    """Notes its hooks and tells of them; those that the world names raise when all is done."""

    def __init__(self, world: World, raising: set[str]) -> None:
        super().__init__(world)
        self.raising = raising

    def hook(self, name: str) -> None:
        self.state.notes.append(name)
        for ref in self.world.to:
            ref.tell(Say(name))
        if name in self.raising:
            raise ValueError(name)

    def on_start(self) -> None:
        self.hook("start")

    def on_stop(self) -> None:
        self.hook("stop")

    def on_failure(self, cause: Exception) -> None:
        self.hook("failure")

    def on_restart(self, cause: BaseException | None) -> None:
        self.hook("restart")


@pytest.mark.parametrize("raising", [set[str](), {"failure"}, {"stop"}])
async def test_a_hook_is_a_turn_that_leaves_all_or_nothing(raising: set[str]) -> None:
    world, other = World(), World()
    with structlog.testing.capture_logs():
        async with running() as system:
            world.to.append(await system.spawn(Notebook, other))
            (ref,) = await permanent(system, ChildSpec(Hooked, name="a", args=(world, raising)))

            await ref.send(Do("x", "fail"))
            notes = await noted(ref)

            expected = [
                name for name in ("start", "failure", "stop", "restart", "start") if name not in raising
            ]
            assert notes == expected
            assert await noted(world.to[0]) == expected


async def test_a_start_that_fails_leaves_nothing_of_its_hooks() -> None:
    world, other = World(), World()
    raising = {"start"}
    with structlog.testing.capture_logs():
        async with running() as system:
            world.to.append(await system.spawn(Notebook, other))
            with pytest.raises(ValueError, match="start"):
                await system.spawn(Hooked, world, raising, name="a")
            raising.clear()

            ref = await system.spawn(Hooked, world, raising, name="a")

            assert await noted(ref) == ["start"]
            assert await noted(world.to[0]) == ["start"]


async def test_what_init_sends_is_of_the_turn_of_the_start() -> None:
    class Born(Hooked):
        def __init__(self, world: World, raising: set[str]) -> None:
            super().__init__(world, raising)
            world.to[0].tell(Say("born"))

    world, other = World(), World()
    raising = {"start"}
    with structlog.testing.capture_logs():
        async with running() as system:
            world.to.append(await system.spawn(Notebook, other))
            with pytest.raises(ValueError, match="start"):
                await system.spawn(Born, world, raising, name="a")
            assert await noted(world.to[0]) == []
            raising.clear()

            await system.spawn(Born, world, raising, name="a")

            assert await noted(world.to[0]) == ["born", "start"]


async def test_what_init_makes_of_the_state_is_what_a_first_failed_turn_goes_back_to() -> None:
    made = iter("abc")

    class Makes(Doer):
        def __init__(self, world: World) -> None:
            super().__init__(world)
            self.state = self.State(notes=[next(made)])

    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            ref = await one(system, world, Makes)
            await ref.send(Do("x", "fail"))
            assert await noted(ref) == ["b"]
            with pytest.raises(Refused):
                await ref.ask(Do("x", "refuse"), timeout=1)
            assert await noted(ref) == ["b"]


async def test_become_in_a_turn_holds_for_the_next_message_and_ends_with_the_incarnation() -> None:
    class Changes(Doer):
        @handles(when="closed")
        def closed(self, message: Say) -> None:
            self.state.notes.append(f"closed: {message.text}")

        @handles
        async def do(self, message: Do) -> Any:
            self.context.become("closed")
            return await super().do(message)

    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            ref = await one(system, world, Changes)
            ref.tell(Do("x"))
            ref.tell(Say("1"))
            ref.tell(Do("y", "fail"))
            ref.tell(Say("2"))

            assert await noted(ref) == ["x", "closed: 1", "2"]


async def test_become_in_a_turn_that_fails_is_undone_as_the_state_is() -> None:
    class Changes(Doer):
        @handles(when="closed")
        def closed(self, message: Say) -> None:
            self.state.notes.append(f"closed: {message.text}")

        @handles(when="open")
        def open(self, message: Say) -> None:
            self.state.notes.append(f"open: {message.text}")

        @handles
        async def do(self, message: Do) -> Any:
            self.context.become("closed")
            if not message.how:
                self.context.become("open")
            return await super().do(message)

    world = World()
    async with running() as system:
        ref = await one(system, world, Changes)
        with pytest.raises(Refused):
            await ref.ask(Do("x", "refuse"), timeout=1)
        ref.tell(Say("1"))
        ref.tell(Do("y"))
        with pytest.raises(Refused):
            await ref.ask(Do("z", "refuse"), timeout=1)
        ref.tell(Say("2"))

        assert await noted(ref) == ["1", "y", "open: 2"]


async def test_a_watcher_and_a_timer_have_turns_of_their_own() -> None:
    class Watches(Doer):
        def on_start(self) -> None:
            self.context.watch(self.world.to[0])
            self.context.timers.once("t", 5, Say("tick"))
            self.context.timers.once("bad", 6, Do("bad tick", "fail"))

        @handles
        def ended(self, message: Terminated) -> None:
            self.state.notes.append(message.ref.path)

    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            watched = await system.spawn(Notebook, World(), name="watched")
            world.to.append(watched)
            ref = await one(system, world, Watches)
            await watched.stop()
            await anyio.sleep(5.5)
            assert await noted(ref) == ["watched", "tick"]
            world.to.clear()
            world.to.append(await system.spawn(Notebook, World(), name="other"))
            await anyio.sleep(1)
            assert await noted(ref) == ["watched", "tick"]
            assert (Do("bad tick", "fail"), "failed") in letters(system)


async def test_the_result_of_a_pipe_is_a_message_and_a_turn_that_fails_starts_none() -> None:
    class Pipes(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            self.context.pipe_to_self(self.fetch, message.text)
            return await super().do(message)

        async def fetch(self, text: str) -> Say:
            self.world.log(f"fetching {text}")
            self.world.to[0].tell(Say(f"fetching {text}"))
            await anyio.sleep(1)
            return Say(f"fetched {text}")

    class Resumed(Pipes):
        reply_errors = (Refused,)

    world, other = World(), World()
    with structlog.testing.capture_logs():
        async with running() as system:
            world.to.append(await system.spawn(VolatileNotebook, other))
            ref = await one(system, world, Resumed)

            ref.tell(Do("x", "refuse"))
            ref.tell(Do("y"))
            await anyio.sleep(5)

            assert await noted(ref) == ["y", "fetched y"]
            assert [line for line in world.log if line.startswith("fetching")] == ["fetching y"]


async def test_a_pipe_begins_when_its_turn_is_committed() -> None:
    class Pipes(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            self.context.pipe_to_self(self.fetch, message.text)

        async def fetch(self, text: str) -> Say:
            self.world.log(f"fetching {text}")
            return Say(f"fetched {text}")

    world, store = World(), MemoryStore()
    async with running(store=store) as system:
        ref = await one(system, world, Pipes)
        store.pause()
        ref.tell(Do("x"))
        await anyio.sleep(10)
        assert not world.log.lines

        store.resume()
        await world.log.until("fetched x")


async def test_tasks_that_the_handler_waits_for_are_of_its_turn_and_those_that_outlive_it_are_not() -> None:
    class Groups(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            async def tell(text: str) -> None:
                self.world.to[0].tell(Say(text))

            async def tell_later() -> None:
                await self.world.gate()
                await tell(f"later {message.text}")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(tell, f"now {message.text}")
            outer.start_soon(tell_later)
            self.state.notes.append(message.text)
            if message.how:
                raise ValueError

    world, other = World(), World()
    with structlog.testing.capture_logs():
        async with running() as system, anyio.create_task_group() as outer:
            world.to.append(await system.spawn(VolatileNotebook, other))
            ref = await one(system, world, Groups)
            ref.tell(Do("a", "fail"))
            ref.tell(Do("b"))
            assert await noted(ref) == ["b"]
            world.gate.open.set()
            await other.log.until("later b")

    assert sorted(other.log) == ["later a", "later b", "now b"]


async def test_broadcasts_groups_topics_and_proxies_are_of_the_turn() -> None:
    class Spreads(Doer):
        def spread(self, text: str, *, fail: bool) -> str:
            system = self.context.system
            system.broadcast(self.world.to, Say(f"broadcast {text}"))
            system.group("g").broadcast(Say(f"group {text}"))
            system.topic("t").publish(Say(f"topic {text}"))
            self.state.notes.append(text)
            if fail:
                raise ValueError(text)
            return text

    world, other = World(), World()
    with structlog.testing.capture_logs():
        async with running() as system:
            target = await system.spawn(Notebook, other)
            world.to.append(target)
            system.group("g").join(target)
            system.topic("t").subscribe(target)
            ref = await one(system, world, Spreads)
            proxy = ref.proxy()

            with pytest.raises(HandlerFailed):
                await proxy.spread("bad", fail=True)
            assert await proxy.spread("good", fail=False) == "good"

            assert await noted(ref) == ["good"]
            assert await noted(target) == ["broadcast good", "group good", "topic good"]


async def test_asks_within_a_turn_are_answered_before_any_commit() -> None:
    class Asks(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            first = await self.world.to[0].ask(Notes(), timeout=5)
            answers = await self.context.system.ask_many(self.world.to, Notes(), timeout=5)
            self.world.log(f"{first} {[answer.reply for answer in answers]}")

    world, store = World(), MemoryStore()
    async with running(store=store) as system:
        world.to.append(await system.spawn(Notebook, World()))
        ref = await one(system, world, Asks)
        store.pause()
        world.to[0].tell(Say("x"))
        ref.tell(Do("ask"))
        await world.log.until("['x'] [['x']]")
        store.resume()


class Bag(msgspec.Struct):
    items: list[str]


class Takes(Notebook):
    isolation: ClassVar[Any] = "copy"

    @handles
    def take(self, message: Bag) -> None:
        self.state.notes += message.items


class Checks(Takes):
    isolation = "check"


async def test_a_task_that_outlives_its_turn_gets_its_answer_with_the_commit() -> None:
    class Leaves(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            async def ask() -> None:
                self.world.log(await self.world.to[0].ask(Do("asked", "wait"), timeout=500))

            outer.start_soon(ask)
            await other.gate.reached.wait()

    world, other, store = World(), World(), MemoryStore()
    async with running(store=store) as system, anyio.create_task_group() as outer:
        world.to.append(await system.spawn(Patient, other))
        ref = await one(system, world, Leaves)
        await ref.ask(Do("x"), timeout=1)
        store.pause()
        other.gate.open.set()
        await anyio.sleep(10)
        assert not world.log.lines
        store.resume()
        await world.log.until("asked")


@pytest.mark.parametrize(("kind", "taken"), [(Takes, ["1"]), (Checks, [])])
async def test_isolation_holds_for_what_a_turn_sends(kind: type[Notebook], taken: list[str]) -> None:
    class Gives(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            bag = Bag(["1"])
            self.world.to[0].tell(bag)
            bag.items.append("2")

    world = World()
    with structlog.testing.capture_logs():
        async with running() as system:
            world.to.append(await system.spawn(kind, World()))
            ref = await one(system, world, Gives)
            await ref.ask(Do("x"), timeout=1)
            assert await noted(world.to[0]) == taken
            assert len(letters(system)) == 1 - len(taken)


async def test_high_water_is_reported_of_what_turns_send() -> None:
    class Watched(Notebook):
        mailbox = MailboxOptions(capacity=100, high_water=5)

        @handles
        async def do(self, message: Do) -> None:
            await self.world.gate()

    class Floods(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            for number in range(10):
                self.world.to[0].tell(Say(str(number)))

    world, other = World(), World()
    async with running() as system:
        seen: list[str] = []
        system.mailbox_notices.subscribe(lambda notice: seen.append(str(notice)))
        target = await system.spawn(Watched, other, name="target")
        target.tell(Do("wait"))
        await other.gate.reached.wait()
        world.to.append(target)
        ref = await one(system, world, Floods)
        await ref.ask(Do("x"), timeout=1)
        assert len(seen) == 1
        other.gate.open.set()
        await noted(target)


@pytest.mark.parametrize(
    ("overflow", "handled", "dead"),
    [
        (Overflow.DROP_OLD, ["2"], [("1", "dropped")]),
        (Overflow.DROP_NEW, ["1"], [("2", "dropped")]),
        (Overflow.FAIL, ["1"], [("2", "full")]),
        (Overflow.BACKPRESSURE, ["1"], [("2", "full")]),
    ],
)
async def test_what_overflows_is_settled_and_does_not_come_back(
    overflow: Overflow, handled: list[str], dead: list[Any]
) -> None:
    class Small(Notebook):
        mailbox = MailboxOptions(capacity=1, overflow=overflow)

        @handles
        async def do(self, message: Do) -> None:
            await self.world.gate()

    world, store = World(), MemoryStore()
    with structlog.testing.capture_logs():
        async with running(store=store) as system:
            ref = await system.spawn(Small, world, name="small")
            ref.tell(Do("wait"))
            await world.gate.reached.wait()
            for text in ("1", "2"):
                ref.tell(Say(text))
            world.gate.open.set()
            await world.log.until(handled[0])
            assert [(message.text, reason) for message, reason in letters(system)] == dead
        async with running(store=store) as system:
            assert await noted(await system.spawn(Small, World(), name="small")) == handled


@pytest.mark.parametrize(("end", "handled"), [("stop", []), ("drain", ["2", "3"])])
async def test_a_stop_finishes_the_turn_and_a_drain_all_that_is_queued(end: str, handled: list[str]) -> None:
    world, store = World(), MemoryStore()
    with structlog.testing.capture_logs():
        async with running(store=store) as system:
            ref = await system.spawn(Doer, world, name="a")
            ref.tell(Do("1", "wait"))
            await world.gate.reached.wait()
            for text in ("2", "3"):
                ref.tell(Say(text))
            ending = getattr(ref, end)()
            world.gate.open.set()
            await ending
            assert world.log.lines == handled
            assert len(letters(system)) == 2 - len(handled)
        async with running(store=store) as system:
            assert await noted(await system.spawn(Doer, World(), name="a")) == ["1", *handled]


async def test_a_terminated_child_settles_what_it_had_and_a_restarted_one_goes_on_from_its_state() -> None:
    world, store = World(), MemoryStore()
    with structlog.testing.capture_logs():
        async with running(store=store) as system:
            ref = await one(system, world)
            await ref.send(Do("good"))
            ref.tell(Do("in hand", "wait"))
            await world.gate.reached.wait()
            ref.tell(Say("queued"))
            world.gate.open.set()
            top = system.get("top")
            await top.terminate_child("a")

            again = await top.restart_child("a")
            assert (await noted(again))[0] == "good"
            assert "queued" not in await noted(again)
            assert (Say("queued"), "stopped") in letters(system)


async def test_a_group_restart_keeps_what_its_durable_children_have_queued() -> None:
    first, second = World(), World()
    with structlog.testing.capture_logs():
        async with running() as system:
            specs = [
                ChildSpec(Doer, name=name, args=(world,)) for name, world in (("a", first), ("b", second))
            ]
            a, b = await permanent(system, *specs, strategy=Supervisor.one_for_all(max_restarts=100))
            await b.send(Do("before"))
            b.tell(Do("in hand", "wait"))
            await second.gate.reached.wait()
            b.tell(Say("queued"))
            a.tell(Do("x", "fail"))
            await anyio.lowlevel.checkpoint()
            second.gate.open.set()

            assert await noted(b) == ["before", "in hand", "queued"]
            assert (await noted(a)) == []
            assert b.incarnation == 2


async def test_the_message_in_hand_and_the_statistics_are_as_of_any_actor() -> None:
    class Looks(Doer):
        @handles
        async def do(self, message: Do) -> Any:
            envelope = self.context.message
            assert envelope is not None
            return [envelope.is_ask, envelope.sender, envelope.attempt, envelope.message_id]

    world = World()
    async with running() as system:
        ref = await one(system, world, Looks)
        is_ask, sender, attempt, message_id = await ref.ask(Do("x"), timeout=1)
        assert (is_ask, sender, attempt) == (True, "external", 1)
        (event,) = await flushed_events(system, "top/a")
        assert event == message_id
        ref.tell(Say("y"))
        await noted(ref)
        statistics = ref.statistics()
        assert (statistics.handled, statistics.depth, statistics.dead) == (3, 0, 0)


async def flushed_events(system: ActorSystem, path: str) -> list[str]:
    await system.flush()
    events = await system.store.events(system.name, agent=path, event_type="message_sent")
    return [event.event_id for event in events]


async def test_an_ask_that_a_stop_overtakes_ends_at_once() -> None:
    world = World()
    with structlog.testing.capture_logs():
        async with running() as system, anyio.create_task_group() as tasks:
            ref = await system.spawn(Doer, world)
            ref.tell(Do("x", "wait"))
            await world.gate.reached.wait()
            errors: list[Exception] = []

            async def ask() -> None:
                try:
                    await noted(ref)
                except ActorStopped as error:
                    errors.append(error)

            tasks.start_soon(ask)
            await anyio.sleep(1)
            ref.stop()
            world.gate.open.set()
            await anyio.sleep(1)
            assert len(errors) == 1

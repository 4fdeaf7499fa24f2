"""A message whose handler raises is tried again, quarantined after its last attempt, and never lost."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio
import msgspec
import pytest
import structlog

from sentient_core import (
    Actor,
    ActorRef,
    ActorStopped,
    ActorSystem,
    AskTimeout,
    BudgetExceeded,
    ChildSpec,
    DeadLetterFilter,
    HandlerFailed,
    InvalidArgument,
    MailboxOptions,
    Overflow,
    Poison,
    RateLimited,
    Redriven,
    Request,
    RestartBudget,
    StoreUnavailable,
    Supervisor,
    Transient,
    UncopyableMessage,
    handles,
)
from sentient_core.actors.attempts import PutBack
from sentient_core.actors.posting import Posted
from sentient_core.actors.ref import cell_of
from sentient_core.codec import digest
from tests.probes import Gate, Log, Say, letters, running


class Question(Request[str], frozen=True):
    text: str


class World:
    """What the actors of a test write down, and how they behave."""

    def __init__(self, **failures: int) -> None:
        self.log = Log()
        self.failures = Count(failures)
        """How often the handling of a text still fails."""
        self.error: Callable[[str], Exception] = ValueError

    def handle(self, text: str, attempt: int) -> None:
        self.log(f"{text} {attempt}")
        if self.failures[text] > 0:
            self.failures[text] -= 1
            raise self.error(text)


class Fragile(Actor):
    """Fails as often as its world says."""

    max_attempts = 3

    class State(msgspec.Struct):
        handled: int = 0

    state: State

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def attempt(self) -> int:
        envelope = self.context.message
        assert envelope is not None
        return envelope.attempt

    @handles
    def say(self, message: Say) -> Any:
        self.state.handled += 1
        self.world.handle(message.text, self.attempt)

    @handles
    def answer(self, message: Question) -> Any:
        self.world.handle(message.text, self.attempt)
        return f"{message.text}!"

    def call(self, text: str) -> str:
        self.world.handle(text, self.attempt)
        return f"{text}!"


class VolatileFragile(Fragile):
    durability = "volatile"


class Strict(Fragile):
    max_attempts = 1


class Slow(Fragile):
    """Its handlers suspend before anything else."""

    @handles
    async def say(self, message: Say) -> None:
        await anyio.sleep(0.1)
        self.world.handle(message.text, self.attempt)

    @handles
    async def answer(self, message: Question) -> str:
        await anyio.sleep(0.1)
        return self.call(message.text)


KINDS = pytest.mark.parametrize("cls", [Fragile, VolatileFragile, Slow])


@asynccontextmanager
async def supervised(
    cls: type[Actor],
    *args: Any,
    restart: str = "permanent",
    decide: Any = None,
    max_restarts: int = 1_000,
    budget: RestartBudget | None = None,
) -> AsyncGenerator[tuple[ActorSystem, ActorRef[Any]]]:
    """A system with an actor under a supervisor that is in no hurry to give up."""
    spec = ChildSpec(cls, name="a", args=args, restart=restart, decide=decide)
    strategy = Supervisor.one_for_one(max_restarts=max_restarts, budget=budget)
    members = {"strategy": strategy, "children": [spec]}
    async with running() as system:
        await system.spawn(type("Team", (Supervisor,), members), name="team")
        yield system, system.get("team/a")


async def settled(ref: ActorRef[Any]) -> None:
    """Return when there is nothing left to do."""
    await anyio.sleep(10)
    assert ref.statistics().depth == 0


def counts(ref: ActorRef[Any]) -> tuple[int, int, int]:
    numbers = ref.statistics()
    return numbers.handled, numbers.dead, numbers.depth


@KINDS
async def test_a_message_is_tried_again_first_by_the_next_incarnation(cls: type[Fragile]) -> None:
    world = World(x=2)
    async with supervised(cls, world) as (_, ref):
        for text in "xyz":
            ref.tell(Say(text))
        await settled(ref)

        assert world.log.lines == ["x 1", "x 2", "x 3", "y 1", "z 1"]
        assert ref.incarnation == 3
        assert counts(ref) == (3, 0, 0)


@KINDS
async def test_after_its_last_attempt_it_is_quarantined_and_the_actor_goes_on(cls: type[Fragile]) -> None:
    world = World(x=99)
    async with supervised(cls, world) as (system, ref):
        for text in "xyz":
            ref.tell(Say(text))
        await settled(ref)

        assert world.log.lines == ["x 1", "x 2", "x 3", "y 1", "z 1"]
        assert letters(system) == [(Say("x"), "quarantined")]
        assert counts(ref) == (2, 1, 0)
        assert ref.incarnation == 4


async def test_by_default_a_message_has_one_attempt_and_becomes_a_dead_letter() -> None:
    world = World(x=1)
    async with supervised(Strict, world) as (system, ref):
        ref.tell(Say("x"))
        await settled(ref)

        assert Actor.max_attempts == 1
        assert letters(system) == [(Say("x"), "failed")]
        (letter,) = system.dead_letters
        assert (letter.tries, letter.traceback, letter.state_digest, letter.checkpoint_id) == (
            1,
            None,
            None,
            None,
        )
        assert await system.store.events("test", event_type="system_alert") == []


class Saving(Fragile):
    max_attempts = 2

    @handles
    async def answer_saved(self, message: Question) -> str:
        self.state.handled += 1
        return await self.checkpoint()


async def test_a_quarantined_letter_holds_the_evidence() -> None:
    async with supervised(Saving, World(x=99)) as (system, ref):
        checkpoint_id = await ref.ask(Question("save"), timeout=1.0)
        ref.tell(Say("x"))
        await settled(ref)

        (kept,) = system.dead_letters
        (stored,) = await system.dead_letters.list(DeadLetterFilter(reason="quarantined"))
        for letter in (kept, stored):
            assert letter.traceback is not None
            assert letter.traceback.startswith("Traceback")
            assert "raise self.error(text)" in letter.traceback
            assert letter.cause == "ValueError: x"
            # As the handler left it: restored with 1, counted up by the last attempt.
            assert letter.state_digest == digest(msgspec.msgpack.encode(Saving.State(2))).hex()
            assert letter.checkpoint_id == checkpoint_id
            assert letter.tries == 2
        assert (stored.attempts, str(stored.status)) == (1, "open")


class Unsaveable(Actor):
    max_attempts = 2

    class State(msgspec.Struct):
        thing: Any = None

    state: State

    @handles
    def say(self, message: Say) -> None:
        self.state.thing = object()
        raise ValueError


class Stateless(Actor):
    max_attempts = 2

    def on_receive(self, message: Any) -> None:
        raise ValueError


@pytest.mark.parametrize("cls", [Unsaveable, Stateless])
async def test_without_a_state_that_can_be_encoded_there_is_no_digest(cls: type[Actor]) -> None:
    async with supervised(cls) as (system, ref):
        ref.tell(Say("x"))
        await settled(ref)

        (letter,) = system.dead_letters
        assert (letter.reason, letter.state_digest, letter.checkpoint_id) == ("quarantined", None, None)


async def test_a_quarantine_is_an_alert() -> None:
    with structlog.testing.capture_logs() as lines:
        async with supervised(VolatileFragile, World(x=99)) as (system, ref):
            ref.tell(Say("x"))
            await settled(ref)
            (letter,) = system.dead_letters
            (event,) = await system.store.events("test", event_type="system_alert")

    expected = {
        "alert": "message quarantined",
        "cause": "ValueError: x",
        "message_type": "Say",
        "message_id": letter.message_id,
        "tries": 3,
        "causes": [{"type": "ValueError", "message": "x"}],
    }
    causes = [{"type": "ValueError", "message": "x"}]
    assert (event.source_agent, event.payload) == ("team/a", {**expected, "causes": causes})
    (line,) = [line for line in lines if line["event"] == "message quarantined"]
    assert (line["log_level"], line["path"]) == ("error", "team/a")
    assert [line[key] for key in ("cause", "message_type", "message_id", "tries")] == [
        expected[key] for key in ("cause", "message_type", "message_id", "tries")
    ]


async def test_lines_of_quarantines_are_limited_and_the_rest_is_counted() -> None:
    world = World()
    world.error = Poison
    with structlog.testing.capture_logs() as lines:
        async with supervised(Strict, world) as (_, ref):
            for n in range(100):
                world.failures[str(n)] = 1
                ref.tell(Say(str(n)))
            await settled(ref)

    told = [line for line in lines if line["event"] == "message quarantined"]
    (rest,) = [line for line in lines if line["event"] == "message quarantined: not logged one by one"]
    assert len(told) < 50
    assert len(told) + rest["suppressed"] == 100


@KINDS
async def test_who_asked_goes_on_waiting_and_is_answered_by_a_later_attempt(cls: type[Fragile]) -> None:
    world = World(x=2)
    async with supervised(cls, world) as (system, ref):
        assert await ref.ask(Question("x"), timeout=5.0) == "x!"

        assert world.log.lines == ["x 1", "x 2", "x 3"]
        assert letters(system) == []
        await settled(ref)
        assert counts(ref) == (1, 0, 0)


@KINDS
async def test_who_asked_is_told_after_the_last_attempt(cls: type[Fragile]) -> None:
    async with supervised(cls, World(x=99)) as (system, ref):
        with pytest.raises(HandlerFailed, match="ValueError: x, at attempt 3") as caught:
            await ref.ask(Question("x"), timeout=5.0)

        assert isinstance(caught.value.__cause__, ValueError)
        assert letters(system) == [(Question("x"), "quarantined")]
        await settled(ref)
        assert counts(ref) == (0, 1, 0)


class Resting(Fragile):
    """Takes its time to come up again."""

    async def on_restart(self, cause: BaseException | None) -> None:
        await anyio.sleep(2)


async def test_a_message_whose_ask_is_over_is_tried_all_the_same() -> None:
    world = World(x=1)
    async with supervised(Resting, world) as (system, ref):
        with pytest.raises(AskTimeout, match="number 1 of 1 in the queue; the actor is starting"):
            await ref.ask(Question("x"), timeout=1.0)
        assert counts(ref) == (0, 0, 1)
        await settled(ref)

        assert world.log.lines == ["x 1", "x 2"]
        assert letters(system) == [("x!", "late_reply")]
        assert counts(ref) == (1, 0, 0)


@KINDS
async def test_a_proxied_call_is_tried_again(cls: type[Fragile]) -> None:
    world = World(x=1, y=99)
    async with supervised(cls, world) as (system, ref):
        assert await ref.proxy().call("x") == "x!"
        with pytest.raises(HandlerFailed):
            await ref.proxy().call("y")

        assert world.log.lines == ["x 1", "x 2", "y 1", "y 2", "y 3"]
        assert [letter.reason.value for letter in system.dead_letters] == ["quarantined"]


class Waking(Fragile):
    """Sets itself a timer in every incarnation."""

    def on_start(self) -> None:
        self.context.timers.once("wake", 1.0, Say(f"tick {self.context.incarnation}"))


async def test_a_tick_is_not_tried_again_by_another_incarnation() -> None:
    world = World()
    world.failures["tick 1"] = 99
    async with supervised(Waking, world) as (system, ref):
        await settled(ref)

        assert world.log.lines == ["tick 1 1", "tick 2 1"]
        assert letters(system) == [(Say("tick 1"), "failed")]
        assert system.dead_letters[0].cause == "ValueError: tick 1"
        assert counts(ref) == (1, 1, 0)


async def test_a_quarantined_letter_is_sent_again_with_all_its_attempts() -> None:
    world = World(x=4)
    async with supervised(Fragile, world) as (system, ref):
        ref.tell(Say("x"))
        await settled(ref)
        (letter,) = await system.dead_letters.list(DeadLetterFilter(reason="quarantined"))

        assert await system.dead_letters.redrive(letter.message_id) == Redriven(1)
        await settled(ref)

        assert world.log.lines == ["x 1", "x 2", "x 3", "x 1", "x 2"]
        (letter,) = await system.dead_letters.list()
        assert (str(letter.status), letter.attempts) == ("redriven", 2)


async def test_a_letter_that_is_quarantined_again_counts_both_ways() -> None:
    world = World(x=99)
    async with supervised(Fragile, world) as (system, ref):
        ref.tell(Say("x"))
        await settled(ref)
        first = (await system.dead_letters.list())[0].message_id
        await system.dead_letters.redrive(DeadLetterFilter(reason="quarantined"))
        await settled(ref)

        (letter,) = await system.dead_letters.list(DeadLetterFilter(reason="quarantined"), status="open")
        assert (letter.message_id, letter.attempts, letter.tries) == (first, 2, 3)
        await system.dead_letters.discard(letter.message_id, reason="it is poison")
        (letter,) = await system.dead_letters.list()
        assert (str(letter.status), letter.discard_reason) == ("discarded", "it is poison")


async def test_a_virtual_actor_tries_again() -> None:
    world = World(x=2, y=99)
    async with running() as system:
        ref = await system.get_or_spawn(Fragile, "v", world)
        assert await ref.ask(Question("x"), timeout=5.0) == "x!"
        await anyio.sleep(100)
        with pytest.raises(HandlerFailed):
            await ref.ask(Question("y"), timeout=5.0)

        assert world.log.lines == ["x 1", "x 2", "x 3", "y 1", "y 2", "y 3"]
        assert letters(system) == [(Question("y"), "quarantined")]


class Guarded(Fragile):
    """Waits at the gate before it comes up again."""

    def __init__(self, world: World, gate: Gate) -> None:
        super().__init__(world)
        self.gate = gate

    async def on_restart(self, cause: BaseException | None) -> None:
        await self.gate()


@pytest.mark.parametrize("before", [True, False])
async def test_it_comes_before_every_priority(before: bool) -> None:
    world, gate = World(x=1), Gate()
    async with supervised(Guarded, world, gate) as (_, ref):
        with_priority = ref.with_options(priority=9)
        ref.tell(Say("x"))
        if before:
            with_priority.tell(Say("first"))
        ref.tell(Say("y"))
        await gate.reached.wait()
        with_priority.tell(Say("urgent"))
        gate.open.set()
        await settled(ref)

        tried = ["first 1", "x 1", "x 2"] if before else ["x 1", "x 2"]
        assert world.log.lines == [*tried, "urgent 1", "y 1"]


async def test_its_own_priority_does_not_matter_for_when_it_is_tried_again() -> None:
    world, gate = World(x=1), Gate()
    async with supervised(Guarded, world, gate) as (_, ref):
        ref.with_options(priority=-5).tell(Say("x"))
        await gate.reached.wait()
        ref.with_options(priority=9).tell(Say("urgent"))
        gate.open.set()
        await settled(ref)

        assert world.log.lines == ["x 1", "x 2", "urgent 1"]


class Narrow(Guarded):
    mailbox = MailboxOptions(capacity=2)


class Forgetting(Guarded):
    mailbox = MailboxOptions(capacity=2, overflow=Overflow.DROP_OLD)


async def test_a_full_mailbox_takes_it_back_all_the_same() -> None:
    world, gate = World(x=1), Gate()
    async with supervised(Narrow, world, gate) as (system, ref), anyio.create_task_group() as tasks:
        ref.tell(Say("x"))
        ref.tell(Say("y"))
        await gate.reached.wait()
        ref.tell(Say("refused"))
        tasks.start_soon(ref.send, Say("waits"))
        await anyio.sleep(1)
        assert counts(ref) == (0, 1, 2)
        gate.open.set()
        await settled(ref)

        assert world.log.lines == ["x 1", "x 2", "y 1", "waits 1"]
        assert letters(system) == [(Say("refused"), "full")]


async def test_where_the_oldest_is_dropped_it_is_the_oldest() -> None:
    world, gate = World(x=1), Gate()
    async with supervised(Forgetting, world, gate) as (system, ref):
        ref.tell(Say("x"))
        await gate.reached.wait()
        for text in "yz":
            ref.tell(Say(text))
        gate.open.set()
        await settled(ref)

        assert world.log.lines == ["x 1", "y 1", "z 1"]
        assert [(letter.reason.value, letter.tries) for letter in system.dead_letters] == [("dropped", 1)]
        assert counts(ref) == (2, 1, 0)


async def test_a_deadline_holds_between_attempts() -> None:
    world = World(x=1)
    async with supervised(Resting, world) as (system, ref):
        ref.with_options(expires=1.0).tell(Say("x"))
        await settled(ref)

        assert world.log.lines == ["x 1"]
        assert letters(system) == [(Say("x"), "expired")]
        assert system.dead_letters[0].tries == 1


class Stashing(Fragile):
    """Puts `later` away until it is told to `go`."""

    is_open = False

    @handles
    def say(self, message: Say) -> None:
        self.world.handle(message.text, self.attempt)
        if message.text == "go":
            self.is_open = True
            self.context.unstash_all()
        elif message.text.startswith("later") and not self.is_open:
            self.context.stash()
            self.world.handle("stashed", self.attempt)


async def test_a_stashed_message_keeps_its_count() -> None:
    world = World(later=1)
    async with supervised(Stashing, world) as (_, ref):
        ref.tell(Say("later"))
        ref.tell(Say("go"))
        await settled(ref)

        assert world.log.lines == ["later 1", "later 2", "stashed 2", "go 1", "later 2"]


async def test_what_fails_behind_its_stash_is_tried_again_once_and_not_from_the_stash() -> None:
    world = World(stashed=1)
    async with supervised(Stashing, world) as (_, ref):
        ref.tell(Say("later"))
        await settled(ref)
        ref.tell(Say("go"))
        await settled(ref)

        tried = ["later 1", "stashed 1", "later 2", "stashed 2"]
        assert world.log.lines == [*tried, "go 1", "later 2"]
        assert counts(ref) == (2, 0, 0)


async def test_what_has_failed_comes_before_what_was_stashed() -> None:
    world = World(x=1)
    async with supervised(Stashing, world) as (_, ref):
        for text in ("later a", "later b", "x", "y"):
            ref.tell(Say(text))
        await settled(ref)

        lines = [line for line in world.log.lines if not line.startswith("stashed")]
        assert lines == ["later a 1", "later b 1", "x 1", "x 2", "later a 1", "later b 1", "y 1"]


class Passing(Fragile):
    """Fails once, then passes the message on."""

    def __init__(self, world: World, target: ActorRef[Any]) -> None:
        super().__init__(world)
        self.target = target

    @handles
    def say(self, message: Say) -> None:
        self.world.handle(message.text, self.attempt)
        self.context.forward(self.target)


async def test_a_forwarded_message_has_all_its_attempts_again() -> None:
    front, back = World(x=1), World(x=2)
    async with running() as system:
        target = await system.spawn(Fragile, back)
        ref = await system.spawn(Passing, front, target)
        ref.tell(Say("x"))
        await settled(target)

        assert (front.log.lines, back.log.lines) == (["x 1", "x 2"], ["x 1", "x 2", "x 3"])


async def test_a_message_that_is_forwarded_by_a_later_attempt_keeps_its_priority() -> None:
    front, back, gate = World(urgent=1), World(wait=1), Gate()
    async with running() as system:
        target = await system.spawn(Guarded, back, gate)
        ref = await system.spawn(Passing, front, target)
        target.tell(Say("wait"))
        await gate.reached.wait()
        target.tell(Say("plain"))
        ref.with_options(priority=1).tell(Say("urgent"))
        await anyio.sleep(1)
        gate.open.set()
        await settled(target)

        assert front.log.lines == ["urgent 1", "urgent 2"]
        assert back.log.lines == ["wait 1", "wait 2", "urgent 1", "plain 1"]


class Basket(Actor):
    """Takes its message apart, and fails."""

    isolation: ClassVar[Any] = "copy"
    max_attempts = 2

    def __init__(self, log: Log) -> None:
        self.log = log

    def on_receive(self, message: list[str]) -> None:
        self.log(message.pop())
        if len(self.log.lines) < 2:
            raise ValueError


async def test_every_attempt_has_a_copy_of_its_own() -> None:
    log = Log()
    async with supervised(Basket, log) as (system, ref):
        items = ["a", "b"]
        ref.tell(items)
        await settled(ref)

        assert (log.lines, items) == (["b", "b"], ["a", "b"])
        assert letters(system) == []


class CopiedOnce:
    """Cannot be copied more often than it is sent."""

    def __init__(self) -> None:
        self.items: list[str] = []

    def __deepcopy__(self, memo: object) -> CopiedOnce:
        if self.items:
            raise RuntimeError("no more copies")
        copied = CopiedOnce()
        copied.items.append("of the first")
        return copied


async def test_a_message_that_cannot_be_copied_for_its_attempt_fails_it() -> None:
    async with supervised(VolatileBasket, Log()) as (system, ref):
        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(CopiedOnce(), timeout=5.0)

        assert isinstance(caught.value.__cause__, UncopyableMessage)
        assert [letter.reason.value for letter in system.dead_letters] == ["quarantined"]


class VolatileBasket(Basket):
    durability = "volatile"


class Checking(Basket):
    isolation = "check"


async def test_a_message_that_was_changed_is_not_tried_again() -> None:
    log = Log()
    async with supervised(Checking, log) as (system, ref):
        items = ["a", "b"]
        ref.tell(items)
        items.append("c")
        await settled(ref)

        assert log.lines == []
        assert letters(system) == [(["a", "b", "c"], "failed")]


async def test_poison_is_quarantined_at_its_first_attempt() -> None:
    world = World(x=9)
    world.error = Poison
    async with supervised(Fragile, world) as (system, ref):
        ref.tell(Say("x"))
        ref.tell(Say("y"))
        await settled(ref)

        assert world.log.lines == ["x 1", "y 1"]
        assert [(letter.reason.value, letter.tries) for letter in system.dead_letters] == [("quarantined", 1)]


@pytest.mark.parametrize(("cls", "attempts", "most"), [(Strict, 2, 2), (Fragile, 2, 3), (Strict, 1, 1)])
async def test_an_error_can_ask_for_more_attempts_than_its_class(
    cls: type[Fragile], attempts: int, most: int
) -> None:
    world = World(x=9)
    world.error = lambda text: Transient(text, attempts=attempts)
    async with supervised(cls, world) as (system, ref):
        ref.tell(Say("x"))
        await settled(ref)

        assert world.log.lines == [f"x {n}" for n in range(1, most + 1)]
        (letter,) = system.dead_letters
        assert (letter.reason, letter.tries) == ("quarantined" if most > 1 else "failed", most)


async def test_a_store_that_is_away_costs_no_attempt() -> None:
    world = World(x=5)
    world.error = StoreUnavailable
    async with supervised(Strict, world) as (system, ref):
        assert await ref.ask(Question("x"), timeout=50.0) == "x!"

        assert world.log.lines == ["x 1"] * 6
        assert letters(system) == []


RESUMED = {Exception: "resume"}


@KINDS
async def test_an_actor_that_goes_on_tries_again_at_once(cls: type[Fragile]) -> None:
    world = World(x=2, y=9)
    async with supervised(cls, world, decide=RESUMED) as (system, ref):
        for text in "xyz":
            ref.tell(Say(text))
        await settled(ref)

        assert world.log.lines == ["x 1", "x 2", "x 3", "y 1", "y 2", "y 3", "z 1"]
        assert letters(system) == [(Say("y"), "quarantined")]
        assert ref.incarnation == 1
        assert counts(ref) == (2, 1, 0)


async def test_an_actor_that_goes_on_keeps_its_stash() -> None:
    world = World(x=1)
    async with supervised(Stashing, world, decide=RESUMED) as (_, ref):
        for text in ("later", "x", "go"):
            ref.tell(Say(text))
        await settled(ref)

        assert world.log.lines == ["later 1", "stashed 1", "x 1", "x 2", "go 1", "later 1"]


async def test_an_actor_that_goes_on_tries_its_ticks_again() -> None:
    world = World()
    world.failures["tick 1"] = 2
    async with supervised(Waking, world, decide=RESUMED) as (system, ref):
        await settled(ref)

        assert world.log.lines == ["tick 1 1", "tick 1 2", "tick 1 3"]
        assert letters(system) == []
        assert counts(ref) == (1, 0, 0)


async def test_a_paused_actor_keeps_its_message_and_its_tick() -> None:
    world = World(x=1)
    world.error = BudgetExceeded
    world.failures["tick 1"] = 1
    async with supervised(Waking, world) as (system, ref), anyio.create_task_group() as tasks:
        tasks.start_soon(_logged_ask, ref, world)
        await anyio.sleep(0.5)
        assert counts(ref) == (0, 0, 1)
        ref.resume()
        await anyio.sleep(1)
        assert counts(ref) == (1, 0, 1)
        ref.resume()
        await settled(ref)

        assert world.log.lines == ["x 1", "x 1", "x!", "tick 1 1", "tick 1 1"]
        assert (letters(system), ref.incarnation) == ([], 1)


async def _logged_ask(ref: ActorRef[Any], world: World) -> None:
    world.log(await ref.ask(Question("x"), timeout=5.0))


async def test_a_tick_that_waits_for_another_try_ends_with_its_incarnation() -> None:
    world = World()
    world.error = BudgetExceeded
    world.failures["tick 1"] = 1
    async with supervised(Waking, world) as (system, ref):
        await anyio.sleep(1.5)
        await ref.kill()
        await settled(ref)

        assert world.log.lines == ["tick 1 1", "tick 2 1"]
        assert letters(system) == [(Say("tick 1"), "failed")]
        assert counts(ref) == (1, 1, 0)


class Counting(Fragile):
    """Notes at its failures how many letters there are."""

    def on_failure(self, cause: Exception) -> None:
        self.world.log(f"{len(self.context.system.dead_letters)} letters")


async def test_an_actor_that_is_stopped_for_it_gives_its_message_up_at_once() -> None:
    world = World(x=9)
    async with supervised(Counting, world, decide={ValueError: "stop"}) as (system, ref):
        with pytest.raises(HandlerFailed, match="ValueError: x"):
            await ref.ask(Question("x"), timeout=1.0)
        await settled(ref)

        assert world.log.lines == ["x 1", "1 letters"]
        assert letters(system) == [(Question("x"), "failed")]


async def test_a_message_is_tried_again_after_an_escalation() -> None:
    world = World(x=9)
    async with supervised(Fragile, world, decide={ValueError: "escalate"}) as (system, ref):
        with pytest.raises(HandlerFailed, match="ValueError: x"):
            await ref.ask(Question("x"), timeout=1.0)

        assert world.log.lines == ["x 1", "x 2", "x 3"]
        assert letters(system) == [(Question("x"), "quarantined")]


async def test_however_often_it_is_tried_it_is_wrapped_once() -> None:
    world = World(x=5)
    world.error = BudgetExceeded
    async with supervised(Fragile, world) as (_, ref):
        ref.with_options(priority=1).tell(Say("x"))
        for _ in range(5):
            await anyio.sleep(1)
            (wrapper,) = [entry[0] for entry in cell_of(ref).mailbox.queue or ()]
            assert isinstance(wrapper, PutBack)
            assert isinstance(wrapper.message, Posted)
            ref.resume()
        await settled(ref)
        assert world.log.lines == ["x 1"] * 6


class Endless(Fragile):
    max_attempts = 1_000


async def test_what_its_supervisors_gave_up_on_has_failed() -> None:
    budget = RestartBudget(1, within=1_000.0)  # attempts cost nothing but this
    async with supervised(Endless, World(x=1_000), budget=budget) as (system, ref):
        with pytest.raises(HandlerFailed, match="ValueError: x, at attempt") as caught:
            await ref.ask(Question("x"), timeout=100.0)

        assert isinstance(caught.value.__cause__, ValueError)
        (letter,) = system.dead_letters
        assert (letter.reason.value, letter.tries) == ("failed", 8)  # two of each of the team's four lives
        assert not ref.is_alive


@KINDS
async def test_attempts_cost_nothing_of_the_window_but_the_last_one(cls: type[Fragile]) -> None:
    world = World(x=99, y=99)
    async with supervised(cls, world, max_restarts=2) as (system, ref):
        for text in "xyz":  # three attempts each
            ref.tell(Say(text))
        await settled(ref)

        assert letters(system) == [(Say("x"), "quarantined"), (Say("y"), "quarantined")]
        assert world.log.lines[-1] == "z 1"
        assert (ref.incarnation, system.get("team").incarnation) == (7, 1)


async def test_a_rule_can_quarantine() -> None:
    world = World(x=9)
    async with supervised(Fragile, world, decide={ValueError: "quarantine"}) as (system, ref):
        for text in "xy":
            ref.tell(Say(text))
        await settled(ref)

        assert world.log.lines == ["x 1", "y 1"]
        assert letters(system) == [(Say("x"), "quarantined")]
        assert ref.incarnation == 1


async def test_a_rate_limit_is_waited_for() -> None:
    world = World(x=2)
    world.error = lambda _: RateLimited(30.0)
    async with supervised(Strict, world) as (_, ref):
        before = anyio.current_time()
        assert await ref.ask(Question("x"), timeout=100.0) == "x!"

        assert anyio.current_time() - before == pytest.approx(60.0)
        assert world.log.lines == ["x 1", "x 2", "x 3"]


class Refusing(Fragile):
    reply_errors = (KeyError,)


async def test_an_error_that_is_an_answer_is_not_tried_again() -> None:
    world = World(x=1, y=1)
    world.error = KeyError
    async with supervised(Refusing, world) as (system, ref):
        with pytest.raises(KeyError):
            await ref.ask(Question("x"), timeout=1.0)
        ref.tell(Say("y"))
        await settled(ref)

        assert world.log.lines == ["x 1", "y 1"]
        assert letters(system) == [(Say("y"), "failed")]


async def test_what_an_actor_failed_of_that_is_not_started_again_has_failed() -> None:
    async with supervised(Fragile, World(x=9), restart="temporary") as (system, ref):
        ref.tell(Say("x"))
        with pytest.raises(ActorStopped, match="it failed: ValueError: x"):
            await ref.ask(Question("y"), timeout=1.0)

        assert letters(system) == [(Say("x"), "failed"), (Question("y"), "stopped")]
        assert [letter.tries for letter in system.dead_letters] == [1, 0]
        assert counts(ref) == (0, 2, 0)


async def test_who_asked_an_actor_that_is_not_started_again_is_told_why() -> None:
    async with supervised(Fragile, World(x=9), restart="temporary") as (_, ref):
        with pytest.raises(HandlerFailed, match="its handler raised ValueError: x") as caught:
            await ref.ask(Question("x"), timeout=1.0)

        assert isinstance(caught.value.__cause__, ValueError)


async def test_what_waits_for_an_attempt_when_its_actor_is_stopped_was_stopped() -> None:
    gate = Gate()
    async with supervised(Guarded, World(x=1), gate, restart="transient") as (system, ref):
        ref.tell(Say("x"))
        await gate.reached.wait()
        ref.stop()
        gate.open.set()
        await ref.stop()

        assert [(letter.reason.value, letter.tries) for letter in system.dead_letters] == [("stopped", 1)]


async def test_a_drain_goes_on_through_the_attempts() -> None:
    world = World(x=2, y=9)
    async with supervised(Fragile, world, restart="transient") as (system, ref):
        for text in "xyz":
            ref.tell(Say(text))
        await ref.drain()

        assert world.log.lines == ["x 1", "x 2", "x 3", "y 1", "y 2", "y 3", "z 1"]
        assert not ref.is_alive
        assert letters(system) == [(Say("y"), "quarantined")]


async def test_a_kill_while_it_waits_for_its_next_attempt_costs_none() -> None:
    world, gate = World(x=1), Gate()
    async with supervised(Guarded, world, gate) as (system, ref):
        ref.tell(Say("x"))
        await gate.reached.wait()
        gate.open.set()
        await ref.kill()
        await settled(ref)

        assert world.log.lines == ["x 1", "x 2"]
        assert letters(system) == []


@pytest.mark.parametrize("attempts", [0, -1, True, 1.5, "3", None])
def test_max_attempts_is_a_number_of_at_least_one(attempts: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"Odd\.max_attempts must be a whole number, at least 1"):
        type("Odd", (Actor,), {"max_attempts": attempts})


async def test_a_mirrored_message_that_is_tried_again_is_one_message() -> None:
    world = World(x=2)
    async with supervised(Fragile, world) as (system, ref):
        assert await ref.ask(Question("x"), timeout=1.0) == "x!"
        await system.flush()

        (sent,) = await system.store.events("test", event_type="message_sent")
        (replied,) = await system.store.events("test", event_type="message_replied")
        assert replied.causation_id == sent.event_id
        failed = await system.store.events("test", event_type="actor_failed")
        assert [event.causation_id for event in failed] == [sent.event_id] * 2


class Careful(Fragile):
    max_attempts: ClassVar[int] = 2


class Careless(Careful):
    max_attempts = 1


async def test_a_subclass_has_its_own_number() -> None:
    worlds = World(x=9), World(x=9)
    async with running() as system:
        for cls, world in zip((Careful, Careless), worlds, strict=True):
            ref = await system.spawn(cls, world)
            ref.tell(Say("x"))
            await settled(ref)
    assert [len(world.log.lines) for world in worlds] == [2, 1]

"""A probe: an actor's stand-in for tests. Others send to its ref, the test says what it expects of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

import anyio

from sentient_core.actors.actor import Actor, DurabilityName
from sentient_core.actors.ref import ActorRef
from sentient_core.actors.request import Request
from sentient_core.actors.watching import Terminated
from sentient_core.errors import InvalidArgument, UnknownActor
from sentient_core.paths import EXTERNAL
from sentient_core.supervisor.spec import BRUTAL_KILL
from sentient_core.testing.expected import differences, in_words, is_met, listed, words

if TYPE_CHECKING:
    from sentient_core.system import ActorSystem

__all__ = ["Probe", "Received"]

T = TypeVar("T")

PATIENCE = 5.0
_NEWEST_LETTERS = 3


class Received:
    """A message that a probe has got."""

    def __init__(self, message: Any, sender: str, answer: _Answer | None) -> None:
        self.message: Any = message
        self.sender: str = sender
        """Path of who sent it, or `external`."""
        self._answer = answer

    @property
    def is_ask(self) -> bool:
        """Somebody waits for the reply."""
        return self._answer is not None

    def answer(self, value: object) -> bool:
        """Reply to who waits. False: nobody does."""
        return self._answer is not None and self._answer.give(value)

    def __repr__(self) -> str:
        return f"{self.message!r} from {self.sender}{', who waits for the reply' * self.is_ask}"


class Probe:
    """A stand-in that keeps what it is sent, for the test to look at, one message after the other.

    ::

        probe = await Probe.spawn(system)
        worker = await system.spawn(Worker, reports_to=probe.ref)
        worker.tell(Start())
        report = await probe.expect(Report, timeout=1.0)
        probe.reply(Accepted())                 # to whoever sent that
        await probe.expect_no(10.0)

    What is expected is a type, a predicate, or a value that the message is equal to. The next message must be
    it: each call takes one, in the order they came, and fails with an AssertionError that shows what came
    instead. Timeouts are seconds of the loop's clock, which may be a virtual one. An ask stays open until the
    test replies, and keeps nothing else from coming in. Belongs to the loop's thread, and to one test task at
    a time.
    """

    def __init__(self, system: ActorSystem, ref: ActorRef[Any], inbox: _Inbox) -> None:
        self.ref: ActorRef[Any] = ref
        """What others are given."""
        self.last: Received | None = None
        """What was taken last."""
        self._system = system
        self._inbox = inbox
        self._watched: set[ActorRef[Any]] = set()

    @classmethod
    async def spawn(cls, system: ActorSystem, name: str | None = None) -> Probe:
        """Start one below the root of a system. Raises as `ActorSystem.spawn`."""
        inbox = _Inbox()
        return cls(system, await system.spawn(_StandIn, inbox, name=name), inbox)

    @property
    def last_sender(self) -> ActorRef[Any] | None:
        """Who sent what was taken last. None: nothing was, or no living actor of the system did."""
        if self.last is None or self.last.sender == EXTERNAL:
            return None
        try:
            return self._system.get(self.last.sender)
        except UnknownActor:
            return None

    @property
    def waiting(self) -> tuple[Received, ...]:
        """What has come and is not taken yet."""
        return tuple(self._inbox.waiting)

    @overload
    async def expect(self, what: type[T], *, timeout: float = PATIENCE) -> T: ...
    @overload
    async def expect(self, what: Callable[[Any], object], *, timeout: float = PATIENCE) -> Any: ...
    @overload
    async def expect(self, what: T, *, timeout: float = PATIENCE) -> T: ...
    async def expect(self, what: Any, *, timeout: float = PATIENCE) -> Any:
        """Take the next message, which has to be `what`; waits for it for at most `timeout` seconds."""
        __tracebackhide__ = True
        taken = await self._take(words(what), timeout)
        if not is_met(what, taken.message):
            differs = differences(what, taken.message)
            raise self._failed(
                f"got {taken}",
                f"expected: {words(what)}",
                *([f"differs in: {differs}"] if differs else []),
                *_waiting("waiting behind it", self._inbox.waiting),
            )
        return taken.message

    async def receive(self, *, timeout: float = PATIENCE) -> Any:
        """Take the next message, whatever it is."""
        __tracebackhide__ = True
        return (await self._take("a message", timeout)).message

    async def receive_n(self, n: int, *, timeout: float = PATIENCE) -> list[Any]:
        """Take the next `n` messages; `timeout` is for all of them together. Fails with those that came."""
        __tracebackhide__ = True
        if n < 0:
            raise InvalidArgument(f"receive_n takes a number of messages, not {n!r}")
        taken: list[Any] = []
        with anyio.move_on_after(timeout):
            while len(taken) < n:
                self.last = await self._inbox.take()
                taken.append(self.last.message)
        if len(taken) < n:
            raise self._failed(
                f"got {len(taken)} of {n} messages within {timeout:g} s", *listed(taken), *self._letters()
            )
        return taken

    async def expect_no(self, seconds: float) -> None:
        """Nothing comes within `seconds`, and nothing waits already. What comes is not taken."""
        __tracebackhide__ = True
        with anyio.move_on_after(seconds):
            await self._inbox.some()
        if self._inbox.waiting:
            first, *others = self._inbox.waiting
            raise self._failed(
                f"got {first}",
                f"expected: no message within {seconds:g} s",
                *_waiting("waiting behind it", others),
            )

    async def watch(self, ref: ActorRef[Any]) -> None:
        """Have the probe sent a Terminated when that actor ends for good, or at once if it has.

        Raises InvalidArgument for what is no ref.
        """
        if not isinstance(ref, ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance] - users check less
            raise InvalidArgument(f"watched is the ref of an actor, not {ref!r}: system.get(path) has it")
        self._watched.add(ref)
        await self.ref.ask(_Watch(ref), timeout=PATIENCE)

    async def expect_terminated(self, ref: ActorRef[Any], *, timeout: float = PATIENCE) -> Terminated:
        """The actor ends for good within `timeout` seconds, or has ended; returns what the probe is told.

        That message is taken, wherever it stands among the others, which stay. Watches, if `watch` was not
        called before: an actor that ended earlier than that has no cause then.
        """
        __tracebackhide__ = True
        if ref not in self._watched:
            await self.watch(ref)
        with anyio.move_on_after(timeout):
            while True:
                for received in self._inbox.waiting:
                    message = received.message
                    if isinstance(message, Terminated) and message.ref == ref:
                        self._inbox.waiting.remove(received)
                        self._watched.discard(ref)
                        self.last = received
                        return message
                await self._inbox.more()
        raise self._failed(
            f"was not told within {timeout:g} s that {ref!r} has ended",
            *_waiting("others that wait", self._inbox.waiting),
        )

    def reply(self, value: object) -> None:
        """Answer what was taken last: its ask; else `value` is told to its sender.

        Who asked and waits no more makes a dead letter of it (`late_reply`), as with any actor. Raises
        AssertionError where there is nobody to answer: nothing was taken, it was told from outside of actors,
        its sender has ended, or it has its reply.
        """
        __tracebackhide__ = True
        if self.last is None:
            raise self._failed("has nothing to reply to: it has taken no message yet")
        if self.last.is_ask:
            if not self.last.answer(value):
                raise AssertionError(f"there was a reply already to {self.last}")
            return
        sender = self.last_sender
        if sender is None:
            raise AssertionError(f"{self.last} has no sender to reply to")
        sender.tell(value)

    async def _take(self, expected: str, timeout: float) -> Received:
        __tracebackhide__ = True
        with anyio.move_on_after(timeout):
            self.last = await self._inbox.take()
            return self.last
        raise self._failed(f"got nothing within {timeout:g} s", f"expected: {expected}", *self._letters())

    def _failed(self, what: str, *lines: str) -> AssertionError:
        return AssertionError("\n  ".join((f"probe '{self.ref.path}' {what}", *lines)))

    def _letters(self) -> Sequence[str]:
        """Why something that was expected may not have come."""
        newest = [*self._system.dead_letters][-_NEWEST_LETTERS:]
        if not newest:
            return ()
        return ("the newest dead letters of the system:", *(f"  {in_words(letter)}" for letter in newest))

    def __repr__(self) -> str:
        return f"<Probe {self.ref.path!r}, {len(self._inbox.waiting)} waiting>"


def _waiting(where: str, messages: Collection[Received]) -> Sequence[str]:
    return (f"{where}:", *(f"  {line}" for line in listed(messages))) if messages else ()


class _Inbox:
    """What a probe has got."""

    def __init__(self) -> None:
        self.waiting: deque[Received] = deque()
        self._news = anyio.Event()

    def add(self, received: Received) -> None:
        self.waiting.append(received)
        self._news.set()
        self._news = anyio.Event()

    async def more(self) -> None:
        await self._news.wait()

    async def some(self) -> None:
        if not self.waiting:
            await self.more()

    async def take(self) -> Received:
        await self.some()
        return self.waiting.popleft()


class _Watch(Request[None], frozen=True):
    """Watch an actor."""

    ref: ActorRef[Any]


class _Answer:
    """What the test replies to one ask."""

    def __init__(self) -> None:
        self._value: object = None
        self._is_given = anyio.Event()
        self._is_over = False

    def give(self, value: object) -> bool:
        if self._is_given.is_set() or self._is_over:
            return False
        self._value = value
        self._is_given.set()
        return True

    async def wait(self) -> object:
        try:
            await self._is_given.wait()
        finally:
            self._is_over = True
        return self._value


class _StandIn(Actor):
    """The probe's actor."""

    durability: ClassVar[DurabilityName] = "volatile"

    def __init__(self, inbox: _Inbox) -> None:
        self._inbox = inbox

    async def on_receive(self, message: Any, /) -> None:
        envelope = self.context.message
        if isinstance(message, _Watch):
            self.context.watch(message.ref)
            return
        sender = EXTERNAL if envelope is None else envelope.sender
        answer = None
        if envelope is not None and envelope.is_ask:
            # An actor of its own waits for the reply, so that the probe goes on receiving.
            answer = _Answer()
            # It has nothing to end when the test does: who has no reply then, is told so at once.
            self.context.forward(await self.context.spawn(_Answering, answer, shutdown=BRUTAL_KILL))
        self._inbox.add(Received(message, sender, answer))


class _Answering(Actor):
    """Holds one ask until the test replies."""

    durability: ClassVar[DurabilityName] = "volatile"

    def __init__(self, answer: _Answer) -> None:
        self._answer = answer

    async def on_receive(self, message: Any, /) -> object:
        try:
            return await self._answer.wait()
        finally:
            self.context.ref.stop()

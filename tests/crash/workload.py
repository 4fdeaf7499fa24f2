"""Durable actors that can say afterwards what they have done: each state is a log.

Every message has a number of its own, and says who has sent it. A worker logs the numbers by sender as
it applies them, and those it sends to others; so after a crash each log has to match what the sender knows:
the one outside by the oracle, another actor by its own state. A number below zero stands for something that
must never have happened: it is sent, or logged, by turns that fail.
"""

from __future__ import annotations

from typing import Any, ClassVar

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from sentient_core import Actor, ActorRef, ChildSpec, Request, Supervisor, handles
from sentient_core.actors.actor import DurabilityName
from tests.crash.oracle import Oracle

__all__ = [
    "ATTEMPTS",
    "BALANCE",
    "GATE",
    "ROUTER",
    "TEAM",
    "VAULTS",
    "WITNESSES",
    "WORKERS",
    "Bad",
    "Broken",
    "Bump",
    "Consult",
    "Declined",
    "Delay",
    "Dump",
    "Flaky",
    "Message",
    "Note",
    "Open",
    "Refuse",
    "Relay",
    "Transfer",
    "Vault",
    "Worker",
]

BALANCE = 1_000
"""What every worker begins with."""
ATTEMPTS = 3
"""How often a message is tried."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What all of them have."""

    n: int
    by: str
    """Who has sent it."""


class Note(Message, frozen=True):
    """To be applied."""

    to: str | None = None
    """Where a router passes it on."""
    pause: float = 0.0
    """Seconds that its handler takes, so that others queue behind it."""
    is_witnessed: bool = False
    """The handler tells actors that are not durable."""


class Seen(Message, frozen=True):
    """`by` has applied it."""


class Transfer(Message, frozen=True):
    """Move money to another worker."""

    to: str
    amount: int


class Credit(Message, frozen=True):
    """Money from another worker."""

    amount: int


class Relay(Message, frozen=True):
    """Pass it on along these workers."""

    to: tuple[str, ...]


class Delay(Message, frozen=True):
    """Note it once more, a little later, by a durable timer."""

    seconds: float


class Bad(Message, frozen=True):
    """Its handler fails, once it has done much."""

    restarts: bool


class Flaky(Message, frozen=True):
    """Its handler fails at its first attempts."""

    fails: int


class Open(Message, frozen=True):
    """Let in what has been stashed, and stash no more, or again."""

    is_open: bool


class Bump(Message, Request[int], frozen=True):
    """Count one more; the reply says how many there are."""


class Consult(Message, Request[int], frozen=True):
    """Ask another worker to count one more, and keep its answer."""

    to: str


class Refuse(Message, Request[int], frozen=True):
    """Declined, after much was done."""


class Dump(Request[dict[str, Any]], frozen=True):
    """The state, as it is."""


class Broken(Exception):
    """A handler's failure: the actor is restarted."""


class Shaken(Broken):
    """A handler's failure: the actor goes on."""


class Declined(Exception):
    """A reply."""


class Worker(Actor):
    """See the module."""

    durability = "durable"
    max_attempts = ATTEMPTS
    reply_errors = (Declined,)

    ballast: ClassVar[int] = 0
    """See `Life`. What a state has of it, it keeps."""

    class State(msgspec.Struct):
        balance: int = BALANCE
        handled: int = 0
        """Turns that ended well, for messages of these kinds."""
        applied: dict[str, list[int]] = {}
        """Numbers by sender, as they came."""
        sent: dict[str, list[int]] = {}
        """Numbers by recipient, as they were told."""
        bumps: list[int] = []
        delayed: list[int] = []
        answers: dict[str, tuple[str, int]] = {}
        """By number, the worker that was asked, and what it said."""
        attempts: dict[str, int] = {}
        """By number, the one that went well."""
        ballast: str = ""
        last: tuple[int, str] | None = None
        """The number that was applied last, and by whom it was sent."""

    state: State

    def apply(self, message: Message) -> None:
        self.state.handled += 1
        self.state.last = message.n, message.by
        if not self.state.ballast:
            self.state.ballast = "ballast " * (self.ballast // 8)
        self.state.applied.setdefault(message.by, []).append(message.n)

    def ref(self, path: str) -> ActorRef[Any]:
        return self.context.system.get(path)

    def tell(self, path: str, message: Message) -> None:
        self.state.sent.setdefault(path, []).append(message.n)
        self.ref(path).tell(message)

    def do_harm(self, message: Message) -> None:
        """What a turn leaves that fails: nothing."""
        self.apply(message)
        self.state.applied.setdefault("harm", []).append(-message.n)
        self.state.balance += 1_000_000
        other = WORKERS[message.n % len(WORKERS)]
        self.tell(other, Note(n=-message.n, by=self.context.ref.path))
        for witness in WITNESSES:
            self.ref(witness).tell(Seen(n=-message.n, by=self.context.ref.path))
        self.context.timers.once(f"harm {message.n}", 0.0, Note(n=-message.n, by="timer"), durable=True)

    @handles
    async def note(self, message: Note) -> None:
        self.apply(message)
        if message.is_witnessed:
            for witness in WITNESSES:
                self.ref(witness).tell(Seen(n=message.n, by=self.context.ref.path))
        if message.pause:
            await anyio.sleep(message.pause)

    @handles
    async def transfer(self, message: Transfer) -> None:
        self.apply(message)
        self.state.balance -= message.amount
        credit = Credit(n=message.n, by=self.context.ref.path, amount=message.amount)
        if message.n % 2:
            self.tell(message.to, credit)
        else:
            self.state.sent.setdefault(message.to, []).append(message.n)
            await self.ref(message.to).send(credit)

    @handles
    def credit(self, message: Credit) -> None:
        self.apply(message)
        self.state.balance += message.amount

    @handles
    async def relay(self, message: Relay) -> None:
        self.apply(message)
        if message.to:
            self.tell(message.to[0], Relay(n=message.n, by=self.context.ref.path, to=message.to[1:]))
            await checkpoint()

    @handles
    def delay(self, message: Delay) -> None:
        self.apply(message)
        self.state.delayed.append(message.n)
        tick = Note(n=message.n, by="timer")
        self.context.timers.once(str(message.n), message.seconds, tick, durable=True)

    @handles
    def bad(self, message: Bad) -> None:
        self.do_harm(message)
        raise Broken("as told") if message.restarts else Shaken("as told")

    @handles
    def flaky(self, message: Flaky) -> None:
        in_hand = self.context.message
        assert in_hand is not None
        attempt = in_hand.attempt
        if attempt <= message.fails:
            self.do_harm(message)
            raise Broken("as told") if message.n % 3 else Shaken("as told")
        self.apply(message)
        self.state.attempts[str(message.n)] = attempt

    @handles
    def bump(self, message: Bump) -> int:
        self.apply(message)
        self.state.bumps.append(message.n)
        return len(self.state.bumps)

    @handles
    async def consult(self, message: Consult) -> int:
        self.apply(message)
        answer = await self.ref(message.to).ask(
            Bump(n=message.n, by=f"ask:{self.context.ref.path}"), timeout=60
        )
        self.state.answers[str(message.n)] = message.to, answer
        return answer

    @handles
    def refuse(self, message: Refuse) -> int:
        self.do_harm(message)
        raise Declined("as told")

    @handles
    def dump(self, message: Dump) -> dict[str, Any]:
        state: dict[str, Any] = msgspec.to_builtins(self.state)
        return state


class Vault(Worker):
    """A worker that has an instance only while there is something to do."""

    passivate_after = 0.02


class Router(Worker):
    """Passes notes on to workers, as from their senders."""

    @handles
    async def note(self, message: Note) -> None:
        self.apply(message)
        assert message.to is not None
        self.context.forward(self.ref(message.to))


class Gate(Worker):
    """Puts notes away while it is closed, as every incarnation is at first."""

    is_open = False

    @handles
    async def note(self, message: Note) -> None:
        if not self.is_open:
            self.context.stash()
            return
        self.apply(message)

    @handles
    def open(self, message: Open) -> int:
        self.is_open = message.is_open
        return self.context.unstash_all() if message.is_open else 0


class Witness(Actor):
    """Tells the oracle what has left durable turns."""

    durability: ClassVar[DurabilityName] = "volatile"
    oracle: ClassVar[Oracle]

    @handles
    def seen(self, message: Seen) -> None:
        self.oracle.say("seen", message.n, message.by)


class MirroredWitness(Witness):
    """The same with its messages in the store."""

    durability: ClassVar[DurabilityName] = "mirrored"


class Team(Supervisor):
    """All of them."""

    strategy = Supervisor.one_for_one(max_restarts=1_000_000, within=1.0, decide=[(Shaken, "resume")])
    children = (
        ChildSpec(Witness, name="witness"),
        ChildSpec(MirroredWitness, name="mirrored"),
        *(ChildSpec(Worker, name=f"w{number}") for number in range(4)),
        ChildSpec(Router, name="router"),
        ChildSpec(Gate, name="gate"),
    )


TEAM = "team"
WORKERS = tuple(f"{TEAM}/w{number}" for number in range(4))
ROUTER, GATE = f"{TEAM}/router", f"{TEAM}/gate"
WITNESSES = f"{TEAM}/witness", f"{TEAM}/mirrored"
VAULTS = ("v0", "v1")
"""Keys."""

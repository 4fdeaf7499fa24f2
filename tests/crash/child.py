"""A process that is killed: `python -m tests.crash.child LIFE ORACLE DUMP`.

It opens the system, waits until all that an earlier life has left is handled, writes down what there is
(DUMP), and sends. What it says to the oracle, and where it may be killed: see `oracle` and `points`.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import anyio
import msgspec
import structlog

from sentient_core import ActorSystem, HandlerFailed, SentientError, SurrealStore
from sentient_core.actors.ref import cell_of
from sentient_core.store.access import Access
from sentient_core.store.engine import NAMESPACE, Client, embedded
from sentient_core.store.journal import SurrealJournal
from sentient_core.store.protocols import JournalOptions
from sentient_core.store.url import parse_url
from tests.crash.broken import BROKEN
from tests.crash.dump import take_dump
from tests.crash.oracle import Again, Claim, Intent, Oracle, read_claims
from tests.crash.plan import Life
from tests.crash.points import Points
from tests.crash.workload import (
    ATTEMPTS,
    GATE,
    ROUTER,
    TEAM,
    VAULTS,
    WORKERS,
    Bad,
    Bump,
    Consult,
    Declined,
    Delay,
    Flaky,
    Message,
    Note,
    Open,
    Refuse,
    Relay,
    Team,
    Transfer,
    Vault,
    Witness,
    Worker,
)

__all__ = ["SYSTEM"]

SYSTEM = "crash"
QUIET_SECONDS = 30.0
ROUND = 100_000
"""More messages than one life sends."""


class Senders:
    """The load from outside."""

    def __init__(
        self, system: ActorSystem, life: Life, oracle: Oracle, points: Points, claims: Sequence[Claim]
    ) -> None:
        """`claims` are those of earlier lives."""
        self._claims = claims
        self._system = system
        self._life = life
        self._oracle = oracle
        self._points = points
        self._numbers = count(life.round * ROUND + 1)
        self._switch = count(life.round * ROUND + ROUND // 2)

    async def send_all(self) -> None:
        """Return when every sender is through, those of earlier lives first."""
        await self._repeat(self._claims)
        async with anyio.create_task_group() as tasks:
            for number in range(self._life.senders):
                tasks.start_soon(self._send, f"s{self._life.round}.{number}", number)
            tasks.start_soon(self._open_and_close)
        await self._turn_gate(is_open=True)

    async def get_ahead(self) -> None:
        """Have messages handled that are pending by the rows, and keep those as they are."""
        await self._turn_gate(is_open=False)
        for n in islice(self._numbers, 5):
            by = f"s{self._life.round}.late"
            self._oracle.intend(n, Intent(by, GATE, "Note"))
            await self._system.get(GATE).send(Note(n=n, by=by))
            self._oracle.say("acknowledged", n)
        await self._system.flush()
        self._points.keep_back()
        await self._turn_gate(is_open=True)
        await quiet(self._system)
        await self._turn_gate(is_open=True)  # its answer comes when all before it is committed

    async def _send(self, by: str, number: int) -> None:
        dice = random.Random(f"{self._life.seed}/{self._life.round}/{number}")
        for _ in range(self._life.messages):
            await self._send_one(by, dice)

    async def _send_one(self, by: str, dice: random.Random) -> None:
        n = next(self._numbers)
        target = dice.choice(WORKERS)
        other = dice.choice([path for path in WORKERS if path != target])
        kind = dice.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        message: Message
        fails = 0
        way = target
        match kind:
            case "note":
                pause = dice.choice((0.0, 0.0, 0.002))
                message = Note(n=n, by=by, pause=pause, is_witnessed=dice.random() < 0.5)
            case "vault":
                target = way = f"Vault/{dice.choice(VAULTS)}"
                message = Note(n=n, by=by)
            case "gate":
                target = way = GATE
                message = Note(n=n, by=by)
            case "routed":
                by, way = f"{by} by router", ROUTER
                message = Note(n=n, by=by, to=target)
            case "transfer":
                message = Transfer(n=n, by=by, to=other, amount=dice.randint(1, 9))
            case "relay":
                path = [p for p in dice.sample(WORKERS, 4) if p != target]
                message = Relay(n=n, by=by, to=tuple(path))
            case "delay":
                message = Delay(n=n, by=by, seconds=dice.choice((0.0, 0.02)))
            case "bad":
                fails = ATTEMPTS
                message = Bad(n=n, by=by, restarts=dice.random() < 0.5)
            case "flaky":
                fails = dice.randint(0, ATTEMPTS)
                message = Flaky(n=n, by=by, fails=fails)
            case "bump":
                message = Bump(n=n, by=by)
            case "consult":
                first, second = sorted(dice.sample(range(len(WORKERS)), 2))
                target = way = WORKERS[first]
                message = Consult(n=n, by=by, to=WORKERS[second])
            case _:
                message = Refuse(n=n, by=by)
        is_ask = isinstance(message, Bump | Consult | Refuse) or bool(fails and dice.random() < 0.5)
        is_told = not is_ask and dice.random() < 0.3
        has_id = not is_told and dice.random() < 0.4
        again = Again(way, is_ask, msgspec.to_builtins(message)) if has_id else None
        self._oracle.intend(n, Intent(by, target, type(message).__name__, fails, again))
        if is_told:
            self._system.get(way).tell(message)
            await anyio.sleep(dice.choice((0.0, 0.002)))
            return
        await self._hand_over(way, message, None if again is None else str(n), is_ask=is_ask)

    async def _repeat(self, claims: Sequence[Claim]) -> None:
        """Send again what earlier lives have sent under ids, as clients do that outlive their server.

        All whose outcome they were not told, and some of the others.
        """
        told = {claim.number for claim in claims if claim.what in _TOLD}
        intents = {
            claim.number: msgspec.convert(claim.detail, Intent) for claim in claims if claim.what == "sending"
        }
        named = {n: intent for n, intent in intents.items() if intent.again is not None}
        known = [n for n in named if n in told]
        dice = random.Random(f"{self._life.seed}/{self._life.round}/again")
        async with anyio.create_task_group() as tasks:
            for n in [*dice.sample(known, min(len(known), 30)), *(n for n in named if n not in told)]:
                again = named[n].again
                assert again is not None
                message = msgspec.convert(again.message, _KINDS[named[n].kind])
                tasks.start_soon(partial(self._hand_over, again.way, message, str(n), is_ask=again.is_ask))

    async def _hand_over(self, way: str, message: Message, message_id: str | None, *, is_ask: bool) -> None:
        ref, n, oracle = self._system.get(way), message.n, self._oracle
        if is_ask:
            try:
                answer = await ref.ask(message, timeout=60, message_id=message_id)
            except HandlerFailed:
                oracle.say("failed", n)
            except Declined:
                oracle.say("declined", n)
            else:
                oracle.say("answered", n, answer)
        else:
            await ref.send(message, message_id=message_id)
            oracle.say("acknowledged", n)
        self._points.pass_by("acknowledged")

    async def _open_and_close(self) -> None:
        dice = random.Random(f"{self._life.seed}/{self._life.round}/gate")
        for _ in range(self._life.messages // 4):
            await anyio.sleep(dice.choice((0.005, 0.02)))
            await self._turn_gate(is_open=dice.random() < 0.5)

    async def _turn_gate(self, *, is_open: bool) -> None:
        n = next(self._switch)
        await self._system.get(GATE).ask(Open(n=n, by="gatekeeper", is_open=is_open), timeout=60)


_TOLD = ("acknowledged", "answered", "failed", "declined")
_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Note, Transfer, Relay, Delay, Bad, Flaky, Bump, Consult, Refuse)
}
_WEIGHTS = {
    "note": 8,
    "vault": 4,
    "gate": 3,
    "routed": 3,
    "transfer": 5,
    "relay": 3,
    "delay": 3,
    "bad": 2,
    "flaky": 2,
    "bump": 4,
    "consult": 3,
    "refuse": 1,
}


async def live(life: Life, oracle: Oracle, claims: Sequence[Claim], dump: Path) -> int:
    """The whole life; returns the exit code."""
    code = 0
    points = Points(oracle, life.kill, holds_rows=life.holds_rows)
    watch_appends(points)
    store = SurrealStore(
        life.url,
        database=life.database,
        connect=points.connect(lambda url: real_client(url, life)),
        call_timeout=life.call_timeout,
    )
    journal = JournalOptions(group_records=life.group_records, call_timeout=life.call_timeout)
    points.enter("opening")
    async with store, ActorSystem(SYSTEM, store=store, journal=journal) as system:
        points.enter("taking up")
        await take_up(system, life)
        found = await take_dump(system, is_quiet=await quiet(system))
        partial = dump.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(found))
        partial.rename(dump)
        oracle.say("dumped", detail=dump.name)

        points.enter("load")
        print("load", flush=True)  # noqa: T201 - its parent waits for it
        senders = Senders(system, life, oracle, points, claims)
        if life.is_service:
            code = await serve(system, senders)
        else:
            await senders.send_all()
        if points.goal in ("drained", "ahead"):
            points.release()
            if points.goal == "ahead":
                await senders.get_ahead()
            else:
                await quiet(system)
                await system.flush()
            points.pass_by(points.goal)
        if life.waits:
            await anyio.sleep_forever()
        points.enter("closing")
    oracle.say("phase", detail="ended")
    return code


async def take_up(system: ActorSystem, life: Life) -> None:
    """Start all actors, so that whatever was left is handled."""
    await system.spawn(Team, name=TEAM)
    for key in VAULTS:
        await system.get_or_spawn(Vault, key)
    await system.get(GATE).ask(Open(n=life.round * ROUND, by="gatekeeper", is_open=True), timeout=60)


async def serve(system: ActorSystem, senders: Senders) -> int:
    """Send until the system ends, and return the exit code."""

    async def send() -> None:
        with suppress(BaseExceptionGroup):  # what it could not send is claimed by nobody
            await senders.send_all()

    code = 1
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        code = await system.run_until_signal()
        tasks.cancel_scope.cancel()
    return code


async def quiet(system: ActorSystem) -> bool:
    """Return when no actor has anything to do. False: it takes too long."""
    runtime = cell_of(system.get(TEAM)).runtime

    def is_busy() -> bool:
        has_work = any(cell.mailbox.queue or _pending(cell) for cell in runtime.registry)
        return bool(runtime.dispatcher.busy or has_work)

    with anyio.move_on_after(QUIET_SECONDS):
        while is_busy():  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.002)
        return True
    return False


def _pending(cell: Any) -> int:
    return 0 if cell.inbox is None else cell.inbox.pending + len(cell.inbox.timers.keys)


def watch_appends(points: Points) -> None:
    """Come by a point whenever a record is handed to the journal."""
    append = SurrealJournal.append

    def watched(self: SurrealJournal, *args: Any, **kwargs: Any) -> bool:
        taken = append(self, *args, **kwargs)
        points.pass_by("appended")
        return taken

    SurrealJournal.append = watched  # type: ignore[method-assign]


def real_client(url: str, life: Life) -> Client:
    """The client that a store makes for itself."""
    address = parse_url(url)
    if address.endpoint is None:
        return embedded(url)
    from sentient_core.store.server import ServerClient  # noqa: PLC0415 - takes its time

    access = Access(namespace=NAMESPACE, database=life.database, call_timeout=life.call_timeout)
    return ServerClient(address, access)


def main() -> None:
    """Live as told."""
    plan, book, dump = map(Path, sys.argv[1:])
    life = msgspec.json.decode(plan.read_bytes(), type=Life)
    claims = read_claims(book)
    oracle = Oracle(book)
    Witness.oracle = oracle
    Worker.ballast = life.ballast
    if life.broken is not None:
        BROKEN[life.broken].do()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        sys.exit(anyio.run(live, life, oracle, claims, dump, backend=life.backend))
    except SentientError as error:
        oracle.say("error", detail=repr(error))
        raise


if __name__ == "__main__":
    main()

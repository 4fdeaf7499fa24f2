"""A run is replayed: the same code does the same, other code is found out at its first other turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    ActorSystem,
    HandlerFailed,
    InvalidArgument,
    Request,
    SurrealStore,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.testing import Diverged, GoldenTurn, History, RecordedStore, record_history, replay_history
from sentient_core.testing.history import compare
from tests.virtual_time import anyio_backend

__all__ = ["anyio_backend"]


class Deposit(msgspec.Struct, frozen=True):
    amount: int


class Balance(Request[int], frozen=True):
    pass


class Booked(msgspec.Struct, frozen=True):
    amount: int


class Ledger(Actor):
    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        booked: list[int] = []

    state: State

    @handles
    def book(self, message: Booked) -> None:
        self.state.booked.append(message.amount)


class Account(Actor, tag="GoldenAccount"):
    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        balance: int = 0

    state: State

    def __init__(self, ledger: ActorRef[Any], fee: int = 0, most: int = 10**9) -> None:
        self.ledger = ledger
        self.fee = fee
        self.most = most

    @handles
    def deposit(self, message: Deposit) -> None:
        if message.amount < 0:
            raise ValueError("negative")
        fee = self.fee if message.amount > self.most else 0
        self.state.balance += message.amount - fee
        self.ledger.tell(Booked(message.amount))

    @handles
    def balance(self, message: Balance) -> int:
        return self.state.balance


class Starting:
    """Starts the actors, as some version of the code does."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    async def __call__(self, system: ActorSystem) -> None:
        ledger = await system.spawn(Ledger, name="ledger")
        await system.spawn(Account, ledger, name="alice", **self.options)


async def drive(system: ActorSystem) -> None:
    alice = system.get("alice")
    for amount in (5, 50, 500):
        alice.tell(Deposit(amount))
        await anyio.sleep(3600)
    assert await alice.ask(Balance(), timeout=1) == 555
    with pytest.raises(HandlerFailed):
        await alice.ask(Deposit(-1), timeout=1)
    alice.tell(Deposit(1))


async def test_what_was_recorded_is_replayed_from_its_file(tmp_path: Path) -> None:
    begin = anyio.current_time()
    recorded = await record_history(Starting(), drive)
    recorded.save(tmp_path / "bank.json")

    played = await replay_history(tmp_path / "bank.json", Starting())

    assert anyio.current_time() - begin == pytest.approx(2 * 3 * 3600, abs=1)
    assert played.inputs == recorded.inputs == History.load(tmp_path / "bank.json").inputs
    assert [given.is_ask for given in recorded.inputs] == [False, False, False, True, False, False]
    alice = [turn for turn in recorded.turns if turn.actor == "alice"]
    assert [turn.state for turn in alice] == [
        {"balance": 5},
        {"balance": 55},
        {"balance": 555},
        "unchanged",
        "unchanged",
        {"balance": 556},
    ]
    assert alice[3].reply == 555
    assert alice[4].outcome == "failed: ValueError: negative"
    assert [sent.message for sent in alice[0].sent] == [{"amount": 5}]
    assert [turn.actor for turn in recorded.turns].count("ledger") == 4


async def test_other_code_is_found_out_at_its_first_other_turn() -> None:
    history = await record_history(Starting(), drive)

    with pytest.raises(Diverged) as failed:
        await replay_history(history, Starting(fee=1, most=49))

    assert str(failed.value).splitlines() == [
        "turn 2 of 'alice' is another one (- as recorded, + as it is now):",
        "    message_type: 'Deposit'",
        "    message: {'amount': 50}",
        "  - state: {'balance': 55}",
        "  + state: {'balance': 54}",
    ]


async def test_turns_that_are_missing_or_too_many_are_found() -> None:
    history = await record_history(Starting(), drive)
    ledger = [turn for turn in history.turns if turn.actor == "ledger"]
    fewer = msgspec.structs.replace(history, turns=[t for t in history.turns if t is not ledger[-1]])
    more = msgspec.structs.replace(history, turns=[*history.turns, ledger[-1]])
    without = msgspec.structs.replace(history, turns=[t for t in history.turns if t.actor != "ledger"])

    with pytest.raises(Diverged, match=r"turn 4 of 'ledger' (.*\n)*  the history has no such turn"):
        await replay_history(fewer, Starting())
    with pytest.raises(Diverged, match=r"turn 5 of 'ledger' (.*\n)*  there is no such turn any more"):
        await replay_history(more, Starting())
    with pytest.raises(Diverged, match="'ledger' had no turn, and has 4 now"):
        await replay_history(without, Starting())


async def test_what_nobody_can_be_given_any_more_is_named() -> None:
    history = await record_history(Starting(), drive)

    async def start_nobody(system: ActorSystem) -> None:
        await system.spawn(Ledger, name="ledger")

    with pytest.raises(Diverged, match="cannot be given to 'alice' any more: no actor lives at 'alice'"):
        await replay_history(history, start_nobody)


async def test_a_run_on_disk_is_recorded_as_well(tmp_path: Path) -> None:
    async with SurrealStore(f"surrealkv://{tmp_path}/db") as store:
        recorded = RecordedStore(store)
        async with ActorSystem("bank", store=recorded) as system:
            await Starting()(system)
            await drive(system)
            await system.flush()

        assert len(recorded.history.turns) == 10
        await replay_history(recorded.history, Starting())


def test_what_is_no_history_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    file.write_text("[]")
    with pytest.raises(InvalidArgument, match="is no history"):
        History.load(file)
    file.write_text('{"format": 99}')
    with pytest.raises(InvalidArgument, match="format 99"):
        History.load(file)


async def test_a_run_in_which_no_durable_actor_did_anything_is_no_golden_history() -> None:
    async def start(system: ActorSystem) -> None:
        await system.spawn(Ledger, name="ledger")

    async def drive(system: ActorSystem) -> None:
        pass

    with pytest.raises(InvalidArgument, match="any code does the same"):
        await record_history(start, drive)
    with pytest.raises(InvalidArgument, match="any code does the same"):
        await replay_history(History(), start)


def test_a_history_is_replayed_on_a_real_clock_that_is_late() -> None:
    async def start(system: ActorSystem) -> None:
        await system.spawn(Ledger, name="ledger")

    async def start_late(system: ActorSystem) -> None:
        await anyio.sleep(0.02)  # the first input is due before anybody is there
        await start(system)

    async def drive(system: ActorSystem) -> None:
        await system.get("ledger").send(Booked(1))

    async def main() -> None:
        history = await record_history(start, drive)
        await replay_history(history, start_late)

    anyio.run(main)


def test_of_a_large_state_what_is_another_is_shown() -> None:
    items = {f"i{n}": n for n in range(100)}
    state = {"items": items, "total": 1, "gone": 0}
    was = GoldenTurn(actor="alice", message_type="Deposit", message={"amount": 1}, state=state)
    is_ = msgspec.structs.replace(was, state={"items": items | {"i7": 8}, "total": 1, "more": 0})

    with pytest.raises(Diverged) as failed:
        compare([was], [is_])

    assert str(failed.value).splitlines()[-3:] == [
        "  - state: {'items': {'i7': 7}, 'gone': 0}",
        "  + state: {'items': {'i7': 8}, 'more': 0}",
        "    (100 entries of it are as before)",
    ]

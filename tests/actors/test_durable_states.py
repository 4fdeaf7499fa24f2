"""States of durable actors: too large ones, older ones, those of other names, those that cannot be loaded."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
import pytest

from sentient_core import (
    Actor,
    CheckpointUnusable,
    ChildSpec,
    HandlerFailed,
    MemoryStore,
    StateTooLarge,
    Supervisor,
    handles,
    upcast,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.codec import digest
from sentient_core.store.records import Checkpoint, CheckpointKind
from tests.probes import Add, Say, Total, running


class Till(Actor):
    """Counts durably, and keeps what it is told."""

    durability: ClassVar[DurabilityName] = "durable"
    state_bytes: ClassVar[int | None] = 200

    class State(msgspec.Struct):
        total: int = 0
        text: str = ""

    state: State

    @handles
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handles
    def say(self, message: Say) -> str:
        self.state.text = message.text
        return message.text

    @handles
    def total(self, message: Total) -> int:
        return self.state.total


class Upgraded(Actor, aliases=("Till",)):
    durability: ClassVar[DurabilityName] = "durable"
    schema_version = 2

    class State(msgspec.Struct):
        cents: int = 0

    state: State

    @staticmethod
    @upcast(1)
    def _to_cents(state: dict[str, Any]) -> dict[str, Any]:
        return {"cents": state["total"] * 100}

    @handles
    def total(self, message: Total) -> int:
        return self.state.cents


async def put(store: MemoryStore, path: str, state: dict[str, Any], **changes: Any) -> None:
    """Store the state of a Till by hand."""
    data = msgspec.msgpack.encode(state)
    fields: dict[str, Any] = {
        "path": path,
        "incarnation": 1,
        "checkpoint_id": "1.1",
        "kind": CheckpointKind.STATE,
        "state": data,
        "tag": "Till.State",
        "schema_version": 1,
        "digest": digest(data),
        "at": 0,
    }
    journal = await store.open_journal("test")
    journal.append(Checkpoint(**fields | changes))
    await journal.close(5)


async def stored(store: MemoryStore, path: str) -> tuple[int, str, Any]:
    (row,) = await store.checkpoint_rows("test", path)
    return row.schema_version, row.tag, msgspec.msgpack.decode(row.state)


async def test_a_state_above_its_bytes_fails_the_turn_that_made_it_so_and_what_was_committed_stands() -> None:
    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Till, name="a")
        await ref.send(Add(5))

        with pytest.raises(HandlerFailed) as caught:
            await ref.ask(Say("x" * 1_000), timeout=5)

        assert isinstance(caught.value.__cause__, StateTooLarge)
        assert await ref.ask(Total(), timeout=5) == 5
        assert [letter.reason.value for letter in system.dead_letters] == ["failed"]
    assert await stored(store, "a") == (1, "Till.State", {"total": 5, "text": ""})


async def test_an_older_state_is_taken_up_and_committed_as_of_today_when_the_actor_starts() -> None:
    store = MemoryStore()
    await put(store, "a", {"total": 7})

    async with running(store=store) as system:
        ref = await system.spawn(Upgraded, name="a")
        await system.flush()
        assert await stored(store, "a") == (2, "Upgraded.State", {"cents": 700})

        assert await ref.ask(Total(), timeout=5) == 700


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": b"0" * 16}, "changed or torn"),
        ({"schema_version": 2}, "newer code wrote it"),
        ({"tag": "Other.State"}, "aliases="),
    ],
    ids=["edited", "newer", "other"],
)
async def test_a_state_that_cannot_be_loaded_is_never_given_up_for_an_older_one(
    changes: dict[str, Any], reason: str
) -> None:
    class Bank(Supervisor):
        children = (ChildSpec(Till, name="good"),)

    store = MemoryStore()
    await put(store, "a", {"total": 6}, kind=CheckpointKind.TURN)
    await put(store, "a", {"total": 7}, **changes)

    async with running(store=store) as system:
        await system.spawn(Bank, name="bank")
        with pytest.raises(CheckpointUnusable, match=reason):
            await system.spawn(Till, name="a")

        assert await system.get("bank/good").ask(Total(), timeout=5) == 0
    rows = await store.checkpoint_rows("test", "a")
    assert {msgspec.msgpack.decode(row.state)["total"] for row in rows} == {6, 7}  # left as they are

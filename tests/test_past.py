"""What an actor knew then: from what the store has kept, and never more than that."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import anyio
import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorSystem,
    CheckpointPolicy,
    InvalidArgument,
    JournalOptions,
    MemoryStore,
    NoSuchState,
    Request,
    SurrealStore,
    handles,
)
from sentient_core.actors.actor import DurabilityName
from sentient_core.store import Store
from tests.conftest import ONCE


class Add(msgspec.Struct, frozen=True):
    n: int


class Total(Request[int], frozen=True):
    pass


class Keep(Request[str], frozen=True):
    pass


class Counter(Actor):
    class State(msgspec.Struct):
        total: int = 0

    state: State
    checkpoint_policy: ClassVar[CheckpointPolicy] = CheckpointPolicy(messages=2, seconds=None)

    @handles
    def add(self, message: Add) -> None:
        self.state.total += message.n

    @handles
    def total(self, _message: Total) -> int:
        return self.state.total

    @handles
    async def keep(self, _message: Keep) -> str:
        return await self.checkpoint()


class DurableCounter(Counter):
    durability: ClassVar[DurabilityName] = "durable"


class Forgetful(Actor):
    durability: ClassVar[DurabilityName] = "durable"

    class State(msgspec.Struct):
        total: int = 0

    state: State

    @handles
    def add(self, message: Add) -> None:
        self.state.total += message.n

    @handles
    async def keep(self, _message: Keep) -> str:
        return await self.checkpoint()


@pytest.fixture(params=["memory", "surrealkv"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SurrealStore(f"surrealkv://{tmp_path}/db")


def system_on(store: Store) -> ActorSystem:
    return ActorSystem("test", store=store, journal=JournalOptions(kept_checkpoints=10))


@pytest.mark.parametrize("cls", [Counter, DurableCounter])
async def test_every_state_that_was_kept_is_found_by_its_time(store: Store, cls: type[Counter]) -> None:
    async with system_on(store) as system:
        ref = await system.spawn(cls, name="a")
        for n in range(1, 7):
            await ref.send(Add(n))
            await ref.ask(Total(), timeout=60)
        await system.flush()
        rows = [row for row in await store.checkpoint_rows("test", "a") if row.kind == "turn"]
        assert len(rows) >= 3

        for row in rows:
            then = await system.state_at("a", row.timestamp)
            assert isinstance(then.state, Counter.State)
            assert msgspec.msgpack.encode(then.state) == row.state
            assert row.position is not None
            assert (await system.state_at("a", row.position)).checkpoint_id == row.checkpoint_id
    await store.close()


async def test_it_says_how_many_messages_came_since(store: Store) -> None:
    async with system_on(store) as system:
        ref = await system.spawn(Counter, name="a")
        for n in (1, 2, 3):
            await ref.send(Add(n))
        await ref.ask(Total(), timeout=60)
        await system.flush()
        kept = await system.state_at("a", datetime.now(UTC))
        assert kept.state == Counter.State(6)
        assert kept.messages_since == 0

        await ref.send(Add(100))
        now = await system.state_at("a", datetime.now(UTC))

        assert (now.state, now.messages_since) == (kept.state, 1)
    await store.close()


async def test_a_durable_actor_keeps_earlier_states_only_if_its_class_says_so(store: Store) -> None:
    async with system_on(store) as system:
        ref = await system.spawn(Forgetful, name="a")
        for _ in range(5):
            await ref.send(Add(1))
        kept = await ref.ask(Keep(), timeout=60)
        await ref.send(Add(1))
        await system.flush()

        rows = await store.checkpoint_rows("test", "a")

        assert sorted(row.kind for row in rows) == ["state", "turn"]
        (turn,) = (row for row in rows if row.kind == "turn")
        assert turn.checkpoint_id == kept
        assert (await system.state_at("a", turn.timestamp)).state == Forgetful.State(5)
        assert (await system.state_at("a", datetime.now(UTC))).state == Forgetful.State(6)
    await store.close()


async def test_a_state_that_is_not_there_is_said_to_be_so(store: Store) -> None:
    async with system_on(store) as system:
        ref = await system.spawn(DurableCounter, name="a")
        await ref.send(Add(1))
        with pytest.raises(NoSuchState, match="never been saved"):
            await system.state_at("nobody", datetime.now(UTC))
        with pytest.raises(NoSuchState, match="none before"):
            await system.state_at("a", datetime.now(UTC) - timedelta(days=1))
    await store.close()


@pytest.mark.parametrize("moment", [datetime(2026, 1, 1), "yesterday", (1,), (1, "2")])  # noqa: DTZ001
async def test_what_is_no_moment_is_refused(moment: Any) -> None:
    async with ActorSystem("test", store=MemoryStore()) as system:
        with pytest.raises(InvalidArgument, match="time zone"):
            await system.state_at("a", moment)


async def test_where_nobody_lives_it_is_plain_data_or_of_the_class_that_is_named(store: Store) -> None:
    async with system_on(store) as system:
        ref = await system.spawn(DurableCounter, name="a")
        await ref.send(Add(4))
        await ref.ask(Total(), timeout=60)
        await ref.stop()

        assert (await system.state_at("a", datetime.now(UTC))).state == {"total": 4}
        then = await system.state_at("a", datetime.now(UTC), cls=DurableCounter)
        assert then.state == Counter.State(4)
    await store.close()


Sentient = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
def sentient() -> Sentient:
    async def run(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-P", "-m", "sentient_core", *arguments]
        done = await anyio.run_process(command, check=False)
        return done.returncode, done.stdout.decode() or done.stderr.decode()

    return run


@ONCE
async def test_the_command_tells_it_line_by_line(tmp_path: Path, sentient: Sentient) -> None:
    url = f"surrealkv://{tmp_path}/db"
    async with ActorSystem("test", store=url) as system:
        ref = await system.spawn(DurableCounter, name="a")
        await ref.send(Add(4))
        between = datetime.now(UTC)
        await ref.ask(Total(), timeout=60)
        ref.tell("what is this?")

    code, text = await sentient("history", "a", "--store", url, "--json")
    assert code == 0
    lines = [line["what"] for line in json.loads(text)]
    assert lines[:3] == ["actor started", "got Add", "state saved (state)"]
    assert "answered int" in lines
    assert "dead letter (unhandled, open): str" in lines

    code, text = await sentient("history", "a", "--store", url, "--at", between.isoformat())
    assert (code, json.loads(text)["state"]) == (0, {"total": 4})
    assert (await sentient("history", "a", "--store", url, "--at", "2020-01-01"))[0] == 1
    code, text = await sentient("history", "nobody", "--store", url)
    assert code == 2
    assert "knows nothing of an actor 'nobody'" in text
    code, text = await sentient("history", "a", "--store", url, "--until", "2020-01-01")
    assert (code, text.strip()) == (0, "nothing in that time")

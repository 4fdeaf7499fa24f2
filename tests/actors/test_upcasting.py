"""Older states: the way to the schema of today, what a class must not say of it, names from before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from sentient_core import (
    Actor,
    ActorRef,
    CheckpointUnusable,
    InvalidArgument,
    InvalidName,
    InvalidUpcaster,
    MemoryStore,
    handles,
    upcast,
)
from sentient_core.actors.checkpoints import RejectedCheckpoint, restore, save
from sentient_core.codec import Codec, digest
from sentient_core.store.records import Checkpoint, CheckpointKind
from tests.ids import named
from tests.probes import Counter, Save, Say, Total, running


def stored(state: object, version: int = 1, tag: str = "Account.State", **changes: Any) -> Checkpoint:
    data = state if isinstance(state, bytes) else msgspec.msgpack.encode(state)
    fields: dict[str, Any] = {
        "path": "a",
        "incarnation": 1,
        "checkpoint_id": "1.1",
        "kind": CheckpointKind.TURN,
        "state": data,
        "tag": tag,
        "schema_version": version,
        "digest": digest(data),
        "at": 0,
    }
    return Checkpoint(**fields | changes)


def loaded(cls: type[Actor[Any]], checkpoint: Checkpoint) -> Any:
    return restore(Codec(lambda _, path: path), checkpoint, cls.__blueprint__)


class Line(msgspec.Struct):
    amount: int


class Account(Actor):
    """In its third version: euros became cents, and then the owner came."""

    schema_version = 3

    class State(msgspec.Struct):
        cents: int = 0
        owner: str = ""

    state: State

    @staticmethod
    @upcast(1)
    def _to_cents(state: dict[str, Any]) -> dict[str, Any]:
        return {"cents": round(state["euros"] * 100)}

    @upcast(2)
    @classmethod
    def _with_owner(cls, state: dict[str, Any]) -> dict[str, Any]:
        return state | {"owner": cls.__name__}

    @handles
    def total(self, message: Total) -> int:
        return self.state.cents

    @handles
    async def save(self, message: Save) -> str:
        return await self.checkpoint()


@pytest.mark.parametrize(
    ("state", "version", "expected"),
    [
        ({"euros": 1.5}, 1, Account.State(150, "Account")),
        ({"cents": 7}, 2, Account.State(7, "Account")),
        ({"cents": 7, "owner": "me"}, 3, Account.State(7, "me")),
    ],
    ids=["two steps", "one step", "none"],
)
def test_a_state_goes_step_by_step_to_the_version_of_today(
    state: dict[str, Any], version: int, expected: Account.State
) -> None:
    assert loaded(Account, stored(state, version)) == expected


def test_what_an_upcaster_gets_is_plain_data_with_refs_as_paths() -> None:
    seen: list[Any] = []

    class Book(Actor):
        schema_version = 2

        class State(msgspec.Struct):
            lines: list[Line] = []
            owner: ActorRef[Counter] | None = None

        @staticmethod
        @upcast(1)
        def _look(state: dict[str, Any]) -> dict[str, Any]:
            seen.append(state)
            return state

    checkpoint = stored({"lines": [{"amount": 1}], "owner": "bank/alice"}, tag="Book.State")
    refused = Codec()

    with pytest.raises(RejectedCheckpoint, match="ActorRef"):  # there is no system that knows the ref
        restore(refused, checkpoint, Book.__blueprint__)

    assert seen == [{"lines": [{"amount": 1}], "owner": "bank/alice"}]


async def test_an_older_checkpoint_is_loaded_and_saved_again_as_of_today() -> None:
    store = MemoryStore()
    journal = await store.open_journal("test")
    journal.append(stored({"euros": 2}))
    await journal.close(5)

    async with running(store=store) as system:
        ref = await system.spawn(Account, name="a")
        assert await ref.ask(Total(), timeout=1) == 200

    (newest, _) = await store.checkpoint_rows("test", "a")
    assert newest.schema_version == 3
    assert msgspec.msgpack.decode(newest.state) == {"cents": 200, "owner": "Account"}


async def test_an_older_checkpoint_with_the_bytes_of_today_is_saved_again_too() -> None:
    class Renumbered(Counter):
        schema_version = 2

        @staticmethod
        @upcast(1)
        def _as_it_is(state: dict[str, Any]) -> dict[str, Any]:
            return state

    store = MemoryStore()
    journal = await store.open_journal("test")
    journal.append(stored({"total": 2}, tag="Counter.State"))
    await journal.close(5)

    async with running(store=store) as system:
        await system.spawn(Renumbered, name="a")

    assert [row.schema_version for row in await store.checkpoint_rows("test", "a")] == [2, 1]


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        (None, r"Odd\.step, @upcast\(1\), returned a NoneType, not the dict of version 2"),
        (KeyError("euros"), r"Odd\.step, @upcast\(1\), raised KeyError: 'euros'"),
        ({"total": "many"}, "does not fit the State.*total"),
        ({"total": object()}, "no plain data.*object"),
    ],
    ids=["returns nothing", "raises", "does not fit", "no data"],
)
def test_an_upcaster_that_fails_makes_the_checkpoint_unusable(made: Any, complaint: str) -> None:
    def step(state: dict[str, Any]) -> Any:
        if isinstance(made, Exception):
            raise made
        return made

    odd = type("Odd", (Counter,), {"schema_version": 2, "step": staticmethod(upcast(1)(step))})

    with pytest.raises(RejectedCheckpoint, match=complaint):
        loaded(odd, stored({"total": 1}, tag="Counter.State"))


async def test_an_upcaster_that_fails_is_no_restart_loop() -> None:
    class Odd(Counter):
        schema_version = 2

        @staticmethod
        @upcast(1)
        def _step(state: dict[str, Any]) -> dict[str, Any]:
            raise ZeroDivisionError

    store = MemoryStore()
    journal = await store.open_journal("test")
    journal.append(stored({"total": 2}, tag="Counter.State"))
    await journal.close(5)

    async with running(store=store) as system:
        with pytest.raises(CheckpointUnusable, match="ZeroDivisionError") as caught:
            await system.spawn(Odd, name="a")

        assert "sentient checkpoint verify" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"version": 4}, "schema_version is 4, the class's 3: newer code wrote it"),
        ({"version": 0}, "schema_version is 0, which no class has"),
        ({"tag": "Other.State"}, r"holds a 'Other\.State'.*aliases=\('Other',\)"),
        ({"tag": "Bank"}, r"aliases=\('Bank',\)"),
        ({"digest": b"0" * 16}, "do not match its digest"),
        ({"state": b"\xc1"}, "does not fit the State"),
        ({"state": b"\x01"}, r"_to_cents, @upcast\(1\), raised TypeError"),
    ],
    ids=["newer", "nonsense", "other class", "other tag", "torn", "no data", "a number"],
)
def test_what_no_way_leads_from_is_refused_with_what_to_do(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RejectedCheckpoint, match=complaint):
        loaded(Account, stored(changes.pop("state", {"euros": 1}), **changes))


def test_a_version_that_no_upcaster_leads_on_from_is_refused_with_what_to_do() -> None:
    class Later(Counter):
        schema_version = 3

        @staticmethod
        @upcast(2)
        def _step(state: dict[str, Any]) -> dict[str, Any]:
            return state

    with pytest.raises(RejectedCheckpoint, match=r"no upcaster leads there: write @upcast\(1\)"):
        loaded(Later, stored({"total": 1}, 1, tag="Counter.State"))


def test_a_changed_state_without_a_new_version_is_told_of_it() -> None:
    with pytest.raises(RejectedCheckpoint, match=r"raise schema_version to 2, and write @upcast\(1\)"):
        loaded(Counter, stored({"total": "text"}, tag="Counter.State"))


def test_a_base_classes_upcasters_count_where_its_state_does() -> None:
    class Savings(Account):
        class State(Account.State):
            rate: float = 0.0

        schema_version = 4

        @staticmethod
        @upcast(3)
        def _with_rate(state: dict[str, Any]) -> dict[str, Any]:
            return state | {"rate": 0.5}

    class Replaced(Account):
        @staticmethod
        @upcast(1)
        def _to_cents_again(state: dict[str, Any]) -> dict[str, Any]:
            return {"cents": 1}

    class Other(Account):
        schema_version = 1

        class State(msgspec.Struct):  # pyright: ignore[reportIncompatibleVariableOverride]
            name: str = ""

    assert loaded(Savings, stored({"euros": 1}, tag="Savings.State")).rate == 0.5
    assert loaded(Replaced, stored({"euros": 5})).cents == 1
    assert Other.__blueprint__.upcasters == {}


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    return state


async def _async(state: dict[str, Any]) -> dict[str, Any]:
    return state


def _generator(state: dict[str, Any]) -> Any:
    yield state


def _method(self: Any, state: dict[str, Any]) -> dict[str, Any]:
    return state


def _nothing() -> dict[str, Any]:
    return {}


def _self(self: Any) -> dict[str, Any]:
    return {}


def marked(version: int, function: Callable[..., Any] = _plain) -> Any:
    def copy(*args: Any) -> Any: ...

    copy.__code__, copy.__defaults__ = function.__code__, function.__defaults__
    return upcast(version)(staticmethod(copy))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"a": marked(1), "b": marked(1)}, "two upcasters from version 1: a and b. Keep one"),
        ({"a": marked(2), "schema_version": 2}, r"Odd\.a leads on from version 2.*schema_version = 3"),
        ({"a": marked(3), "schema_version": 2}, r"leads on from version 3.*schema_version is 2"),
        ({"a": marked(1)}, r"Odd\.schema_version is 1"),
        (
            {"a": marked(1), "schema_version": 3},
            r"none from 2, on the way to schema_version 3. Write @upcast\(2\)",
        ),
        ({"a": marked(1), "b": marked(3), "schema_version": 4}, r"Write @upcast\(2\)"),
        ({"a": marked(1, _async), "schema_version": 2}, "cannot be async"),
        ({"a": marked(1, _generator), "schema_version": 2}, "cannot be async or a generator"),
        ({"a": marked(1, _method), "schema_version": 2}, "before there is an instance.*@staticmethod"),
        ({"a": marked(1, _nothing), "schema_version": 2}, "called with the state alone"),
        ({"a": marked(1, _self).__func__, "schema_version": 2}, "there is no self yet"),
    ],
    ids=[
        "two",
        "of today",
        "of later",
        "no version",
        "a hole at the end",
        "a hole",
        "async",
        "generator",
        "method",
        "no parameter",
        "self",
    ],
)
def test_upcasters_that_lead_nowhere_are_found_when_the_class_is_made(
    body: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InvalidUpcaster, match=complaint):
        type("Odd", (Counter,), body)


@pytest.mark.parametrize("version", [0, -1, 1.0, True, "1", None, _plain], ids=named)
def test_an_upcaster_leads_on_from_a_version(version: Any) -> None:
    with pytest.raises(InvalidUpcaster, match=r"as @upcast\(1\)"):
        upcast(version)


def test_an_upcaster_is_a_method_for_one_version() -> None:
    with pytest.raises(InvalidUpcaster, match="over a method"):
        upcast(1)(3)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidUpcaster, match="twice"):
        upcast(2)(marked(1))


@pytest.mark.parametrize("version", [0, -1, 1.0, True, "1", None], ids=named)
def test_a_schema_version_is_a_whole_number_from_1_on(version: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"Odd\.schema_version must be a whole number, at least 1"):
        type("Odd", (Counter,), {"schema_version": version})


class Konto(Actor):
    class State(msgspec.Struct):
        total: int = 0


class Renamed(Actor, aliases=("Konto",)):
    class State(msgspec.Struct):
        total: int = 0


class Tagged(Actor, tag="konto", aliases=["Konto"]):
    class State(msgspec.Struct):
        total: int = 0


class StateTagged(Actor, aliases=("konto-state",)):
    class State(msgspec.Struct, tag="account-state"):
        total: int = 0


class Inherits(Renamed):
    pass


@pytest.mark.parametrize(
    ("cls", "tag"),
    [
        (Konto, "Konto.State"),
        (Renamed, "Renamed.State"),
        (Renamed, "Konto.State"),
        (Inherits, "Konto.State"),
        (Tagged, "konto.State"),
        (Tagged, "Konto.State"),
        (Tagged, "Tagged.State"),
        (StateTagged, "account-state"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_state_is_known_by_the_names_that_its_class_has_had(cls: type[Actor[Any]], tag: str) -> None:
    state: Any = {"total": 7} | ({"type": tag} if cls is StateTagged else {})

    assert loaded(cls, stored(state, tag=tag)).total == 7


def test_a_states_own_tag_may_have_changed_as_well() -> None:
    state = {"type": "konto-state", "total": 7}

    assert loaded(StateTagged, stored(state, tag="konto-state")).total == 7


def test_a_state_that_is_an_array_may_have_another_tag_as_well() -> None:
    class Packed(Actor, aliases=("old",)):
        class State(msgspec.Struct, tag="new", array_like=True):
            total: int = 0

    assert loaded(Packed, stored(["old", 7], tag="old")).total == 7


def test_a_state_goes_by_the_tag_of_its_class() -> None:
    codec = Codec()

    checkpoint = save(codec, Tagged.State(7), "a", Tagged.__blueprint__, 1, "1.1", "test")

    assert checkpoint.tag == "konto.State"
    assert Tagged.__blueprint__.kinds == {"konto", "Konto"}


def test_aliases_are_not_inherited_by_the_class_but_by_its_state() -> None:
    assert Inherits.__blueprint__.kinds == {"Inherits"}
    assert "Konto.State" in Inherits.__blueprint__.state_tags


@pytest.mark.parametrize(
    ("aliases", "error", "complaint"),
    [
        ("Konto", InvalidArgument, r"aliases=\('Konto',\)"),
        (None, InvalidArgument, "aliases are names"),
        (("Account",), InvalidArgument, "'Account' is its name today"),
        (("",), InvalidName, "it is empty"),
        ((3,), InvalidName, "not a str"),
    ],
    ids=named,
)
def test_aliases_that_cannot_be(aliases: Any, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        type("Account", (Counter,), {"__qualname__": "Account"}, aliases=aliases)


async def test_a_renamed_class_takes_its_actors_up() -> None:
    class Till(Actor):
        """What both of them do."""

        state: Any

        @handles
        def say(self, message: Say) -> None:
            self.state.total = 3

        @handles
        def total(self, message: Total) -> int:
            return int(self.state.total)

    class Bank(Till):
        class State(msgspec.Struct):
            total: int = 0

    class Treasury(Till, aliases=("Bank",)):
        class State(msgspec.Struct):
            total: int = 0

    store = MemoryStore()
    async with running(store=store) as system:
        ref = await system.spawn(Bank, name="a")
        await ref.ask(Say("x"), timeout=1)

    async with running(store=store) as system:
        heir = await system.spawn(Treasury, name="a")
        assert await heir.ask(Total(), timeout=1) == 3

    assert [row.tag for row in await store.checkpoint_rows("test", "a")] == ["Treasury.State", "Bank.State"]

"""What is handed over by a proxy: the value itself if nobody can change it, else a copy."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.actors.handover import handed_over
from tests.probes import VolatileCounter, running

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
FIXED = st.recursive(SCALARS, lambda of: st.tuples(of, of) | st.frozensets(SCALARS))
CHANGEABLE = st.recursive(
    st.lists(SCALARS),
    lambda of: st.lists(of) | st.dictionaries(st.text(), of) | st.tuples(SCALARS, of),
)


class Colour(Enum):
    RED = 1


class Frozen(msgspec.Struct, frozen=True):
    value: Any


class Open(msgspec.Struct):
    value: Any


@given(FIXED)
def test_what_nobody_can_change_is_the_same_object(value: Any) -> None:
    assert handed_over(value) is value
    assert handed_over(frozen := Frozen(value)) is frozen


@given(CHANGEABLE)
def test_what_can_be_changed_is_equal_and_shares_nothing_changeable(value: Any) -> None:
    handed = handed_over(value)

    assert handed == value
    assert not changeable(handed) & changeable(value)


def changeable(value: Any) -> set[int]:
    """The ids of all lists and dicts in a value."""
    members: list[Any] = []
    if isinstance(value, dict):
        members.extend(cast("dict[str, Any]", value).values())
    elif isinstance(value, list | tuple):
        members.extend(cast("list[Any]", value))
    own = {id(cast("object", value))} if isinstance(value, list | dict) else set[int]()
    return own.union(*(changeable(member) for member in members))


@pytest.mark.parametrize(
    "value",
    [Colour.RED, Decimal("1.5"), datetime(2026, 1, 1, tzinfo=UTC), UUID(int=3), range(3), Frozen(Frozen(3))],
    ids=repr,
)
def test_more_that_nobody_can_change(value: Any) -> None:
    assert handed_over(value) is value


@pytest.mark.parametrize("value", [Open(3), Frozen([3]), (Open(3),), {1}, bytearray(b"a")], ids=repr)
def test_more_that_can_be_changed(value: Any) -> None:
    assert handed_over(value) == value
    assert handed_over(value) is not value


@pytest.mark.parametrize(
    "value",
    [threading.Lock(), (item for item in "ab"), [threading.Lock()]],
    ids=["lock", "generator", "in a list"],
)
def test_what_cannot_be_copied(value: Any) -> None:
    with pytest.raises(TypeError):
        handed_over(value)


async def test_refs_pass_as_they_are() -> None:
    async with running() as system:
        ref = await system.spawn(VolatileCounter)

        assert handed_over(ref) is ref
        assert handed_over({"ref": [ref]})["ref"][0] is ref

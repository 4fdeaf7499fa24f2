"""What may stand in a payload, what is changed as declared, and how the place of what may not is named."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.errors import InvalidArgument, UnstorableValue
from sentient_core.store.plain_values import MOST_NESTED, check_storable
from tests.bad_payloads import BAD, nested

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.binary(max_size=20)
    | st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


class Colour(Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Own(msgspec.Struct):
    x: int = 1
    at: tuple[datetime, ...] = (datetime(2026, 1, 2, tzinfo=UTC),)


@dataclasses.dataclass
class Record:
    it: bytes


class Text(str):
    __slots__ = ()


@given(values)
def test_what_may_be_stored_comes_back_equal_and_is_a_copy(value: Any) -> None:
    kept = check_storable(value, "input_data")

    assert kept == value
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(kept)) == value
    if isinstance(value, list | dict):
        assert kept is not value


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((1, (2,)), [1, [2]]),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Colour.RED, "red"),
        (Number.ONE, 1),
        (bytearray(b"x"), b"x"),
        (Decimal("1.10"), "1.10"),
        (Own(), {"x": 1, "at": [datetime(2026, 1, 2, tzinfo=UTC)]}),
        (Record(b"x"), {"it": b"x"}),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 1, 2, 1, tzinfo=UTC)),
        (Text("x"), "x"),
    ],
)
def test_what_is_changed_is_changed_as_declared(given: object, kept: object) -> None:
    found = check_storable({"value": given}, "input_data")["value"]

    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_stored_is_refused_by_the_name_of_its_place(what: str) -> None:
    bad = BAD[what]
    with pytest.raises(UnstorableValue) as caught:
        check_storable(bad.value, "input_data")

    place = f"input_data{bad.place}"
    assert caught.value.where.startswith(f"a key of {place}" if bad.is_key else place)
    assert bad.says in str(caught.value)
    assert len(str(caught.value)) < 500
    assert isinstance(caught.value, InvalidArgument)


@pytest.mark.parametrize(
    ("value", "where"),
    [({"big": "x" * 20_000_000}, "input_data['big']"), ({"many": [0] * 3_000_000}, "input_data['many'][")],
)
def test_what_is_too_large_is_refused_where_it_becomes_so(value: object, where: str) -> None:
    with pytest.raises(UnstorableValue, match="16,777,216 bytes") as caught:
        check_storable(value, "input_data")

    assert caught.value.where.startswith(where)


def test_the_deepest_that_is_taken_and_one_more() -> None:
    assert check_storable(nested(MOST_NESTED), "x") == nested(MOST_NESTED)

    with pytest.raises(UnstorableValue, match="nested deeper than 64 levels"):
        check_storable(nested(MOST_NESTED + 1), "x")


def test_ten_megabytes_are_taken_and_where_the_store_takes_less_it_is_said() -> None:
    value = {"page": "x" * 10_000_000}

    assert check_storable(value, "input_data") == value
    with pytest.raises(UnstorableValue, match="beyond the 2,000,000 bytes"):
        check_storable(value, "input_data", most_bytes=2_000_000)

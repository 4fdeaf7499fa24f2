"""What may stand in a payload, what is changed as declared, and how the place of what may not is named."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone
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

    def to_dict(self) -> dict[str, int]:
        return {"x": self.x}


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
        (datetime(2026, 1, 2, 3), datetime(2026, 1, 2, 3, tzinfo=UTC)),  # noqa: DTZ001
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 1, 2, 1, tzinfo=UTC)),
        (Text("x"), "x"),
    ],
)
def test_what_is_changed_is_changed_as_declared(given: object, kept: object) -> None:
    found = check_storable({"value": given}, "input_data")["value"]

    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize(
    ("value", "where", "says"),
    [
        ({1: 2}, "input_data", "the key 1"),
        ({"items": [{}, {(1, 2): 3}]}, "input_data.items[1]", "the key (1, 2)"),
        ({"tags": {"b"}}, "input_data.tags", "use a list"),
        ({"a": [0, {"price": 2**63}]}, "input_data.a[1].price", "beyond 64 bits"),
        ({"a b": -(2**63) - 1}, "input_data['a b']", "beyond 64 bits"),
        ({"x": math.nan}, "input_data.x", "is nan"),
        ({"x": [-math.inf]}, "input_data.x[0]", "is -inf"),
        ({"x": "\ud800"}, "input_data.x", "half a surrogate pair"),
        ({"\udfff": 1}, "a key of input_data", "half a surrogate pair"),
        ({"when": date(2026, 1, 1)}, "input_data.when", "isoformat()"),
        ({"price": Decimal(1)}, "input_data.price", "a Decimal"),
        ({"own": Own()}, "input_data.own", "to_dict()"),
        ({"code": object()}, "input_data.code", "a object"),
        ({"big": "x" * 20_000_000}, "input_data.big", "16,777,216 bytes"),
        ({"many": [0] * 3_000_000}, "input_data.many[", "16,777,216 bytes"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_the_name_of_its_place(
    value: dict[Any, Any], where: str, says: str
) -> None:
    with pytest.raises(UnstorableValue) as caught:
        check_storable(value, "input_data")

    assert caught.value.where.startswith(where)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 500
    assert isinstance(caught.value, InvalidArgument)


def test_the_deepest_that_is_taken_and_one_more() -> None:
    assert check_storable(nested(MOST_NESTED), "x") == nested(MOST_NESTED)

    for depth in (MOST_NESTED + 1, 200, 100_000):
        with pytest.raises(UnstorableValue, match="nested deeper than 64 levels"):
            check_storable(nested(depth), "x")


def test_what_holds_itself_is_nested_too_deep() -> None:
    ring: dict[str, Any] = {}
    ring["ring"] = ring

    with pytest.raises(UnstorableValue, match="nested deeper"):
        check_storable(ring, "x")


def test_ten_megabytes_are_taken_and_where_the_store_takes_less_it_is_said() -> None:
    value = {"page": "x" * 10_000_000}

    assert check_storable(value, "input_data") == value
    with pytest.raises(UnstorableValue, match="beyond the 2,000,000 bytes"):
        check_storable(value, "input_data", most_bytes=2_000_000)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"n": value}
    return value

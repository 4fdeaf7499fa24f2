"""How messages and states become bytes, tags and digests."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.codec import Codec, digest, tag_of


class Colour(Enum):
    RED = "red"


class Inner(msgspec.Struct, frozen=True):
    number: int = 0


class Everything(msgspec.Struct):
    text: str = "ä\n\x00"
    data: bytes = b"\x00\xff"
    big: int = 2**63 - 1
    real: float = 0.1
    none: None = None
    many: list[Inner] = msgspec.field(default_factory=lambda: [Inner(1), Inner(2)])
    table: dict[str, tuple[int, ...]] = msgspec.field(default_factory=lambda: {"a": (1, 2)})
    some: frozenset[int] = frozenset({1})
    when: datetime = datetime(2026, 11, 21, tzinfo=UTC)
    amount: Decimal = Decimal("0.10")
    id: UUID = UUID(int=5)
    colour: Colour = Colour.RED


class Address:
    def __init__(self, path: str) -> None:
        self.__sentient_path__ = path


def test_a_state_comes_back_as_it_was() -> None:
    codec = Codec()

    assert codec.decode(codec.encode(Everything()), Everything) == Everything()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    codec = Codec()
    try:
        data = codec.encode(value)
    except UnicodeEncodeError:
        return  # half a character, which no store holds

    anything: Any = Any
    assert codec.decode(data, anything) == value


def test_a_ref_is_stored_as_its_path_and_resolved_where_one_is_expected() -> None:
    class Holder(msgspec.Struct):
        target: Address

    seen: list[tuple[type, str]] = []

    def resolve(kind: type, path: str) -> object:
        seen.append((kind, path))
        return Address(path)

    codec = Codec(resolve)
    data = codec.encode(Holder(Address("a/b")))

    assert msgspec.msgpack.decode(data) == {"target": "a/b"}
    assert codec.decode(data, Holder).target.__sentient_path__ == "a/b"
    assert seen == [(Address, "a/b")]


@pytest.mark.parametrize(
    "value",
    [object(), lambda: None, {"f": open}, [Inner(), object()], 2**70, {1j: 2}],
    ids=["object", "function", "inside a dict", "inside a list", "too big", "key"],
)
def test_what_has_no_stored_form_is_refused(value: object) -> None:
    with pytest.raises((TypeError, NotImplementedError, OverflowError)):
        Codec().encode(value)


@given(st.binary(max_size=200), st.integers(0, 199), st.integers(1, 255))
def test_a_digest_finds_a_changed_byte(data: bytes, position: int, change: int) -> None:
    if position >= len(data):
        return
    torn = bytearray(data)
    torn[position] ^= change

    assert len(digest(data)) == 16
    assert digest(bytes(torn)) != digest(data)
    assert digest(data[:-1]) != digest(data)


def test_a_tag_is_what_a_renamed_class_keeps() -> None:
    class Plain(msgspec.Struct):
        pass

    class Tagged(msgspec.Struct, tag="kept"):
        pass

    class Numbered(msgspec.Struct, tag=3):
        pass

    assert [tag_of(kind) for kind in (Plain, Tagged, Numbered, int)] == ["Plain", "kept", "3", "int"]


def test_the_class_of_a_struct_class_has_a_tag_too() -> None:
    assert tag_of(type(msgspec.Struct)) == "StructMeta"

"""Whatever a payload's bytes hold, an object comes out that every store can take."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.store.payload import MAX_DEPTH, as_plain, queryable, refused
from sentient_core.store.wire import bindable

integers = st.integers(-(2**63), 2**64 - 1)
leaves = st.none() | st.booleans() | integers | st.floats(allow_nan=False) | st.text() | st.binary()
keys = st.text() | integers | st.booleans() | st.none()
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


def has_only_text_keys(value: object) -> bool:
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return all(isinstance(key, str) and has_only_text_keys(item) for key, item in items)
    return not isinstance(value, list) or all(map(has_only_text_keys, cast("list[object]", value)))


@given(values)
def test_anything_becomes_an_object_with_text_keys(value: object) -> None:
    shown = queryable(msgspec.msgpack.encode(value))

    assert has_only_text_keys(shown)
    cbor2.dumps(bindable(shown))


@given(st.dictionaries(st.text(), leaves, max_size=5))
def test_what_is_an_object_already_is_shown_as_it_is(value: dict[str, object]) -> None:
    assert queryable(msgspec.msgpack.encode(value)) == value


@given(st.binary())
def test_any_bytes_are_shown_or_kept(data: bytes) -> None:
    shown = queryable(data)

    assert isinstance(shown, dict)
    assert as_plain(data) is None or shown == as_plain(data)


def test_keys_that_would_fall_together_are_kept_as_bytes() -> None:
    data = msgspec.msgpack.encode({1: "number", "1": "text"})

    assert queryable(data) == {"undecoded": data}


def test_times_and_extensions_are_shown() -> None:
    at = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    data = msgspec.msgpack.encode({"at": at, "other": msgspec.msgpack.Ext(5, b"x")})

    assert queryable(data) == {"at": at, "other": {"extension": 5, "undecoded": b"x"}}


@pytest.mark.parametrize(("depth", "is_shown"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (100_000, False)])
def test_depth_is_bounded(depth: int, *, is_shown: bool) -> None:
    data = b"\x81\xa1d" * (depth - 1) + b"\x01"

    assert (list(queryable(data)) == ["d"]) is is_shown


def test_what_was_refused_keeps_its_bytes_and_the_reason() -> None:
    assert refused(b"\x01", "too odd") == {"undecoded": b"\x01", "refused": "too odd"}

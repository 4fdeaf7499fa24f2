"""What a fingerprint sees."""

from __future__ import annotations

import array
import copy
import dataclasses
from collections import deque
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.mailbox.isolation import fingerprint


class _Loose(msgspec.Struct):
    number: int = 0


class _WithList(msgspec.Struct, frozen=True):
    numbers: list[int]


@dataclasses.dataclass
class _Data:
    name: str


class _Plain:
    def __init__(self, *items: object) -> None:
        self.items = list(items)


class _Slotted:
    __slots__ = ("__private", "empty", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.__private = [number]

    def add(self) -> None:
        self.__private.append(1)


CHANGES: dict[str, tuple[Any, str]] = {
    "list": ([1, 2], "m.append(3)"),
    "equal but of another type": ([1], "m[0] = True"),
    "dict": ({"a": 1}, "m.update(a=2)"),
    "key": ({"a": 1}, "m.update(b=m.pop('a'))"),
    "set": ({1, 2}, "m.add(3)"),
    "deque": (deque([1]), "m.clear()"),
    "bytearray": (bytearray(b"x"), "m.extend(b'y')"),
    "array": (array.array("i", [1]), "m.append(2)"),
    "struct": (_Loose(1), "m.number = 2"),
    "deep": ({"a": [_WithList([1])]}, "m['a'][0].numbers.append(2)"),
    "dataclass": (_Data("x"), "m.name = 'y'"),
    "object": (_Plain(1), "m.items.append(2)"),
    "new attribute": (_Plain(), "m.more = 1"),
    "private slot": (_Slotted(1), "m.add()"),
    "filled slot": (_Slotted(1), "m.empty = 1"),
    "inside a tuple": (([1],), "m[0].append(2)"),
    "object inside": ([_Plain(_Loose(1))], "m[0].items[0].number = 3"),
    "other object": ([object()], "m[0] = object()"),
}
"""A message, and the statement that changes it."""


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_changes_the_fingerprint(name: str) -> None:
    message, change = CHANGES[name]
    before = fingerprint(message)
    assert fingerprint(message) == before

    exec(change, {"m": message})

    assert fingerprint(message) != before


def test_a_structure_that_contains_itself_has_a_fingerprint() -> None:
    message: list[Any] = [1]
    message.append(message)
    before = fingerprint(message)

    assert fingerprint(message) == before
    message[0] = 2
    assert fingerprint(message) != before


_DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(_DATA)
def test_data_that_nobody_touches_keeps_its_fingerprint_and_so_does_a_copy(data: Any) -> None:
    assert fingerprint(data) == fingerprint(data)
    if data == data:  # nan is not  # noqa: PLR0124
        assert fingerprint(copy.deepcopy(data)) == fingerprint(data)

"""Names of actors."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core import InvalidName
from sentient_core.paths import check_name, is_anonymous, join


@pytest.mark.parametrize("name", ["a", "Alice Liddell", "größe", "日本", "a$b", "a.b-c_d", "x" * 200, "."])
def test_a_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("x" * 201, "201 characters"),
        ("a/b", "'/'"),
        ("$1", "'\\$'"),
        ("a\tb", "printed"),
        ("\ud800", "printed"),
        ("external", "outside"),
        (3, "int"),
        (None, "NoneType"),
        (b"a", "bytes"),
    ],
)
def test_no_name(name: Any, why: str) -> None:
    with pytest.raises(InvalidName, match=why) as caught:
        check_name(name)

    assert caught.value.name == name
    assert isinstance(caught.value, ValueError)


@given(st.lists(st.text(min_size=1, max_size=10), min_size=1, max_size=5))
def test_a_path_of_checked_names_comes_apart_again(parts: list[str]) -> None:
    try:
        names = [check_name(part) for part in parts]
    except InvalidName:
        return
    path = ""
    for name in names:
        path = join(path, name)

    assert path.split("/") == names
    assert not is_anonymous(path)


def test_a_path_below_a_made_up_name_is_anonymous() -> None:
    assert is_anonymous("$1.1")
    assert is_anonymous("a/$1.1/b")
    assert not is_anonymous("a$/b")

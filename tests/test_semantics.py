"""The page of promises names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "semantics.md").read_text("utf-8")
PROMISES = re.findall(r"^\*\*([A-Z]\d+)\.", PAGE, re.MULTILINE)
LINKS = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))


@pytest.mark.parametrize("link", LINKS)
def test_a_named_test_exists(link: str) -> None:
    path, _, name = link.partition("::")

    text = (ROOT / path).read_text("utf-8")
    for suite in re.findall(r"^from (sentient_core\.testing\.\w+) import", text, re.MULTILINE):
        files = (ROOT / suite.replace(".", "/")).glob("*.py")  # of tests that are run there over something
        text += "".join(file.read_text("utf-8") for file in files)

    assert re.search(rf"def {name}\b" if name else r"def test_", text)


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_names_its_test(promise: str) -> None:
    section = PAGE.partition(f"**{promise}.")[2].partition("\n**")[0]

    assert "Test: `tests/" in section


def test_promises_are_numbered_in_order() -> None:
    for letter in sorted({promise[0] for promise in PROMISES}):
        numbers = [int(promise[1:]) for promise in PROMISES if promise[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1))

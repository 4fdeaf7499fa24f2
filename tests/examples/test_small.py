"""The small examples, run as their users run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(name: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-m", f"examples.{name}"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_threads() -> None:
    assert run("threads") == [
        "a proverb has 5 words",
        "a rhyme has 9 words",
        "a rule has 7 words",
        "a riddle has 9 words",
        "'a' stands there 5 times",
        "'row' stands there 4 times",
        "'boat' stands there 3 times",
        "The system has ended, and its thread with it.",
    ]


def test_trio_program() -> None:
    lines = run("trio_program")

    assert "Ada gets soup, still hot" in lines
    assert "Bob does not wait for the stew any longer" in lines
    assert (
        "Cid hears: Order to 'kitchen': its handler raised ValueError: nobody here can cook a unicorn"
        in lines
    )
    assert "Dot gets salad, still hot" in lines
    assert lines[-1] == "The kitchen, in its incarnation 2, has served soup, stew, salad."


def test_agents() -> None:
    lines = run("agents")

    assert [line for line in lines if line.startswith("->")] == [
        "-> Ants work",
        "-> Bees dance",
        "-> none, since this is no text",
        "-> Cats sleep",
        "-> Foxes are back",
    ]
    assert any("reader" in line and "paused" in line and "the credit is used up" in line for line in lines)
    assert lines[-2:] == [
        "In quarantine: Summarize, Poison: this is no text",
        "Incarnation 4, 11 calls, nothing lost.",
    ]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_enough_to_be_read(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 120

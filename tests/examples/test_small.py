"""The small examples, run as their users run them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sentient_core import ExitCode

ROOT = Path(__file__).parents[2]


def run(name: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-m", f"examples.{name}", *arguments],
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


def office(store: str, parcels: int, seconds: float, drain: float) -> tuple[int, list[str]]:
    """The sorting office until it gets to parcel 0, then a SIGTERM: exit code, and what else it said."""
    arguments = [f"--store={store}", f"--parcels={parcels}", f"--seconds={seconds}", f"--drain={drain}"]
    with subprocess.Popen(
        [sys.executable, "-P", "-W", "error", "-m", "examples.sorting_office", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line.strip())
            if said[-1] == "Where does parcel 0 go?":
                process.send_signal(signal.SIGTERM)
        return process.wait(60), [line for line in said if line.endswith((" sorted.", " so far.", " over."))]


def test_sorting_office(tmp_path: Path) -> None:
    store = f"surrealkv://{tmp_path / 'parcels.db'}"

    code, said = office(store, 100, seconds=1.0, drain=0.0)  # the signal comes within the first second
    assert code == ExitCode.UNDRAINED
    assert said == [
        "The office opens, with 0 parcels sorted so far.",
        "0 parcels were left over.",
        "The office closes, with 1 parcels sorted.",
    ]

    code, said = office(store, 1, seconds=0.0, drain=60.0)
    assert code == ExitCode.ENDED
    assert said == [
        "The office opens, with 1 parcels sorted so far.",
        "99 parcels were left over.",
        "The office closes, with 101 parcels sorted.",
    ]


def test_newsroom(tmp_path: Path) -> None:
    news = str(tmp_path / "news")
    with subprocess.Popen(
        [sys.executable, "-P", "-u", "-m", "examples.newsroom", news],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stdout is not None
        before = next(line for line in killed.stdout if line.startswith("the reporter was at"))
        killed.kill()

    waiting, approved, again = (
        run("newsroom", news),
        run("newsroom", news, "--approve"),
        run("newsroom", news),
    )

    assert before.strip() == "the reporter was at: The harbour"
    assert before.strip() not in waiting
    assert waiting[-2:] == ["print it is running", "It waits for you: give --approve."]
    assert approved[-2:] == ["the issue is completed", f"There it is: {news}/page/index.html"]
    assert again == approved
    page = (tmp_path / "news" / "page" / "index.html").read_text("utf-8")
    assert "Three ships came in, and two went out. So it goes." in page

"""`kill -9` of a process whose frontend developer is at work: the next process sees its task through.

`make test` kills once per phase, on one event loop or the other; `SENTIENT_LONG` at all places, on both.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sentient_core.agents import page_of
from tests.agents.developer_process import TASK, Outcome
from tests.agents.test_frontend import ITEMS, PLACES, SAVED, items_if_killed
from tests.long import IS_LONG
from tests.store.server import Server

BACKENDS = ("asyncio", "trio")
SECONDS = 60.0
PHASES = [f"after {item['status']}" for item in ITEMS]
CASES = (
    [(place, backend) for place in PLACES for backend in BACKENDS]
    if IS_LONG
    else [(place, BACKENDS[number % 2]) for number, place in enumerate(PHASES)]
)


class Process:
    """The lives of one developer on one store."""

    def __init__(self, url: str, backend: str, site: Path, database: str = "agents") -> None:
        self._arguments = (url, database, backend, str(site))

    def killed_at(self, place: str) -> None:
        """A life that is killed when it has come to this place."""
        with self._started(place) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.kill()
            assert (line, process.wait(SECONDS)) == (b"held\n", -signal.SIGKILL)

    def finished(self) -> Outcome:
        """A life that ends in order."""
        with self._started() as process:
            output, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        return msgspec.json.decode(output, type=Outcome)

    def _started(self, *place: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.agents.developer_process", *self._arguments, *place],
            stdout=subprocess.PIPE,
        )


@pytest.mark.parametrize(("place", "backend"), CASES)
def test_killed_in_any_phase_the_next_process_finishes_with_each_checkpoint_once(
    place: str, backend: str, tmp_path: Path
) -> None:
    developer = Process(f"surrealkv://{tmp_path}/db", backend, tmp_path / "site")

    developer.killed_at(place)
    outcome = developer.finished()

    assert outcome.saved == [said["phase"] for said in SAVED]
    assert outcome.items == [item["status"] for item in items_if_killed(place)]
    assert outcome.result["status"] == "completed"
    assert outcome.page == page_of(TASK)


@pytest.mark.parametrize("backend", BACKENDS if IS_LONG else BACKENDS[:1])
def test_killed_again_and_again_on_a_server_it_gets_there(backend: str, tmp_path: Path) -> None:
    with Server(tmp_path, "--unauthenticated") as server:
        developer = Process(server.url(), backend, tmp_path / "site")
        for place in ("before pre_generation", "after generating_components", "after deploying"):
            developer.killed_at(place)

        outcome = developer.finished()

    assert outcome.saved == [said["phase"] for said in SAVED]
    assert outcome.items[-1] == "completed"
    assert outcome.page == page_of(TASK)

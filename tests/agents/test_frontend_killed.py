"""`kill -9` of a process whose frontend developer is at work: the next process sees its task through.

`make test` kills once per phase, on one event loop or the other; `SENTIENT_LONG` at all places, on both.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import anyio
import msgspec
import pytest

from sentient_core import SurrealStore
from sentient_core.agents import page_of
from sentient_core.store.row_models import Row, RowQuery
from sentient_core.store.row_tables import RowTable
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

    def held_at(self, place: str) -> subprocess.Popen[bytes]:
        """A life that stands still at this place, as if it were dead."""
        process = self._started(place, "goes-on")
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        return process

    def finished(self) -> Outcome:
        """A life that ends in order."""
        with self._started() as process:
            output, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        return msgspec.json.decode(output, type=Outcome)

    def _started(self, *place: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.agents.developer_process", *self._arguments, *place],
            stdin=subprocess.PIPE,
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


async def rows_of_agents(url: str) -> list[list[Row]]:
    """All that is known of agents and their tasks."""
    tables = (RowTable.AGENT_STATE, RowTable.TASK_EXECUTION, RowTable.TASK_ITEM, RowTable.STATE_CHECKPOINT)
    async with SurrealStore(url, database="agents") as store:
        found = [await store.rows("shop", RowQuery(table=table)) for table in tables]
        return [*found, await store.rows("shop", RowQuery(table=RowTable.STATUS_CHANGE))]


@pytest.mark.parametrize("backend", BACKENDS if IS_LONG else BACKENDS[:1])
def test_one_that_was_thought_dead_and_comes_back_changes_nothing_of_its_task(
    backend: str, tmp_path: Path
) -> None:
    with Server(tmp_path, "--unauthenticated") as server:
        older = Process(server.url(), backend, tmp_path / "older").held_at("after generating_components")
        try:
            newer = Process(server.url(), backend, tmp_path / "newer").finished()
            rows = anyio.run(rows_of_agents, server.url())

            older.send_signal(signal.SIGCONT)
            said, _ = older.communicate(b"go on\n", timeout=SECONDS)

            assert (said, newer.result["status"]) == (b"fenced\n", "completed")
            assert anyio.run(rows_of_agents, server.url()) == rows
        finally:
            older.kill()
            older.communicate()

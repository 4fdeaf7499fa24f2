"""Processes that die while workflows run: the next ones go on, and repeat no finished step."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import anyio
import pytest

from sentient_core import ActorSystem, SurrealStore
from sentient_core.agents.workflows.definition import Step, Workflow
from sentient_core.agents.workflows.workflows import Workflows
from tests.conftest import ONCE
from tests.crash.broken_workflows import BROKEN_WORKFLOWS
from tests.crash.workflow_child import DOOMED, GOOD, Diary
from tests.long import few

MOST_LIVES = 80


@ONCE
@pytest.mark.parametrize(
    ("point", "nth"),
    few([("commit before", 11), ("settlement after", 9), ("commit after", 15), ("settlement before", 7)], 2),
)
async def test_killed_again_and_again_they_go_on_and_repeat_no_finished_step(
    tmp_path: Path, point: str, nth: int
) -> None:
    await _live_and_die(tmp_path, point, nth)


@ONCE
@pytest.mark.parametrize("broken", BROKEN_WORKFLOWS)
async def test_a_runner_is_found_out_that(tmp_path: Path, broken: str) -> None:
    with pytest.raises((AssertionError, TimeoutError)):
        await _live_and_die(tmp_path, "settlement after", 9, broken=broken, seconds=30, most_lives=10)


async def _live_and_die(
    place: Path, point: str, nth: int, *, broken: str = "", seconds: float = 60, most_lives: int = MOST_LIVES
) -> None:
    """Processes that are killed, one after the other, until one comes to its end; all is as it should be."""
    url, diary = f"surrealkv://{place}/db", Diary(str(place / "diary"))
    deaths = 0
    for life in range(most_lives):
        backend, late = ("asyncio", "trio")[life % 2], str(nth + life % 4)
        options = [url, str(place / "diary"), backend, point, late, *([broken] if broken else [])]
        with anyio.fail_after(seconds):
            child = await anyio.run_process(
                [sys.executable, "-P", "-m", "tests.crash.workflow_child", *options], check=False
            )
        if child.returncode == 0:
            break
        assert child.returncode == -signal.SIGKILL, child.stderr.decode()
        deaths += 1
    else:
        raise AssertionError(f"not done after {most_lives} lives: {diary.lines()}")
    assert deaths > 0
    _check_works(diary.lines(), deaths)
    await _check_rows(url)


def _check_works(lines: list[str], deaths: int) -> None:
    """What the agents have done: each step once, in an order that the workflows allow."""
    assert lines.pop() == "failed d ()"
    works = [line.removeprefix("work ") for line in lines]
    expected = {f"good:{step}:1" for step in "abcde"} | {f"doomed:{step}:1" for step in "abcd"}
    assert set(works) == expected | {"doomed:d:2", "doomed:c/undo:1", "doomed:a/undo:1"}
    assert len(works) - len(set(works)) <= deaths  # killed between the work and its checkpoint
    _check_order([work for work in works if work.startswith("good")], GOOD)
    _check_order([work for work in works if work.startswith("doomed") and "undo" not in work], DOOMED)
    doomed = [work for work in dict.fromkeys(works) if work.startswith("doomed")]
    assert doomed[-3:] == ["doomed:d:2", "doomed:c/undo:1", "doomed:a/undo:1"]


def _check_order(works: list[str], workflow: Workflow) -> None:
    """Nothing of a step is done once a step that waits for it was begun."""
    last = {work.split(":")[1]: index for index, work in enumerate(works)}
    first = {work.split(":")[1]: index for index, work in reversed([*enumerate(works)])}
    names = {part.name for part in workflow.steps if isinstance(part, Step)}
    for name, after in workflow.after.items():
        for other in after:
            if name in names and other in names:
                assert last[other] < first[name], works


async def _check_rows(url: str) -> None:
    """Rows, history and events tell of one run."""
    async with SurrealStore(url) as store, ActorSystem("crash", store=store) as system:
        for workflow_id, status in (("good", "completed"), ("doomed", "failed")):
            run = Workflows(system).get(workflow_id)
            assert await run.status() == status
            events = await store.events("crash", event_type="workflow_step_changed", limit=1_000)
            told = [
                (event.payload["step"], event.payload["old_status"], event.payload["new_status"])
                for event in reversed(events)
                if event.payload["workflow_id"] == workflow_id
            ]
            assert len(told) == len(set(told))
            noted = [
                (entry["step"], entry["old_status"], entry["new_status"])
                for entry in await run.history()
                if entry["event"] == "step"
            ]
            assert noted == told
            ended = {step: new for step, _, new in told}
            assert ended == {step.name: step.status.value for step in await run.steps()}
        audit = await system.audit()
        assert audit.is_balanced, str(audit)

"""Workflows run by agents: in order, beside each other, tried again, undone, paused, cancelled."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

import anyio
import pytest

from sentient_core import ActorSystem, MemoryStore, Settings
from sentient_core.agents import FrontendDeveloperAgent, StateManager, Task
from sentient_core.agents.crew import crew_of
from sentient_core.agents.workflows.definition import Approval, Compensation, Delay, Retry, Step, Workflow
from sentient_core.agents.workflows.handle import WorkflowHandle
from sentient_core.agents.workflows.workflows import Workflows
from sentient_core.errors import (
    IdTaken,
    IllegalTransition,
    InvalidArgument,
    InvalidName,
    InvalidWorkflow,
    OwnedByActor,
    SystemClosed,
    TaskFailed,
    TooManySignals,
    UnknownWorkflow,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowOver,
)
from sentient_core.system import runtime_of
from tests.agents.crew import World
from tests.agents.workflows.staff import Worker, does


@pytest.fixture
async def system() -> AsyncGenerator[ActorSystem, None]:
    with anyio.fail_after(1_000_000):
        async with ActorSystem("shop", store=MemoryStore()) as system:
            yield system


async def started(system: ActorSystem, *steps: Any, **more: Any) -> WorkflowHandle:
    return await Workflows(system).start(Workflow("w", steps=list(steps)), workflow_id="w", **more)


async def changes(system: ActorSystem, run: WorkflowHandle) -> list[tuple[str, str, str]]:
    """The events about steps, oldest first."""
    await system.flush()
    events = await system.store.events(system.name, event_type="workflow_step_changed")
    told = [event.payload for event in reversed(events)]
    assert all(payload["workflow_id"] == run.workflow_id for payload in told)
    return [(payload["step"], payload["old_status"], payload["new_status"]) for payload in told]


async def test_steps_are_done_in_order_and_their_results_come_back(system: ActorSystem) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    run = await started(system, does("a", "x"), does("b", "y", "z"))
    results = await run.result()
    assert (results["a"]["artifacts"], results["b"]["artifacts"]) == (["x"], ["y", "z"])
    assert [*world.log] == ["w:a:1 from 0", "w:a:1 x", "w:b:1 from 0", "w:b:1 y", "w:b:1 z"]


async def test_rows_history_trail_and_events_agree(system: ActorSystem) -> None:
    await Worker.start(system, World(), name="ann")
    run = await started(system, does("a", "x"), does("b", "y"), input_data={"n": 1})
    await run.result()

    state = await run.state()
    assert (state.status, state.current_step, state.total_steps, state.name) == ("completed", 2, 2, "w")
    assert state.execution_history == await run.history()
    assert state.agent_states["ann"]["status"] == "idle"
    steps = await run.steps()
    assert [(step.name, step.status, step.agent_id, step.attempts) for step in steps] == [
        ("a", "completed", "ann", 1),
        ("b", "completed", "ann", 1),
    ]
    for step in steps:
        assert step.started_at is not None
        assert state.created_at <= step.created_at <= step.started_at
    assert steps[1].input_data == {"steps": ["y"]}
    assert await changes(system, run) == [
        ("a", "pending", "running"),
        ("a", "running", "completed"),
        ("b", "pending", "running"),
        ("b", "running", "completed"),
    ]
    history = await run.history()
    assert all(datetime.fromisoformat(entry["timestamp"]).tzinfo for entry in history)
    assert [(entry["event"], entry.get("step"), entry.get("new_status")) for entry in history] == [
        ("attempt", "a", None),
        ("step", "a", "running"),
        ("status", None, "running"),
        ("step", "a", "completed"),
        ("attempt", "b", None),
        ("step", "b", "running"),
        ("step", "b", "completed"),
        ("status", None, "completed"),
    ]


async def test_steps_beside_each_other_are_given_to_different_agents_and_joined(system: ActorSystem) -> None:
    world = World()
    for name in ("ann", "bob", "cid"):
        await Worker.start(system, world, name=name)
    run = await started(
        system,
        does("a", "wait a", after=[]),
        does("b", "wait b", after=[]),
        does("c", "wait c", after=[]),
        does("end", "x", after=["a", "b", "c"], inputs={"first": "a.artifacts.0", "who": "input.who"}),
        input_data={"who": "eve"},
    )
    for name in ("a", "b", "c"):
        await world.gate(name).reached.wait()
    assert sorted(step.agent_id or "" for step in (await run.steps())[:3]) == ["ann", "bob", "cid"]
    for name in ("c", "a", "b"):
        assert not [line for line in world.log if line.startswith("w:end")]
        world.gate(name).open.set()
    await run.result()
    step = (await run.steps())[3]
    assert step.input_data == {"steps": ["x"], "first": "wait a", "who": "eve"}


async def test_the_agent_with_the_fewest_tasks_gets_a_step(system: ActorSystem) -> None:
    world = World()
    busy = await Worker.start(system, world, name="ann")
    await Worker.start(system, world, name="bob")
    await Worker.start(system, world, "other", name="aaa")
    await busy.execute_task(Task(input_data={"steps": ["wait busy"]}), "background")
    await world.gate("busy").reached.wait()
    run = await started(system, does("a", "x"))
    await run.result()
    assert (await run.steps())[0].agent_id == "bob"
    world.gate("busy").open.set()


async def test_a_step_waits_for_an_agent_and_says_so_and_goes_on_when_one_comes(system: ActorSystem) -> None:
    world = World()
    run = await started(
        system, does("a", "x", capability="fly"), Step("b", agent="bob", input_data={"steps": ["y"]})
    )
    async with system.alerts.follow() as alerts:
        alert = await alerts.__anext__()
        assert (alert.alert, alert.path, alert.cause) == (
            "workflow waits for agents",
            "workflow/w",
            "nobody is there for 'a'",
        )
        assert ((await run.steps())[0].status, await run.status()) == ("pending", "running")
        await Worker.start(system, world, "fly", name="ann")
        alert = await alerts.__anext__()
        assert alert.cause == "nobody is there for 'b'"
    await Worker.start(system, world, "swim", name="bob")
    await run.result()
    assert [step.agent_id for step in await run.steps()] == ["ann", "bob"]


async def test_an_attempt_that_fails_is_tried_again_and_the_last_one_fails_the_workflow(
    system: ActorSystem,
) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    run = await started(
        system, does("a", "fail no luck", retry=Retry(3, backoff=3600, longest=10_000)), does("b", "x")
    )
    before = anyio.current_time()
    with pytest.raises(WorkflowFailed) as caught:
        await run.result()
    assert (caught.value.step, "no luck" in caught.value.cause) == ("a", True)
    assert anyio.current_time() - before >= 3 * 3600 - 1
    assert [line for line in world.log if "from" in line] == [
        f"w:a:{attempt} from 0" for attempt in (1, 2, 3)
    ]
    steps = await run.steps()
    assert [(step.status, step.attempts) for step in steps] == [("failed", 3), ("cancelled", 0)]
    assert [entry["attempt"] for entry in await run.history() if entry["event"] == "attempt_failed"] == [1, 2]


async def test_some_kinds_of_errors_are_not_tried_again(system: ActorSystem) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    hopeless = does("a", "fail it", retry=Retry(5, backoff=1, unless=["KeyError", "ValueError"]))
    with pytest.raises(WorkflowFailed, match="ValueError: it"):
        await (await started(system, hopeless)).result()
    other = does("a", "fail it", retry=Retry(3, backoff=1, unless=["KeyError"]))
    run = await Workflows(system).start(Workflow("w", steps=[other]), workflow_id="other")
    with pytest.raises(WorkflowFailed, match="ValueError: it"):
        await run.result()
    assert [*world.log] == [f"{task} from 0" for task in ("w:a:1", "other:a:1", "other:a:2", "other:a:3")]


async def test_an_attempt_that_takes_too_long_is_cancelled_and_tried_again(system: ActorSystem) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    run = await started(system, does("a", "sleep 3600", timeout=60, retry=Retry(2, backoff=0)))
    with pytest.raises(WorkflowFailed, match="took longer than 60 seconds"):
        await run.result()
    assert [*world.log] == ["w:a:1 from 0", "w:a:2 from 0"]


async def test_a_failure_undoes_what_was_completed_last_first(system: ActorSystem) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    undo = Compensation(input_data={"steps": ["undo"]})
    run = await started(
        system,
        does("a", "x", compensate=undo),
        does("b", "x"),
        does(
            "c",
            "x",
            compensate=Compensation("do", input_data={"steps": ["undo"]}, inputs={"it": "c.artifacts"}),
        ),
        does("d", "fail it"),
    )
    with pytest.raises(WorkflowFailed) as caught:
        await run.result()
    assert caught.value.uncompensated == ()
    assert [line for line in world.log if "undo" in line and "from" not in line] == [
        "w:c/undo:1 undo",
        "w:a/undo:1 undo",
    ]
    steps = {step.name: step for step in await run.steps()}
    assert (steps["c:undo"].status, steps["c:undo"].depends_on) == ("completed", ["c"])
    assert steps["c:undo"].input_data == {"steps": ["undo"], "it": ["x"]}


async def test_a_compensation_that_fails_is_named(system: ActorSystem) -> None:
    await Worker.start(system, World(), name="ann")
    undo = Compensation(input_data={"steps": ["fail stuck"]}, retry=Retry(2))
    run = await started(system, does("a", "x", compensate=undo), does("b", "fail it"))
    with pytest.raises(WorkflowFailed, match="what undoes 'a' has failed, too") as caught:
        await run.result()
    assert (caught.value.step, caught.value.uncompensated) == ("b", ("a",))


async def test_a_failure_cancels_what_is_at_work(system: ActorSystem) -> None:
    world = World()
    for name in ("ann", "bob"):
        await Worker.start(system, world, name=name)
    run = await started(system, does("a", "wait a", "fail it", after=[]), does("b", "wait b", after=[]))
    await world.gate("a").reached.wait()
    await world.gate("b").reached.wait()
    world.gate("a").open.set()
    with pytest.raises(WorkflowFailed):
        await run.result()
    assert [step.status for step in await run.steps()] == ["failed", "cancelled"]


async def test_a_task_that_somebody_else_cancels_fails_its_step(system: ActorSystem) -> None:
    world = World()
    ann = await Worker.start(system, world, name="ann")
    run = await started(system, does("a", "wait a", retry=Retry(3)))
    await world.gate("a").reached.wait()
    assert await ann.cancel_execution()
    with pytest.raises(WorkflowFailed, match="somebody cancelled its task"):
        await run.result()


async def test_a_delay_is_over_when_its_time_has_come(system: ActorSystem) -> None:
    before = anyio.current_time()
    run = await started(system, Delay("rest", 86_400), Delay("more", 10))
    assert await run.result() == {"rest": {}, "more": {}}
    assert anyio.current_time() - before >= 86_410 - 1


async def test_signals_come_before_or_after_somebody_waits_and_twice_is_once(system: ActorSystem) -> None:
    run = await started(system, Approval("one"), Approval("two"), Approval("three", signal="two"))
    await run.signal("two", {"by": "ann"}, signal_id="s1")
    await run.signal("two", {"by": "ann"}, signal_id="s1")
    assert (await run.steps())[0].status == "running"
    await run.signal("one")
    assert [step.status for step in await run.steps()] == ["completed", "completed", "running"]
    await run.signal("two", {"by": "bob"})
    assert await run.result() == {"one": {}, "two": {"by": "ann"}, "three": {"by": "bob"}}
    used = [entry["name"] for entry in await run.history() if entry["event"] == "signal_used"]
    assert used == ["two"]  # the one that was kept; the others found somebody who waited
    with pytest.raises(WorkflowOver, match="is completed"):
        await run.signal("one")


async def test_an_approval_that_is_refused_or_late_fails_the_workflow(system: ActorSystem) -> None:
    workflows = Workflows(system)
    definition = Workflow("w", steps=[Approval("go", timeout=3600)])
    run = await workflows.start(definition)
    await run.signal("go", {"approved": False, "reason": "too expensive"})
    with pytest.raises(WorkflowFailed, match="at its step 'go': too expensive"):
        await run.result()
    late = await workflows.start(definition)
    with pytest.raises(WorkflowFailed, match="nobody has sent its signal in time"):
        await late.result()


async def test_while_it_is_paused_nothing_begins_and_tasks_stand_still(system: ActorSystem) -> None:
    world = World()
    ann = await Worker.start(system, world, name="ann")
    await Worker.start(system, world, name="bob")
    run = await started(system, does("a", "wait a", "x", after=[]), does("b", "wait b"))
    await world.gate("a").reached.wait()
    await run.pause()
    await run.pause()
    assert await run.status() == "paused"
    world.gate("a").open.set()
    while (await ann.describe()).status != "paused":  # noqa: ASYNC110 - nobody tells of it
        await anyio.sleep(1)
    assert world.log.lines == ["w:a:1 from 0", "w:a:1 wait a"]
    await run.resume()
    await world.gate("b").reached.wait()
    world.gate("b").open.set()
    await run.result()
    with pytest.raises(IllegalTransition, match="'completed' cannot become 'paused'"):
        await run.pause()
    with pytest.raises(IllegalTransition):
        await run.resume()


async def test_time_limits_stand_still_while_it_is_paused(system: ActorSystem) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    run = await started(system, does("a", "wait a", timeout=60))
    await world.gate("a").reached.wait()
    await run.pause()
    await anyio.sleep(600)
    await run.resume()
    world.gate("a").open.set()
    await run.result()


@pytest.mark.parametrize("paused", [False, True])
async def test_cancelling_ends_what_is_at_work_and_undoes_what_was_completed(
    system: ActorSystem, paused: bool
) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    undo = Compensation(input_data={"steps": ["undo"]})
    run = await started(system, does("a", "x", compensate=undo), does("b", "wait b"), does("c", "x"))
    await world.gate("b").reached.wait()
    if paused:
        await run.pause()
    assert await run.cancel(cause="no more money")
    with pytest.raises(WorkflowCancelled, match="no more money"):
        await run.result()
    steps = {step.name: step.status.value for step in await run.steps()}
    assert steps == {"a": "completed", "a:undo": "completed", "b": "cancelled", "c": "cancelled"}
    assert await run.cancel()


async def test_cancelling_without_compensation_and_at_other_moments(system: ActorSystem) -> None:
    world = World()
    workflows = Workflows(system)
    undo = Compensation(input_data={"steps": ["undo"]})
    waiting = await workflows.start(Workflow("w", steps=[Approval("go")]))
    assert await waiting.cancel()
    homeless = await workflows.start(Workflow("w", steps=[does("a")]))
    assert await homeless.cancel()
    await Worker.start(system, world, name="ann")
    kept = await workflows.start(Workflow("w", steps=[does("a", "x", compensate=undo), Delay("rest", 1e6)]))
    while (await kept.state()).current_step < 1:  # noqa: ASYNC110 - as above
        await anyio.sleep(1)
    assert await kept.cancel(compensate=False)
    assert [step.name for step in await kept.steps()] == ["a", "rest"]
    retrying = await workflows.start(Workflow("w", steps=[does("a", "fail it", retry=Retry(2, backoff=60))]))
    while (await retrying.steps())[0].error_message is None:  # noqa: ASYNC110 - as above
        await anyio.sleep(1)
    assert await retrying.cancel()
    done = await workflows.start(Workflow("w", steps=[Delay("rest", 0)]))
    await done.result()
    assert not await done.cancel()
    failed = await workflows.start(Workflow("w", steps=[does("a", "fail it")]))
    with pytest.raises(WorkflowFailed):
        await failed.result()
    assert not await failed.cancel()


async def test_an_agent_that_fails_is_restarted_and_its_step_goes_on_from_its_checkpoint(
    system: ActorSystem,
) -> None:
    world = World()
    ann = await Worker.start(system, world, name="ann")
    run = await started(system, does("a", "save one", "wait a", "x"), does("b", "y"))
    await world.gate("a").reached.wait()
    await ann.ref.kill()
    world.gate("a").open.set()
    await run.result()
    assert [line for line in world.log if "w:a:1 save" in line] == ["w:a:1 save one"]
    assert "w:a:1 from 1" in world.log.lines


async def test_a_runner_that_fails_goes_on_with_what_it_knew(system: ActorSystem) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    run = await started(system, does("a", "x"), does("b", "wait b"), Approval("go"), does("c", "y"))
    await world.gate("b").reached.wait()
    await (await run.ref()).kill()
    world.gate("b").open.set()
    while (await run.state()).current_step < 2:  # noqa: ASYNC110 - as above
        await anyio.sleep(1)
    await (await run.ref()).kill()
    await run.signal("go")
    await run.result()
    assert [line for line in world.log if "from" in line] == ["w:a:1 from 0", "w:b:1 from 0", "w:c:1 from 0"]


async def test_a_task_waits_for_its_agent_that_has_ended_and_goes_on_when_it_is_started_again(
    system: ActorSystem,
) -> None:
    world = World()
    ann = await Worker.start(system, world, name="ann")
    await Worker.start(system, world, name="bob")
    run = await started(system, does("a", "save one", "wait a"))
    await world.gate("a").reached.wait()
    async with system.alerts.follow() as alerts:
        await ann.ref.stop()
        assert (await alerts.__anext__()).alert == "workflow waits for its agent"
    world.gate("a").open.set()
    await Worker.start(system, world, name="ann")
    await run.result()
    assert [line for line in world.log if "from" in line] == ["w:a:1 from 0", "w:a:1 from 1"]


async def test_a_task_whose_agent_does_not_come_back_in_time_is_given_to_another(system: ActorSystem) -> None:
    world = World()
    ann = await Worker.start(system, world, name="ann")
    run = await started(system, does("a", "wait a", timeout=600, retry=Retry(2)))
    await world.gate("a").reached.wait()
    await Worker.start(system, world, name="bob")
    await ann.ref.stop()
    world.gate("a").open.set()
    await run.result()
    step = (await run.steps())[0]
    assert (step.agent_id, step.attempts) == ("bob", 2)


async def test_a_task_that_its_agent_had_not_taken_on_when_it_ended_is_given_to_another(
    system: ActorSystem,
) -> None:
    world = World()
    ann = await Worker.start(system, world, name="ann")
    ann.ref.pause()
    run = await started(system, does("a", "x"))
    while (await run.steps())[0].agent_id != "ann":  # noqa: ASYNC110 - as above
        await anyio.sleep(1)
    await ann.ref.stop()
    await anyio.sleep(1)
    await Worker.start(system, world, name="bob")
    await run.result()
    assert [*world.log] == ["w:a:2 from 0", "w:a:2 x"]


async def test_a_result_that_is_too_large_fails_its_step(system: ActorSystem) -> None:
    await Worker.start(system, World(), name="ann")
    run = await started(system, does("a", "do " + "x" * 1_100_000, retry=Retry(3)))
    with pytest.raises(WorkflowFailed, match="keep it elsewhere"):
        await run.result()
    assert (await run.steps())[0].attempts == 1


async def test_started_again_it_is_the_one_that_there_is(system: ActorSystem) -> None:
    run = await started(system, Approval("go"))
    again = await started(system, Approval("go"))
    assert again.workflow_id == run.workflow_id
    with pytest.raises(IdTaken):
        await started(system, Approval("no"))
    with pytest.raises(IdTaken):
        await started(system, Approval("go"), input_data={"n": 1})


async def test_what_there_is_not_is_said(system: ActorSystem) -> None:
    run = Workflows(system).get("nobody")
    for call in (
        run.result,
        run.status,
        run.state,
        run.pause,
        run.resume,
        run.cancel,
        lambda: run.signal("go"),
    ):
        with pytest.raises(UnknownWorkflow, match="'nobody'"):
            await call()


async def test_bad_input_is_refused_before_anything_is_written(system: ActorSystem) -> None:
    workflows = Workflows(system)
    good = Workflow("w", steps=[Approval("go")])
    for bad in ("a/b", "", "x" * 300):
        with pytest.raises(InvalidName):
            await workflows.start(good, workflow_id=bad)
    bad_input: Any
    for bad_input in ({1: 2}, {"a": {1}}, {"a": float("nan")}, [1]):
        with pytest.raises(InvalidArgument):
            await workflows.start(good, input_data=bad_input)
    with pytest.raises(InvalidArgument, match="start takes a Workflow"):
        await workflows.start([Approval("go")])  # type: ignore[arg-type]
    run = await workflows.start(good)
    with pytest.raises(InvalidArgument):
        await run.signal("go", {"a": 2**64})
    with pytest.raises(InvalidArgument):
        await run.signal("")
    with pytest.raises(InvalidArgument):
        await run.signal("go", [1])  # type: ignore[arg-type]


async def test_waiting_for_a_result_ends_with_its_timeout_and_the_workflow_goes_on(
    system: ActorSystem,
) -> None:
    run = await started(system, Approval("go"))
    with pytest.raises(TimeoutError):
        await run.result(timeout=60)
    await run.signal("go")
    await run.result(timeout=60)


async def test_a_system_that_has_ended_has_no_workflows() -> None:
    system = ActorSystem("shop", store=MemoryStore())
    with pytest.raises(SystemClosed):
        Workflows(system)


async def test_a_task_waits_for_a_signal_to_its_workflow(system: ActorSystem) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    run = await started(system, does("a", "signal ok", "signal ok"))
    await run.signal("ok", {"by": "ann"})
    await world.log.until("w:a:1 got {'by': 'ann'}")
    await run.signal("other")
    await run.signal("ok", {"by": "bob"})
    await run.result()
    assert [line for line in world.log if "got" in line] == [
        "w:a:1 got {'by': 'ann'}",
        "w:a:1 got {'by': 'bob'}",
    ]


async def test_a_signal_that_does_not_come_in_time_fails_the_task(system: ActorSystem) -> None:
    await Worker.start(system, World(), name="ann")
    run = await started(system, does("a", "signal ok 3600"))
    before = anyio.current_time()
    with pytest.raises(WorkflowFailed, match="nobody has sent workflow 'w' the signal 'ok' in 3600 seconds"):
        await run.result()
    assert anyio.current_time() - before >= 3600 - 1


async def test_a_task_that_waits_for_a_signal_holds_no_place_and_its_time_limit_stands_still(
    system: ActorSystem,
) -> None:
    world = World()
    workflows = Workflows(system)
    for number in range(12):  # more than MAX_CONCURRENT_AGENTS
        await Worker.start(system, world, name=f"a{number}")
    steps = [does(f"s{number}", "signal ok", "x", after=[]) for number in range(12)]
    run = await workflows.start(Workflow("w", steps=steps))
    await anyio.sleep(7200)  # of AGENT_EXECUTION_TIMEOUT, 3600
    for _ in steps:
        await run.signal("ok")
    await run.result()


async def test_run_again_a_task_gets_the_signals_again_that_it_got_since_its_checkpoint(
    system: ActorSystem,
) -> None:
    world = World()
    ann = await Worker.start(system, world, name="ann")
    run = await started(system, does("a", "signal ok", "save one", "signal ok", "wait a", "signal ok"))
    for number in (1, 2):
        await run.signal("ok", {"n": number})
    await world.gate("a").reached.wait()
    await ann.ref.kill()
    world.gate("a").open.set()
    await world.log.until("w:a:1 wait a")
    await run.signal("ok", {"n": 3})
    await run.result()
    assert [line for line in world.log if "got" in line or "from" in line] == [
        "w:a:1 from 0",
        "w:a:1 got {'n': 1}",
        "w:a:1 got {'n': 2}",
        "w:a:1 from 2",
        "w:a:1 got {'n': 2}",
        "w:a:1 got {'n': 3}",
    ]


async def test_signals_are_for_tasks_of_workflows(system: ActorSystem) -> None:
    ann = await Worker.start(system, World(), name="ann")
    steps = {"steps": ["signal ok"]}
    with pytest.raises(TaskFailed, match="belongs to no workflow"):
        await ann.execute_task(Task(input_data=steps))
    with pytest.raises(TaskFailed, match="there is no workflow 'nobody'"):
        await ann.execute_task(Task(input_data=steps, workflow_id="nobody"))


async def test_signals_that_nobody_waits_for_are_bounded(system: ActorSystem) -> None:
    run = await started(system, Approval("go"))
    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(run.signal, "nobody")
    with pytest.raises(TooManySignals, match="keeps 100 signals"):
        await run.signal("nobody")


async def test_a_state_manager_reads_the_same_rows_and_leaves_them_alone(system: ActorSystem) -> None:
    await Worker.start(system, World(), name="ann")
    run = await started(system, does("a", "x"), does("b", "y", after=["a"]), Approval("go", after=["a", "b"]))
    while (await run.state()).current_step < 2:  # noqa: ASYNC110 - as above
        await anyio.sleep(1)
    states = StateManager(system)

    found = await states.get_workflow("w")
    assert found is not None
    assert (found.status, found.current_step, found.total_steps, found.owner) == (
        "running",
        2,
        3,
        "workflow/w",
    )
    assert found.execution_history == await run.history() == await states.get_workflow_history("w")
    steps = await states.list_workflow_steps("w")
    assert [(step.name, step.depends_on) for step in steps] == [("a", []), ("b", ["a"]), ("go", ["a", "b"])]
    assert await states.waits_for("w", "go") == []
    changes = await states.get_status_history(workflow_id="w")
    assert [(change.old, change.new, change.actor) for change in changes] == [
        (None, "pending", "workflow/w"),
        ("pending", "running", "workflow/w"),
    ]
    with pytest.raises(OwnedByActor):
        await states.update_workflow("w", {"status": "failed"})


async def test_what_is_too_large_or_too_much_is_refused_at_the_call(system: ActorSystem) -> None:
    workflows = Workflows(system)
    with pytest.raises(InvalidWorkflow, match="has 1,001 steps"):
        Workflow("w", steps=[Delay(f"d{number}", 0) for number in range(1_001)])
    large = Workflow("w", steps=[Step("a", "x", input_data={"text": "x" * 5_000_000})])
    with pytest.raises(InvalidArgument, match="has 5,000"):
        await workflows.start(large)
    run = await workflows.start(Workflow("w", steps=[Approval("go")]))
    with pytest.raises(InvalidArgument, match="65,536"):
        await run.signal("go", {"text": "x" * 70_000})
    with pytest.raises(InvalidArgument, match="bytes"):
        await workflows.start(Workflow("w", steps=[Approval("go")]), input_data={"text": "x" * 5_000_000})


async def test_results_that_are_too_large_together_fail_the_step_that_is_too_much(
    system: ActorSystem,
) -> None:
    await Worker.start(system, World(), name="ann")
    big = {"big": ["do " + "x" * 900_000]}
    steps = [Step(f"s{number}", "do", inputs={"steps": "input.big"}) for number in range(12)]
    run = await started(system, *steps, input_data=big)
    with pytest.raises(WorkflowFailed, match="those of the workflow have"):
        await run.result()
    run = await Workflows(system).start(
        Workflow("w", steps=[Step("a", "do", inputs={str(n): "input" for n in range(6)})]), input_data=big
    )
    with pytest.raises(WorkflowFailed, match="its input"):
        await run.result()


async def test_a_long_workflow_is_not_slow(system: ActorSystem) -> None:
    run = await started(system, *(Delay(f"d{number}", 0, after=[]) for number in range(999)), Approval("go"))
    await run.signal("go")
    assert len(await run.result()) == 1_000


async def test_what_an_agent_has_against_a_task_fails_its_step(system: ActorSystem) -> None:
    class Choosy(Worker):
        reply_errors = (KeyError,)

        def check_task(self, task: Task) -> None:
            raise KeyError("no such colour")

    await Choosy.start(system, World(), name="ann")
    run = await started(system, does("a", "x", retry=Retry(3)))
    with pytest.raises(WorkflowFailed, match="no such colour"):
        await run.result()
    assert (await run.steps())[0].attempts == 1


async def test_what_an_agent_refuses_is_said_once(system: ActorSystem) -> None:
    await FrontendDeveloperAgent.start(system, name="ann")
    with pytest.raises(WorkflowFailed) as caught:
        await (await started(system, Step("a", "html"))).result()
    assert str(caught.value).count("has no sandbox tool") == 1


@pytest.mark.parametrize("nothing", [None, "shop", 5])
async def test_what_is_no_system_is_refused_by_its_type(nothing: Any) -> None:
    with pytest.raises(InvalidArgument, match="takes the ActorSystem, not"):
        Workflows(nothing)
    with pytest.raises(InvalidArgument, match=r"Worker\.start takes the ActorSystem, not"):
        await Worker.start(nothing, World())


async def test_a_signal_is_for_who_still_waits_and_not_for_who_has_gone_on(system: ActorSystem) -> None:
    class Impatient(Worker):
        async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
            with anyio.move_on_after(60):
                await self.signal("go")
            self.world.log(f"{task.task_id} went on")
            await self.world.gate(task.task_id)()
            got = await self.signal("go")
            self.world.log(f"{task.task_id} got {got}")
            yield {"status": "completed", "progress": 100, "result": got}

    world = World()
    for name in ("ann", "bob"):
        await Impatient.start(system, world, name=name)
    run = await started(system, does("a", after=[]), does("b", after=[]))
    for name in "ab":
        await world.log.until(f"w:{name}:1 went on")
    world.gate("w:b:1").open.set()
    await world.gate("w:b:1").reached.wait()
    await run.signal("go", {"for": "b"})
    await world.log.until("w:b:1 got {'for': 'b'}")
    assert (await run.steps())[0].status == "running"
    world.gate("w:a:1").open.set()
    await run.signal("go", {"for": "a"})
    assert {step: result["result"] for step, result in (await run.result()).items()} == {
        "a": {"for": "a"},
        "b": {"for": "b"},
    }


class Waiter(Worker):
    """Waits for a signal as long as it likes, by a scope of its own, and then at a gate."""

    task_timeout_seconds = 60

    async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
        with anyio.move_on_after(5):
            await self.signal("go")
        self.world.log("went on")
        await self.world.gate("late")()
        yield {"status": "completed", "progress": 100}


@pytest.fixture
async def narrow() -> AsyncGenerator[ActorSystem, None]:
    """A system where one task is at work at a time."""
    with anyio.fail_after(1_000_000):
        async with ActorSystem(
            "shop", store=MemoryStore(), settings=Settings(max_concurrent_agents=1)
        ) as system:
            yield system


async def test_a_task_that_gives_up_a_wait_has_its_time_limit_and_its_place_again(
    narrow: ActorSystem,
) -> None:
    world = World()
    await Waiter.start(narrow, world, name="ann")
    places = crew_of(runtime_of(narrow, "test")).places
    run = await started(narrow, does("a"))
    await world.gate("late").reached.wait()
    assert places.borrowed_tokens == 1
    with pytest.raises(WorkflowFailed, match="60"):
        await run.result()
    await anyio.wait_all_tasks_blocked()
    assert places.borrowed_tokens == 0


async def test_a_task_that_gives_up_a_wait_goes_on_when_there_is_a_place(narrow: ActorSystem) -> None:
    world = World()
    await Waiter.start(narrow, world, name="ann")
    bob = await Worker.start(narrow, world, "other", name="bob")
    run = await started(narrow, does("a"))
    await anyio.sleep(1)
    await bob.execute_task(Task(task_id="own", input_data={"steps": ["wait own"]}), "background")
    await world.gate("own").reached.wait()
    await anyio.sleep(1000)
    assert "went on" not in world.log
    world.gate("own").open.set()
    await world.log.until("went on")
    world.gate("late").open.set()
    await run.result()


@pytest.mark.parametrize("end", ["cancel", "kill"])
async def test_a_task_that_waits_for_its_place_again_can_be_ended(narrow: ActorSystem, end: str) -> None:
    world = World()
    ann = await Waiter.start(narrow, world, name="ann")
    bob = await Worker.start(narrow, world, "other", name="bob")
    await started(narrow, does("a"))
    await anyio.sleep(1)
    await bob.execute_task(Task(task_id="own", input_data={"steps": ["wait own"]}), "background")
    await world.gate("own").reached.wait()
    await anyio.sleep(10)
    if end == "cancel":
        assert await ann.cancel_execution()
    else:
        await ann.ref.kill()
        assert (await ann.describe()).current_task == "w:a:1"
    assert "went on" not in world.log


async def test_a_task_beside_the_steps_that_is_cancelled_takes_no_signal_with_it(system: ActorSystem) -> None:
    world = World()
    beside = await Worker.start(system, world, "other", name="beside")
    run = await started(system, does("a", "signal go"))
    await beside.execute_task(
        Task(task_id="own", workflow_id="w", input_data={"steps": ["signal go"]}), "background"
    )
    await world.log.until("own from 0")
    await anyio.sleep(1)
    assert await beside.cancel_execution("own")

    await Worker.start(system, world, name="ann")
    await run.signal("go", {"n": 1})
    await run.result()
    assert "w:a:1 got {'n': 1}" in [*world.log]


async def test_names_that_look_like_those_of_compensations_are_other_tasks(system: ActorSystem) -> None:
    world = World()
    await Worker.start(system, world, name="ann")
    undo = Compensation(input_data={"steps": ["undone"]})
    with pytest.raises(WorkflowFailed):
        await (await started(system, does("a", "x", compensate=undo), does("b", "fail it"))).result()

    other = await Workflows(system).start(Workflow("w", steps=[does("undo", "y")]), workflow_id="w:a")

    assert (await other.result())["undo"]["artifacts"] == ["y"]
    assert [line for line in world.log if "undo" in line and "from" not in line] == [
        "w:a/undo:1 undone",
        "w:a:undo:1 y",
    ]


@pytest.mark.parametrize("seconds", [1e10, 10**400, float("inf")])
async def test_a_wait_for_a_signal_that_no_clock_could_end_fails_the_task(
    system: ActorSystem, seconds: float
) -> None:
    class Patient(Worker):
        async def stream_execution(self, task: Task) -> AsyncGenerator[dict[str, Any], None]:
            yield await self.signal("go", seconds)

    await Patient.start(system, World(), name="ann")
    with pytest.raises(WorkflowFailed, match="InvalidArgument: timeout"):
        await (await started(system, does("a"))).result()

"""The models check and convert whatever they are made of, and name what they refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.agents.fields import Model, check_id
from sentient_core.agents.models import (
    AgentState,
    StateCheckpoint,
    StatusChange,
    Task,
    TaskExecution,
    TaskExecutionMode,
    WorkflowState,
    WorkflowStep,
)
from sentient_core.agents.statuses import AgentStatus, StatusKind, TaskStatus, WorkflowStatus
from sentient_core.errors import InvalidArgument, InvalidField, UnstorableValue

MODELS: list[type[Model]] = [
    AgentState,
    StateCheckpoint,
    StatusChange,
    Task,
    TaskExecution,
    WorkflowState,
    WorkflowStep,
]

LEAST: dict[type[Model], dict[str, Any]] = {
    AgentState: {"agent_id": "a", "name": "A"},
    StateCheckpoint: {"agent_id": "a"},
    StatusChange: {"subject": "task", "subject_id": "t", "new": "running"},
    Task: {},
    TaskExecution: {"agent_id": "a"},
    WorkflowState: {},
    WorkflowStep: {"workflow_id": "w", "name": "build"},
}


@pytest.mark.parametrize("model", MODELS)
def test_every_field_has_a_rule(model: type[Model]) -> None:
    assert set(model.rules) == set(model.__struct_fields__)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_made_of_its_own_dict_again(model: type[Model]) -> None:
    made = model.from_dict(LEAST[model])

    assert model.from_dict(made.to_dict()) == made
    assert made.to_dict() == made.dict() == made.model_dump()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=model) == made
    assert model.from_dict(made) is made


def test_the_least_has_the_defaults_of_the_design() -> None:
    agent, workflow, task = AgentState(agent_id="a", name="A"), WorkflowState(), Task()

    assert (agent.status, agent.capabilities, agent.current_task) == ("idle", [], None)
    assert (agent.execution_context, agent.checkpoints) == ({}, [])
    assert (workflow.status, workflow.current_step, workflow.total_steps) == ("pending", 0, 0)
    assert (workflow.agent_states, workflow.execution_history, workflow.metadata) == ({}, [], {})
    assert (task.description, task.input_data, task.workflow_id) == ("", {}, None)
    assert str(UUID(task.task_id)) == task.task_id
    assert workflow.workflow_id != WorkflowState().workflow_id
    assert abs(agent.created_at - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "status", ["running", WorkflowStatus.RUNNING, TaskStatus.RUNNING], ids=["text", "workflow", "task"]
)
def test_a_plain_status_becomes_the_member_and_stays_equal_to_its_text(status: str) -> None:
    made = AgentState(agent_id="a", name="A", status=status)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    assert made.status is AgentStatus.RUNNING
    assert str(made.status) == made.status == status == "running"
    assert made.to_dict()["status"] == "running"
    assert type(made.to_dict()["status"]) is str


@pytest.mark.parametrize(
    ("model", "fields", "says"),
    [
        (AgentState, {"status": "bogus"}, "AgentState.status is 'bogus'; it can be 'pending', 'idle', "),
        (AgentState, {"status": "runing"}, "Did you mean 'running'?"),
        (AgentState, {"status": None}, "AgentState.status is None; it can be"),
        (AgentState, {"agent_id": ""}, "AgentState.agent_id has 0 characters; an id has 1 to 1,000"),
        (AgentState, {"agent_id": "x" * 1001}, "AgentState.agent_id has 1,001 characters"),
        (AgentState, {"agent_id": 5}, "AgentState.agent_id is 5; an id is text"),
        (AgentState, {"capabilities": "coding"}, "AgentState.capabilities is 'coding'; it must be a list"),
        (AgentState, {"capabilities": [1]}, "AgentState.capabilities is 1; it must be text"),
        (AgentState, {"execution_context": []}, "AgentState.execution_context is []; it must be a dict"),
        (AgentState, {"created_at": 17}, "AgentState.created_at is 17; it must be a datetime"),
        (AgentState, {"created_at": "soon"}, "AgentState.created_at is 'soon', which is no time"),
        (AgentState, {"capabilites": []}, "AgentState.capabilites is no field of it. Did you mean 'capabil"),
        (WorkflowState, {"current_step": -1}, "WorkflowState.current_step is -1; it must be an integer"),
        (WorkflowState, {"current_step": True}, "WorkflowState.current_step is True; it must be an integer"),
        (WorkflowState, {"total_steps": 1.5}, "WorkflowState.total_steps is 1.5; it must be an integer"),
        (WorkflowState, {"current_step": 6, "total_steps": 5}, "current_step is 6, and total_steps 5"),
        (WorkflowState, {"agent_states": {"a": 1}}, "WorkflowState.agent_states has no dict for 'a'"),
        (
            WorkflowState,
            {"execution_history": [1]},
            "WorkflowState.execution_history is 1; it must be a dict",
        ),
        (
            TaskExecution,
            {"mode": "eager"},
            "TaskExecution.mode is 'eager'; it can be 'blocking', 'streaming'",
        ),
        (
            TaskExecution,
            {"progress": 101},
            "TaskExecution.progress is 101; it must be a number from 0 to 100",
        ),
        (TaskExecution, {"progress": float("nan")}, "TaskExecution.progress is nan"),
        (TaskExecution, {"output_data": "x"}, "TaskExecution.output_data is 'x'; it must be a dict"),
        (Task, {"description": None}, "Task.description is None; it must be text"),
        (Task, {"workflow_id": ""}, "Task.workflow_id has 0 characters"),
        (StatusChange, {"subject": "robot"}, "StatusChange.subject is 'robot'; it can be 'agent', 'task'"),
    ],
)
def test_what_cannot_be_is_refused_by_the_fields_name(
    model: type[Model], fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidField) as caught:
        model.from_dict(LEAST[model] | fields)

    assert says in str(caught.value)
    assert caught.value.model == model.__name__
    assert caught.value.field in fields
    assert isinstance(caught.value, ValueError)


def test_a_missing_field_and_what_is_no_dict_are_said() -> None:
    with pytest.raises(InvalidField, match=r"AgentState\.name is missing"):
        AgentState.from_dict({"agent_id": "a"})
    with pytest.raises(InvalidArgument, match="AgentState is made of a dict of its fields, not of 'a'"):
        AgentState.from_dict("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidField, match="5 is no field"):
        AgentState.from_dict({5: 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"input_data": {"items": [1, {"price": float("nan")}]}}, "Task.input_data['items'][1]['price']"),
        ({"input_data": {"a": {1: 2}}}, "a key of Task.input_data['a']"),
        ({"description": "\ud800"}, "Task.description"),
        ({"task_id": "\ud800"}, "Task.task_id"),
    ],
)
def test_what_cannot_be_stored_is_refused_when_the_model_is_made(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(UnstorableValue) as caught:
        Task(**fields)

    assert caught.value.where == where


@pytest.mark.parametrize(
    "given",
    [
        datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001
        datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))),
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05Z",
        "2026-01-02T05:04:05+02:00",
    ],
)
def test_times_are_in_utc_and_those_without_a_zone_are_taken_for_that(given: Any) -> None:
    made = WorkflowState(created_at=given)

    assert made.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert made.created_at.tzinfo is UTC


def test_a_task_has_its_fields_in_order_and_its_payload_is_its_own() -> None:
    data = {"items": [1]}
    id_ = uuid4()
    task = Task(id_, "Build", data, "w")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    data["items"].append(2)

    assert task.to_dict() == {
        "task_id": str(id_),
        "description": "Build",
        "input_data": {"items": [1]},
        "workflow_id": "w",
    }
    task.to_dict()["input_data"]["items"].append(3)
    assert task.input_data == {"items": [1]}


def test_steps_may_go_on_where_nobody_has_said_how_many_there_are() -> None:
    assert WorkflowState(current_step=7).current_step == 7


def test_some_fields_are_checked_by_themselves() -> None:
    assert AgentState.check_fields({"status": "running"}) == {"status": AgentStatus.RUNNING}
    with pytest.raises(InvalidField, match=r"AgentState\.status"):
        AgentState.check_fields({"status": "bogus"})


@pytest.mark.parametrize("id_", ["x'; REMOVE TABLE agent_state; --", "⟨a:1⟩ $p {json: true}", " ", "a\x00\n"])
def test_an_id_may_be_any_text(id_: str) -> None:
    assert check_id(id_, "workflow_id") == id_


@pytest.mark.parametrize("id_", ["", None, 7, b"x", "\udc80", "x" * 1001])
def test_what_is_no_id_is_refused(id_: object) -> None:
    with pytest.raises(InvalidArgument, match="workflow_id"):
        check_id(id_, "workflow_id")


@given(
    st.builds(
        TaskExecution,
        agent_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
        mode=st.sampled_from(TaskExecutionMode),
        status=st.sampled_from([*TaskStatus, *(str(status) for status in TaskStatus)]),
        progress=st.integers(0, 100) | st.floats(0, 100),
        output_data=st.none() | st.dictionaries(st.text("abc", max_size=3), st.integers(0, 9), max_size=2),
    )
)
def test_whatever_is_accepted_is_accepted_again(made: TaskExecution) -> None:
    assert TaskExecution.from_dict(made.to_dict()) == made


def test_kinds_of_statuses_are_their_text() -> None:
    assert StatusChange(subject="task", subject_id="t", new="running").subject is StatusKind.TASK  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

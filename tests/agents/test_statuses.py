"""The one state machine of agents, tasks and workflows: what may follow what, and how a refusal reads."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.agents.statuses import (
    TRANSITIONS,
    AgentStatus,
    Status,
    StatusKind,
    TaskStatus,
    WorkflowStatus,
    check_transition,
    is_final,
    status_of,
)
from sentient_core.errors import IllegalTransition, InvalidArgument

MEMBERS: dict[StatusKind, list[Status]] = {
    StatusKind.AGENT: list(AgentStatus),
    StatusKind.TASK: list(TaskStatus),
    StatusKind.WORKFLOW: list(WorkflowStatus),
}

kinds = st.sampled_from(StatusKind)
pairs = kinds.flatmap(
    lambda kind: st.tuples(st.just(kind), st.sampled_from(MEMBERS[kind]), st.sampled_from(MEMBERS[kind]))
)


@given(pairs)
def test_what_the_table_has_is_allowed_and_nothing_else(pair: tuple[StatusKind, Status, Status]) -> None:
    kind, old, new = pair

    if new is old or new in TRANSITIONS[kind][old]:
        check_transition(kind, old, new)
        check_transition(kind.value, old.value, new.value)
    else:
        with pytest.raises(IllegalTransition) as caught:
            check_transition(kind, old, new)
        assert (caught.value.kind, caught.value.old, caught.value.new) == (kind, old, new)
        assert set(caught.value.allowed) == TRANSITIONS[kind][old]
        assert repr(old.value) in str(caught.value)
        assert repr(new.value) in str(caught.value)


@given(kinds)
def test_every_status_has_its_place_in_the_table_and_can_be_reached(kind: StatusKind) -> None:
    table = TRANSITIONS[kind]
    assert set(table) == set(MEMBERS[kind])

    reached: set[Status] = {MEMBERS[kind][0]}
    while more := {after for status in reached for after in table[status]} - reached:
        reached |= more

    assert reached == set(MEMBERS[kind])
    assert all(status not in after for status, after in table.items()), "staying is no transition"


@given(pairs)
def test_what_is_final_has_no_way_out_and_from_all_else_work_can_end(
    pair: tuple[StatusKind, Status, Status],
) -> None:
    kind, status, _ = pair

    if kind is StatusKind.AGENT:
        assert not is_final(kind, status)  # the next task, or a restore
    else:
        assert is_final(kind, status) == (status in ("completed", "failed", "cancelled"))
        if not is_final(kind, status):
            assert TRANSITIONS[kind][status] >= {"failed", "cancelled"}


@pytest.mark.parametrize(
    ("kind", "life"),
    [
        ("agent", "pending idle running completed running paused running idle"),  # cancelled at the end
        ("agent", "idle running failed running completed idle"),
        ("agent", "idle running paused idle"),
        ("task", "pending running paused running completed"),
        ("task", "pending cancelled"),
        ("task", "pending running paused cancelled"),
        ("workflow", "pending running failed"),
    ],
)
def test_the_lives_of_the_design_are_legal(kind: str, life: str) -> None:
    for old, new in pairwise(life.split()):
        check_transition(kind, old, new)


@pytest.mark.parametrize(
    ("kind", "old", "new", "says"),
    [
        ("task", "completed", "running", "a task that is 'completed' cannot become 'running'; it stays so"),
        ("workflow", "cancelled", "paused", "a workflow that is 'cancelled' cannot become 'paused'"),
        (
            "agent",
            "failed",
            "paused",
            "an agent that is 'failed' cannot become 'paused'; it may become 'idle'",
        ),
        ("agent", "paused", "completed", "it may become 'failed' or 'idle' or 'running'"),
    ],
)
def test_a_refusal_names_both_and_what_is_allowed(kind: str, old: str, new: str, says: str) -> None:
    with pytest.raises(IllegalTransition) as caught:
        check_transition(kind, old, new)

    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "status", "says"),
    [
        ("agent", "cancelled", "'cancelled' is no status of an agent; it can be 'pending', 'idle', "),
        ("task", "idle", "'idle' is no status of a task; it can be 'pending', 'running', "),
        ("workflow", "bogus", "'bogus' is no status of a workflow"),
        ("robot", "idle", "kind is 'robot'; it can be 'agent', 'task', 'workflow'"),
        ("task", None, "None is no status"),
        ("task", ["running"], "is no status"),
    ],
)
def test_what_is_no_status_is_said(kind: str, status: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says.replace("?", "\\?")):
        status_of(kind, status)


def test_a_status_is_its_plain_text() -> None:
    assert (AgentStatus.RUNNING, f"{TaskStatus.RUNNING}") == ("running", "running")
    assert status_of("task", "running") is TaskStatus.RUNNING

"""Workflows are checked when they are made: what can never work is refused before anything is written."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sentient_core.agents.workflows.definition import Approval, Compensation, Delay, Retry, Step, Workflow
from sentient_core.errors import (
    DependencyCycle,
    InvalidArgument,
    InvalidField,
    InvalidWorkflow,
    UnstorableValue,
)


def flow(*steps: Any) -> Workflow:
    return Workflow("release", steps=list(steps))


def test_a_step_that_says_nothing_waits_for_the_one_before_it() -> None:
    made = flow(
        Step("a", "x"), Step("b", "x"), Step("c", "x", after=["a"]), Step("d", "x", after=[]), Delay("e", 1)
    )
    assert made.after == {"a": (), "b": ("a",), "c": ("a",), "d": (), "e": ("d",)}


def test_it_comes_back_from_its_bytes_and_from_plain_data_as_it_was() -> None:
    made = flow(
        Step("a", "x", retry=Retry(3), compensate=Compensation(inputs={"it": "a.url"})),
        Approval("go", timeout=5),
        Delay("rest", 2.5),
        Step("b", agent="shop/bob", inputs={"all": "a", "one": "a.list.0", "title": "input.title"}),
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Workflow) == made
    assert Workflow.from_dict(made.to_dict()) == made


def test_plain_data_names_the_kind_of_a_step_that_is_no_task() -> None:
    steps = [{"name": "a", "capability": "x", "retry": {"attempts": 2}}, {"kind": "approval", "name": "go"}]
    made = Workflow.from_dict({"name": "release", "steps": steps})
    assert made == flow(Step("a", "x", retry=Retry(2)), Approval("go"))


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([], "nothing to do"),
        ([Step("a", "x"), Delay("a", 1)], "two steps named 'a'"),
        ([Step("build", "x"), Step("b", "x", after=["biuld"])], "Did you mean 'build'"),
        ([Step("a", "x"), Step("b", "x", after=[], inputs={"it": "a.url"})], "gives the step .b."),
        ([Step("a", "x", inputs={"it": "a.url"})], "no step that is completed before it"),
        ([Step("a", "x", compensate=Compensation(inputs={"it": "b"})), Step("b", "x")], "'b' is no step"),
    ],
)
def test_steps_that_do_not_fit_together_are_refused(steps: list[Any], says: str) -> None:
    with pytest.raises(InvalidWorkflow, match=says):
        flow(*steps)


def test_steps_that_wait_for_each_other_are_named() -> None:
    with pytest.raises(DependencyCycle) as caught:
        flow(Step("a", "x", after=["c"]), Step("b", "x"), Step("c", "x"))
    assert caught.value.cycle == ("a", "c", "b", "a")
    with pytest.raises(DependencyCycle):
        flow(Step("a", "x", after=["a"]))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Step("a"), "nobody would do 'a'"),
        (lambda: Step("a", "x", agent="bob"), "Step.agent of .a. is given"),
        (lambda: Step("", "x"), "a name has 1 to"),
        (lambda: Step("a.b", "x"), "none of"),
        (lambda: Step("input", "x"), "stands for"),
        (lambda: Step("a", "x", timeout=0), "None is for no limit"),
        (lambda: Step("a", "x", timeout=float("nan")), "must be a number"),
        (lambda: Step("a", "x", inputs={"it": "b..c"}), "a path is"),
        (lambda: Step("a", "x", retry=Retry(0)), "never tried"),
        (lambda: Retry(True), "must be an integer"),
        (lambda: Retry(3, unless="ValueError"), "Retry.unless is 'ValueError'; it must be a list"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        (lambda: Delay("a", -1), "must be a number from 0"),
        (lambda: Approval("a", timeout=0), "Approval.timeout of .a. is 0"),
        (lambda: Compensation("x", "bob"), "Compensation.agent is given"),
        (lambda: Compensation("x", timeout=0), "of a compensation is 0"),
        (lambda: Delay("a", 1e300), "Delay.seconds is 1e.300; it can be 1e.09 seconds"),
        (lambda: Delay("a", 10**400), "Delay.seconds is 1000.*a number from 0"),
        (lambda: Step("a", "x", timeout=2e9), "Step.timeout .* at most"),
        (lambda: Approval("a", timeout=10**30), "Approval.timeout .* at most"),
        (lambda: Retry(2, backoff=1e10), "Retry.backoff .* at most"),
        (lambda: Retry(2, longest=1e300), "Retry.longest .* at most"),
        (lambda: Retry(2, factor=10**400), "Retry.factor .* from 0"),
        (lambda: Workflow("", steps=[Delay("a", 1)]), "is empty"),
        (lambda: flow("a"), "can hold Step, Approval and Delay"),
        (lambda: flow({"kind": "party", "name": "a"}), "the kinds are step, approval, delay"),
        (lambda: flow({"name": "a", "capabilty": "x"}), "Did you mean 'capability'"),
        (lambda: Workflow.from_dict({"name": "w", "step": []}), "Did you mean 'steps'"),
    ],
)
def test_a_value_that_a_field_cannot_have_is_refused_with_its_name(make: Any, says: str) -> None:
    with pytest.raises(InvalidField, match=says):
        make()


@pytest.mark.parametrize("bad", [{1: 2}, {"a": {1, 2}}, {"a": 2**63}, {"a": float("inf")}, {"a": "\ud800"}])
def test_input_data_that_no_store_can_hold_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Step("a", "x", input_data=bad)
    assert isinstance(caught.value, UnstorableValue | InvalidField)


def test_waits_between_attempts_grow_up_to_the_longest() -> None:
    retry = Retry(10, backoff=1, factor=3, longest=20)
    assert [retry.wait_after(attempt) for attempt in (1, 2, 3, 4, 5000)] == [1, 3, 9, 20, 20]
    assert Retry(2, backoff=0).wait_after(5000) == 0
    steep = Retry(10, factor=1e200, longest=20)
    assert [steep.wait_after(attempt) for attempt in (1, 2, 3, 4)] == [1, 20, 20, 20]
    assert Retry(2, backoff=0, factor=1e200).wait_after(3) == 0

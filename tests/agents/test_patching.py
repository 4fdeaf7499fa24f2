"""Updates of a model: fields, and JSON Patches, applied as a whole or named where they cannot be."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.agents.models import WorkflowState
from sentient_core.agents.patching import apply_patch, check_updates, touches, updated
from sentient_core.errors import InvalidArgument, InvalidField, InvalidPatch, UnstorableValue

values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=2),
    max_leaves=6,
)
places = st.lists(st.sampled_from(["a", "b", "0", "1", "-", ""]), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
operations = st.one_of(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "replace", "test"]), "path": places, "value": values}
    ),
    st.fixed_dictionaries({"op": st.just("remove"), "path": places}),
    st.fixed_dictionaries({"op": st.sampled_from(["move", "copy"]), "path": places, "from": places}),
)


@given(st.dictionaries(st.text("ab", max_size=1), values, max_size=3), st.lists(operations, max_size=4))
def test_a_patch_is_applied_or_names_what_cannot_be_and_leaves_what_was_given(
    document: dict[str, Any], patch: list[dict[str, Any]]
) -> None:
    before, given_patch = copy.deepcopy(document), copy.deepcopy(patch)

    by_one: Any = document
    failing: int | None = None
    for index, operation in enumerate(patch):
        try:
            by_one = apply_patch(by_one, [operation])
        except InvalidPatch:
            failing = index
            break

    if failing is None:
        assert apply_patch(document, patch) == by_one
    else:
        with pytest.raises(InvalidPatch) as caught:
            apply_patch(document, patch)
        assert (caught.value.index, caught.value.operation) == (failing, patch[failing])
    assert (document, patch) == (before, given_patch)


@pytest.mark.parametrize(
    ("operation", "says"),
    [
        ({"op": "remove", "path": "/metadata/b"}, "can't remove a non-existent object 'b'"),
        ({"op": "test", "path": "/metadata/a", "value": True}, "is not equal to tested value True"),
        ({"op": "add", "path": "/metadata/list/7", "value": 1}, "can't insert outside of list"),
        ({"op": "add", "path": "/no/where", "value": 1}, "not found"),
        ({"op": "grow", "path": "/metadata"}, "Unknown operation 'grow'"),
        ({"op": "add", "path": "metadata", "value": 1}, "must start with /"),
        ({"op": "add", "path": "/metadata/x"}, "'value'"),
        ({"path": "/metadata"}, "'op'"),
        ("remove it", "no dict"),
    ],
)
def test_an_operation_that_cannot_be_applied_is_named(operation: Any, says: str) -> None:
    workflow = WorkflowState(metadata={"a": 1, "list": []})
    patch = [{"op": "test", "path": "/metadata/a", "value": 1}, operation]

    with pytest.raises(InvalidPatch) as caught:
        updated(workflow, check_updates(WorkflowState, patch))

    assert caught.value.index == 1
    assert "operation 1 of the patch" in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("patch", "error", "says"),
    [
        ([{"op": "replace", "path": "/status", "value": "bogus"}], InvalidField, "status is 'bogus'"),
        ([{"op": "remove", "path": "/status"}], InvalidField, "status was removed by the patch"),
        ([{"op": "add", "path": "/colour", "value": "red"}], InvalidField, "colour is no field"),
        ([{"op": "replace", "path": "/current_step", "value": 9}], InvalidField, "current_step is 9"),
        ([{"op": "replace", "path": "", "value": [1]}], InvalidPatch, "leaves no object"),
        (
            [{"op": "add", "path": "/metadata/x", "value": {1}}],
            UnstorableValue,
            r"patch\[0\]\['value'\] is a set",
        ),
        ([{"op": "add", "path": "/metadata/x", "value": float("nan")}], UnstorableValue, "nan"),
        ("status=running", InvalidArgument, "a dict of fields or a list of JSON Patch operations"),
        (None, InvalidArgument, "a dict of fields or a list"),
        (7, InvalidArgument, "a dict of fields or a list"),
    ],
)
def test_what_would_leave_no_model_is_refused(patch: Any, error: type[Exception], says: str) -> None:
    workflow = WorkflowState(total_steps=5)

    with pytest.raises(error, match=says):
        updated(workflow, check_updates(WorkflowState, patch))


def test_a_patch_that_doubles_its_document_is_stopped() -> None:
    patch = [{"op": "copy", "from": "/metadata", "path": f"/metadata/{n}"} for n in range(60)]
    workflow = WorkflowState(metadata={"x": "x" * 1000})

    with pytest.raises(UnstorableValue):
        updated(workflow, check_updates(WorkflowState, patch))


TOUCHING: list[tuple[Any, bool]] = [
    ({"execution_history": []}, True),
    ({"status": "running"}, False),
    ([{"op": "add", "path": "/execution_history/-", "value": {}}], True),
    ([{"op": "copy", "from": "/execution_history", "path": "/metadata/x"}], True),
    ([{"op": "test", "path": "", "value": {}}], True),
    ([{"op": "add", "path": "/metadata/execution_history", "value": {}}], False),
    ([{"op": "add", "path": "/execution_historyless", "value": {}}], False),
    ([], False),
]


@pytest.mark.parametrize(("updates", "is_touched"), TOUCHING)
def test_it_is_known_whether_updates_look_at_a_field(updates: Any, is_touched: bool) -> None:
    assert touches(updates, "execution_history") == is_touched

"""Requests put together by hand are what cbor2 would have made; answers are checked as a whole."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.errors import InvalidArgument, StoreUnavailable
from sentient_core.store.fold import Placed
from sentient_core.store.rows import RowEncoder
from sentient_core.store.wire import (
    Conflict,
    RecordId,
    Refusal,
    Taken,
    array,
    bindable,
    moment_tag,
    number,
    numbers,
    read_plain,
    request,
    text,
)
from tests.store.samples import event


def answer(*statements: dict[str, Any]) -> bytes:
    return cbor2.dumps({"id": "1", "result": list(statements)})


@given(st.text() | st.text(min_size=20, max_size=30) | st.just("ü" * 200) | st.just("x" * 70_000))
def test_texts(value: str) -> None:
    assert text(value) == cbor2.dumps(value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers(value: int) -> None:
    assert number(value) == cbor2.dumps(value)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_pairs_of_numbers(first: int, second: int) -> None:
    assert cbor2.loads(b"\x82" + numbers(first, second)) == [first, second]


@given(st.integers(-(2**62), 2**62))
def test_times(nanoseconds: int) -> None:
    assert cbor2.loads(moment_tag(nanoseconds)).value in (
        list(divmod(nanoseconds, 10**9)),
        tuple(divmod(nanoseconds, 10**9)),
    )


def test_a_request_is_one_cbor_message() -> None:
    data = request("SELECT $a, $rows", {"a": 1, "rows": array([cbor2.dumps({"x": i}) for i in range(300)])})

    assert cbor2.loads(data) == {
        "id": "1",
        "method": "query",
        "params": ["SELECT $a, $rows", {"a": 1, "rows": [{"x": i} for i in range(300)]}],
    }


@given(
    st.integers(1, 2**40),
    st.integers(0, 5000),
    st.text(max_size=5),
    st.none() | st.text(max_size=5),
    st.none() | st.text(max_size=5),
    st.integers(0, 2**40),
    st.integers(-(2**60), 2**62),
)
def test_an_event_row(
    entry: int, index: int, source: str, target: str | None, workflow: str | None, seq: int, at: int
) -> None:
    record = event(
        seq, source=source, target=target, workflow_id=workflow, at=at, correlation=seq, causation=0
    )

    row = cbor2.loads(RowEncoder("bänk").event(Placed(entry, index, 3, record)), immutable=False)

    expected = {
        "id": ("agent_event", ("bänk", entry, index)),
        "event_id": f"3.{seq}",
        "event_type": "message_sent",
        "source_agent": source,
        "payload": {"amount": seq},
        "timestamp": tuple(divmod(at, 10**9)),
        "position": [entry, index],
        "incarnation": 1,
        "message_type": "Deposit",
    }
    if target is not None:
        expected["target_agent"] = target
    if seq:
        expected["correlation_id"] = f"3.{seq}"
    if workflow is not None:
        expected["workflow_id"] = workflow
    assert (row["id"].tag, row["timestamp"].tag) == (8, 12)
    row["id"] = (row["id"].value[0], tuple(row["id"].value[1]))
    row["timestamp"] = tuple(row["timestamp"].value)
    assert row == expected


def test_values_of_users_are_bound_with_the_engines_tags() -> None:
    bound: Any = bindable(
        {
            "big": 2**63,
            "id": RecordId("agent_state", ["bank", "a"]),
            "at": datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC),
            "span": timedelta(seconds=2, microseconds=3),
            "decimal": Decimal("1.5"),
            "uuid": UUID(int=1),
            "list": (1, None, True),
        }
    )

    tags = {key: (value.tag, value.value) for key, value in bound.items() if key != "list"}
    assert tags == {
        "big": (10, "9223372036854775808"),
        "id": (8, ["agent_state", ["bank", "a"]]),
        "at": (12, [1, 5000]),
        "span": (14, [2, 3000]),
        "decimal": (10, "1.5"),
        "uuid": (37, UUID(int=1).bytes),
    }
    assert bound["list"] == [1, None, True]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1: 2}, "only strings"),
        ({1, 2}, "a set"),
        (date(2026, 1, 1), "datetime"),
        (object(), "an? object"),
        (datetime(2026, 1, 1), "time zone"),  # noqa: DTZ001 - that is the point
    ],
    ids=["key", "set", "date", "object", "naive"],
)
def test_what_no_record_can_hold_cannot_be_bound(value: object, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        bindable({"x": [value]})


def test_every_statement_of_an_answer_is_checked() -> None:
    fine = {"status": "OK", "result": 1}
    consequence = {
        "status": "ERR",
        "kind": "Query",
        "result": "not executed",
        "details": {"kind": "NotExecuted"},
    }
    thrown = {"status": "ERR", "kind": "Thrown", "result": "An error occurred: fenced"}

    assert read_plain(answer(fine, fine)) == [1, 1]
    with pytest.raises(Refusal, match="fenced") as caught:
        read_plain(answer(fine, consequence, thrown, consequence))
    assert caught.value.kind == "Thrown"
    with pytest.raises(Refusal, match="not executed"):
        read_plain(answer(fine, consequence))
    full = "Cannot COMMIT: There was a problem with the key-value store: IO error: File too large"
    with pytest.raises(StoreUnavailable, match="cannot write: File too large"):
        read_plain(answer(fine, consequence, consequence, consequence | {"result": full}))
    with pytest.raises(Taken):
        read_plain(answer({"status": "ERR", "kind": "AlreadyExists", "result": "exists"}))
    with pytest.raises(Conflict):
        read_plain(answer({"status": "ERR", "kind": "Query", "result": "This transaction can be retried"}))
    with pytest.raises(Refusal, match="Parse error"):
        read_plain(cbor2.dumps({"id": "1", "error": {"kind": "Validation", "message": "Parse error: x"}}))


def test_results_are_plain_values() -> None:
    tag = cbor2.CBORTag
    values = [
        tag(6, None),
        tag(8, ["agent_state", ["bank", "a"]]),
        tag(9, "00000000-0000-0000-0000-000000000001"),
        tag(10, "1.5"),
        tag(12, [1, 5999]),
        tag(14, [2]),
        tag(37, UUID(int=1).bytes),
    ]

    (result,) = read_plain(answer({"status": "OK", "result": values}))

    assert result == [
        None,
        RecordId("agent_state", ("bank", "a")),
        UUID(int=1),
        Decimal("1.5"),
        datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC),
        timedelta(seconds=2),
        UUID(int=1),
    ]
    assert str(result[1]) == "agent_state:('bank', 'a')"


def test_a_refused_row_keeps_the_bytes() -> None:
    placed = Placed(1, 0, 1, event(1, {"odd": 1}))

    row = cbor2.loads(RowEncoder("bank").event(placed, "why"))

    assert row["payload"] == {"undecoded": msgspec.msgpack.encode({"odd": 1}), "refused": "why"}

"""Two histories compared: whatever is different in a turn is found, and the earliest of them is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sentient_core.testing import Diverged, GoldenTurn, Sent
from sentient_core.testing.history import compare

TURN = GoldenTurn(
    actor="alice",
    message_type="Deposit",
    message={"amount": 1},
    state={"balance": 1},
    sent=[Sent("ledger", "Booked", {"amount": 1})],
    reply=7,
)
OTHERS: dict[str, Any] = {
    "message_type": "Withdraw",
    "message": {"amount": 2},
    "outcome": "failed: ValueError",
    "state": {"balance": 2},
    "sent": [],
    "reply": 8,
}


def turn(actor: str, amount: int) -> GoldenTurn:
    return GoldenTurn(actor=actor, message_type="Deposit", message={"amount": amount})


def test_what_is_the_same_is_not_told() -> None:
    compare([TURN, turn("bob", 1)], [turn("bob", 1), TURN])  # turns of different actors are in no order


@pytest.mark.parametrize("field", sorted(OTHERS))
def test_whatever_is_another_thing_in_a_turn_is_shown(field: str) -> None:
    with pytest.raises(Diverged) as failed:
        compare([TURN], [msgspec.structs.replace(TURN, **{field: OTHERS[field]})])

    lines = str(failed.value).splitlines()
    assert f"  - {field}: {getattr(TURN, field)!r}" in lines
    assert f"  + {field}: {OTHERS[field]!r}" in lines


@pytest.mark.parametrize(("first", "second"), [("alice", "bob"), ("bob", "alice")])
def test_of_two_that_are_other_ones_the_earlier_is_told(first: str, second: str) -> None:
    golden = [turn("alice", 0), turn(first, 1), turn(second, 2)]
    new = [turn("alice", 0), turn(first, 8), turn(second, 9)]

    with pytest.raises(Diverged, match=f"of '{first}' is another one"):
        compare(golden, new)

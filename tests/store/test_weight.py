"""What a record counts for bounds the requests that write it: a server takes none that is too large."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.store.fold import fold
from sentient_core.store.records import (
    Accepted,
    AnyRecord,
    CheckpointKind,
    Entry,
    Forwarded,
    Noted,
    Settled,
    TimerGone,
    TimerSet,
    Tried,
)
from sentient_core.store.row_sql import writing
from sentient_core.store.row_values import row_change
from sentient_core.store.rows import RowEncoder
from sentient_core.store.settlement import row_changes
from sentient_core.store.tail import encode_entry
from sentient_core.store.wire import record_id, value
from tests.store.samples import NOW, answered, checkpoint, dead_letter, event, sent_as

SYSTEM = "a system with a name of usual length"


def rows_of(record: AnyRecord) -> int:
    """Bytes of what one record brings into the transaction that settles its window."""
    encoder = RowEncoder(SYSTEM)
    effect = fold([(7_000_000, Entry(1_000, (record,)))], 3)
    rows = [encoder.pending(pending) for pending in effect.pending.values()]
    rows += map(encoder.inbox_id, effect.settled)
    rows += (encoder.tries(key, tries) for key, tries in effect.tried.items())
    rows += (encoder.timer(timer) for timer in effect.timers.values() if timer is not None)
    rows += (value(record_id("timer", SYSTEM, *key)) for key, timer in effect.timers.items() if timer is None)
    states = (*effect.states.values(), *effect.deltas.values())
    rows += (encoder.checkpoint(placed) for placed in states)
    rows += (encoder.sent_id(key, outcome) for key, outcome in effect.ids.items())
    rows += (row for _, _, written in writing(SYSTEM, row_changes(effect, None)) for row in written)
    for key, memos in effect.memos.items():
        rows += (encoder.memo(key, name, outcome) for name, outcome in memos.items())
    for id_, letter in effect.letters.items():
        if letter.death is not None:
            rows.append(encoder.dead_letter(id_, letter, letter.death))
    lines = len(encoder.account(7_000_000, effect.accounts, NOW)) if effect.accounts else 0
    return sum(map(len, rows)) + lines


@given(
    path=st.integers(1, 800),
    other=st.integers(1, 800),
    words=st.integers(0, 3_000),
    kind=st.sampled_from(
        [
            "accepted", "accepted with an id", "asked", "answered", "forwarded", "noted", "settled", "tried",
            "timer", "timer gone", "state", "delta", "letter", "row", "edge",
        ]
    ),
)  # fmt: skip
def test_the_rows_of_a_record_are_at_most_twice_what_it_counts(
    path: int, other: int, words: int, kind: str
) -> None:
    to, of = "p" * path, "q" * other
    payload = msgspec.msgpack.encode("w" * words)
    sent = event(5_000_000, "w" * words, target=to, source=of)
    made: dict[str, AnyRecord] = {
        "accepted": Accepted(sent),
        "accepted with an id": Accepted(sent, sent_as=sent_as("i" * min(words, 500), to)),
        "asked": Accepted(sent, sent_as=sent_as("i" * 66, to, (of, 1_000, 5_000_000))),
        "answered": answered(5_000_000, sent_as("i" * 66, to, (of, 1_000, 5_000_000)), "w" * words),
        "forwarded": Forwarded(sent_as("i" * 66, to), of, NOW),
        "noted": Noted(to, 5_000_000, "k" * min(words, 500), payload, NOW),
        "settled": Settled(to, 5_000_000),
        "tried": Tried(to, 5_000_000, 3),
        "timer": TimerSet(to, "k" * words, NOW, 5, "Tick", payload),
        "timer gone": TimerGone(to, "k" * words),
        "state": checkpoint(to, 5, kind=CheckpointKind.STATE),
        "row": row_change("task_execution", (of,), {"message": "w" * words, "items": 2}, owner=to, at=NOW),
        "edge": row_change("spawned", (of, to), {"data": {"w": "w" * words}}, owner=to, at=NOW),
        "delta": checkpoint(to, 5, kind=CheckpointKind.DELTA, base="1000.5000000"),
        "letter": dead_letter(
            5_000_000, recipient=to, sender=of, payload=payload, cause="c" * words, was_pending=True
        ),
    }
    record = made[kind]

    # A message and a line of the books are a hundred bytes of names and numbers whatever there is in them.
    assert rows_of(record) <= 2 * record.weight + 100
    assert len(encode_entry(Entry(1, (record,)))) <= record.weight + 100


@pytest.mark.parametrize("count", [2_000])
def test_the_books_of_many_are_counted_with_them(count: int) -> None:
    records = tuple(Settled(f"shop/{number}", number) for number in range(count))
    effect = fold([(1, Entry(1, records))], 3)

    row = RowEncoder(SYSTEM).account(1, effect.accounts, NOW)
    assert len(row) <= sum(record.weight for record in records)

"""Folding a journal in windows gives what folding it at once gives."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sentient_core.store.fold import NOTHING, fold, merge
from sentient_core.store.outcomes import OutcomeKind
from sentient_core.store.records import (
    Accepted,
    AgentStatus,
    Answered,
    AnyPart,
    AnyRecord,
    CheckpointKind,
    Closed,
    DeadLetterRecord,
    Entry,
    Event,
    Forgotten,
    Forwarded,
    Key,
    LetterDiscarded,
    LetterRedriven,
    LetterStatus,
    Noted,
    Opened,
    Origin,
    RowChange,
    SentAs,
    Settled,
    TimerGone,
    TimerSet,
    Tried,
    Turn,
    flat,
    full_id,
    parts_of_id,
)
from sentient_core.store.row_effects import OF_STATUS
from sentient_core.store.row_values import fitting
from sentient_core.store.tail import decode_entry, encode_entry
from tests.store.samples import (
    accepted,
    answered,
    checkpoint,
    dead_letter,
    discarded,
    event,
    redriven,
    sent_as,
    status,
)

paths = st.sampled_from(["a", "a/b", "c"])
small = st.integers(0, 5)


def noted(key: Key, name: str) -> Noted:
    """Something that was done for a message."""
    path, epoch, seq = key
    return Noted(path, seq, name, b"\xc0", 1, epoch)


def settled(key: Key, has_memos: bool) -> Settled:
    """A message is handled."""
    path, epoch, seq = key
    return Settled(path, seq, epoch, has_memos)


def written(row: tuple[str, tuple[str, ...]], fields: dict[str, object], at: int, owner: str) -> RowChange:
    """An actor has written into a row."""
    table, key = row
    return RowChange(table, key, msgspec.msgpack.encode(fields), at, owner)


messages = st.tuples(st.sampled_from(["team/a", "team/b"]), st.integers(1, 2), small)
sent: st.SearchStrategy[SentAs] = st.builds(
    sent_as, st.sampled_from("xy"), asker=st.none() | messages, content=st.sampled_from([b"1", b"2"])
)

records: st.SearchStrategy[AnyRecord] = st.one_of(
    st.builds(accepted, small, st.none() | sent),
    st.builds(answered, small, sent, error=st.none() | st.just("ValueError")),
    st.builds(Forwarded, sent, st.just("c"), small),
    st.builds(noted, messages, st.sampled_from("pq")),
    st.builds(settled, messages, st.booleans()),
    st.builds(
        dead_letter, small, was_pending=st.just(True), has_memos=st.booleans(), sent_as=st.none() | sent
    ),
    st.builds(event, small),
    st.builds(status, paths, small, at=small),
    st.builds(
        status,
        paths,
        small,
        origin=st.sampled_from(Origin),
        is_over=st.booleans(),
        relations=st.sampled_from([(), ("spawned", "supervises")]),
    ),
    st.builds(Forgotten, paths),
    st.builds(checkpoint, paths, small, kind=st.sampled_from(CheckpointKind), incarnation=small),
    st.builds(dead_letter, small, attempts=small, epoch=st.integers(0, 2)),
    st.builds(redriven, small, small, st.integers(1, 2)),
    st.builds(discarded, small, epoch=st.integers(1, 2)),
    st.builds(Accepted, st.builds(event, small, target=paths)),
    st.builds(Settled, paths, small, st.integers(0, 2)),
    st.builds(Tried, paths, small, small, st.integers(0, 2)),
    st.builds(dead_letter, small, recipient=paths, was_pending=st.just(True)),
    st.builds(TimerSet, paths, st.sampled_from("xy"), small, small, st.just("Tick"), st.just(b"")),
    st.builds(TimerGone, paths, st.sampled_from("xy")),
    st.builds(
        written,
        st.sampled_from([("agent_state", ("a",)), ("task_execution", ("t",)), ("bogus", ("t",))]),
        st.dictionaries(st.sampled_from(["status", "kind", "data", "bogus"]), st.none() | st.just("x")),
        small,
        paths,
    ),
    st.builds(Opened, small, st.just("writer"), st.just(0)),
    st.just(Closed(0)),
)


def a_turn(state: AnyPart, settled: AnyPart, sent: list[AnyPart]) -> Turn:
    return Turn((state, settled, *sent))


turns = st.builds(
    a_turn,
    st.builds(checkpoint, paths, small, kind=st.just(CheckpointKind.STATE)),
    st.builds(Settled, paths, small),
    st.lists(st.builds(Accepted, st.builds(event, small, target=paths)), max_size=2),
)
records = records | turns
journals = st.lists(st.builds(Entry, small, st.lists(records, max_size=6).map(tuple)), max_size=8).map(
    lambda entries: list(enumerate(entries, start=1))
)


@given(journals, st.lists(st.integers(0, 8), max_size=4), st.integers(1, 3))
def test_windows_may_be_cut_anywhere(journal: list[tuple[int, Entry]], cuts: list[int], kept: int) -> None:
    bounds = [0, *sorted(cut for cut in cuts if cut <= len(journal)), len(journal)]

    effect = NOTHING
    for start, end in pairwise(bounds):
        effect = merge(effect, fold(journal[start:end], kept), kept)

    assert effect == fold(journal, kept)


@given(journals)
def test_restarts_are_the_most_that_was_ever_written(journal: list[tuple[int, Entry]]) -> None:
    restarts = fold(journal, 1).restarts

    written: dict[str, list[int]] = {}
    for _, entry in journal:
        for record in entry.records:
            if isinstance(record, AgentStatus) and record.restarts > 0:
                written.setdefault(record.path, []).append(record.restarts)
    assert restarts == {path: max(counts) for path, counts in written.items()}


@given(journals)
def test_every_event_is_kept_in_order(journal: list[tuple[int, Entry]]) -> None:
    effect = fold(journal, 1)

    places = [placed.position for placed in effect.events]
    assert places == sorted(places)
    written = [record for _, entry in journal for record in flat(entry.records)]
    assert [placed.record for placed in effect.events] == [
        record if isinstance(record, Event) else record.event
        for record in written
        if isinstance(record, Event | LetterRedriven | Accepted | Answered)
    ]


@given(journals)
def test_a_letter_is_what_the_last_record_about_it_says(journal: list[tuple[int, Entry]]) -> None:
    letters = fold(journal, 1).letters

    last: dict[str, AnyRecord] = {}
    deaths: dict[str, AnyRecord] = {}
    for _, entry in journal:
        for record in entry.records:
            if isinstance(record, DeadLetterRecord | LetterRedriven | LetterDiscarded):
                id_ = full_id(record.epoch or entry.epoch, record.seq)
                last[id_] = record
                if isinstance(record, DeadLetterRecord):
                    deaths[id_] = record
    assert letters.keys() == last.keys()
    for id_, record in last.items():
        letter = letters[id_]
        assert (None if letter.death is None else letter.death.record) == deaths.get(id_)
        if isinstance(record, DeadLetterRecord):
            assert (letter.status, letter.settled_at) == (LetterStatus.OPEN, None)
            assert (letter.attempts, letter.discard_reason) == (record.attempts, None)
        elif isinstance(record, LetterRedriven):
            assert (letter.status, letter.attempts) == (LetterStatus.REDRIVEN, record.attempts)
        elif isinstance(record, LetterDiscarded):
            assert (letter.status, letter.discard_reason) == (LetterStatus.DISCARDED, record.reason)


@given(st.text(max_size=8) | st.builds(full_id, st.integers(0), st.integers(0)))
def test_only_what_was_made_as_an_id_is_read_as_one(text: str) -> None:
    parts = parts_of_id(text)

    assert parts is None or full_id(*parts) == text


@given(st.integers(0, 2**59), st.integers(0, 2**59))
def test_an_id_is_read_back(epoch: int, seq: int) -> None:
    assert parts_of_id(full_id(epoch, seq)) == (epoch, seq)


@given(journals, st.integers(1, 3))
def test_only_the_newest_checkpoints_of_turns_are_left(journal: list[tuple[int, Entry]], kept: int) -> None:
    effect = fold(journal, kept)

    for path, placed in effect.turns.items():
        assert 1 <= len(placed) <= kept
        assert {at.record.path for at in placed} == {path}
        positions = [at.position for at in placed]
        assert positions == sorted(positions, reverse=True)


@given(journals, paths)
def test_nothing_is_left_of_a_path_that_is_forgotten_but_its_incarnation(
    journal: list[tuple[int, Entry]], path: str
) -> None:
    before = fold(journal, 3)

    effect = fold([*journal, (len(journal) + 1, Entry(1, (Forgotten(path),)))], 3)

    assert path in effect.forgotten
    left = (effect.agents, effect.turns, effect.states, effect.durables)
    assert not any(path in of_path for of_path in left)
    keys = [*effect.pending, *effect.settled, *effect.tried, *effect.timers]
    assert not any(key[0] == path for key in keys)
    assert not any(placed.record.path == path for placed in effect.named)
    assert effect.incarnations == before.incarnations
    others = {key for key in before.pending if key[0] != path}
    assert effect.pending.keys() == others


@given(journals)
def test_a_row_holds_what_was_written_into_each_field_last(journal: list[tuple[int, Entry]]) -> None:
    rows = fold(journal, 1).rows

    for (table, key), effect in rows.items():
        last: dict[str, object] = {}
        for _, entry in journal:
            for record in flat(entry.records):
                if isinstance(record, RowChange) and (record.table, record.key) == (table, key):
                    last |= fitting(table, key, record.fields) or {}
                elif isinstance(record, AgentStatus) and (table, key) == ("agent_state", (record.path,)):
                    last = {name: value for name, value in last.items() if name not in OF_STATUS}
                elif isinstance(record, Forgotten):
                    last = {} if effect.fields.get("owner") == record.path else last
        left = {name: value for name, value in effect.fields.items() if name != "owner"}
        assert left.items() <= last.items()
        if not any(isinstance(record, Forgotten) for _, entry in journal for record in entry.records):
            assert left == last


@given(st.lists(records, max_size=5).map(tuple))
def test_an_entry_survives_its_encoding(entry: tuple[AnyRecord, ...]) -> None:
    assert decode_entry(encode_entry(Entry(3, entry))) == Entry(3, entry)


def test_an_older_entry_is_readable() -> None:
    """Fields that were appended later take their defaults."""
    body = msgspec.msgpack.encode((1, [["a", "p", "n", "K", "", "running", 1, 0, 5]]))

    (record,) = decode_entry(body).records

    assert record == status("p", name="n", kind="K", at=5, capabilities=())


def test_a_letter_of_an_older_release_is_readable() -> None:
    """It knows of no tries, and of no redrive."""
    letter = ["d", 7, "a", "external", "Say", b"\x80", True, "failed", "why", 1, 5]

    (record,) = decode_entry(msgspec.msgpack.encode((1, [letter]))).records

    assert isinstance(record, DeadLetterRecord)
    assert (record.seq, record.at, record.epoch) == (7, 5, 0)
    assert (record.tries, record.traceback, record.state_digest, record.checkpoint_id) == (
        0,
        None,
        None,
        None,
    )


def test_a_clean_end_counts_until_the_next_start() -> None:
    opened, closed = Opened(1, "writer", 0), Closed(0)

    assert fold([(1, Entry(1, (opened, closed)))], 1).is_clean is True
    assert fold([(1, Entry(1, (opened, closed))), (2, Entry(2, (opened,)))], 1).is_clean is False
    assert fold([(1, Entry(1, (event(1),)))], 1).is_clean is None


def test_an_entry_that_the_release_before_wrote_reads_as_it_did() -> None:
    status_, letter, mark = decode_entry(OF_SCHEMA_2).records

    assert status_ == AgentStatus(
        path="a", name="a", kind="Counter", parent="", status="idle", incarnation=3, restarts=2, at=1_000
    )
    assert letter == DeadLetterRecord(
        seq=7,
        recipient="a",
        sender="external",
        message_type="Add",
        payload=b"\x81\xa6amount\x01",
        is_exact=True,
        reason="failed",
        cause="ValueError: no",
        attempts=1,
        at=2_000,
        incarnation=2,
        correlation=7,
    )
    assert mark == LetterDiscarded(4, 7, "closed", 3_000)
    effect = fold([(1, decode_entry(OF_SCHEMA_2))], kept_checkpoints=3)
    assert (effect.incarnations, effect.restarts) == ({"a": 3}, {"a": 2})
    assert effect.letters["4.7"].status is LetterStatus.DISCARDED


OF_SCHEMA_2 = bytes.fromhex(
    "9204939aa161a161a161a7436f756e746572a0a469646c650302cd03e8909ea16407a161a865787465726e616ca3416464c40981a6"
    "616d6f756e7401c3a66661696c6564ae56616c75654572726f723a206e6f01cd07d002070095a1780407a6636c6f736564cd0bb8"
)
"""Bytes of an entry as the last release with schema 2 encoded it."""


@given(journals)
def test_what_is_known_of_an_id_is_what_the_last_record_about_it_says(
    journal: list[tuple[int, Entry]],
) -> None:
    ids = fold(journal, 1).ids

    last: dict[tuple[str, str], OutcomeKind] = {}
    for _, entry in journal:
        for record in entry.records:
            sent_under = getattr(record, "sent_as", None)
            if sent_under is not None and sent_under.asker is None:
                last[sent_under.path, sent_under.id] = _kind(record)
    assert {key: outcome.kind for key, outcome in ids.items()} == last


@given(journals, messages)
def test_memos_go_with_the_settlement_of_their_message(
    journal: list[tuple[int, Entry]], key: tuple[str, int, int]
) -> None:
    path, epoch, seq = key
    end = (len(journal) + 1, Entry(1, (Settled(path, seq, epoch, has_memos=True),)))

    effect = fold([*journal, end], 1)

    assert key not in effect.memos
    assert key in effect.memos_gone or key not in effect.settled


def test_what_is_asked_and_settled_within_a_window_leaves_nothing() -> None:
    in_hand, asked = ("team/a", 1, 1), sent_as("x", asker=("team/a", 1, 1))
    entry = Entry(
        1,
        (
            accepted(1, target="team/a"),
            accepted(2, asked),
            answered(2, asked),
            Settled("team/b", 2),
            Noted("team/a", 1, "once pay", b"\xc0", 1),
            Settled("team/a", 1, has_memos=True),
        ),
    )

    effect = fold([(1, entry)], 1)

    assert effect.memos == {}
    assert effect.memos_gone == effect.settled == frozenset()
    assert in_hand not in effect.pending


def _kind(record: AnyRecord) -> OutcomeKind:
    if isinstance(record, Answered):
        return OutcomeKind.REPLY if record.error is None else OutcomeKind.ERROR
    if isinstance(record, Forwarded):
        return OutcomeKind.FORWARDED
    return OutcomeKind.PENDING if isinstance(record, Accepted) else OutcomeKind.DEAD

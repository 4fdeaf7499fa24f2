"""Taking ownership of a system's records, and finding what the start before it left.

A start takes the first free number of the journal with an entry marked `keep`, and raises the
system's epoch, in one transaction. That entry and the one before it are never deleted, so the next
number of whoever wrote until now stays taken for ever, and a commit of unknown outcome cannot be
made a second time at a number that was given free. On one database any number of starts may race:
each gets its own epoch and number.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from sentient_core.errors import StoreUnavailable
from sentient_core.logs import RuntimeLog, runtime_log
from sentient_core.store.engine import Engine
from sentient_core.store.fold import fold
from sentient_core.store.migrations import check_usable
from sentient_core.store.records import DurableActor, Entry, Opened, Origin
from sentient_core.store.tail import TailEntry, decode_entry, encode_entry
from sentient_core.store.wire import Refusal, Taken, record_id

__all__ = ["Start", "take_ownership"]

_MAKE = "INSERT IGNORE INTO ownership $row RETURN NONE; SELECT epoch, projected FROM ONLY $owner"
_CLAIM = """BEGIN;
LET $claimed = (UPDATE $owner SET epoch = $epoch WHERE epoch = $before AND projected < $number
    RETURN VALUE epoch);
IF array::len($claimed) != 1 { THROW 'another start was faster, or the owner has projected what looks free' };
CREATE $id SET body = $body, writer = $writer, keep = true, records = 1, weight = $weight RETURN NONE;
UPDATE $last SET keep = true RETURN NONE;
COMMIT;"""
# Every range is bounded: an open one runs to the end of the table.
_READ = "SELECT * FROM journal:[$system, $first]..=[$system, $last]"
_STATE = """SELECT projected, is_clean FROM ONLY $owner;
SELECT id, incarnation, restarts, kind, origin, is_over, is_forgotten
    FROM ownership:[$system, '']..=[$system, []];
SELECT id[1] AS path, count() AS pending FROM inbox:[$system, '']..=[$system, []] GROUP BY path;
SELECT id, due_at FROM timer:[$system, '']..=[$system, []]"""
# A server may do a request after its sender has given it up, tried again and seen the entry projected and
# deleted: what is then there is behind everything, read by nobody, and would stay for ever.
_LATE = "DELETE journal:[$system, 0]..=[$system, $projected] WHERE !keep AND !is_broken RETURN NONE"
_BROKEN = "UPDATE $id SET is_broken = true RETURN NONE"

_CLAIM_TRIES = 50
_CHUNK_BYTES = (1024 * 1024, 8 * 1024 * 1024)  # below: the next chunk doubles; above: it halves


class Start(msgspec.Struct, frozen=True):
    """What a start of a system owns and finds."""

    epoch: int
    number: int
    """Of its first journal entry, the one that took the ownership."""
    projected: int
    tail: list[TailEntry]
    """Committed and not projected, that first entry included."""
    known: Mapping[str, int]
    """Last incarnation by path."""
    restarts: Mapping[str, int]
    """How often it was restarted, by path; of paths that were."""
    pending: Mapping[str, int]
    """Messages that durable actors have accepted and not settled, by path."""
    timers_due: Mapping[str, int]
    """When the first of an actor's durable timers is due, in nanoseconds, by path."""
    durables: Mapping[str, DurableActor]
    """Durable actors, by path."""
    forgotten: frozenset[str]
    """Paths that were being forgotten: nothing of them is in the mappings above but their incarnations."""
    ended_cleanly: bool


async def take_ownership(engine: Engine, system: str, writer: str) -> Start:
    """Become the owner of a system's records.

    Raises StoreUnavailable and RestoreUnfinished, with nothing taken or with an epoch that nobody uses.
    """
    log = runtime_log(system)
    owner = record_id("ownership", system)
    for _ in range(_CLAIM_TRIES):
        _, found = await engine.query(
            _MAKE, {"owner": owner, "row": {"id": owner, "epoch": 0, "projected": 0, "is_clean": True}}
        )
        tail, number, is_whole = await _read_tail(engine, system, found["projected"], log)
        opened = Opened(found["epoch"] + 1, writer, time.time_ns())
        body = encode_entry(Entry(opened.epoch, (opened,)))
        try:
            await engine.query(
                _CLAIM,
                {
                    "owner": owner,
                    "before": found["epoch"],
                    "epoch": opened.epoch,
                    "number": number,
                    "id": record_id("journal", system, number),
                    "last": record_id("journal", system, number - 1),
                    "body": body,
                    "writer": writer,
                    "weight": opened.weight,
                },
                rows=1,
            )
        except Taken:
            continue  # whoever owns it until now committed meanwhile
        except Refusal as error:
            if error.kind == "Thrown":
                continue
            raise
        # A restore that found nobody here has put its mark down before it looked: one sees the other.
        await check_usable(engine)
        tail.append(TailEntry(number, body, 1, opened.weight, time.monotonic()))
        return await _started(engine, system, opened.epoch, number, tail, is_whole)
    raise StoreUnavailable(f"the records of '{system}' are being taken over by others again and again")


async def _started(
    engine: Engine, system: str, epoch: int, number: int, tail: list[TailEntry], is_whole: bool
) -> Start:
    # Read behind the claim: until then the owner before us may have projected some of the tail.
    state, incarnations, inboxes, timers = await engine.query(
        _STATE, {"owner": record_id("ownership", system), "system": system}
    )
    projected = int(state["projected"])
    await engine.query(_LATE, {"system": system, "projected": projected})
    tail = [entry for entry in tail if entry.number > projected]
    before = fold(((e.number, decode_entry(e.body)) for e in tail if e.number != number), 1)
    known = {str(row["id"].key[1]): int(row["incarnation"]) for row in incarnations if row.get("incarnation")}
    for path, incarnation in before.incarnations.items():
        known[path] = max(incarnation, known.get(path, 0))
    # Rows of an older release have no restarts.
    restarts = {str(row["id"].key[1]): int(row["restarts"]) for row in incarnations if row.get("restarts")}
    for path, count in before.restarts.items():
        restarts[path] = max(count, restarts.get(path, 0))
    pending = Counter({str(row["path"]): int(row["pending"]) for row in inboxes})
    pending.update(path for path, _, _ in before.pending)
    pending.subtract(path for path, _, _ in before.settled)
    due = {(str(row["id"].key[1]), str(row["id"].key[2])): int(row["due_at"]) for row in timers}
    for timer_key, timer in before.timers.items():
        if timer is None:
            due.pop(timer_key, None)
        else:
            due[timer_key] = timer.due_at
    first_due: dict[str, int] = {}
    for (path, _), at in due.items():
        first_due[path] = min(at, first_due.get(path, at))
    durables = {str(row["id"].key[1]): _durable(row) for row in incarnations if row.get("origin")}
    durables.update(before.durables)
    forgotten = {str(row["id"].key[1]) for row in incarnations if row.get("is_forgotten")} | before.forgotten
    for path in forgotten:
        for of_path in (pending, first_due, durables):
            of_path.pop(path, None)
    was_clean = bool(state["is_clean"]) if before.is_clean is None else before.is_clean
    return Start(
        epoch,
        number,
        projected,
        tail,
        known,
        restarts,
        +pending,
        first_due,
        durables,
        frozenset(forgotten),
        was_clean and is_whole,
    )


def _durable(row: Mapping[str, Any]) -> DurableActor:
    return DurableActor(row["kind"], Origin(row["origin"]), bool(row.get("is_over")))


async def _read_tail(
    engine: Engine, system: str, projected: int, log: RuntimeLog
) -> tuple[list[TailEntry], int, bool]:
    """The entries behind `projected`, the first free number, and whether all could be read."""
    tail: list[TailEntry] = []
    is_whole = True
    first, chunk = projected + 1, 64
    while True:
        (rows,) = await engine.query(_READ, {"system": system, "first": first, "last": first + chunk - 1})
        if not rows:
            return tail, first, is_whole
        size = 0
        for row in rows:
            number = int(row["id"].key[1])
            size += len(row["body"])
            entry = TailEntry(
                number, cast("bytes", row["body"]), int(row["records"]), int(row["weight"]), time.monotonic()
            )
            if _is_readable(entry):
                tail.append(entry)
            else:
                log.error("a journal entry cannot be read, it is left as it is", number=number)
                await engine.query(_BROKEN, {"id": record_id("journal", system, number)}, rows=1)
                is_whole = False
                tail.append(TailEntry(number, encode_entry(Entry(0, ())), 0, 0))  # stands in its place
            first = number + 1
        if size < _CHUNK_BYTES[0]:
            chunk = min(chunk * 2, 4096)
        elif size > _CHUNK_BYTES[1]:
            chunk = max(chunk // 2, 1)


def _is_readable(entry: TailEntry) -> bool:
    try:
        decode_entry(entry.body)
    except (msgspec.DecodeError, ValueError):
        return False
    return True

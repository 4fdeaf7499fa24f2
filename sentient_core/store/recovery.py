"""Taking ownership of a system's records, and finding what the start before it left.

A start takes the first free number of the journal with an entry marked `keep`, and raises the
system's epoch, in one transaction. That entry and the one before it are never deleted, so the next
number of whoever wrote until now stays taken for ever, and a commit of unknown outcome cannot be
made a second time at a number that was given free. On one database any number of starts may race:
each gets its own epoch and number.

Numbers behind `projected` have no gaps, and the settlement notes `projected` in two rows. So it is seen
when somebody has removed entries, or moved `projected`, and what a start does about it is decided here: with
durable actors it takes nothing, since what it went on with would not be what was committed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from sentient_core.errors import StoreDamaged, StoreUnavailable
from sentient_core.logs import LogLevel, runtime_log
from sentient_core.store.engine import Engine
from sentient_core.store.fold import fold
from sentient_core.store.migrations import check_usable
from sentient_core.store.records import DurableActor, Entry, Opened, Origin
from sentient_core.store.tail import Tail, TailEntry, decode_entry, encode_entry
from sentient_core.store.wire import Refusal, Taken, record_id

__all__ = ["Start", "take_ownership"]

_MAKE = """INSERT IGNORE INTO ownership $row RETURN NONE;
SELECT epoch, projected, (SELECT VALUE projected FROM ONLY $written) AS noted FROM ONLY $owner"""
# A number that is not behind `projected` is of a tail that was gone when it was read.
_CLAIM = """BEGIN;
LET $claimed = (UPDATE $owner SET epoch = $epoch WHERE epoch = $before AND projected < $number
    RETURN VALUE epoch);
IF array::len($claimed) != 1 { THROW 'another start was faster, or the owner has projected what looks free' };
CREATE $id SET body = $body, writer = $writer, keep = true, records = 1, weight = $weight RETURN NONE;
UPDATE $last SET keep = true RETURN NONE;
COMMIT;"""
# Every range is bounded: an open one runs to the end of the table.
_READ = "SELECT * FROM journal:[$system, $first]..=[$system, $last]"
_NEXT = "SELECT VALUE id FROM journal:[$system, $first]..=[$system, []] LIMIT 1"
_HAS_DURABLE = "SELECT VALUE id FROM account:[$system, 0]..=[$system, []] LIMIT 1"
_STATE = """SELECT projected, is_clean FROM ONLY $owner;
SELECT id, incarnation, restarts, kind, origin, is_over, is_forgotten
    FROM ownership:[$system, '']..=[$system, []];
SELECT id[1] AS path, count() AS pending FROM inbox:[$system, '']..=[$system, []] GROUP BY path;
SELECT id, due_at FROM timer:[$system, '']..=[$system, []]"""
# A server may do a request after its sender has given it up, tried again and seen the entry projected and
# deleted: what is then there is behind everything, read by nobody, and would stay for ever.
_LATE = "DELETE journal:[$system, 0]..=[$system, $projected] WHERE !keep AND !is_broken RETURN NONE"
_BROKEN = "UPDATE $id SET is_broken = true RETURN NONE"

_CLAIM_TRIES = 500
_CHUNK_BYTES = (1024 * 1024, 8 * 1024 * 1024)  # below: the next chunk doubles; above: it halves


class Start(msgspec.Struct, frozen=True):
    """What a start of a system owns and finds."""

    epoch: int
    number: int
    """Of its first journal entry, the one that took the ownership."""
    projected: int
    tail: Tail
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
    damage: str
    """Which committed entries are missing or torn, and left out; empty: none."""


async def take_ownership(
    engine: Engine,
    system: str,
    writer: str,
    *,
    accepts_damage: bool = False,
    log_level: LogLevel = LogLevel.DEBUG,
) -> Start:
    """Become the owner of a system's records.

    Raises StoreDamaged with nothing taken; StoreUnavailable and RestoreUnfinished with nothing taken or
    with an epoch that nobody uses.
    """
    log = runtime_log(system, log_level)
    owner = record_id("ownership", system)
    tail: list[TailEntry] = []
    number = 0
    readable: set[int] = set()
    for _ in range(_CLAIM_TRIES):
        found = await _read_owner(engine, system)
        # What the try before has read is not read again: a busy owner goes on meanwhile, and would be faster.
        more, number = await _read_tail(engine, system, max(found["projected"], number - 1))
        tail = [entry for entry in tail if entry.number > found["projected"]] + more
        damage = _damage_of(tail, found["projected"], number, readable)
        if damage:
            # What the owner until now has projected meanwhile was gone, too, when it was read.
            projected = (await _read_owner(engine, system))["projected"]
            damage = {at: what for at, what in damage.items() if at > projected}
        if damage and not accepts_damage and await _has_durable(engine, system, tail):
            raise StoreDamaged(f"the journal of '{system}'", _in_words(damage), _TURNS_LOST)
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
        for at, what in damage.items():
            log.error("a journal entry cannot be read, the start goes on without it", number=at, why=what)
            if what is _TORN:
                await engine.query(_BROKEN, {"id": record_id("journal", system, at)}, rows=1)
        tail = [entry if entry.number not in damage else _stand_in(entry) for entry in tail]
        tail.append(TailEntry(number, body, 1, opened.weight, time.monotonic()))
        return await _started(engine, system, opened.epoch, number, tail, damage)
    raise StoreUnavailable(f"the records of '{system}' are being taken over by others again and again")


async def _read_owner(engine: Engine, system: str) -> Mapping[str, int]:
    """Its epoch and `projected`; made where it is not there. Raises StoreDamaged."""
    owner = record_id("ownership", system)
    _, found = await engine.query(
        _MAKE,
        {
            "owner": owner,
            "row": {"id": owner, "epoch": 0, "projected": 0, "is_clean": True},
            "written": record_id("written", system),
        },
    )
    projected, noted = found["projected"], found.get("noted")
    if noted not in (None, projected):  # None: nothing was settled yet, or by an earlier release alone
        raise StoreDamaged(
            f"ownership:['{system}']",
            f"its `projected` is {projected}, and the last window that was settled ended at {noted}: the row "
            "was removed, or changed by hand",
            f"If it was changed, set `projected` back to {noted}. If it was removed, its epoch is gone as "
            "well, which no id may repeat: restore a backup.",
        )
    return cast("Mapping[str, int]", found)


async def _started(
    engine: Engine,
    system: str,
    epoch: int,
    number: int,
    entries: list[TailEntry],
    damage: Mapping[int, str],
) -> Start:
    # Read behind the claim: until then the owner before us may have projected some of the tail.
    state, incarnations, inboxes, timers = await engine.query(
        _STATE, {"owner": record_id("ownership", system), "system": system}
    )
    projected = int(state["projected"])
    await engine.query(_LATE, {"system": system, "projected": projected})
    tail = Tail()
    before = fold(_added_to(tail, (entry for entry in entries if entry.number > projected), number), 1)
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
        was_clean and not damage,
        _in_words(damage) if damage else "",
    )


def _added_to(tail: Tail, entries: Iterable[TailEntry], number: int) -> Iterator[tuple[int, Entry]]:
    """What is in each entry as it is added to the tail, decoded once; of `number`, which is ours, nothing."""
    for entry in entries:
        content = decode_entry(entry.body)
        tail.add(entry, content)
        if entry.number != number:
            yield entry.number, content


def _durable(row: Mapping[str, Any]) -> DurableActor:
    origin = row["origin"] if row["origin"] in _ORIGINS else Origin.SPAWNED  # it was changed by hand
    return DurableActor(row.get("kind") or "", Origin(origin), bool(row.get("is_over")))


async def _read_tail(engine: Engine, system: str, projected: int) -> tuple[list[TailEntry], int]:
    """The entries behind `projected`, as they are found, and the number behind the last."""
    tail: list[TailEntry] = []
    first, chunk = projected + 1, 64
    while True:
        (rows,) = await engine.query(_READ, {"system": system, "first": first, "last": first + chunk - 1})
        size = 0
        for row in rows:
            number = int(row["id"].key[1])
            size += len(row["body"])
            tail.append(
                TailEntry(
                    number,
                    cast("bytes", row["body"]),
                    int(row["records"]),
                    int(row["weight"]),
                    time.monotonic(),
                )
            )
            first = number + 1
        if not rows:
            (beyond,) = await engine.query(_NEXT, {"system": system, "first": first})
            if not beyond:
                return tail, first
            first = int(beyond[0].key[1])
        if size < _CHUNK_BYTES[0]:
            chunk = min(chunk * 2, 4096)
        elif size > _CHUNK_BYTES[1]:
            chunk = max(chunk // 2, 1)


def _damage_of(tail: Sequence[TailEntry], projected: int, number: int, readable: set[int]) -> dict[int, str]:
    """What is wrong with the entries from `projected` to `number`, by their numbers.

    `readable`: those of which it is known that they can be read; others are added.
    """
    missing = set(range(projected + 1, number)).difference(entry.number for entry in tail)
    damage = dict.fromkeys(missing, _MISSING)
    for entry in tail:
        if entry.number in readable or _is_readable(entry):
            readable.add(entry.number)
        else:
            damage[entry.number] = _TORN
    return dict(sorted(damage.items()))


async def _has_durable(engine: Engine, system: str, tail: Iterable[TailEntry]) -> bool:
    """Some actor has accepted a message durably."""
    (rows,) = await engine.query(_HAS_DURABLE, {"system": system})
    found = ((entry.number, decode_entry(entry.body)) for entry in tail if _is_readable(entry))
    return bool(rows) or bool(fold(found, 1).accounts)


def _stand_in(entry: TailEntry) -> TailEntry:
    return TailEntry(entry.number, encode_entry(Entry(0, ())), 0, 0)


def _in_words(damage: Mapping[int, str]) -> str:
    """`entry 7 is missing, entries 9 and 12 are torn`."""
    parts: list[str] = []
    for what in (_MISSING, _TORN):
        numbers = [str(number) for number, found in damage.items() if found is what]
        if len(numbers) > _MOST_NAMED:
            numbers[_MOST_NAMED:] = [f"{len(numbers) - _MOST_NAMED} more"]
        if len(numbers) > 1:
            parts.append(f"entries {', '.join(numbers[:-1])} and {numbers[-1]} are {what}")
        elif numbers:
            parts.append(f"entry {numbers[0]} is {what}")
    return ", ".join(parts)


def _is_readable(entry: TailEntry) -> bool:
    try:
        decode_entry(entry.body)
    except (msgspec.DecodeError, ValueError):
        return False
    return True


_ORIGINS = frozenset(Origin)
_MISSING, _TORN = "missing", "torn"
_MOST_NAMED = 10
_TURNS_LOST = (
    "Turns of durable actors may be among them: started without them, messages could be lost, or handled "
    "again. Restore a backup; or, if that may be, start once with "
    "JournalOptions(accepts_damage=True), which leaves them out and raises an alert that names them."
)

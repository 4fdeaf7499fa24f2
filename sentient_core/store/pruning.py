"""Deletes what is due of one system's rows in a database, in small transactions.

Each transaction deletes a bounded batch by record ids and adds what it deleted to the system's totals in
`pruned`, so that rows + totals is what was ever written, also after a death of the process at any
moment. Whether a row still meets the condition is asked again inside: two that change the same row
conflict, and the later one is tried again. Only rows of projected windows are looked at, so no retried
projection brings one back.

Events are met in the order of commits, by ranges of journal numbers that hold about a batch. How large
they are is read once per start, and then only of what is new. What has to be looked for in a whole
table (letters, ended actors, large checkpoints) is looked for again only after a hundred times the time
that it took.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, cast

import msgspec

from sentient_core.errors import Fenced, StoreError, StoreUnavailable
from sentient_core.logs import RuntimeLog
from sentient_core.store.carrying import Carrier
from sentient_core.store.engine import Engine
from sentient_core.store.retention import (
    Cutoffs,
    LetterFacts,
    Pruned,
    Removed,
    Retention,
    cutoffs,
    due_letters,
    ended_actors,
    held_by,
    oldest_beyond,
    spare_checkpoints,
)
from sentient_core.store.row_pruning import SIZE, RowPruner
from sentient_core.store.streams import external_stream
from sentient_core.store.wire import Encoded, RecordId, Refusal, array, moment_tag, record_id, value

__all__ = ["SIZE", "Pruner"]

_DELETE = """BEGIN;
IF (SELECT VALUE epoch FROM ONLY $owner) != $epoch {{ THROW 'not the owner' }};
LET $gone = (SELECT id, {size} AS size FROM $ids WHERE {condition});
LET $rows = array::len($gone);
LET $bytes = math::sum($gone.size);
DELETE $gone.id RETURN NONE;
IF $rows > 0 {{ UPSERT $totals SET rows += $rows, bytes += $bytes RETURN NONE }};
IF $rows > 0 AND $reached {{
    UPSERT $totals SET reached = (IF reached AND reached > $reached THEN reached ELSE $reached END)
        RETURN NONE
}};
RETURN {{ rows: $rows, bytes: $bytes }};
COMMIT;"""
_PROJECTED = "SELECT VALUE projected FROM $owner"
_SUBSCRIBERS = "SELECT journal, external, seen_at FROM subscriber:[$system, '']..=[$system, []]"
_EVENTS = "agent_event:[$system, $first]..=[$system, $last, []]"
_COUNT = f"SELECT count() FROM {_EVENTS} GROUP ALL"  # noqa: S608 - constants
_SIZES = f"SELECT {SIZE} AS size, time::nano(timestamp) AS at FROM {_EVENTS}"  # noqa: S608 - constants
_EVENT_IDS = f"SELECT VALUE id FROM {_EVENTS} WHERE time::nano(timestamp) < $before"  # noqa: S608 - constants
_LETTERS = "dead_letter:[$system, $from]..=[$system, $to]"
_COUNT_LETTERS = f"SELECT count() FROM {_LETTERS} GROUP ALL"  # noqa: S608 - constants
_FACTS = f"""SELECT message_id, status, time::nano(timestamp) AS died_at, {SIZE} AS size,
    IF settled_at THEN time::nano(settled_at) ELSE NONE END AS settled_at FROM {_LETTERS}"""  # noqa: S608
_AGENTS = """SELECT id, status, time::nano(updated_at) AS at
    FROM agent_state:[$system, '']..=[$system, []] WHERE string::contains(id[1], '$')"""
_LARGE = """SELECT VALUE path FROM (SELECT id[1] AS path, math::sum(bytes::len(state)) AS size
    FROM state_checkpoint:[$system, '']..=[$system, []] WHERE kind = 'turn' GROUP BY path)
    WHERE size > $limit"""
_TURNS = """SELECT id, bytes::len(state) AS size
    FROM state_checkpoint:[$system, $path, 0]..[$system, $path, ''] WHERE kind = 'turn' ORDER BY id DESC"""
_LEFT_BY = """SELECT VALUE id FROM state_checkpoint:[$system, $path, 0]..=[$system, $path, []]
    WHERE kind != 'named';
SELECT VALUE id FROM timer:[$system, $path, '']..=[$system, $path, []];
SELECT VALUE id FROM inbox:[$system, $path, 0]..=[$system, $path, []] LIMIT 1;"""

# What is stored under ids that begin with the system and the path of an actor.
_OF_PATH = ("inbox", "timer", "dedupe", "memo", "state_checkpoint")
_IDS_OF_PATH = "SELECT VALUE id FROM {table}:[$system, $path, 0]..=[$system, $path, []] LIMIT $limit"
_LETTERS_TO = """SELECT VALUE id FROM dead_letter WITH INDEX dead_letter_recipient_idx
    WHERE recipient = $path AND id[0] = $system LIMIT $limit"""
_EVENTS_OF = """SELECT VALUE id FROM agent_event WITH INDEX {index}
    WHERE {field} = $path AND id[0] = $system AND position[0] <= $projected LIMIT $limit"""
_IS_FORGOTTEN = """BEGIN;
IF (SELECT VALUE epoch FROM ONLY $owner) != $epoch { THROW 'not the owner' };
UPDATE $row SET is_forgotten = NONE RETURN NONE;
COMMIT;"""
_IDS_AT_ONCE = 5_000
_IDS = """SELECT VALUE id FROM dedupe WHERE system = $system AND timestamp < $before AND outcome != 'pending'
    ORDER BY timestamp LIMIT $limit"""
_MEMOS = """SELECT VALUE id FROM memo:[$system, '']..=[$system, []] WHERE time::nano(timestamp) < $before
    AND !record::exists(type::record('inbox', [id[0], id[1], id[2], id[3]])) LIMIT $limit"""

_MOST_SPAN = 65_536
_LETTERS_AT_ONCE = 2_000
_PATIENCE_FACTOR = 100
_FOR_EVER = 2**62
_NONE = Encoded(b"\xc6\xf6")
_BATCHES = Retention()


class _Block(msgspec.Struct, frozen=True):
    """Events of some journal entries in a row."""

    first: int
    last: int
    bytes: int
    newest_at: int


class _EventBlocks:
    """What has been looked at of the events of a stream."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.blocks: deque[_Block] = deque()
        self.counted = 0
        """The last number that the blocks reach to."""
        self.span = 16


class Pruner:
    """Prunes one system. Lives on the store thread."""

    def __init__(
        self, engine: Engine, system: str, epoch: int | None, call_timeout: float, log: RuntimeLog
    ) -> None:
        """`epoch`: of the start that owns the system; None: of nobody, and only for `sweep_published`."""
        self._engine = engine
        self._system = system
        self._epoch = epoch or 0
        self._call_timeout = call_timeout
        self._owner = record_id("ownership", system)
        self._guard: dict[str, object] = {"owner": self._owner, "epoch": epoch}
        """What a transaction is refused by when the records have another owner."""
        if epoch is None:  # as the external stream has none, whoever owns the system
            self._guard = {"owner": record_id("ownership", external_stream(system)), "epoch": _NONE}
        self._lock = asyncio.Lock()
        self._streams = (_EventBlocks(system), _EventBlocks(external_stream(system)))
        self._rows = RowPruner(self, system)
        self._carrier = Carrier(engine, system, self._epoch, call_timeout, log)
        self._not_before = {
            "letters": 0.0,
            "ended": 0.0,
            "checkpoints": 0.0,
            "memos": 0.0,
            "accounts": 0.0,
            "rows": 0.0,
        }
        self._pause = 0.0
        """Seconds to rest for each second of work."""
        self._hurry = asyncio.Event()
        """Somebody waits behind a paced sweep."""
        self._asked = 0
        self.is_over: bool = False
        """No other batch is begun."""
        self._log = log

    async def run(self, retention: Retention) -> None:
        """Prune every now and then until cancelled. Raises Fenced when the records have another owner."""
        while True:
            await asyncio.sleep(retention.every)
            try:
                pruned = await self.sweep(retention, time.time_ns(), is_paced=True)
            except Fenced:
                raise
            except StoreError as error:
                self._log.debug("pruning is tried again later", error=str(error))
            except Exception:  # noqa: BLE001 - whatever it is, nothing is lost by keeping rows
                self._log.exception("pruning failed, it is tried again later")
            else:
                if pruned.rows:
                    self._log.info("old rows pruned", **msgspec.to_builtins(pruned))

    def end(self) -> None:
        """Begin no other batch."""
        self.is_over = True

    async def sweep(self, retention: Retention, now: int, *, is_paced: bool = False) -> Pruned:
        """Delete what is due at `now`, in nanoseconds. With `is_paced`: not all the time, not everywhere."""
        if is_paced:
            async with self._lock:
                if not self._asked:
                    self._hurry.clear()
                return await self._sweep(retention, now, is_paced=True)
        self._asked += 1
        self._hurry.set()
        try:
            async with self._lock:
                return await self._sweep(retention, now, is_paced=False)
        finally:
            self._asked -= 1

    async def sweep_published(self, retention: Retention, now: int, *, is_paced: bool = False) -> Removed:
        """Delete what is due of the events that were published from outside, and nothing else."""
        async with self._lock:
            self._pause = 1 / retention.share - 1 if is_paced else 0.0
            _, held = await self._held(retention, now)
            return await self._events(self._streams[1], retention, cutoffs(retention, now).events, held)

    async def forget(self, path: str) -> Pruned:
        """Delete all of an actor that is marked as forgotten, then the mark. Raises StoreUnavailable, Fenced.

        Stopped at any moment, it is begun again with the mark and what is left.
        """
        async with self._lock:
            self._pause = 0.0
            (found,) = await self.query(_PROJECTED, owner=self._owner)
            removed = {
                table: await self._delete_all(table, _IDS_OF_PATH.format(table=table), path=path)
                for table in _OF_PATH
            }
            letters = await self._delete_all("dead_letter", _LETTERS_TO, path=path)
            events = Removed()
            for index, field in (
                ("event_source_idx", "source_agent"),
                ("event_target_idx", "target_agent"),
            ):
                sql = _EVENTS_OF.format(index=index, field=field)
                events += await self._delete_all("agent_event", sql, path=path, projected=found[0])
            # Before the actor's row, with which edges would go uncounted.
            written = await self._rows.forget(path, _BATCHES)
            agents = Removed()
            for table in ("counted", "agent_state"):
                agents += await self.delete(table, [RecordId(table, [self._system, path])], _BATCHES)
            if self.is_over:
                raise StoreUnavailable(
                    f"the journal has ended; what is left of '{path}' goes with the next start"
                )
            await self._unmark(path)
        return Pruned(
            events=events,
            dead_letters=letters,
            checkpoints=removed["state_checkpoint"],
            agents=agents,
            messages=removed["inbox"],
            ids=removed["dedupe"],
            memos=removed["memo"],
            written=written,
        )

    async def _delete_all(self, table: str, sql: str, **parameters: object) -> Removed:
        """Delete the rows whose ids a query finds, again and again until it finds none."""
        removed = Removed()
        while not self.is_over:
            (ids,) = await self.query(sql, limit=_IDS_AT_ONCE, **parameters)
            if not ids:
                break
            removed += await self.delete(table, ids, _BATCHES)
        return removed

    async def _unmark(self, path: str) -> None:
        try:
            await self._engine.query(
                _IS_FORGOTTEN,
                {
                    "owner": self._owner,
                    "epoch": self._epoch,
                    "row": record_id("ownership", self._system, path),
                },
                rows=1,
                timeout=self._call_timeout,
            )
        except Refusal as error:
            if error.kind == "Thrown":
                raise Fenced(self._system) from error
            raise

    async def _sweep(self, retention: Retention, now: int, *, is_paced: bool) -> Pruned:
        self._pause = 1 / retention.share - 1 if is_paced else 0.0
        before = cutoffs(retention, now)
        events = Removed()
        for stream, held in zip(self._streams, await self._held(retention, now), strict=True):
            events += await self._events(stream, retention, before.events, held)
        letters = await self._letters(retention, before, is_paced=is_paced)
        agents, of_ended = await self._ended(retention, before.ended, is_paced=is_paced)
        checkpoints = of_ended + await self._checkpoints(retention, is_paced=is_paced)
        ids = await self._ids(retention, before.ids)
        memos = await self._memos(retention, before.ids, is_paced=is_paced)
        accounts = await self._accounts(retention, before.accounts, is_paced=is_paced)
        written = await self._written(retention, before, now, is_paced=is_paced)
        return Pruned(
            events=events,
            dead_letters=letters,
            agents=agents,
            checkpoints=checkpoints,
            ids=ids,
            memos=memos,
            accounts=accounts,
            written=written,
        )

    async def _written(self, retention: Retention, before: Cutoffs, now: int, *, is_paced: bool) -> Removed:
        started = time.monotonic()
        with_bytes = self._is_time("rows", is_paced=is_paced)
        removed = await self._rows.sweep(retention, before, now, with_bytes=with_bytes)
        if with_bytes:
            self._took("rows", started)
        return removed

    async def _accounts(self, retention: Retention, before: int, *, is_paced: bool) -> Removed:
        if not before or not self._is_time("accounts", is_paced=is_paced):
            return Removed()
        started = time.monotonic()
        (found,) = await self.query(_PROJECTED, owner=self._owner)
        projected = int(found[0]) if found else 0
        removed = await self._carrier.carry(
            self.query, projected, before, retention.batch_rows, lambda: self.is_over
        )
        self._took("accounts", started)
        return removed

    async def _held(self, retention: Retention, now: int) -> tuple[int, int]:
        """Of both streams, the last number that no named subscriber still wants something of."""
        (rows,) = await self.query(_SUBSCRIBERS)
        return held_by(
            ((row["journal"], row["external"], int(row["seen_at"])) for row in rows), retention, now
        )

    async def _events(self, stream: _EventBlocks, retention: Retention, before: int, held: int) -> Removed:
        """Up to the number `held`."""
        removed = Removed()
        (found,) = await self.query(_PROJECTED, owner=record_id("ownership", stream.name))
        projected = int(found[0] or 0) if found else 0
        blocks = stream.blocks
        # By age: from the oldest on, as far as there is something.
        while before and (blocks or await self._count_on(stream, retention, projected)):
            if not blocks:
                continue  # there was nothing at those numbers
            block = blocks[0]
            gone = await self._delete_events(stream, block, before, retention, held)
            removed += gone
            if self.is_over:
                break
            if block.newest_at >= before or block.last > held:
                blocks[0] = msgspec.structs.replace(block, bytes=block.bytes - gone.bytes)
                break
            blocks.popleft()
        if retention.events_bytes is not None:
            while await self._count_on(stream, retention, projected):
                pass
            for _ in range(oldest_beyond((b.bytes for b in blocks), retention.events_bytes)):
                if blocks[0].last > held:
                    break
                removed += await self._delete_events(stream, blocks[0], _FOR_EVER, retention, held)
                if self.is_over:
                    break
                blocks.popleft()
        return removed

    async def _delete_events(
        self, stream: _EventBlocks, block: _Block, before: int, retention: Retention, held: int
    ) -> Removed:
        last = min(block.last, held)
        if last < block.first:
            return Removed()
        (ids,) = await self.query(_EVENT_IDS, system=stream.name, first=block.first, last=last, before=before)
        return await self.delete("agent_event", ids, retention, of=stream.name)

    async def _count_on(self, stream: _EventBlocks, retention: Retention, projected: int) -> bool:
        """Look at the next numbers that are projected. False: there are none, or it is over."""
        if stream.counted >= projected or self.is_over:
            return False
        first = stream.counted + 1
        while True:
            last = min(first + stream.span - 1, projected)
            (counts,) = await self.query(_COUNT, system=stream.name, first=first, last=last)
            rows = counts[0]["count"] if counts else 0
            if rows <= retention.batch_rows or last == first:
                break
            stream.span = max(1, (last - first + 1) // 2)
        if rows < retention.batch_rows // 2:
            stream.span = min(stream.span * 2, _MOST_SPAN)
        if rows:
            (found,) = await self.query(_SIZES, system=stream.name, first=first, last=last)
            stream.blocks.append(
                _Block(first, last, sum(row["size"] for row in found), max(row["at"] for row in found))
            )
        stream.counted = last
        return True

    async def _letters(self, retention: Retention, before: Cutoffs, *, is_paced: bool) -> Removed:
        limits = (
            retention.settled_letters_age,
            retention.settled_letters_bytes,
            retention.open_letters_age,
        )
        if limits == (None, None, None) or not self._is_time("letters", is_paced=is_paced):
            return Removed()
        started = time.monotonic()
        facts = [facts async for facts in self._letter_facts("")]
        self._took("letters", started)
        due = due_letters(facts, before, retention.settled_letters_bytes)
        ids = [RecordId("dead_letter", [self._system, message_id]) for message_id in due]
        # One that has died again meanwhile is open again.
        condition = "status != 'open' OR time::nano(timestamp) < $before"
        return await self.delete("dead_letter", ids, retention, condition, before.open_letters)

    async def _letter_facts(self, prefix: str) -> AsyncIterator[LetterFacts]:
        """Those of the letters whose ids begin so. A range has no cheap first part, so it is divided."""
        bounds: dict[str, object] = {"from": prefix, "to": f"{prefix}\U0010ffff"}
        (counts,) = await self.query(_COUNT_LETTERS, **bounds)
        count = counts[0]["count"] if counts else 0
        if count > _LETTERS_AT_ONCE and prefix:
            bounds["to"] = prefix  # the one whose id is just this
        elif count > _LETTERS_AT_ONCE:
            bounds["to"] = ""
        if count:
            (rows,) = await self.query(_FACTS, **bounds)
            for row in rows:
                settled_at = None if row["status"] == "open" else (row.get("settled_at") or row["died_at"])
                yield LetterFacts(row["message_id"], row["died_at"], settled_at, row["size"])
        if count > _LETTERS_AT_ONCE:
            for digit in ".0123456789":
                async for facts in self._letter_facts(prefix + digit):
                    yield facts

    async def _ended(self, retention: Retention, before: int, *, is_paced: bool) -> tuple[Removed, Removed]:
        """The rows of ended actors, and their checkpoints."""
        agents = checkpoints = Removed()
        if not before or not self._is_time("ended", is_paced=is_paced):
            return agents, checkpoints
        started = time.monotonic()
        (rows,) = await self.query(_AGENTS)
        self._took("ended", started)
        found = {str(row["id"].key[1]): (str(row["status"]), int(row["at"])) for row in rows}
        due = ended_actors(found, self._epoch, before)
        kept = set[str]()
        for path in due:
            # The row of the actor goes last: as long as it is there, the rest is found again.
            states, timers, pending = await self.query(_LEFT_BY, path=path)
            if pending:  # of an earlier start, which nobody handles: kept until somebody forgets the actor
                kept.add(path)
                continue
            checkpoints += await self.delete("state_checkpoint", states, retention)
            agents += await self.delete("timer", timers, retention)
        due = [path for path in due if path not in kept]
        for table in ("ownership", "agent_state"):
            ids = [RecordId(table, [self._system, path]) for path in due]
            agents += await self.delete(table, ids, retention)
        return agents, checkpoints

    async def _checkpoints(self, retention: Retention, *, is_paced: bool) -> Removed:
        limit = retention.checkpoint_bytes
        if limit is None or not self._is_time("checkpoints", is_paced=is_paced):
            return Removed()
        started = time.monotonic()
        (paths,) = await self.query(_LARGE, limit=limit)
        self._took("checkpoints", started)
        removed = Removed()
        for path in paths:
            (turns,) = await self.query(_TURNS, path=path)
            kept = spare_checkpoints([turn["size"] for turn in turns], limit)
            ids = [turn["id"] for turn in turns[kept:]]
            removed += await self.delete("state_checkpoint", ids, retention)
        return removed

    async def _ids(self, retention: Retention, before: int) -> Removed:
        """What is known of ids: an index leads to the oldest."""
        removed = Removed()
        is_more = before > 0
        while is_more and not self.is_over:
            (ids,) = await self.query(_IDS, before=Encoded(moment_tag(before)), limit=retention.batch_rows)
            # One whose message was redriven meanwhile is pending again.
            gone = await self.delete("dedupe", ids, retention, "outcome != 'pending'")
            removed += gone
            is_more = gone.rows == retention.batch_rows
        return removed

    async def _memos(self, retention: Retention, before: int, *, is_paced: bool) -> Removed:
        """What was noted for messages that had been settled by then: nothing else deletes it."""
        removed = Removed()
        if not before or not self._is_time("memos", is_paced=is_paced):
            return removed
        is_more = True
        while is_more and not self.is_over:
            started = time.monotonic()
            (ids,) = await self.query(_MEMOS, before=before, limit=retention.batch_rows)
            self._took("memos", started)
            gone = await self.delete("memo", ids, retention)
            removed += gone
            is_more = gone.rows == retention.batch_rows
        return removed

    async def delete(
        self,
        table: str,
        ids: Sequence[RecordId],
        retention: Retention,
        condition: str = "true",
        before: int = 0,
        of: str | None = None,
    ) -> Removed:
        """`of`: the stream whose events these are."""
        removed = Removed()
        for start in range(0, len(ids), retention.batch_rows):
            if self.is_over:
                break
            batch = ids[start : start + retention.batch_rows]
            started = time.monotonic()
            try:
                results = await self._engine.query(
                    _DELETE.format(size=SIZE, condition=condition),
                    {
                        **self._guard,
                        "ids": array([value(record_id(id_.table, *id_.key)) for id_ in batch]),
                        "totals": record_id("pruned", of or self._system, table),
                        "before": before,
                        "reached": None if of is None else max(id_.key[1:] for id_ in batch),
                    },
                    indexed_rows=len(batch),
                    timeout=self._call_timeout,
                )
            except Refusal as error:
                if error.kind == "Thrown":
                    raise Fenced(self._system) from error
                raise
            # The answer of RETURN; those of the other statements are NONE or empty.
            (answer,) = (cast("dict[str, Any]", result) for result in results if isinstance(result, dict))
            removed += Removed(int(answer["rows"]), int(answer["bytes"]))
            await self._rest(time.monotonic() - started)
        return removed

    async def query(self, sql: str, **parameters: object) -> list[Any]:
        """Ask, and rest after it where the work is paced."""
        started = time.monotonic()
        results = await self._engine.query(
            sql, {"system": self._system} | parameters, timeout=self._call_timeout
        )
        await self._rest(time.monotonic() - started)
        return results

    async def _rest(self, worked: float) -> None:
        if self._pause:
            with suppress(TimeoutError):
                async with asyncio.timeout(worked * self._pause):
                    await self._hurry.wait()

    def _is_time(self, what: str, *, is_paced: bool) -> bool:
        return not is_paced or time.monotonic() >= self._not_before[what]

    def _took(self, what: str, started: float) -> None:
        now = time.monotonic()
        self._not_before[what] = now + _PATIENCE_FACTOR * (now - started)

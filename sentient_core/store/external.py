"""The external streams of a database: any number of processes append, each commit takes the next number.

A transaction moves `projected` of the stream from the number before to its own, and inserts its events under
it; where somebody else was faster it is refused as a whole and tried with the next number. So numbers have
no holes, and whoever sees a number sees all before it. What went unanswered is asked for by the number and
the name of the batch.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Sequence

import msgspec

from sentient_core.errors import StoreError, StoreRefused, StoreUnavailable
from sentient_core.store.backoff import Backoff
from sentient_core.store.engine import Engine
from sentient_core.store.fold import Placed
from sentient_core.store.records import Published
from sentient_core.store.rows import RowEncoder
from sentient_core.store.wire import Refusal, array, record_id

__all__ = ["ExternalWriter"]

_MAKE = "INSERT IGNORE INTO ownership $row RETURN NONE"
_APPEND = """BEGIN;
LET $moved = (UPDATE $owner SET projected = $number WHERE projected = $before RETURN VALUE projected);
IF array::len($moved) != 1 { THROW 'taken' };
INSERT INTO agent_event $rows RETURN NONE;
UPDATE $first SET batch = $batch RETURN NONE;
COMMIT;"""
_REACHED = """SELECT VALUE projected FROM $owner;
SELECT VALUE batch FROM $first"""
_MOST_ROWS = 500
_MOST_BYTES = 4 * 1024 * 1024
_PATIENCE = 30.0
"""Seconds that a batch is tried again while the database does not answer."""


class _Waiting(msgspec.Struct, eq=False):
    events: Sequence[Published]
    weight: int
    done: asyncio.Future[int]


class ExternalWriter:
    """Appends to one stream. Lives on the store thread."""

    def __init__(self, engine: Engine, stream: str, *, batch_rows: int = _MOST_ROWS) -> None:
        self._engine = engine
        self._stream = stream
        self._encoder = RowEncoder(stream)
        self._owner = record_id("ownership", stream)
        self._most_rows = min(batch_rows, _MOST_ROWS)
        self._waiting: deque[_Waiting] = deque()
        self._number: int | None = None
        """The last that is known to be taken; None: not looked yet."""
        self._is_at_work = False

    async def append(self, events: Sequence[Published]) -> int:
        """See `EventStreams.append`."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(events, sum(event.weight for event in events), done))
        if not self._is_at_work:
            self._is_at_work = True
            self._engine.thread.keep(self._work())
        return await done

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._append_together(self._take())
        finally:
            self._is_at_work = False
            while self._waiting:  # the thread ends, or something is badly wrong: nobody waits for ever
                _fail(self._waiting.popleft(), StoreUnavailable("the store was closed meanwhile"))

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        rows = weight = 0
        while self._waiting:
            one = self._waiting[0]
            rows += len(one.events)
            weight += one.weight
            if batch and (rows > self._most_rows or weight > _MOST_BYTES):
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _append_together(self, batch: Sequence[_Waiting]) -> None:
        try:
            number = await self._commit([event for one in batch for event in one.events])
        except StoreRefused as error:
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            for one in batch:  # one of them is at fault, and the others are not to pay for it
                await self._append_together([one])
        except Exception as error:  # noqa: BLE001 - whatever it is, it is those who wait that are to know
            for one in batch:
                _fail(one, error)
        except BaseException:
            for one in batch:
                _fail(one, StoreUnavailable("the store was closed meanwhile"))
            raise
        else:
            for one in batch:
                if not one.done.done():
                    one.done.set_result(number)

    async def _commit(self, events: Sequence[Published]) -> int:
        batch = uuid.uuid4().hex
        backoff = Backoff()
        end = self._engine.thread.now() + _PATIENCE
        unknown: set[int] = set()
        """Numbers of tries that were not answered: a server may still do them later."""
        number = 0
        while True:
            try:
                for tried in unknown:
                    if await self._has_taken(tried, batch):
                        return tried
                if self._number is None:
                    self._number = await self._begin()
                number = self._number + 1
                await self._try(number, batch, events)
            except Refusal as error:
                if error.kind != "Thrown":
                    raise
                self._number = None  # somebody else was faster: look again
            except StoreRefused:
                raise
            except StoreError as error:
                if number:
                    unknown.add(number)
                if self._engine.thread.now() > end:
                    raise StoreUnavailable(
                        f"the store did not say whether it has what was published: {error}"
                    ) from error
                await backoff.wait()
            else:
                self._number = number
                return number

    async def _try(self, number: int, batch: str, events: Sequence[Published]) -> None:
        rows = [self._encoder.event(Placed(number, index, 0, event)) for index, event in enumerate(events)]
        await self._engine.query(
            _APPEND,
            {
                "owner": self._owner,
                "number": number,
                "before": number - 1,
                "rows": array(rows),
                "first": record_id("agent_event", self._stream, number, 0),
                "batch": batch,
            },
            rows=1,
            indexed_rows=len(rows),
        )

    async def _begin(self) -> int:
        """The number of the last commit; a stream that nobody has written to begins."""
        (found,) = await self._engine.query("SELECT VALUE projected FROM $owner", {"owner": self._owner})
        if found:
            return int(found[0])
        await self._engine.query(_MAKE, {"row": {"id": self._owner, "projected": 0}}, rows=1)
        return 0

    async def _has_taken(self, number: int, batch: str) -> bool:
        """After a try whose answer was lost: it has happened."""
        reached, batches = await self._engine.query(
            _REACHED,
            {"owner": self._owner, "first": record_id("agent_event", self._stream, number, 0)},
        )
        self._number = int(reached[0]) if reached else None
        return bool(batches) and batches[0] == batch


def _fail(one: _Waiting, error: Exception) -> None:
    if not one.done.done():
        one.done.set_exception(error)

"""The contract of a store as a suite that anyone can run over a store of his own. Needs pytest.

::

    from sentient_core.testing.store_conformance import StoreConformance

    class TestMyStore(StoreConformance):
        async def new_store(self) -> Store:
            return MyStore(tempfile.mkdtemp())

        async def reopened(self, store: Store) -> Store:     # where the data outlives the object
            await store.close()
            return MyStore(store.directory)

They run on each of anyio's backends, or on those that an `anyio_backend` of yours names. What is promised
is said by their names, and in `Store` and `Journal`.
"""

from __future__ import annotations

from sentient_core.testing.store_conformance.audits import AuditConformance
from sentient_core.testing.store_conformance.estates import EstateConformance
from sentient_core.testing.store_conformance.following import FollowingConformance
from sentient_core.testing.store_conformance.histories import HistoryConformance
from sentient_core.testing.store_conformance.ids import IdConformance
from sentient_core.testing.store_conformance.letters import LetterConformance
from sentient_core.testing.store_conformance.payloads import PayloadConformance
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.pruning import PruningConformance
from sentient_core.testing.store_conformance.records import RecordConformance
from sentient_core.testing.store_conformance.row_changes import RowChangeConformance
from sentient_core.testing.store_conformance.row_pruning import RowPruningConformance
from sentient_core.testing.store_conformance.row_queries import RowQueryConformance
from sentient_core.testing.store_conformance.row_writing import RowWritingConformance
from sentient_core.testing.store_conformance.starts import StartConformance
from sentient_core.testing.store_conformance.streams import StreamConformance
from sentient_core.testing.store_conformance.subscribers import SubscriberConformance

__all__ = [
    "AuditConformance",
    "Conformance",
    "EstateConformance",
    "EventConformance",
    "HistoryConformance",
    "JournalConformance",
    "Place",
    "PruningConformance",
    "RowConformance",
    "RowPruningConformance",
    "StoreConformance",
]


class JournalConformance(
    RecordConformance,
    StartConformance,
    IdConformance,
    LetterConformance,
    PayloadConformance,
    FollowingConformance,
):
    """Records are committed, become rows, and are found by the next start; who follows is told."""


class RowConformance(RowWritingConformance, RowQueryConformance, RowChangeConformance):
    """Rows that people and actors write."""


class EventConformance(StreamConformance, SubscriberConformance):
    """Event streams: what is published from outside, and who follows it under a name."""


class StoreConformance(
    JournalConformance,
    EstateConformance,
    AuditConformance,
    PruningConformance,
    RowConformance,
    RowPruningConformance,
    EventConformance,
    HistoryConformance,
):
    """All that the runtime asks of a store: subclass it as `Test…`, and make one in `new_store`.

    Its parts are classes of their own, for a store that is not whole yet.
    """

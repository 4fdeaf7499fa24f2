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

from sentient_core.testing.store_conformance.ids import IdConformance
from sentient_core.testing.store_conformance.letters import LetterConformance
from sentient_core.testing.store_conformance.payloads import PayloadConformance
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.records import RecordConformance
from sentient_core.testing.store_conformance.starts import StartConformance

__all__ = ["Conformance", "Place", "StoreConformance"]


class StoreConformance(
    RecordConformance, StartConformance, IdConformance, LetterConformance, PayloadConformance
):
    """All that the runtime asks of a store: subclass it as `Test…`, and make one in `new_store`."""

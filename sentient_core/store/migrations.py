"""Brings a database to this release's schema, whatever it holds: nothing, an older one, a damaged one."""

from __future__ import annotations

from collections.abc import Mapping

from sentient_core.errors import StoreSchemaTooNew
from sentient_core.store.engine import Engine
from sentient_core.store.schema import VERSION, definitions
from sentient_core.store.wire import record_id

__all__ = ["migrate"]

STEPS: Mapping[int, str] = {
    # A letter's row is found by its message. Until then it was named after its place in the journal.
    2: """BEGIN;
LET $rows = (SELECT * FROM dead_letter WHERE type::is_int(id[1]));
FOR $row IN $rows {
    UPSERT type::record('dead_letter', [$row.id[0], $row.message_id])
        CONTENT object::remove($row, 'id') RETURN NONE;
    DELETE $row.id RETURN NONE;
};
COMMIT;""",
}
"""Statements that lead to a version from the one before it, run once each and in order: what
defining the missing cannot do (renaming, filling in). They must bear being run twice."""

_TIMEOUT = 600.0  # an index over a million rows that are there already takes its time
_RECORD = record_id("store_schema", "sentient_core")


async def migrate(engine: Engine) -> None:
    """Define what is missing, run the steps that are new, note the version.

    Idempotent; run at every opening, since somebody may have removed a table or an index. Raises
    StoreSchemaTooNew, before anything is changed, for a database of a newer release.
    """
    version = await _stored_version(engine)
    if version > VERSION:
        raise StoreSchemaTooNew(version, VERSION)
    await engine.query(definitions(), timeout=_TIMEOUT)
    for step in range(version + 1, VERSION + 1):
        if step in STEPS:
            await engine.query(STEPS[step], timeout=_TIMEOUT)
    if version < VERSION:
        await engine.query("UPSERT $record SET version = $version", {"record": _RECORD, "version": VERSION})


async def _stored_version(engine: Engine) -> int:
    (info,) = await engine.query("INFO FOR DB")
    if "store_schema" not in info["tables"]:
        return 0
    (versions,) = await engine.query("SELECT VALUE version FROM $record", {"record": _RECORD})
    return int(versions[0]) if versions else 0

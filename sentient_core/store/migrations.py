"""Brings a database to this release's schema, whatever it holds: nothing, an older one, a damaged one."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sentient_core.errors import RestoreUnfinished, StoreDamaged, StoreSchemaTooNew
from sentient_core.store.engine import Engine
from sentient_core.store.schema import RESTORING, VERSION, definitions, redefinitions
from sentient_core.store.wire import Refusal, read_plain, record_id

__all__ = ["SCHEMA", "Found", "check_usable", "look", "migrate"]

SCHEMA = record_id("store_schema", "sentient_core")
"""Where the version stands."""

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
    # What had to be given has a default now: rows of agents that nobody runs, checkpoints without a state.
    5: redefinitions("agent_state", "state_checkpoint"),
}
"""Statements that lead to a version from the one before it, run once each and in order: what
defining the missing cannot do (renaming, filling in). They must bear being run twice."""

_TIMEOUT = 600.0  # an index over a million rows that are there already takes its time
# A restore that begins at the same time writes the same row: one of the two is tried again, and sees it.
_NOTE = """BEGIN;
IF (SELECT VALUE version FROM ONLY $record) > $version { THROW 'not this version' };
UPSERT $record SET version = $version RETURN NONE;
COMMIT;"""


class Found(msgspec.Struct, frozen=True):
    """What is in a database, before anything is done to it."""

    tables: frozenset[str]
    version: int
    """Of our schema; 0: none."""


async def migrate(engine: Engine) -> None:
    """Define what is missing, run the steps that are new, note the version.

    Idempotent; run at every opening, since somebody may have removed a table or an index. Raises
    StoreSchemaTooNew, RestoreUnfinished and StoreDamaged, before anything is changed.
    """
    version = (await look(engine)).version
    try:
        await engine.query(definitions(), timeout=_TIMEOUT)
    except Refusal as error:
        raise StoreDamaged(
            "the schema",
            f"a table with the name of one of ours is defined in another way ({error.text})",
            "Use a database of its own; or, if it was ours, restore a backup into an empty one.",
        ) from error
    for step in range(version + 1, VERSION + 1):
        if step in STEPS:
            await engine.query(STEPS[step], timeout=_TIMEOUT)
    if version < VERSION:
        try:
            await engine.query(_NOTE, {"record": SCHEMA, "version": VERSION})
        except Refusal as error:
            if error.kind != "Thrown":
                raise
            await check_usable(engine)


async def look(engine: Engine) -> Found:
    """See what is there, and change nothing. Raises StoreSchemaTooNew and RestoreUnfinished."""
    (info,) = await engine.query("INFO FOR DB")
    tables = frozenset(info["tables"])
    version = await check_usable(engine) if "store_schema" in tables else 0
    return Found(tables, version)


async def check_usable(engine: Engine) -> int:
    """The version of our schema in a database that has its table; 0 where it is not noted.

    Raises StoreSchemaTooNew for a database of a newer release, RestoreUnfinished for part of a backup.
    """
    (found,) = await engine.query("SELECT * FROM $record", {"record": SCHEMA}, read=read_plain)
    if not found:
        return 0
    version = int(found[0]["version"])
    if version == RESTORING:
        began = found[0].get("restore_began")
        raise RestoreUnfinished(f"{began:%Y-%m-%d %H:%M:%S} UTC" if began else "a time that is not noted")
    if version > VERSION:
        raise StoreSchemaTooNew(version, VERSION)
    return version

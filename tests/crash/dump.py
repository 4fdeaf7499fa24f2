"""What there is in a system when it has come to rest: the states of its actors, and what its rows say."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec

from sentient_core import ActorSystem
from sentient_core.store.wire import RecordId
from tests.crash.workload import GATE, ROUTER, VAULTS, WORKERS, Dump

__all__ = ["DURABLE", "Death", "Found", "take_dump"]

DURABLE = (*WORKERS, ROUTER, GATE, *(f"Vault/{key}" for key in VAULTS))
"""The paths of all durable actors."""
READ_SECONDS = 30.0

_LETTERS = """SELECT recipient, message_type, reason, tries, attempts, message, message_id, timestamp
    FROM dead_letter:[$system, '']..=[$system, []]"""
_INBOX = "SELECT id FROM inbox:[$system, '']..=[$system, []]"
_EVENTS = """SELECT target_agent, message_type, count() AS sent
    FROM agent_event:[$system, 0]..=[$system, 9223372036854775807, []]
    WHERE event_type = 'message_sent' GROUP BY target_agent, message_type"""
_JOURNAL = """LET $projected = (SELECT VALUE projected FROM ONLY $owner);
    SELECT VALUE id FROM journal:[$system, 0]..=[$system, $projected] WHERE !keep"""


class Death(msgspec.Struct, frozen=True):
    """A row of `dead_letter`."""

    recipient: str
    kind: str
    n: int
    reason: str
    tries: int


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    is_quiet: bool
    """It has come to rest at all."""
    states: dict[str, dict[str, Any]]
    """By path, as the actors say."""
    stored: dict[str, dict[str, Any]]
    """By path, as the rows say."""
    deaths: list[Death]
    inbox: list[str]
    """Rows of messages that are not settled."""
    sent: list[tuple[str, str, int]]
    """How many messages of which kind were sent to whom, by the events."""
    audit: str
    """What the audit says, if it does not add up."""
    journal: int
    """Entries whose rows are written, and that were not taken away."""


async def take_dump(system: ActorSystem, *, is_quiet: bool) -> Found:
    """Ask the actors, then the rows."""
    states: dict[str, dict[str, Any]] = {}
    for path in DURABLE:
        states[path] = await system.get(path).ask(Dump(), timeout=READ_SECONDS)
    with anyio.fail_after(READ_SECONDS):
        await system.flush()
    letters, inbox, events, _, journal = await system.store.query(
        f"{_LETTERS}; {_INBOX}; {_EVENTS}; {_JOURNAL}",
        system=system.name,
        owner=RecordId("ownership", [system.name]),
    )
    audit = await system.audit()
    stored: dict[str, dict[str, Any]] = {}
    for path in DURABLE:
        rows = await system.store.checkpoint_rows(system.name, path)
        last = [row.state for row in rows if row.kind == "state"]
        stored[path] = msgspec.msgpack.decode(last[0]) if last else {}
    return Found(
        is_quiet=is_quiet,
        states=states,
        stored=stored,
        deaths=[
            Death(
                row["recipient"], row["message_type"], row["message"].get("n", 0), row["reason"], row["tries"]
            )
            for row in letters
        ],
        inbox=[str(row["id"]) for row in inbox],
        sent=[(row["target_agent"], row["message_type"], row["sent"]) for row in events],
        audit="" if audit.is_balanced else str(audit),
        journal=len(journal),
    )

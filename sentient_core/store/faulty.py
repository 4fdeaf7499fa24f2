"""Faults of a store: what a plan says at the points that commits, rows and reads come by.

A store that can have them has an attribute `faults`, and looks at it with every request. Ours are a
MemoryStore, which is its own database, and a SurrealStore, whose requests are stopped between the store and
its database: what it does about them is what it does about a database that fails so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import cbor2

from sentient_core.errors import InvalidArgument, StoreRefused, StoreUnavailable
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Faults, Injected
from sentient_core.faults.faults import suffer
from sentient_core.faults.points import STORE_POINTS

__all__ = [
    "Injectable",
    "Requests",
    "damaged",
    "error_of",
    "execute",
    "faulty",
    "has_store_rules",
    "inject",
    "refusal",
]

S = TypeVar("S")

_COMMIT = b"CREATE ONLY $id SET body"
_WRITES = (b"CREATE ", b"INSERT ", b"UPDATE ", b"UPSERT ", b"DELETE ", b"RELATE ", b"DEFINE ", b"REMOVE ")
_OTHER_METHODS = b"\x66method\x63use", b"\x66method\x64ping"
_SQL_ENDS = 4_096
"""Bytes of a request within which its statements stand; parameters follow."""
_LEAST = 4
"""Bytes from which on something read is a state, a payload or a record."""


@runtime_checkable
class Injectable(Protocol):
    """A store that faults can be injected into."""

    faults: Faults | None


class Requests(Protocol):
    """Who answers requests: the client of a database."""

    async def execute(self, cbor_request: bytes) -> bytes:
        """Answer one."""
        ...


def faulty(store: S, plan: FaultPlan) -> S:
    """Let a store of ours go wrong as the plan says, from now on; returns it.

    For a store that is used by itself; an actor system does it with its own `faults=`.
    `store.faults.injected` says what was done, `store.faults = None` heals it. Raises InvalidArgument for a
    store that knows no faults, and for a plan with none for stores.
    """
    faults = Faults(plan)
    if not has_store_rules(faults):
        raise InvalidArgument(
            f"this plan has no rule for a store; its points are: {', '.join(sorted(STORE_POINTS))}"
        )
    inject(store, faults)
    return store


def has_store_rules(faults: Faults) -> bool:
    """Something in the plan is for stores."""
    return any(faults.has(point) for point in STORE_POINTS)


def inject(store: object, faults: Faults | None) -> None:
    """Let a store go wrong by a plan that is at work, or heal it. Raises InvalidArgument."""
    if not isinstance(store, Injectable):
        raise InvalidArgument(
            f"{type(store).__name__} knows no faults: a plan's rules for stores are for a MemoryStore and a "
            "SurrealStore. Give a store of your own an attribute `faults`, and look at it."
        )
    store.faults = faults


async def execute(faults: Faults, client: Requests, cbor_request: bytes) -> bytes:
    """One request to a database, with what the plan says. Raises StoreUnavailable.

    On the store's thread, hence asyncio's loop, whatever the system runs on.
    """
    point = _point_of(cbor_request)
    if point is None:
        return await client.execute(cbor_request)
    before = faults.choose(point)
    if before is not None and before.action is not FaultAction.CORRUPT:
        refused = refusal(before)
        if refused is not None:
            return cbor2.dumps({"id": "1", "result": [{"status": "ERR", **refused}]})
        await suffer(before)
    answer = await client.execute(cbor_request)
    if point is FaultPoint.STORE_APPEND:
        await faults.pass_by(FaultPoint.STORE_COMMITTED)
    if before is not None and before.action is FaultAction.CORRUPT:
        return cbor2.dumps(damaged(cbor2.loads(answer)))
    return answer


def refusal(fault: Injected) -> dict[str, str] | None:
    """What the database says to a statement that is refused, or that its disk has no room for."""
    if fault.action is FaultAction.REJECT:
        return {"kind": "Thrown", "result": "the fault plan says so"}
    if fault.action is FaultAction.FULL:
        return {
            "kind": "Query",
            "result": "IO error: No space left on device (os error 28), says the fault plan",
        }
    return None


def error_of(fault: Injected) -> StoreRefused | StoreUnavailable:
    """What a store without a database raises for a fault that is an answer."""
    words = refusal(fault)
    if words is not None and fault.action is FaultAction.REJECT:
        return StoreRefused(words["result"])
    return StoreUnavailable("the fault plan says so" if words is None else words["result"])


def damaged(answer: Any) -> Any:
    """What was read, with one bit of its largest bytes changed; the same where there are none."""
    largest = max(_bytes_of(answer), key=len, default=b"")
    if len(largest) < _LEAST:
        return answer
    middle = len(largest) // 2
    changed = largest[:middle] + bytes([largest[middle] ^ 0x10]) + largest[middle + 1 :]
    return _with(answer, largest, changed)


def _point_of(cbor_request: bytes) -> FaultPoint | None:
    head = cbor_request[:_SQL_ENDS]
    if any(method in head for method in _OTHER_METHODS):
        return None
    if _COMMIT in head:
        return FaultPoint.STORE_APPEND
    if any(verb in head for verb in _WRITES):
        return FaultPoint.STORE_WRITE
    return FaultPoint.STORE_READ


def _bytes_of(value: Any) -> list[bytes]:
    if isinstance(value, bytes):
        return [value]
    if isinstance(value, cbor2.CBORTag):
        return _bytes_of(value.value)
    if isinstance(value, dict):
        fields = cast("Mapping[Any, Any]", value)
        return _bytes_of(list(fields.values()))
    if isinstance(value, list | tuple):
        return [found for item in cast("list[Any]", value) for found in _bytes_of(item)]
    return []


def _with(value: Any, old: bytes, new: bytes) -> Any:
    if isinstance(value, bytes):
        return new if value == old else value
    if isinstance(value, cbor2.CBORTag):
        return cbor2.CBORTag(value.tag, _with(value.value, old, new))
    if isinstance(value, dict):
        fields = cast("Mapping[Any, Any]", value)
        return {key: _with(item, old, new) for key, item in fields.items()}
    if isinstance(value, list | tuple):
        return [_with(item, old, new) for item in cast("list[Any]", value)]
    return value

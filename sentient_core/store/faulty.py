"""Faults of a store: what a plan says at the points that commits, rows and reads come by.

A store that can have them has an attribute `faults`, and looks at it with every request. Ours are a
MemoryStore, which is its own database, and a SurrealStore, whose requests are stopped between the store and
its database: what it does about them is what it does about a database that fails so.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import cbor2

from sentient_core.errors import InvalidArgument, StoreError, StoreRefused, StoreUnavailable
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Faults, Injected
from sentient_core.faults.faults import suffer
from sentient_core.faults.points import STORE_POINTS
from sentient_core.store.wire import read_exact, sql_of

__all__ = [
    "Injectable",
    "Requests",
    "check_injectable",
    "damaged",
    "error_of",
    "execute",
    "faulty",
    "has_store_rules",
    "heal",
    "inject",
    "refusal",
]

S = TypeVar("S")

_COMMIT = "CREATE ONLY $id SET body"
_WRITES = re.compile(
    r"\b(CREATE|INSERT|UPDATE|UPSERT|DELETE|RELATE|DEFINE|REMOVE|ALTER|REBUILD)\s", re.IGNORECASE
)
_ABSENT = object()
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
    store that knows no faults, or goes wrong already, and for a plan with none for stores.
    """
    if not isinstance(plan, FaultPlan):  # pyright: ignore[reportUnnecessaryIsInstance] - users check less
        raise InvalidArgument(f"plan must be a FaultPlan(...), not {plan!r}")
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


def check_injectable(store: object) -> Injectable:
    """The store, as one that can go wrong. Raises InvalidArgument."""
    # `isinstance` alone is content, before Python 3.12, with a `__getattr__` that asks the store within.
    if isinstance(store, Injectable) and inspect.getattr_static(store, "faults", _ABSENT) is not _ABSENT:
        return store
    raise InvalidArgument(
        f"{type(store).__name__} knows no faults: a plan's rules for stores are for a MemoryStore and a "
        "SurrealStore. Give a store of your own an attribute `faults`, and look at it; one around another "
        "store hands it on, by a property with a setter."
    )


def inject(store: object, faults: Faults) -> None:
    """Let a store go wrong by a plan that is at work. Raises InvalidArgument, also where another one is."""
    injectable = check_injectable(store)
    if injectable.faults is not None:
        raise InvalidArgument(
            f"this {type(store).__name__} goes wrong by another plan already, and what each of two does could"
            " not be told apart: put their rules into one, or give each system a store of its own"
        )
    injectable.faults = faults


def heal(store: object, faults: Faults) -> None:
    """Let a store go wrong no more by that plan."""
    if isinstance(store, Injectable) and store.faults is faults:
        store.faults = None


async def execute(faults: Faults, client: Requests, cbor_request: bytes) -> bytes:
    """One request to a database, with what the plan says. Raises StoreUnavailable.

    On the store's thread, hence asyncio's loop, whatever the system runs on.
    """
    point = _point_of(cbor_request)
    if point is None:
        return await client.execute(cbor_request)
    fault = faults.decide(point)
    is_damage = fault is not None and fault.action is FaultAction.CORRUPT
    if fault is not None and not is_damage:
        faults.note(fault)
        refused = refusal(fault)
        if refused is not None:
            return cbor2.dumps({"id": "1", "result": [{"status": "ERR", **refused}]})
        await suffer(fault)
    answer = await client.execute(cbor_request)
    if point is FaultPoint.STORE_APPEND and _is_done(answer):
        await faults.pass_by(FaultPoint.STORE_COMMITTED)
    if fault is None or not is_damage:
        return answer
    changed = damaged(cbor2.loads(answer))
    if changed is None:
        faults.withdraw(fault)
        return answer
    faults.note(fault)
    return cbor2.dumps(changed)


def refusal(fault: Injected) -> dict[str, str] | None:
    """What the database says to a statement that is refused, or that its disk has no room for."""
    if fault.action is FaultAction.REJECT:
        return {
            "kind": "Validation",
            "result": "the fault plan says so",
        }  # "Thrown" is what tells an owner apart
    if fault.action is FaultAction.FULL:
        return {
            "kind": "Query",
            "result": "IO error: No space left on device (os error 28), says the fault plan",
        }
    return None


def error_of(fault: Injected) -> Exception:
    """What a store without a database raises for a fault."""
    words = refusal(fault)
    if words is None:
        return fault.error()
    is_no = fault.action is FaultAction.REJECT
    return StoreRefused(words["result"]) if is_no else StoreUnavailable(words["result"])


def damaged(read: Any) -> Any:
    """What was read, with one bit of its largest bytes changed; None where there are none."""
    largest = max(_bytes_of(read), key=len, default=b"")
    if len(largest) < _LEAST:
        return None
    middle = len(largest) // 2
    changed = largest[:middle] + bytes([largest[middle] ^ 0x10]) + largest[middle + 1 :]
    return _with(read, largest, changed)


def _point_of(cbor_request: bytes) -> FaultPoint | None:
    sql = sql_of(cbor_request)
    if sql is None:
        return None
    if sql.startswith(_COMMIT):
        return FaultPoint.STORE_APPEND
    return FaultPoint.STORE_WRITE if _WRITES.search(sql) else FaultPoint.STORE_READ


def _is_done(answer: bytes) -> bool:
    try:
        read_exact(answer)
    except StoreError:
        return False
    return True


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
    """The value with those very bytes replaced: not others that are equal to them."""
    if value is old:
        return new
    if isinstance(value, cbor2.CBORTag):
        return cbor2.CBORTag(value.tag, _with(value.value, old, new))
    if isinstance(value, dict):
        fields = cast("Mapping[Any, Any]", value)
        return {key: _with(item, old, new) for key, item in fields.items()}
    if isinstance(value, list | tuple):
        return [_with(item, old, new) for item in cast("list[Any]", value)]
    return value

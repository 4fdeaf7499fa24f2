"""The engine's requests and answers as CBOR, with SurrealDB's tags for what CBOR does not have.

Requests are put together from fragments, so that rows encoded elsewhere (by hand, which is about
half the price of building them as Python objects first) go in as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any, cast
from uuid import UUID

import cbor2
import msgspec

from sentient_core.causes import in_a_line
from sentient_core.errors import (
    InvalidArgument,
    StoreAccessDenied,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)

__all__ = [
    "Conflict",
    "Encoded",
    "RecordId",
    "Refusal",
    "Taken",
    "array",
    "bindable",
    "call_request",
    "is_not_allowed",
    "moment_tag",
    "number",
    "numbers",
    "read_exact",
    "read_notification",
    "read_plain",
    "read_raw",
    "record_id",
    "request",
    "sql_of",
    "table_tag",
    "text",
    "understood",
    "use_request",
    "value",
    "within",
]

_NONE, _TABLE, _RECORD, _UUID_TEXT, _DECIMAL, _MOMENT, _DURATION, _UUID = 6, 7, 8, 9, 10, 12, 14, 37
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Reader = Callable[[bytes], list[Any]]


class RecordId(msgspec.Struct, frozen=True):
    """The id of a row; can be bound in a query as it was read."""

    table: str
    key: Any

    def __str__(self) -> str:
        return f"{self.table}:{self.key}"


class Encoded(msgspec.Struct, frozen=True):
    """A parameter that is CBOR already."""

    cbor: bytes


class Refusal(StoreRefused):
    """The database refused a statement. `kind` is its word for why."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text
        super().__init__(f"the database refused a statement ({kind}): {text}")


class Taken(Refusal):
    """A record with this id is there already."""


class Conflict(Refusal):
    """Another transaction was faster; nothing was done, and it can be tried again."""


def request(sql: str, parameters: Mapping[str, object]) -> bytes:
    """A query and its parameters.

    What the store binds itself is encoded as it stands: no big integers, no datetimes. Values of
    users go through `bindable` first.
    """
    parts = [_QUERY, text(sql), _head(5, len(parameters))]
    for name, value in parameters.items():
        parts.append(text(name))
        parts.append(value.cbor if isinstance(value, Encoded) else cbor2.dumps(value))
    return b"".join(parts)


def sql_of(cbor_request: bytes) -> str | None:
    """The statements of a request that `request` has made. None: it is of another method."""
    if not cbor_request.startswith(_QUERY):
        return None
    return str(cbor2.load(BytesIO(cbor_request[len(_QUERY) :])))


def use_request(namespace: str, database: str) -> bytes:
    """The request that chooses a namespace and a database, and makes them where needed."""
    return call_request("use", namespace, database)


def call_request(method: str, *parameters: object) -> bytes:
    """The request that calls another method than `query`."""
    return cbor2.dumps({"id": "1", "method": method, "params": list(parameters)})


def within(cbor_request: bytes, transaction: object) -> bytes:
    """The same request, to be answered within a transaction that was begun before."""
    return b"".join((_head(5, 4), cbor_request[1:], text("txn"), cbor2.dumps(transaction)))


def is_not_allowed(answer: bytes) -> bool:
    """The answer says that whoever asks may not ask at all. Nothing was done."""
    if answer[1:7] != b"\x65error":  # the first key of an answer that says no to a whole request
        return False
    return bool(understood(answer)["error"].get("kind") == "NotAllowed")


def record_id(table: str, *key: object) -> cbor2.CBORTag:
    """The id `table:[key...]` as a parameter."""
    return cbor2.CBORTag(_RECORD, [table, list(key)])


def table_tag(name: str) -> cbor2.CBORTag:
    """A table as a parameter."""
    return cbor2.CBORTag(_TABLE, name)


def array(items: Sequence[bytes]) -> Encoded:
    """An array of encoded items as a parameter."""
    return Encoded(b"".join((_head(4, len(items)), *items)))


def value(item: object) -> bytes:
    """What the store binds itself as CBOR."""
    return cbor2.dumps(item)


def text(value: str) -> bytes:
    """A string as CBOR."""
    data = value.encode()
    length = len(data)
    return (_TEXT_HEADS[length] if length < 256 else _head(3, length)) + data


def number(value: int) -> bytes:
    """An integer of at most 64 bits as CBOR."""
    return _head(0, value) if value >= 0 else _head(1, -1 - value)


def numbers(first: int, second: int) -> bytes:
    """Two integers, one behind the other, as CBOR."""
    if 0 <= first < 2**32 and 0 <= second < 2**32:
        return _pack_numbers(0x1A, first, 0x1A, second)
    return number(first) + number(second)


def moment_tag(nanoseconds: int) -> bytes:
    """A time, in nanoseconds since 1970, as CBOR."""
    return b"\xcc\x82" + numbers(*divmod(nanoseconds, 1_000_000_000))


def bindable(value: object) -> object:
    """`value` as the engine takes it, at any depth.

    Raises InvalidArgument for what no record can hold (sets, keys that are no strings, classes).
    """
    if value is None or isinstance(value, str | bool | float | bytes | cbor2.CBORTag):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else cbor2.CBORTag(_DECIMAL, str(value))
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value)
        for key in items:
            if not isinstance(key, str):
                raise InvalidArgument(f"{key!r} cannot be a key of an object: only strings can")
        return {key: bindable(item) for key, item in items.items()}
    if isinstance(value, list | tuple):
        return [bindable(item) for item in cast("Sequence[object]", value)]
    if isinstance(value, RecordId):
        return cbor2.CBORTag(_RECORD, [value.table, bindable(value.key)])
    if isinstance(value, datetime):
        return cbor2.CBORTag(_MOMENT, list(_since_epoch(value)))
    if isinstance(value, Decimal):
        return cbor2.CBORTag(_DECIMAL, str(value))
    if isinstance(value, UUID):
        return cbor2.CBORTag(_UUID, value.bytes)
    if isinstance(value, timedelta):
        seconds = value // timedelta(seconds=1)
        return cbor2.CBORTag(_DURATION, [seconds, (value - timedelta(seconds=seconds)).microseconds * 1000])
    hint = "; give it as a datetime" if isinstance(value, date) else ""
    raise InvalidArgument(f"a {type(value).__qualname__} cannot be bound in a query{hint}")


def read_exact(answer: bytes) -> list[Any]:
    """One result per statement, times as integer nanoseconds since 1970.

    Raises Refusal and its kin when any statement was refused, StoreUnavailable for what is no answer.
    """
    return _results(understood(answer, _exact))


def read_plain(answer: bytes) -> list[Any]:
    """As `read_exact`, with times as aware UTC datetimes (cut to microseconds)."""
    return _results(understood(answer, _plain))


def read_raw(answer: bytes) -> list[Any]:
    """As `read_exact`, with all that CBOR has no word for left as tags: encoded again, it is the same."""
    return _results(understood(answer))


def read_notification(message: bytes) -> Mapping[str, Any] | None:
    """What a server says by itself of a live query, as plain values; None: it is an answer to somebody.

    Raises StoreUnavailable for what is neither.
    """
    found = understood(message, _plain)
    told = found.get("result")
    if "id" in found or not isinstance(told, Mapping):
        return None
    given = cast("Mapping[str, Any]", told)
    return {name: given.get(name) for name in ("id", "action", "record", "result")}


def understood(answer: bytes, tag_hook: Callable[..., Any] | None = None) -> Mapping[str, Any]:
    """An answer as the object it is: with a `result`, or an `error` that is an object.

    Raises StoreUnavailable for anything else: something stands between, or is there instead.
    """
    try:
        found: Any = cbor2.loads(answer, tag_hook=tag_hook)
    except Exception as error:  # cbor2's errors, and those of values that Python cannot hold
        raise StoreUnavailable(f"{_NO_SERVER} ({in_a_line(error)})") from error
    given: Mapping[str, Any] = cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
    if not ("result" in given or isinstance(given.get("error"), Mapping)):
        raise StoreUnavailable(_NO_SERVER)
    return given


_NO_SERVER = "what answers is no database server: its answer cannot be understood"


def _results(answer: Mapping[str, Any]) -> list[Any]:
    error = answer.get("error")
    if error is not None:
        raise _refusal(str(error.get("kind", "unknown")), str(error.get("message", "")))
    if not isinstance(answer["result"], list | tuple):  # the answer to another method than `query`
        return [answer["result"]]
    statements = cast("Sequence[Mapping[str, Any]]", answer["result"])
    refused = [statement for statement in statements if statement["status"] != "OK"]
    if refused:
        # When one statement fails, all others of its transaction do, also those before it: the
        # reason stands at the one that was executed.
        cause = next((statement for statement in refused if not _is_consequence(statement)), refused[0])
        raise _refusal(str(cause.get("kind")), str(cause["result"]))
    return [statement["result"] for statement in statements]


def _is_consequence(statement: Mapping[str, Any]) -> bool:
    details = statement.get("details")
    return isinstance(details, Mapping) and cast("Mapping[str, Any]", details).get("kind") == "NotExecuted"


def _refusal(kind: str, why: str) -> StoreError:
    if kind == "NotAllowed":
        return StoreAccessDenied(
            why, "Give username= and password= of a user with the role OWNER or EDITOR of the database."
        )
    if kind == "AlreadyExists":
        return Taken(kind, why)
    if "can be retried" in why:
        return Conflict(kind, why)
    if _IO_ERROR in why and kind != "Thrown":
        # A full disk, and the like: what was asked is not at fault, and is asked again when there is room.
        return StoreUnavailable(f"the database cannot write: {why.rpartition(_IO_ERROR)[2]}")
    return Refusal(kind, why)


_IO_ERROR = "IO error: "


def _exact(tag: cbor2.CBORTag, immutable: bool) -> Any:
    if tag.tag == _MOMENT:
        seconds, nanoseconds = tag.value
        return seconds * 1_000_000_000 + nanoseconds
    return _plain(tag, immutable)


def _plain(tag: cbor2.CBORTag, immutable: bool) -> Any:  # noqa: ARG001 - cbor2 calls it
    value = tag.value
    match tag.tag:
        case 6:  # NONE
            return None
        case 8:  # RECORD
            return RecordId(value[0], value[1])
        case 10:  # DECIMAL
            return Decimal(value)
        case 12:  # MOMENT
            return _EPOCH + timedelta(seconds=value[0], microseconds=value[1] // 1000)
        case 14:  # DURATION
            seconds, nanoseconds = (*value, 0, 0)[:2]
            return timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
        case 9:
            return UUID(value)
        case 37:
            return UUID(bytes=value)
        case _:  # tables, ranges, geometries: nothing of ours has them
            return value


def _since_epoch(moment: datetime) -> tuple[int, int]:
    if moment.tzinfo is None:
        raise InvalidArgument(f"{moment!r} has no time zone: bind aware datetimes")
    since = moment - _EPOCH
    seconds = since // timedelta(seconds=1)
    return seconds, (since - timedelta(seconds=seconds)).microseconds * 1000


def _head(major: int, length: int) -> bytes:
    if length < 24:
        return bytes((major << 5 | length,))
    if length < 256:
        return bytes((major << 5 | 24, length))
    if length < 65536:
        return bytes((major << 5 | 25,)) + length.to_bytes(2, "big")
    if length < 2**32:
        return bytes((major << 5 | 26,)) + length.to_bytes(4, "big")
    return bytes((major << 5 | 27,)) + length.to_bytes(8, "big")


_TEXT_HEADS = tuple(_head(3, length) for length in range(256))
_pack_numbers = struct.Struct(">BIBI").pack  # longer than needed for small ones, and much faster

# {"id": "1", "method": "query", "params": [sql, parameters]} up to the sql
_QUERY = b"".join(
    (_head(5, 3), text("id"), text("1"), text("method"), text("query"), text("params"), _head(4, 2))
)

"""Records and databases that the tests of the store share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import cbor2
import msgspec

from sentient_core.codec import digest
from sentient_core.store.access import Access
from sentient_core.store.engine import DATABASE, NAMESPACE, Client, Connect, embedded
from sentient_core.store.records import (
    Accepted,
    AgentStatus,
    Answered,
    Checkpoint,
    CheckpointKind,
    DeadLetterRecord,
    Event,
    Key,
    LetterDiscarded,
    LetterRedriven,
    SentAs,
)
from sentient_core.store.server import ServerClient
from sentient_core.store.url import parse_url

NOW = 1_763_700_000_123_456_789


def event(seq: int, payload: object = ..., **changes: Any) -> Event:
    """A message from `team/a` to `team/b`, at a time of its own."""
    fields: dict[str, Any] = {
        "event_type": "message_sent",
        "seq": seq,
        "source": "team/a",
        "target": "team/b",
        "message_type": "Deposit",
        "payload": msgspec.msgpack.encode({"amount": seq} if payload is ... else payload),
        "at": NOW + seq * 1_000_000,
        "correlation": seq,
        "incarnation": 1,
    }
    return Event(**fields | changes)


def status(path: str, incarnation: int = 1, state: str = "running", **changes: Any) -> AgentStatus:
    """The state of an actor."""
    fields: dict[str, Any] = {
        "path": path,
        "name": path.rpartition("/")[2],
        "kind": "Worker",
        "parent": path.rpartition("/")[0],
        "status": state,
        "incarnation": incarnation,
        "restarts": incarnation - 1,
        "at": NOW,
        "capabilities": ("render",),
    }
    return AgentStatus(**fields | changes)


def checkpoint(path: str, number: int, **changes: Any) -> Checkpoint:
    """The `number`-th checkpoint of an actor."""
    state = msgspec.msgpack.encode({"count": number})
    fields: dict[str, Any] = {
        "path": path,
        "incarnation": 1,
        "checkpoint_id": f"c.{number}",
        "kind": CheckpointKind.TURN,
        "state": state,
        "tag": "Worker.State",
        "schema_version": 1,
        "digest": digest(state),
        "at": NOW + number,
        "metadata": msgspec.msgpack.encode({"handled": number}),
    }
    return Checkpoint(**fields | changes)


def sent_as(id_: str, path: str = "team/b", asker: Key | None = None, content: bytes = b"deposit") -> SentAs:
    """The id that a message was sent under."""
    return SentAs(path, id_, digest(content), asker)


def accepted(seq: int, sent: SentAs | None = None, **changes: Any) -> Accepted:
    """A message to the durable actor `team/b`."""
    return Accepted(event(seq, **changes), sent_as=sent)


def answered(seq: int, sent: SentAs, reply: object = "fine", error: str | None = None) -> Answered:
    """The reply to a message that was sent under an id, under a number of its own."""
    sent_back = event(
        seq + 2_000, reply, event_type="message_replied", source="team/b", target="team/a", message_type="str"
    )
    return Answered(sent_back, sent, error)


def dead_letter(seq: int, **changes: Any) -> DeadLetterRecord:
    """A message nobody handled."""
    fields: dict[str, Any] = {
        "seq": seq,
        "recipient": "team/gone",
        "sender": "team/a",
        "message_type": "Deposit",
        "payload": msgspec.msgpack.encode({"amount": seq}),
        "is_exact": True,
        "reason": "stopped",
        "cause": "",
        "attempts": 0,
        "at": NOW + seq,
        "correlation": seq,
    }
    return DeadLetterRecord(**fields | changes)


def redriven(seq: int, attempts: int = 2, epoch: int = 1) -> LetterRedriven:
    """The letter of a message is sent again."""
    sent_again = event(
        seq + 1_000,
        {"message_id": f"{epoch}.{seq}", "attempts": attempts},
        event_type="message_redriven",
        message_type=None,
        at=NOW + seq + 100,
    )
    return LetterRedriven(epoch, seq, attempts, sent_again)


def discarded(seq: int, reason: str = "no use", epoch: int = 1) -> LetterDiscarded:
    """The letter of a message stays undone."""
    return LetterDiscarded(epoch, seq, reason, NOW + seq + 200)


async def until(condition: Callable[[], bool], within: float = 60.0) -> None:
    """Return once `condition` holds; it is brought about by another thread."""
    with anyio.fail_after(within):
        while not condition():  # noqa: ASYNC110 - what changes it belongs to another thread
            await anyio.sleep(0.001)


class Faults:
    """What a faulty database does; changed by the test while it runs."""

    def __init__(self, real: Connect | None = None) -> None:
        self._real = real or _real
        self.fail: Callable[[bytes], bool] = lambda _: False
        """These requests fail before anything is done."""
        self.lose: Callable[[bytes], bool] = lambda _: False
        """These are done, and their answer is lost."""
        self.hang: Callable[[bytes], bool] = lambda _: False
        """These are never answered."""
        self.refuse: Callable[[bytes], bool] = lambda _: False
        """These are answered with a refusal of their statement."""
        self.before: Callable[[bytes], Awaitable[None]] | None = None
        """Awaited on the store's thread (asyncio) before a request is done."""
        self.sent: list[bytes] = []
        self.opened = 0

    def connect(self, url: str) -> Client:
        """A client with these faults, for `SurrealStore(..., connect=faults.connect)`."""
        self.opened += 1
        return _FaultyClient(self._real(url), self)


def _real(url: str) -> Client:
    address = parse_url(url)
    if address.endpoint is None:
        return embedded(url)
    return ServerClient(address, Access(namespace=NAMESPACE, database=DATABASE))


class _FaultyClient:
    def __init__(self, client: Client, faults: Faults) -> None:
        self._client = client
        self._faults = faults

    async def connect(self) -> None:
        await self._client.connect()

    async def close(self) -> None:
        await self._client.close()

    async def execute(self, cbor_request: bytes) -> bytes:
        faults = self._faults
        faults.sent.append(cbor_request[:400])
        if faults.before is not None:
            await faults.before(cbor_request)
        if faults.fail(cbor_request):
            raise RuntimeError("injected: not done")
        if faults.hang(cbor_request):
            await asyncio.sleep(3600)  # the store's thread runs asyncio, whatever the test runs
        if faults.refuse(cbor_request):
            return cbor2.dumps(
                {"id": "1", "result": [{"status": "ERR", "kind": "Thrown!", "result": "injected"}]}
            )
        answer = await self._client.execute(cbor_request)
        if faults.lose(cbor_request):
            raise RuntimeError("injected: done, answer lost")
        return answer


def is_commit(request: bytes) -> bool:
    """The request is a group commit of a journal."""
    return b"CREATE ONLY $id SET body" in request


def is_settlement(request: bytes) -> bool:
    """The request is the transaction that ends a window."""
    return b"LET $moved" in request


def is_claim(request: bytes) -> bool:
    """The request takes the ownership for a new start."""
    return b"LET $claimed" in request


def is_rows(request: bytes) -> bool:
    """The request inserts event rows."""
    return b"INSERT IGNORE INTO agent_event" in request

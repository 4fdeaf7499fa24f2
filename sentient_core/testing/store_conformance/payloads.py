"""Whatever stands in a text or a payload is data, and comes back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sentient_core.store import Journal
from sentient_core.testing.store_conformance.place import Conformance, Place
from sentient_core.testing.store_conformance.samples import (
    checkpoint,
    dead_letter,
    event,
    status,
)

__all__ = ["NASTY", "PayloadConformance", "nested"]

NASTY = [
    "alice'; REMOVE TABLE agent_event; --",
    'quo"ted ` back\\slash',
    "⟨agent_event:1⟩ $param {json: true}",
    "δ漢字🎭\u202e\x00\n",
    "type::record('x', 1)",
]


def nested(depth: int) -> Any:
    """A payload that is so many objects deep."""
    value: Any = 1
    for _ in range(depth):
        value = {"d": value}
    return value


class PayloadConformance(Conformance):
    """Whatever stands in a text or a payload is data, and comes back."""

    @pytest.mark.parametrize("text", NASTY)
    async def test_texts_are_data(self, place: Place, text: str) -> None:
        store = place.store
        journal = await store.open_journal(text)
        path = f"team/{text}"
        journal.append(event(1, {text: [text]}, source=path, target=text, message_type=text, event_type=text))
        journal.append(status(path))
        journal.append(checkpoint(path, 1, metadata=msgspec.msgpack.encode({text: text})))
        journal.append(dead_letter(1, recipient=path, cause=text))
        await journal.flush()

        (row,) = await store.events(text, agent=path)
        assert (row.payload, row.target_agent) == ({text: [text]}, text)
        assert (
            await store.events(text, event_type=text) == await store.events(text, message_type=text) == [row]
        )
        assert [agent.agent_id for agent in await store.agents(text)] == [path]
        assert [record.path for record in await journal.checkpoints(path, 1)] == [path]
        (found,) = await store.checkpoint_rows(text, path)
        assert found.metadata == {text: text}
        (letter,) = await store.dead_letters(text)
        assert (letter.recipient, letter.cause) == (path, text)
        await journal.close(5.0)
        again = await store.open_journal(text)
        assert dict(again.known) == {path: 1}
        await again.close(5.0)

    @pytest.mark.parametrize(
        ("sent", "shown"),
        [
            ({"big": 2**64 - 1, "low": -(2**63), "edge": 2**63}, None),
            ([1, "two", None], {"value": [1, "two", None]}),
            ("text", {"value": "text"}),
            (None, {"value": None}),
            ({2: "two", None: "none", True: "yes"}, {"2": "two", "null": "none", "true": "yes"}),
            (
                {"deep": {"deep": [{"deep": {"deep": {5: 2**63}}}]}},
                {"deep": {"deep": [{"deep": {"deep": {"5": 2**63}}}]}},
            ),
            ({"bytes": b"\x00\xff", "inf": float("inf"), "float": 0.1}, None),
            ({"id": "agent_event:1", "in": None, "": 1}, None),
            (nested(79), None),
            (nested(90), "undecoded"),
            (nested(300), "undecoded"),
        ],
        ids=[
            "big",
            "list",
            "text",
            "none",
            "keys",
            "deep big",
            "bytes",
            "names",
            "depth 79",
            "depth 90",
            "depth 300",
        ],
    )
    async def test_payloads_are_shown_as_objects(
        self, place: Place, journal: Journal, sent: Any, shown: Any
    ) -> None:
        payload = msgspec.msgpack.encode(sent)
        for seq in range(1, 4):  # a strange one among others: none is lost
            journal.append(event(seq) if seq != 2 else event(seq, payload=sent))
        journal.append(dead_letter(2, payload=payload))
        await journal.flush()

        rows = await place.store.events("bank")
        (letter,) = await place.store.dead_letters("bank")

        expected = sent if shown is None else {"undecoded": payload} if shown == "undecoded" else shown
        assert [row.payload for row in rows] == [{"amount": 3}, expected, {"amount": 1}]
        assert letter.message == expected

    async def test_bytes_that_are_no_msgpack_are_kept(self, place: Place, journal: Journal) -> None:
        journal.append(msgspec.structs.replace(event(1), payload=b"\xc1garbage"))
        await journal.flush()

        (row,) = await place.store.events("bank")
        assert row.payload == {"undecoded": b"\xc1garbage"}

    async def test_a_payload_of_ten_megabytes_passes(self, place: Place, journal: Journal) -> None:
        text = "x" * 10_000_000
        journal.append(event(1, {"text": text}))
        journal.append(checkpoint("team/a", 1, state=text.encode()))
        await journal.flush()

        (row,) = await place.store.events("bank")
        assert row.payload == {"text": text}
        (found,) = await journal.checkpoints("team/a", 1)
        assert found.state == text.encode()

"""What the fixture `actor_system` looks at when a test is through: here without pytest around it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from sentient_core import ActorSystem, MemoryStore
from sentient_core.actors.alerts import Alert
from sentient_core.faults import FaultAction, FaultPlan, FaultPoint, Rule
from sentient_core.system import runtime_of
from sentient_core.testing.fixtures import checked_system
from tests.probes import Add, Counter


async def test_a_test_that_has_not_failed_fails_for_messages_that_are_not_accounted_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    audit = ActorSystem.audit

    async def wrong(self: ActorSystem) -> Any:
        found = await audit(self)
        more = [msgspec.structs.replace(found.actors[0], handled=found.actors[0].handled + 1)]
        return msgspec.structs.replace(found, actors=more)

    monkeypatch.setattr(ActorSystem, "audit", wrong)

    async def run(*, has_failed: bool = False, **options: Any) -> None:
        async with checked_system(str, lambda: has_failed, options) as system:
            await (await system.spawn(Counter, name="counter")).send(Add())

    with pytest.raises(AssertionError, match="messages are not all accounted for"):
        await run()
    await run(audit=False)
    await run(has_failed=True)


async def test_a_test_that_has_failed_is_not_told_what_it_leaves_as_well() -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait, name="lost")

    async with checked_system(str, lambda: True, {"dead_letters": ()}) as system:
        thread.start()
        ref = await system.spawn(Counter, name="counter")
        await ref.stop()
        ref.tell(Add())

    go_on.set()
    thread.join()


async def test_alerts_that_are_not_allowed_fail_the_test() -> None:
    async def run(**options: Any) -> None:
        async with checked_system(str, lambda: False, options) as system:
            alert = Alert(alert="flooded", path="a", cause="x", at=datetime.now(UTC))
            runtime_of(system, "raise an alert").alerts.publish(alert)

    await run()
    await run(alerts=("flooded",))
    with pytest.raises(AssertionError, match="alerts that were not expected:"):
        await run(alerts=())


async def test_no_fault_keeps_the_end_from_being_looked_at() -> None:
    plan = FaultPlan(1, (Rule(point=FaultPoint.STORE_READ, action=FaultAction.RAISE),))

    async with checked_system(str, lambda: False, {"faults": plan}) as system:
        assert system.faults is not None

    assert system.faults.is_paused


async def test_a_store_that_it_has_made_is_closed_and_one_that_it_was_given_is_not() -> None:
    closed: list[MemoryStore] = []

    class Closing(MemoryStore):
        async def close(self) -> None:
            closed.append(self)

    given = Closing()
    for store in (Closing, given):
        async with checked_system(str, lambda: False, {"store": store}) as system:
            assert isinstance(system.store, Closing)

    assert len(closed) == 1
    assert closed[0] is not given
